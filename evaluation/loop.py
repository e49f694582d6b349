"""The loop of a run: a life is lived, recorded and saved, from where it was left."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from agents import registry
from evaluation import checkpoint
from evaluation.config import RunConfig, is_control
from evaluation.control import ControlLife
from evaluation.description import continued, describe, gpu
from evaluation.folder import read_json, write_json, write_result
from evaluation.hold import held
from evaluation.life import Life
from evaluation.records import Recorder, bins_of
from evaluation.resume import DONE, engine_of, resumable

STEPS = 256  # steps between looks at the clock; the faster engines soon take more at a time
AT_ONCE = 2**22  # numbers that the engine torch is given at a time
SOON = 0.05  # seconds in which they may take twice as many
SAVE_AFTER, SAVE_AT_MOST_EVERY = 60.0, 5.0  # seconds
SAVING = 0.02  # share of the time that checkpoints of large networks may take between two of them
Progress = Callable[[float], None]


def run_one(config: RunConfig, folder: Path, progress: Progress = lambda tasks: None) -> None:
    """Run one cell into its folder, from where it was left; does nothing if it is done.

    A run that has come further than a smaller horizon now asks for ends where it is.

    Args:
        config: the cell.
        folder: the run folder, made if need be.
        progress: told of the tasks done, now and then, as a number with a fraction.

    Raises:
        ValueError: bad settings, or a damaged folder; nothing has then been written.
    """
    state = resumable(config, folder)
    if state is DONE:
        return
    kind = ControlRun if is_control(config.problem, config.module) else Run
    kind(config, folder, state, progress).live()


def build(config: RunConfig) -> Life | ControlLife:
    """Return an agent in its problem, as a run begins with it; see `Life` for what it refuses."""
    drifts = is_control(config.problem, config.module)
    return ControlLife(config) if drifts else Life(config)


class Run:
    """One cell on its way, and its folder; `live` shows the order of the calls.

    Args:
        config: the cell.
        folder: the run folder, made by `live` if need be; nothing is written before.
        state: what `resumable` returned, other than DONE.
        progress: see `run_one`.

    Attributes:
        life: the agent in its problem, where it was left.
        recorder: its records, from `start` on.
    """

    life: Any
    recorder: Any

    def __init__(
        self, config: RunConfig, folder: Path, state: dict[str, Any] | None, progress: Progress
    ) -> None:
        before = read_json(folder / "config.json") if state else {}
        if before:
            config = replace(config, engine=engine_of(before))
        self.config, self.folder, self.life = config, folder, build(config)
        description = _describe(config, self.life, self._prepare())
        if state:
            self.life.load_state_dict(state["life"])
            description = continued(before, description, self.life.clock.task)
        self._description = description
        self._recorded = state["recorder"] if state else None
        self._spent = state["seconds"] if state else 0.0
        self._took = 0.0  # by the latest checkpoint
        self._progress = progress

    def live(self) -> None:
        """Live to the horizon, and hold the folder meanwhile."""
        with held(self.folder):
            self.start()
            while not self.over():
                self.life.settle()
                self.measure_if_due()
                self.life.advance(self.due(), self.recorder)
                self.done()
            self.finish()

    def start(self) -> None:
        """Open the folder, which is held."""
        folder = self.folder
        (folder / "result.json").unlink(missing_ok=True)
        write_json(folder / "config.json", self._description)
        if self._recorded is None:
            (folder / "records.jsonl").unlink(missing_ok=True)
        self.recorder = self._record()
        if self._recorded is not None:
            self.recorder.load_state_dict(self._recorded)
        self._started = self._saved = self._looked = time.perf_counter()
        self._tell()  # where it was left, so that a projection counts only what is done now

    def over(self) -> bool:
        """Return whether the horizon is reached."""
        return bool(self.life.clock.task >= self.config.tasks)

    def measure_if_due(self) -> None:
        """Measure at the start of a task whose turn it is."""
        clock, every = self.life.clock, self.config.measure_every
        if every and clock.task % every == 0 and clock.example == 0:
            self._measure()

    def due(self) -> int:
        """Return how many examples to live through next, and start to take the time of it.

        They end no later than the present pass over a task, and are a whole number of steps.
        """
        self._left, self._looked = self.life.left(), time.perf_counter()
        return min(self._left, self._steps * self._batch)

    def done(self) -> None:
        """Take note that what was due has been lived through; save if it is time."""
        now = time.perf_counter()
        if self.life.engine != "torch" and self._left > self._steps * self._batch:
            self._steps *= 1 + (now - self._looked < SOON)
        self._save_if_due(between_tasks=self.life.clock.example == 0)

    def finish(self) -> None:
        """Save, close the folder and mark it as done."""
        self._save()
        self.recorder.close()
        write_result(self.folder, self.life.clock.task, self._seconds())

    def _prepare(self) -> int:
        """Look at the problem; return bins a task."""
        stream, life = self.life.stream, self.life
        self._batch = life.stream_env.batch_size or 1
        self._bins = bins_of(stream, self._batch)
        most = AT_ONCE // (self._batch * math.prod(stream.inputs_shape))
        self._steps = STEPS if life.engine != "torch" else max(1, min(STEPS, most))
        return len(self._bins(0))

    def _record(self) -> Any:
        """Return the recorder, at its start."""
        stream, life = self.life.stream, self.life
        if life.engine == "fused":
            life.inside.prepare(stream.chunk(life.clock.examples, 1))
        return Recorder(
            self.folder, stream.outcome, self._bins, self._batch, stream.anchor, stream.classes
        )

    def _measure(self) -> None:
        before = time.perf_counter()
        if values := self.life.measures():
            self.recorder.measure(values, time.perf_counter() - before)

    def _save_if_due(self, between_tasks: bool) -> None:
        now = time.perf_counter()
        pause = min(SAVE_AFTER, max(SAVE_AT_MOST_EVERY, self._took / SAVING))
        if now - self._saved > (pause if between_tasks else SAVE_AFTER):
            self._save()
            self._saved = time.perf_counter()
            self._took = self._saved - now
        self._tell()

    def _seconds(self) -> float:
        return float(self._spent + time.perf_counter() - self._started)

    def _save(self) -> None:
        if self.life.can_continue():
            recorded, seconds = self.recorder.sync(), self._seconds()
            content = {"recorder": recorded, "life": self.life.state_dict(), "seconds": seconds}
            identity = {"settings_hash": self.config.settings_hash, "seed": self.config.seed}
            checkpoint.save(content | identity, self.folder / "checkpoint.pt")

    def _tell(self) -> None:
        clock, stream = self.life.clock, self.life.stream
        self._progress(clock.task + min(1.0, clock.example / stream.length(clock.task)))


class ControlRun(Run):
    """One cell in a drifting environment: it goes on by the agent's cycles."""

    def live(self) -> None:
        """Live to the horizon, and hold the folder; measure in the first cycle's end of a task."""
        with held(self.folder):
            self.start()
            every, measured = self.config.measure_every, self.life.clock.task
            while not self.over():
                self.life.advance()
                task = self.life.clock.task
                if every and task > measured and task % every == 0:
                    self._measure()  # before `fresh` starts over
                self.life.settle()
                self._save_if_due(between_tasks=task > measured)
                measured = task
            self.finish()

    def _prepare(self) -> int:
        bins: int = self.life.bins
        return bins

    def _record(self) -> Any:
        return self.life.recorder(self.folder)


def _describe(config: RunConfig, life: Life | ControlLife, bins: int) -> dict[str, Any]:
    return describe(
        life.stream,
        problem=config.problem,
        problem_settings=config.problem_settings,
        agent=config.agent,
        agent_settings=config.agent_settings,
        seed=config.seed,
        bins=bins,
        distributions=life.distributions,
        **({"plugins": sources} if (sources := registry.sources(config.agent)) else {}),
        tasks=config.tasks,
        engine=life.engine,
        device=config.device,
        **gpu(config.device),
        threads=1,
        reference=life.reference,
        privileges=["task_switch"] if life.needs_boundary else [],
        unused=life.unused(),
        measure_every=config.measure_every,
        purpose=config.purpose,
    )
