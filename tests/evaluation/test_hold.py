"""A run folder is written by one process at a time, where the system can tell."""

import errno
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agents.engines import support
from evaluation import hold
from evaluation.hold import held
from evaluation.loop import run_one
from evaluation.together import run_together
from tests.evaluation.helpers import cell, snapshot

ACTOR = "tests.evaluation.plugins:by_state"
DRIFTING: dict[str, Any] = {"problem": "DriftingCartPole-v0", "tasks": 1, "engine": "auto"}
DRIFTING |= {"problem_settings": {"period": 100}, "settings": {}}


@pytest.mark.parametrize("kind", ["alone", "together", "in a drifting environment"])
def test_a_folder_is_written_by_one_process_at_a_time(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(support, "GRAPH_DEVICE", "cpu")
    told = []

    def refused() -> None:
        with pytest.raises(ValueError, match="another process runs it; let it end") as caught:
            with held(tmp_path / "0"):
                pass
        told.append(str(caught.value))

    if kind == "together":
        stacked = [cell(seeds=[seed], engine="graph", tasks=1) for seed in (0, 1)]
        folders = [tmp_path / str(seed) for seed in (0, 1)]
        run_together(list(zip(stacked, folders, strict=True)), lambda index, tasks: refused())
        config = stacked[0]
    else:
        config = cell(tasks=1) if kind == "alone" else cell(ACTOR, **DRIFTING)
        run_one(config, tmp_path / "0", lambda tasks: refused())
    assert set(told) == {
        f"{tmp_path / '0'}: another process runs it; let it end, or give another --out"
    }
    before = snapshot(tmp_path)
    with held(tmp_path / "0"), pytest.raises(ValueError, match="another process runs it"):
        run_one(replace(config, tasks=2), tmp_path / "0")
    assert snapshot(tmp_path) == before


def test_a_disk_without_locks_is_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(handle: int, how: int) -> None:
        raise OSError(errno.EBADF, "as a network disk says of a folder")

    monkeypatch.setattr(hold.fcntl, "flock", no_locks)
    run_one(cell(tasks=1), tmp_path)
    assert (tmp_path / "result.json").exists()
