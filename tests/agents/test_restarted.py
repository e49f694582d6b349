"""The reference of somebody else's agent: made anew at every switch, and nothing else."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

import agents
import evaluation
from agents import registry
from agents.base import Checkpointable, Inspectable, Learner, OwnsLoop, Transition
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


class Walks(Draws):
    enter = cycle = copies = None


def test_it_has_the_settings_and_powers_of_the_agent_and_no_others() -> None:
    name = f"fresh+{HERE}:plugin"
    assert list(registry.parameters(name)) == ["rate"]
    made = agents.make(name, *problem(), seed=0)
    for power in (Learner, Inspectable, Checkpointable):
        assert isinstance(made, power)
    assert made.needs_boundary and not hasattr(made, "act") and not hasattr(made, "begin")
    acting = agents.make(f"{HERE}:Draws+fresh", *problem(), seed=0)
    assert isinstance(acting, Checkpointable)
    assert not isinstance(acting, Learner | OwnsLoop) and not hasattr(acting, "inspect")
    assert check_agent(name) == check_agent(f"retrained+{HERE}:Draws") == []


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


def test_an_agent_that_steps_its_environments_itself_is_refused() -> None:
    with pytest.raises(ValueError, match="^agent: fresh joins no agent that steps its env[^\n]+$"):
        agents.make(f"fresh+{HERE}:Walks", *problem(), seed=0)


@pytest.mark.parametrize("name", [f"fresh+l2+{HERE}:plugin", f"l2+{HERE}:plugin"])
def test_an_agent_joins_nothing_else(name: str) -> None:
    with pytest.raises(ValueError, match="a whole agent joins none but fresh"):
        registry.factory(name)
