"""Running: both ways of living agree, measures disturb nothing, boundaries are granted openly."""

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

import evaluation
from agents import registry
from evaluation.config import make_problem
from evaluation.description import gpu
from evaluation.life import PROBE, Life
from evaluation.loop import run_one
from evaluation.measures import measure
from evaluation.records import Recorder
from tests.evaluation.helpers import (
    DIGITS,
    NET,
    SMALL,
    by_step,
    cell,
    live,
    online,
    read,
    records,
)
from tests.problems import IDS
from tests.problems import SMALL as PROBLEMS

PLUGINS = "tests.evaluation.plugins"
AGENTS: dict[str, dict[str, Any]] = {
    "backprop": {},
    "adam": {},
    "dropout": {"dropout_rate": 0.3},
    "l2+shrink-perturb": {"noise_std": 1e-2},
    "continual-backprop": {"replacement_rate": 0.1, "maturity": 5},
    "fresh+layer-norm": {},
}


@pytest.mark.parametrize("agent", AGENTS)
@pytest.mark.parametrize("batch_size", [None, 16])
@pytest.mark.parametrize("problem", IDS)
def test_both_ways_of_living_give_the_same_records(
    problem: str, batch_size: int | None, agent: str, tmp_path: Path
) -> None:
    settings = {"hidden": [8], "step_size": 0.05, **AGENTS[agent]}
    settings |= {"optimizer": "sgd", "momentum": 0.9} if agent != "adam" else {}
    images = "epochs" in PROBLEMS[problem]
    settings |= {"network": "mlp"} if images else {}
    told = {"disclosure": "signalled"} if "fresh" in agent else {}
    more: dict[str, Any] = {"problem": problem}
    more["problem_settings"] = {**PROBLEMS[problem], "batch_size": batch_size, **told}
    chunks = cell(agent, settings=settings, **more)
    steps = by_step(agent, settings, **more)
    assert Life(chunks).by_chunk and not Life(steps).by_chunk
    want = live(chunks, tmp_path / "chunks")
    assert live(steps, tmp_path / "steps") == want
    kinds = [record["kind"] for record in want]
    bins = 3 if batch_size or images else 10
    looks = ["test", "validation"] if "CIFAR" in problem else ["test"]
    assert kinds == ["measure", *["online", *(looks if images else [])] * bins] * 3
    assert all(record["loss"] is not None for record in want if record["kind"] == "online")


def test_a_task_is_measured_before_its_first_update(tmp_path: Path) -> None:
    config = cell(problem_settings={"examples_per_task": 50}, tasks=2)
    lines = live(config, tmp_path)
    first, second = (line for line in lines if line["kind"] == "measure")
    assert (first["updates"], second["updates"], second["examples"]) == (0, 50, 50)
    env = make_problem(config, privileged=False)
    env.reset(seed=0)
    stream, settings = env.unwrapped.stream, config.agent_settings
    spaces = env.observation_space, env.action_space
    learner = registry.make("backprop", *spaces, seed=0, **settings)
    probe = stream.chunk(0, 50)
    assert measure(learner.inspect(probe.examples(), probe.targets)).items() <= first.items()
    learner.update_many(stream.chunk(0, 50))
    probe = stream.chunk(50, 50)
    assert measure(learner.inspect(probe.examples(), probe.targets)).items() <= second.items()


@pytest.mark.parametrize("agent", ["dropout", "continual-backprop"])
def test_measuring_changes_nothing_and_happens_when_asked(agent: str, tmp_path: Path) -> None:
    for every in (0, 1, 2):
        run_one(cell(agent, measure_every=every), tmp_path / str(every))
    assert online(tmp_path / "0") == online(tmp_path / "1") == online(tmp_path / "2")
    measured = [
        [line["task"] for line in records(tmp_path / every) if line["kind"] == "measure"]
        for every in "012"
    ]
    assert measured == [[], [0, 1, 2], [0, 2]]


def test_a_run_is_a_function_of_its_seed(tmp_path: Path) -> None:
    one, same, other = (
        live(cell("dropout", seeds=[seed]), tmp_path / name)
        for seed, name in ((4, "one"), (4, "same"), (5, "other"))
    )
    assert one == same != other


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("problem", [DIGITS, "SlowlyChangingRegression-v0"])
def test_a_diverged_run_goes_on_to_its_end(problem: str, tmp_path: Path) -> None:
    settings = {"hidden": [8], "step_size": 1e30}
    config = cell(settings=settings, problem=problem, problem_settings={"examples_per_task": 40})
    lines = live(config, tmp_path)
    assert lines[-1]["loss"] is None and read(tmp_path, "result.json")["tasks"] == 3
    (run,) = evaluation.load(tmp_path)
    assert len(run.tasks) == 3 and np.isnan(run.loss[-1])


def test_a_finite_problem_runs_to_its_end_and_no_further(tmp_path: Path) -> None:
    settings = {**SMALL, "num_tasks": 2}
    for config in (
        cell(problem_settings=settings, tasks=2),
        by_step("backprop", NET, problem_settings=settings, tasks=2),
    ):
        assert live(config, tmp_path / config.agent[:5])[-1]["task"] == 1
    with pytest.raises(ValueError, match="tasks: 3 is not allowed"):
        Life(cell(problem_settings=settings, tasks=3))


