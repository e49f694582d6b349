"""Seeds that learn as one stack leave what they leave alone; without CUDA, so uncaptured."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import evaluation
from agents.engines import support
from agents.engines.graph import GraphLearner
from evaluation import checkpoint, loop
from evaluation.cli import main
from evaluation.config import RunConfig
from evaluation.executors import execute
from evaluation.loop import run_one
from evaluation.resume import DONE, resumable
from evaluation.together import SMALL, run_together, shares
from tests.evaluation.helpers import DIGITS, NET, cell, online, read, records, snapshot
from tests.evaluation.helpers import SMALL as FEW

SEEDS = (0, 1, 2)
HOT = {**NET, "replacement_rate": 0.05, "maturity": 5}
CELLS: dict[str, dict[str, Any]] = {
    "momentum": {"agent": "backprop", "settings": {**NET, "momentum": 0.9}},
    "continual-backprop": {
        "agent": "adam+continual-backprop",
        "settings": HOT | {"step_size": 0.01},
    },
    "fresh": {"agent": "fresh"},
    "pairs": {
        "agent": "continual-backprop",
        "problem": "ProceduralPairs-v0",
        "problem_settings": {"epochs": 2, "train_images": 20, "test_images": 10, "batch_size": 10},
        # A step size at which it learns enough for what is tested on to matter.
        "settings": {"network": "small_cnn", "momentum": 0.9, "step_size": 0.1}
        | {"replacement_rate": 0.01, "maturity": 2},
    },
    "regression": {
        "agent": "backprop",
        "problem": "SlowlyChangingRegression-v0",
        "problem_settings": {"examples_per_task": 64},
        "settings": {"hidden": [5], "step_size": 0.01},
    },
}


@pytest.fixture(autouse=True)
def _without_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(support, "GRAPH_DEVICE", "cpu")


@pytest.fixture
def stacks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many learners were taken over at a time, where updates were made."""
    sizes: list[int] = []
    update_many = GraphLearner.update_many

    def noted(self: GraphLearner, chunks: Any) -> Any:
        if not sizes or sizes[-1] != len(chunks):
            sizes.append(len(chunks))
        return update_many(self, chunks)

    monkeypatch.setattr(GraphLearner, "update_many", noted)
    return sizes


def configs(name: str, tasks: int = 3, engine: str = "graph", **more: Any) -> list[RunConfig]:
    wanted = {**CELLS[name], "tasks": tasks, "engine": engine, **more}
    return [cell(**wanted, seeds=[seed]) for seed in SEEDS]


def alike(got: list[dict[str, Any]], want: list[dict[str, Any]], tolerance: float = 1e-4) -> None:
    assert len(got) == len(want)
    for one, other in zip(got, want, strict=True):
        assert one.keys() == other.keys()
        for key in one.keys() - {"kind"}:
            np.testing.assert_allclose(
                one[key], other[key], rtol=tolerance, atol=tolerance, err_msg=key
            )


@pytest.mark.parametrize("name", CELLS)
def test_records_are_those_of_single_runs(name: str, tmp_path: Path, stacks: list[int]) -> None:
    told: dict[int, float] = {}

    class Monitor:
        def update(self, cell: int, tasks: float) -> None:
            assert tasks >= told.get(cell, 0)
            told[cell] = tasks

    cells = [(one, tmp_path / str(one.seed)) for one in configs(name)]
    execute(cells, monitor=Monitor())
    assert stacks == [3] and told == dict.fromkeys(range(3), 3.0)
    for config, folder in cells:
        single = tmp_path / "alone" / str(config.seed)
        run_one(config, single)
        alike(records(folder), records(single))
        assert read(folder) == read(single) and read(folder)["engine"] == "graph"
        assert resumable(config, folder) is DONE
        names = {path.name for path in single.iterdir()}
        assert {path.name for path in folder.iterdir()} == names
        saved, other = (checkpoint.load(one / "checkpoint.pt") for one in (folder, single))
        assert saved["recorder"]["position"] == other["recorder"]["position"]
    assert stacks[1:] == [1]
    assert len({str(online(folder)) for _, folder in cells}) == 3


def test_a_single_run_is_the_torch_engines_but_for_rounding(tmp_path: Path) -> None:
    for name in CELLS:
        (graph, *_), (torch_run, *_) = configs(name), configs(name, engine="torch")
        run_one(graph, tmp_path / name / "graph")
        run_one(torch_run, tmp_path / name / "torch")
        alike(records(tmp_path / name / "graph"), records(tmp_path / name / "torch"))


