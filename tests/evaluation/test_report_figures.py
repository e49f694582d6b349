"""The report's figures: curves, bands, labels, files."""

import numpy as np
import pytest

from evaluation.report import report, save_figures
from evaluation.report.arms import gather
from evaluation.report.curves import (
    MOST_POINTS,
    Curve,
    band,
    outcome_curve,
    smooth,
    smoothing_window,
)
from evaluation.report.drawing import Line, Look, spread
from evaluation.report.figures import panels
from evaluation.statistics import mean_interval
from tests.evaluation.folders import write_run
from tests.evaluation.planted import stream, write_arm, write_study


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return write_study(tmp_path_factory.mktemp("study"))


def test_figures_are_saved_as_pdf_and_png(study, tmp_path):
    write_run(tmp_path / "runs", [0.5, 0.6], measures={"dead_units": {0: 0.0, 1: 0.1}})
    files = save_figures([tmp_path / "runs", study / "PermutedMNIST-v0"], tmp_path / "a" / "b")
    assert [file.name for file in files] == [
        "PermutedDigits-v0-accuracy.pdf",
        "PermutedDigits-v0-accuracy.png",
        "PermutedDigits-v0-accuracy-dead_units.pdf",
        "PermutedDigits-v0-accuracy-dead_units.png",
        "PermutedMNIST-v0-accuracy.pdf",
        "PermutedMNIST-v0-accuracy.png",
    ]
    assert all(file.stat().st_size > 1000 for file in files)
    again = save_figures([tmp_path / "runs", study / "PermutedMNIST-v0"], tmp_path / "c")
    assert [f.read_bytes() for f in files] == [f.read_bytes() for f in again]


def test_colours_follow_the_label_across_problems(study):
    (first, _), (second, _) = panels(gather([study]))
    stubs = [{line.get_color() for line in p.figure.axes[0].lines} for p in (first, second)]
    assert stubs[1] <= stubs[0]


def test_the_axis_keeps_to_possible_values(tmp_path):
    for seed, late in enumerate([0.0, 0.0, 0.9]):
        write_run(tmp_path, stream(0.7, late, seed), seed=seed, bins=1)
    (problem,) = gather([tmp_path])
    assert outcome_curve(problem.arms[0].group, 1).low.min() < -0.1
    assert panels([problem])[0][0].figure.axes[0].get_ylim()[0] == 0


def test_errors_that_span_decades_are_drawn_on_a_logarithmic_axis(tmp_path):
    write_arm(tmp_path, 0.5, 0.5, outcome="error", agent="steady")
    write_arm(tmp_path, 0.5, 900.0, outcome="error", agent="explodes")
    panel = panels(gather([tmp_path]))[0][0]
    assert panel.figure.axes[0].get_yscale() == "log"
    assert "The vertical axis is logarithmic." in panel.caption


def test_long_streams_are_smoothed_and_thinned(tmp_path):
    values = list(np.linspace(0.2, 0.8, 900))
    write_run(tmp_path, values, bins=1)
    (problem,) = gather([tmp_path])
    assert [smoothing_window(k) for k in (100, 150, 300, 900)] == [1, 3, 7, 19]
    curve = outcome_curve(problem.arms[0].group, smoothing_window(900))
    assert len(curve.tasks) <= MOST_POINTS + 1 and curve.tasks[-1] == 899
    assert np.allclose(curve.mean[5:-5], np.array(values)[curve.tasks[5:-5]])
    assert "smoothed over 19 tasks" in panels([problem])[0][0].caption


def test_smoothing_averages_what_there_is():
    assert smooth(np.array([[1.0, 2.0, 6.0]]), 3).tolist() == [[1.5, 3.0, 4.0]]


@pytest.mark.parametrize("n", [2, 5, 40])
def test_bands_are_mean_intervals(n):
    values = np.random.default_rng(0).normal(size=(n, 3))
    low, high = band(values)
    for position in range(3):
        interval = mean_interval(values[:, position])
        if interval.low is None:
            assert np.isnan(low[position]) and np.isnan(high[position])
        else:
            ends = interval.low, interval.high
            exact = 1e-9 if n < 30 else 0.05  # fewer resamples
            assert (low[position], high[position]) == pytest.approx(ends, abs=exact)


@pytest.mark.parametrize("seed", range(5))
def test_labels_do_not_overlap_and_keep_their_order(seed):
    generator = np.random.default_rng(seed)
    wanted, heights = generator.uniform(0, 100, 8), generator.uniform(5, 12, 8)
    placed = spread(wanted, heights, 0, 100)
    order = np.argsort(wanted)
    gaps = np.diff(placed[order])
    assert (gaps >= (heights[order][1:] + heights[order][:-1]) / 2 - 1e-9).all()
    assert (placed - heights / 2 >= -1e-9).all() and (placed + heights / 2 <= 100 + 1e-9).all()


def test_labels_with_room_stay_where_they_are():
    assert spread(np.array([80.0, 20.0, 50.0]), np.full(3, 10.0), 0, 100).tolist() == [80, 20, 50]


def test_a_diverged_seed_ends_the_line(tmp_path):
    write_arm(tmp_path, 0.7, 0.7, seeds=[0, 1, 2])
    write_run(tmp_path, [0.7] * 15 + [None] * 5, seed=3, bins=1)
    (problem,) = gather([tmp_path])
    curve = outcome_curve(problem.arms[0].group, 1)
    assert np.isfinite(curve.mean).tolist() == [True] * 15 + [False] * 5
    html = report(tmp_path, tmp_path / "page.html").read_text()
    assert "backprop (diverged)" in html
    assert "1 of 4 values not finite" in html


def test_long_labels_end_their_lines_between_joined_names():
    curve = Curve(np.arange(2), *(np.ones(2) for _ in range(3)))
    label = "sb3/ppo+equal-betas+l2+continual-backprop+layer-norm step_size=0.1"
    lines = Line(label, Look("C0", "-"), curve).name.split("\n")
    assert lines == ["sb3/ppo+equal-betas+l2+", "continual-backprop+layer-norm", "step_size=0.1"]
