"""Engines: one meaning, the one used is recorded, and a run stays with its own."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluation.cli import main
from evaluation.config import configure
from evaluation.life import Life
from evaluation.resume import resumable
from tests.evaluation.helpers import cell, live, read, snapshot
from tests.problems import IDS
from tests.problems import SMALL as PROBLEMS

AGENTS = ("backprop", "linear", "l2", "dropout", "continual-backprop", "fresh")


@pytest.mark.parametrize("agent", AGENTS)
def test_records_agree_to_rounding(agent: str, tmp_path: Path) -> None:
    torch = live(cell(agent, engine="torch"), tmp_path / "torch")
    fused = live(cell(agent, engine="fused"), tmp_path / "fused")
    for one, other in zip(torch, fused, strict=True):
        assert one.keys() == other.keys()
        for key in one.keys() - {"kind"}:
            np.testing.assert_allclose(other[key], one[key], rtol=1e-4, atol=1e-4, err_msg=key)


@pytest.mark.parametrize("batch_size", [None, 16])
@pytest.mark.parametrize("problem", [id for id in IDS if "epochs" not in PROBLEMS[id]])
def test_every_problem_is_read_alike(problem: str, batch_size: int | None, tmp_path: Path) -> None:
    more: dict[str, Any] = {"problem": problem}
    more["problem_settings"] = {**PROBLEMS[problem], "batch_size": batch_size}
    more["settings"] = {"hidden": [8], "step_size": 0.01, "activation": "tanh"}
    torch = live(cell(**more), tmp_path / "torch")
    fused = live(cell(engine="fused", **more), tmp_path / "fused")
    for one, other in zip(torch, fused, strict=True):
        assert one.keys() == other.keys()
        for key in one.keys() - {"kind"}:
            np.testing.assert_allclose(other[key], one[key], rtol=1e-3, atol=1e-4, err_msg=key)


def test_how_much_is_taken_at_a_time_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more: dict[str, Any] = {"problem_settings": {"examples_per_task": 700}, "engine": "fused"}
    want = live(cell("shrink-perturb", **more), tmp_path / "many")
    monkeypatch.setattr("evaluation.loop.STEPS", 3)
    assert live(cell("shrink-perturb", **more), tmp_path / "few") == want


@pytest.mark.parametrize(
    ("size", "width", "engine"),
    [(64, 100, "fused"), (65, 100, "torch"), (3, 1000, "fused"), (4, 1000, "torch")],
)
def test_auto_leaves_large_batches_to_matrix_products(size: int, width: int, engine: str) -> None:
    def chosen(**more: Any) -> str:
        return Life(configure("PermutedDigits-v0", "backprop", **more)[0]).engine

    batches = {"batch_size": size}
    assert chosen(settings={"hidden": [width, width]}, problem_settings=batches) == engine
    assert chosen(settings={"hidden": [2000, 2000]}) == "fused"


def test_auto_is_fused_where_it_can_be_and_says_so(tmp_path: Path) -> None:
    live(cell("backprop", engine="auto"), tmp_path / "ours")
    live(cell("tests.evaluation.plugins:by_step", engine="auto"), tmp_path / "another")
    assert read(tmp_path / "ours")["engine"] == "fused"
    assert read(tmp_path / "another")["engine"] == "torch"


def test_the_engine_is_no_setting() -> None:
    assert cell(engine="torch").settings_hash == cell(engine="fused").settings_hash


def test_a_run_stays_with_its_engine(tmp_path: Path) -> None:
    want = live(cell(tasks=4, engine="torch"), tmp_path / "long")
    live(cell(tasks=2, engine="torch"), tmp_path / "grown")
    before = snapshot(tmp_path / "grown")
    with pytest.raises(ValueError, match="^engine: 'fused' is not allowed; [^\n]+$"):
        resumable(cell(tasks=4, engine="fused"), tmp_path / "grown")
    assert snapshot(tmp_path / "grown") == before
    assert live(cell(tasks=4, engine="auto"), tmp_path / "grown") == want
    assert read(tmp_path / "grown")["engine"] == "torch"


def test_fused_is_refused_where_it_cannot_be(tmp_path: Path, capsys) -> None:
    run = ["run", "PermutedDigits-v0", "--agent", "tests.evaluation.plugins:by_step"]
    assert main([*run, "--engine", "fused", "--out", str(tmp_path / "runs")]) == 2
    assert capsys.readouterr().err.startswith("continual-envs: engine: 'fused' is not allowed; ")
    assert not (tmp_path / "runs").exists()
