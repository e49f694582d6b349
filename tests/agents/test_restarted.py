"""The reference of somebody else's agent: made anew at every switch, and nothing else."""

import json
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

import agents
import evaluation
from agents import registry
from agents.base import Checkpointable, Inspectable, Learner, OwnsLoop, Rewindable, Transition
from agents.testing import check_agent
from continual_envs.registration import NAMESPACE
from tests.agents.helpers import build, examples, problem, same

HERE = __name__


def plugin(observations: Any, actions: Any, *, seed: int, device: str = "cpu", rate: float = 0.1):
    """A learner of somebody else's."""
    return agents.make("backprop", observations, actions, seed=seed, step_size=rate, hidden=[5])


class Draws:
    """An agent that acts by draws of its seed alone, and counts what it was told."""

    def __init__(self, observations: Any, actions: Any, *, seed: int, device: str = "cpu") -> None:
        if not isinstance(actions, spaces.Discrete):
            raise ValueError("problem: one class of one example only")
        self.seed, self.learned, self.begun, self.actions = seed, 0, [], actions

    def act(self, observation: Any) -> Any:
        generator = np.random.default_rng([self.seed, self.learned])
        return generator.integers(self.actions.n)

    def learn(self, transition: Transition) -> None:
        self.learned += 1

    def begin(self, info: dict[str, Any]) -> None:
        self.begun.append(sorted(info))

    def state_dict(self) -> dict[str, Any]:
        return {"learned": self.learned}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.learned = state["learned"]


class Asks(Draws):
    """One with a setting that must be given."""

    def __init__(self, observations: Any, actions: Any, *, seed: int, device: str, rate: int):
        super().__init__(observations, actions, seed=seed)
        self.learned = rate


class Positional:
    """A method whose settings are not keyword-only."""

    def __init__(self, rate: float = 0.1, decay: float = 0.2) -> None:
        pass

    def after_step(self, batch: Any) -> None:
        pass


class Walks(Draws):
    enter = cycle = copies = None


class Value:
    """Learns one value, the same for all inputs; it begins at its seed's."""

    def __init__(self, observations: Any, actions: Any, *, seed: int, device: str = "cpu") -> None:
        self.value, self.device = float(seed % 7), device

    def toward(self, targets: Any) -> None:
        self.value += 0.1 * float(np.mean(targets) - self.value)

    def snapshot(self) -> Any:
        return self.value

    def rewind(self, snapshot: Any) -> None:
        self.value = snapshot


class Level(Value):
    """One that predicts."""

    privileges = 0

    def predict(self, inputs: Any) -> Any:
        return np.full((len(inputs), 1), self.value)

    def anticipate(self, inputs: Any) -> Any:
        return self.predict(inputs)

    def update(self, inputs: Any, targets: Any) -> Any:
        said = self.predict(inputs)
        self.toward(targets)
        return said

    def on_privileges(self, info: dict[str, Any]) -> None:
        self.privileges += 1


class Acting(Value):
    """One that acts."""

    def act(self, observation: Any) -> Any:
        self.outputs = np.array([[self.value]])
        return np.array([self.value], np.float32)

    def learn(self, transition: Transition) -> None:
        self.toward(transition.info["target"])


def test_it_has_the_settings_and_powers_of_the_agent_and_no_others() -> None:
    name = f"fresh+{HERE}:plugin"
    assert list(registry.parameters(name)) == ["rate"]
    made = agents.make(name, *problem(), seed=0)
    for power in (Learner, Inspectable, Checkpointable):
        assert isinstance(made, power)
    assert made.needs_boundary and not hasattr(made, "act") and not hasattr(made, "begin")
    level = agents.make(f"fresh+{HERE}:Level", *problem(), seed=0)
    assert isinstance(level, Rewindable) and not hasattr(level, "answer")
    assert level.anticipate == level._agent.anticipate and not hasattr(level, "state_dict")
    level.on_privileges({})
    assert level._agent.privileges == 1
    shows = agents.make(f"fresh+{HERE}:Acting", *problem(), seed=5, device="other")
    assert isinstance(shows, Rewindable) and shows._agent.device == "other"
    assert shows.outputs is None and shows.act(None) == [5] and shows.outputs.tolist() == [[5]]
    acting = agents.make(f"{HERE}:Draws+fresh", *problem(), seed=0)
    assert isinstance(acting, Checkpointable)
    assert not isinstance(acting, Learner | OwnsLoop) and not hasattr(acting, "inspect")
    assert check_agent(name) == check_agent(f"retrained+{HERE}:Draws") == []


def test_a_setting_that_must_be_given_still_must() -> None:
    name = f"fresh+{HERE}:Asks"
    assert agents.make(name, *problem(), seed=0, rate=2)._agent.learned == 2
    with pytest.raises(ValueError, match="^agent: fresh[+].*missing a required argument: 'rate'$"):
        agents.make(name, *problem(), seed=0)


def test_a_method_with_positional_settings_is_no_agent() -> None:
    with pytest.raises(ValueError, match="has the argument rate; a method's settings are keyword"):
        agents.make(f"fresh+{HERE}:Positional", *problem(), seed=0)


