"""Study files: arms, grids, seeds of their own, and the engine that all runs name."""

from pathlib import Path

import pytest

import evaluation
from evaluation.studies import load_study, names

STUDY = """
title = "t"
seeds = "0:3"
tuning_seeds = "100:102"
engine = "torch"
[[problems]]
problem = "PermutedDigits-v0"
tasks = 2
[[problems.arms]]
agent = "backprop"
settings = { hidden = [8] }
grid = { step_size = [0.1, 0.2], activation = ["relu", "tanh"] }
[[problems.arms]]
agent = "l2"
seeds = "0,7"
tried = { weight_decay = [1e-3, 1e-4] }
"""


def test_a_grid_is_every_combination(tmp_path: Path) -> None:
    path = tmp_path / "t.toml"
    path.write_text(STUDY)
    cells = load_study(path).cells()
    assert {cell.engine for cell in cells} == {"torch"}
    grid = [
        (cell.agent_settings["step_size"], cell.agent_settings["activation"], cell.seed)
        for cell in cells
        if cell.agent == "backprop"
    ]
    pairs = [(0.1, "relu"), (0.1, "tanh"), (0.2, "relu"), (0.2, "tanh")]
    assert grid == [(*pair, seed) for pair in pairs for seed in range(3)]
    assert [cell.seed for cell in cells if cell.agent == "l2"] == [0, 7]


def test_what_was_tried_has_the_tuning_seeds_alone(tmp_path: Path) -> None:
    path = tmp_path / "t.toml"
    path.write_text(STUDY)
    tried = [(cell.agent_settings["weight_decay"], cell.seed) for cell in load_study(path).tuning()]
    assert tried == [(1e-3, 100), (1e-3, 101), (1e-4, 100), (1e-4, 101)]


def test_a_study_that_tried_nothing_has_no_tuning_to_run(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="^study: 'opmnist-width' has tried nothing in tuning$"):
        evaluation.study("opmnist-width", out=tmp_path, jobs=2, tuning=True)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", names())
def test_every_study_of_the_package_can_be_configured(name: str) -> None:
    cells = load_study(name).cells()
    assert len({(cell.settings_hash, cell.seed) for cell in cells}) == len(cells) > 0


@pytest.mark.parametrize("table", ["arms", "problems"])
def test_a_study_of_nothing_is_refused(table: str, tmp_path: Path) -> None:
    path = tmp_path / "t.toml"
    problem = '[[problems]]\nproblem = "PermutedDigits-v0"\narms = []\n'
    path.write_text(
        'title = "t"\nseeds = "0:1"\n' + (problem if table == "arms" else "problems = []")
    )
    with pytest.raises(ValueError, match=f"{table} is empty; give at least one"):
        load_study(path)