@pytest.mark.parametrize("name", ["continual-backprop", "fresh"])
def test_a_longer_horizon_continues(name: str, tmp_path: Path, stacks: list[int]) -> None:
    for tasks in (1, 2, 4):
        run_together([(one, tmp_path / str(one.seed)) for one in configs(name, tasks)])
    run_together([(one, tmp_path / "long" / str(one.seed)) for one in configs(name, 4)])
    assert stacks == [3]
    for seed in SEEDS:
        alike(records(tmp_path / str(seed)), records(tmp_path / "long" / str(seed)), 1e-6)


def test_members_go_on_from_wherever_they_were_left(
    tmp_path: Path, stacks: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two were killed at the same place, one was done sooner, and one had not begun."""
    for name, value in (("SAVE_AT_MOST_EVERY", 0.0), ("SAVE_AFTER", 0.0), ("STEPS", 1)):
        monkeypatch.setattr(loop, name, value)
    runs = [cell(**CELLS["momentum"], tasks=4, engine="graph", seeds=[seed]) for seed in range(4)]
    cells = [(one, tmp_path / str(one.seed)) for one in runs]
    run_one(*cells[2])
    before = snapshot(cells[2][1])
    stacks.clear()

    def killed(cell: int, tasks: float) -> None:
        if tasks >= 1.5 and cell == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_together(cells[:2], killed)
    with pytest.raises(KeyboardInterrupt):
        run_together(cells[:2], lambda cell, tasks: killed(cell, tasks - 1))
    run_together(cells)
    assert stacks == [2, 1] and snapshot(cells[2][1]) == before
    monkeypatch.undo()
    monkeypatch.setattr(support, "GRAPH_DEVICE", "cpu")
    for config, folder in cells:
        run_one(config, tmp_path / "alone" / str(config.seed))
        alike(records(folder), records(tmp_path / "alone" / str(config.seed)))


def test_what_cannot_be_stacked_is_run_one_by_one(tmp_path: Path, stacks: list[int]) -> None:
    cells = [
        (cell("dropout", tasks=2, engine="graph", seeds=[seed]), tmp_path / str(seed))
        for seed in SEEDS
    ]
    execute(cells)
    assert stacks == [1] and all(read(folder, "result.json")["finished"] for _, folder in cells)


def test_who_runs_together() -> None:
    wide = {**NET, "hidden": [8, SMALL + 1]}
    runs = [
        *configs("momentum"),
        cell(engine="graph"),
        *configs("momentum", engine="torch"),
        *configs("momentum", tasks=4),
        *(cell(settings=wide, engine="graph", seeds=[seed]) for seed in SEEDS),
        *(cell("linear", engine="graph", seeds=[seed]) for seed in SEEDS),
    ]
    alone = [[4], [5], [6], [10], [11], [12]]
    assert sorted(shares(runs)) == sorted([[0, 1, 2], [3], [7, 8, 9], [13, 14, 15], *alone])


def test_a_failure_is_that_of_all_who_run_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: Any, chunks: Any) -> None:
        raise OSError("no memory")

    monkeypatch.setattr(GraphLearner, "update_many", fails)
    cells = [(one, tmp_path / str(one.seed)) for one in configs("momentum")]
    other = cell(), tmp_path / "other"
    with pytest.raises(RuntimeError, match="3 of 4 runs failed"):
        execute([*cells, other])
    assert read(other[1], "result.json")["finished"]


def test_without_cuda_it_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.undo()
    line = ["run", DIGITS, "--agent", "backprop", "--engine", "graph", "--out", str(tmp_path / "x")]
    assert main(line) == 2
    said = "continual-envs: engine: 'graph' is not allowed; the graph engine runs on a CUDA device"
    assert capsys.readouterr().err.startswith(said)
    assert not (tmp_path / "x").exists()
    (made,) = evaluation.run(
        DIGITS, "backprop", engine="auto", tasks=1, settings=NET, problem_settings=FEW, out=tmp_path
    )
    assert read(made)["engine"] == "fused"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("name", CELLS)
def test_on_a_gpu(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    cells = [(one, tmp_path / str(one.seed)) for one in configs(name, device="cuda")]
    execute(cells)
    for config, folder in cells:
        run_one(cell(**CELLS[name], seeds=[config.seed]), tmp_path / "torch" / str(config.seed))
        alike(records(folder), records(tmp_path / "torch" / str(config.seed)), 1e-3)