def test_every_task_has_an_agent_of_a_seed_of_its_own() -> None:
    made = agents.make(f"fresh+{HERE}:plugin", *problem(), seed=3, rate=0.2)
    first = build("backprop", seed=3, step_size=0.2, hidden=[5])
    chunk = examples(50)
    said = [made.update_many(chunk)]
    assert same(said[0], first.update_many(chunk))
    for _ in range(2):
        made.on_task_switch()
        said.append(made.update_many(chunk))
    assert len({one.tobytes() for one in said}) == 3
    again = agents.make(f"fresh+{HERE}:plugin", *problem(), seed=3, rate=0.2)
    again.on_task_switch()
    assert same(again.update_many(chunk), said[1])
    other = agents.make(f"fresh+{HERE}:plugin", *problem(), seed=4, rate=0.2)
    other.on_task_switch()
    assert not same(other.update_many(chunk), said[1])


@pytest.mark.parametrize("agent", ["plugin", "Draws"])
@pytest.mark.parametrize("cut", [1, 2])
def test_it_goes_on_as_if_undisturbed(agent: str, cut: int, tmp_path: Any) -> None:
    """Stopped between two tasks, where the next agent is made once."""
    more: dict[str, Any] = {"problem_settings": {"examples_per_task": 40}, "measure_every": 0}
    name, records = f"fresh+{HERE}:{agent}", []
    for steps in ((cut, 4), (4,)):
        for tasks in steps:
            out = tmp_path / str(steps)
            (folder,) = evaluation.run("PermutedDigits-v0", name, tasks=tasks, out=out, **more)
        (run,) = evaluation.load(folder)
        records.append(run.outcome.tolist())
    assert records[0] == records[1] and len(records[0]) == 4


def test_the_plasticity_of_an_agent_is_against_itself_anew(tmp_path: Any) -> None:
    more: dict[str, Any] = {"problem_settings": {"examples_per_task": 200}, "out": tmp_path}
    for name in (f"{HERE}:plugin", f"fresh+{HERE}:plugin"):
        evaluation.run("PermutedDigits-v0", name, seeds=range(3), tasks=4, **more)
    own, fresh = evaluation.score(evaluation.load(tmp_path))
    if own.is_reference:
        own, fresh = fresh, own
    assert fresh.is_reference and not own.is_reference and own.fresh == f"fresh+{HERE}:plugin"
    outcomes = [(run.seed, *run.outcome.tolist()) for run in evaluation.load(tmp_path)]
    assert len({one[:2] for one in outcomes}) == 3  # the first task is the same for both
    assert len({(one[0], *one[2:]) for one in outcomes}) == 6  # and nothing after it


def test_one_that_acts_is_tested_on_what_it_has_learned(tmp_path: Any) -> None:
    """Learners are told of a switch after the test; one that acts knows of it before."""
    lines = []
    for agent in ("Level", "Acting"):
        (folder,) = evaluation.run(
            "tests.evaluation.plugins:mine/HeldValues-v0",
            f"fresh+{HERE}:{agent}",
            tasks=3,
            out=tmp_path / agent,
        )
        text = (folder / "records.jsonl").read_text().splitlines()
        lines.append([(r["kind"], r["task"], r["error"]) for r in map(json.loads, text)])
    assert [line[:2] for line in lines[0]] == [line[:2] for line in lines[1]]
    errors = np.array([[line[2] for line in mine] for mine in lines])
    np.testing.assert_allclose(*errors, rtol=1e-5)  # an action is a float32
    tests = [error for kind, task, error in lines[1] if kind == "test" and task > 0]
    assert np.std(tests) > 0.01


def test_a_drifting_environment_tells_it_at_the_reset() -> None:
    env: Any = gym.make(f"{NAMESPACE}/DriftingCartPole-v0", period=60, disclosure="identified")
    made = agents.make(f"fresh+{HERE}:Draws", env.observation_space, env.action_space, seed=0)
    observation, info = env.reset(seed=0)
    made.begin(info)
    seeds, tasks = [made._agent.seed], [info["task"]]
    for _ in range(400):
        action = made.act(observation)
        following, reward, terminated, truncated, info = env.step(action)
        made.learn(
            Transition(observation, action, float(reward), following, terminated, truncated, info)
        )
        observation = following
        if terminated or truncated:
            observation, info = env.reset()
            made.begin(info)
        if made._agent.seed != seeds[-1]:
            seeds.append(made._agent.seed)
            tasks.append(info["task"])
            assert made._agent.begun == [sorted(info)]
    assert len(seeds) > 3 and tasks == list(range(len(seeds)))
    assert 2**16 < max(seeds) < 2**31


def test_within_a_task_it_goes_on_knowing_that_it_has_learned() -> None:
    made, again = (agents.make(f"fresh+{HERE}:Draws", *problem(), seed=0) for _ in range(2))
    made.learn(Transition(None, 0, 0.0, None, False, False, {}))
    again.load_state_dict(made.state_dict())
    for one in (made, again):
        one.begin({"task_switch": True})  # at a reset, as drifting environments tell it
    assert made._agent.seed == again._agent.seed != 0


def test_an_agent_that_steps_its_environments_itself_is_refused() -> None:
    with pytest.raises(ValueError, match="^agent: fresh joins no agent that steps its env[^\n]+$"):
        agents.make(f"fresh+{HERE}:Walks", *problem(), seed=0)


@pytest.mark.parametrize("name", [f"fresh+l2+{HERE}:plugin", f"l2+{HERE}:plugin"])
def test_an_agent_joins_nothing_else(name: str) -> None:
    with pytest.raises(ValueError, match="a whole agent joins none but fresh"):
        registry.factory(name)
