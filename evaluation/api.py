"""The Python interface to running: one agent on one problem, or a whole study."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from continual_envs import checks
from evaluation import executors
from evaluation.config import RunConfig, configure
from evaluation.executors import Cell, Monitor
from evaluation.studies import load_study


def run(
    problem: str,
    agent: str,
    *,
    settings: dict[str, Any] | None = None,
    problem_settings: dict[str, Any] | None = None,
    seeds: Sequence[int] = (0,),
    tasks: int | None = None,
    preset: str = "laptop",
    engine: str = "auto",
    device: str = "cpu",
    measure_every: int = 1,
    jobs: int = 1,
    out: str | Path = "runs",
    monitor: Monitor | None = None,
) -> list[Path]:
    """Run an agent on a problem, one run a seed; run again to resume or, with more tasks, go on.

    Args:
        problem: environment id; ours may be given without "continual_envs/".
        agent: one of `agents.names()`, a composition ("l2+layer-norm") or "module:attribute".
        settings: of the agent.
        problem_settings: of the problem.
        seeds: each seeds a stream and an agent.
        tasks: complete tasks; default that of the preset.
        preset: "laptop" or "paper".
        engine: "auto", "torch", "fused" or, on a CUDA device, "graph", which runs the seeds of
            small networks as one.
        device: a torch device.
        measure_every: measure at the start of every so many tasks, in a drifting environment
            after the first update cycle that ends in one; 0 never.
        jobs: processes; for more than one, a script needs `if __name__ == "__main__":`.
        out: where run folders go.
        monitor: is told of progress.

    Returns:
        The run folders.

    Raises:
        ValueError: bad input; nothing has been written.
        RuntimeError: a run failed.
    """
    if isinstance(seeds, int):
        raise ValueError(f"seeds: {seeds} is not allowed; give a list like [{seeds}]")
    configs = configure(
        problem,
        agent,
        settings=settings,
        problem_settings=problem_settings,
        seeds=list(seeds),
        tasks=tasks,
        preset=preset,
        engine=engine,
        device=device,
        measure_every=measure_every,
    )
    return execute(configs, out, jobs, monitor)


def study(
    name_or_file: str | Path,
    *,
    out: str | Path = "runs",
    jobs: int = 1,
    tuning: bool = False,
    monitor: Monitor | None = None,
) -> list[Path]:
    """Run every cell of a study that is not done yet.

    Args:
        name_or_file: one of `evaluation.studies.names()`, or a TOML file.
        out: where run folders go.
        jobs: processes; for more than one, a script needs `if __name__ == "__main__":`.
        tuning: run the settings that were tried, on the tuning seeds, instead of the arms.
        monitor: is told of progress.

    Returns:
        The run folders.

    Raises:
        ValueError: bad input; nothing has been written.
        RuntimeError: a run failed.
    """
    return execute(load_study(name_or_file).runs(tuning), out, jobs, monitor)


def execute(
    configs: Sequence[RunConfig], out: str | Path, jobs: int, monitor: Monitor | None
) -> list[Path]:
    """Check every cell and its folder, then run them; see `run`."""
    cells = check(configs, out, jobs)
    for folder in starting_over(cells):
        warnings.warn(f"{folder}: no checkpoint; starts over", stacklevel=3)
    executors.execute(cells, min(jobs, len(cells)), monitor)
    return [folder for _, folder in cells]


def check(configs: Sequence[RunConfig], out: str | Path, jobs: int) -> list[Cell]:
    """Return the cells with their folders after everything that can be refused was checked.

    Builds each distinct problem and agent once and reads the folders that exist; writes nothing.
    """
    from evaluation.folder import ended
    from evaluation.loop import build
    from evaluation.resume import resumable

    checks.integer("jobs", jobs, 1)
    cells = [(config, config.folder(out)) for config in configs]
    continues: dict[str, bool] = {}
    for config, folder in cells:
        check_writable("out", folder)
        if config.settings_hash not in continues:
            continues[config.settings_hash] = build(config).can_continue()
        able = continues[config.settings_hash]
        if resumable(config, folder) is None and ended(folder) and able:
            raise ValueError(
                f"{folder}: has ended and has no checkpoint to go on from; give another --out, or "
                "remove the folder to start over"
            )
    return cells


def starting_over(cells: Sequence[Cell]) -> list[Path]:
    """Return the folders whose runs have begun but cannot go on: they left no checkpoint."""
    from evaluation.resume import DONE, resumable

    return [
        folder
        for config, folder in cells
        if (folder / "config.json").exists()
        and not (folder / "checkpoint.pt").exists()
        and resumable(config, folder) is not DONE
    ]


def check_writable(field: str, folder: Path) -> None:
    """Refuse a folder that cannot be made or written to, without making it.

    Raises:
        ValueError: a file is in the way, or nothing can be written there.
    """
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    try:
        tempfile.TemporaryFile(dir=existing).close()  # permissions alone do not tell
    except OSError as error:
        cause = f"{existing}: {error.strerror}"
        raise ValueError(f"{field}: {folder} cannot be written ({cause})") from None


def check_writable_file(field: str, file: Path, suffix: str) -> None:
    """Refuse a file that cannot be written, without making it.

    Args:
        field: what complaints call it.
        file: what is to be written, in place of what is there.
        suffix: that its name must have, lest another kind of file be written over.

    Raises:
        ValueError: it is a folder, has another suffix, or nothing can be written there.
    """
    if file.is_dir():
        raise ValueError(f"{field}: {file} is a folder; give a file")
    if file.suffix != suffix:
        raise ValueError(
            f"{field}: {str(file)!r} is not allowed; give a name that ends in {suffix}"
        )
    check_writable(field, file.parent)