def test_an_agent_acts_and_learns_for_itself(tmp_path: Path) -> None:
    """What is scored is what `act` returned, whatever the agent keeps inside."""
    config = cell(f"{PLUGINS}:last_label", problem_settings={"examples_per_task": 20}, tasks=2)
    lines = live(config, tmp_path)
    env = make_problem(config, privileged=False)
    env.reset(seed=0)
    targets = env.unwrapped.stream.chunk(0, 40).targets
    right = np.concatenate([[0], targets[:-1]]) == targets
    assert [line["accuracy"] for line in lines] == right.reshape(-1, 2).mean(axis=1).tolist()
    assert {line["loss"] for line in lines} == {None}
    assert not any(line["kind"] == "measure" for line in lines)


def test_a_third_partys_problem(tmp_path: Path) -> None:
    config = cell(problem=f"{PLUGINS}:mine/Signs-v0", problem_settings={}, tasks=4)
    assert live(config, tmp_path)[-1]["task"] == 3
    assert read(tmp_path)["problem"] == "mine/Signs-v0"
    assert read(tmp_path)["examples_per_task"] == 20


def test_reference_arms_always_get_the_boundary_and_say_so(tmp_path: Path) -> None:
    live(cell("fresh"), tmp_path / "fresh")
    config = read(tmp_path / "fresh")
    assert config["privileges"] == ["task_switch"] and config["reference"] == "fresh"
    assert config["disclosure"] == config["problem_settings"]["disclosure"] == "hidden"
    starts = [line for line in records(tmp_path / "fresh") if line["kind"] == "measure"]
    assert [line["distance_from_init"] for line in starts] == [0, 0, 0]
    assert len({line["mean_abs_weight"] for line in starts}) == 3
    live(cell("linear"), tmp_path / "linear")
    config = read(tmp_path / "linear")
    assert (config["privileges"], config["reference"]) == ([], "linear")


def test_another_agent_that_needs_the_boundary_must_be_granted_it(tmp_path: Path) -> None:
    agent = f"{PLUGINS}:boundary_user"
    with pytest.raises(ValueError, match="disclosure=signalled") as caught:
        run_one(cell(agent), tmp_path)
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())
    granted = cell(agent, problem_settings={**SMALL, "disclosure": "signalled"})
    live(granted, tmp_path)
    config = read(tmp_path)
    assert (config["privileges"], config["disclosure"]) == (["task_switch"], "signalled")
    assert (config["reference"], config["agent"]) == (None, agent)


def test_config_says_what_the_result_depends_on(tmp_path: Path) -> None:
    config = cell("l2", seeds=[3], measure_every=2)
    run_one(config, tmp_path)
    said = read(tmp_path)
    want = {"format": 1, "seed": 3, "tasks": 3, "engine": "torch", "device": "cpu", "threads": 1}
    want |= {"outcome": "accuracy", "higher_is_better": True, "reference": None, "privileges": []}
    want |= {"measure_every": 2, "bins_per_task": 4, "examples_per_task": 64}
    want |= {"settings_hash": config.settings_hash, "agent": "l2", "problem": config.problem}
    want |= {"agent_settings": config.agent_settings, "problem_settings": config.problem_settings}
    assert want.items() <= said.items()
    names = {"continual_envs", "python", "numpy", "gymnasium", "torch", "numba"}
    assert names == set(said["versions"])
    assert len(said["content_hash"]) == 64 and said["cpu"]
    names = {"config.json", "records.jsonl", "checkpoint.pt", "result.json"}
    assert {path.name for path in tmp_path.iterdir()} == names  # and nothing half-written


def test_a_gpu_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"the one at {device}")
    assert gpu("cuda:1") == {"gpu": "the one at cuda:1"}
    assert gpu("cpu") == {}


def test_several_jobs_equal_one(tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"settings": NET, "problem_settings": SMALL, "tasks": 3}
    arguments["seeds"] = (0, 1)  # fewer than jobs
    told: list[tuple[int, float]] = []

    class Monitor:
        def update(self, cell: int, tasks: float) -> None:
            told.append((cell, tasks))

    one = evaluation.run(DIGITS, "dropout", out=tmp_path / "one", **arguments)
    arguments["monitor"] = Monitor()
    two = evaluation.run(DIGITS, "dropout", out=tmp_path / "two", jobs=9, **arguments)
    assert [records(folder) for folder in one] == [records(folder) for folder in two]
    assert {(0, 3), (1, 3)} <= set(told)


def test_outputs_that_are_too_few_or_too_wide_are_not_scored() -> None:
    life, nothing = Life(cell()), cast(Recorder, Nothing())
    chunk = life.stream.chunk(0, 16)
    for shape in ((15, 10), (16, 11), (16, 9)):
        with pytest.raises(ValueError, match=r"^outputs: shape .* give \(16, 10\)$"):
            life.score(chunk, np.zeros(shape), nothing)


def test_measures_are_of_the_first_2000_examples_of_the_new_task() -> None:
    settings = {"profile": "code", "examples_per_task": 2500}
    one = cell(problem="SlowlyChangingRegression-v0", problem_settings=settings, settings=NET)
    life, shown = Life(one), []

    def inspect(inputs: np.ndarray, targets: np.ndarray) -> Any:
        shown.append((inputs, targets))
        return original(inputs, targets)

    original, life.inside.inspect = life.inside.inspect, inspect
    life.advance(2500, cast(Recorder, Nothing()))
    assert life.measures()
    ((inputs, targets),) = shown
    chunk = life.stream.chunk(2500, PROBE)
    assert PROBE == 2000 and np.array_equal(targets, chunk.targets)
    assert np.array_equal(inputs, chunk.examples())


class Nothing:
    """A recorder that keeps nothing."""

    def add(self, *given: Any) -> None: ...
