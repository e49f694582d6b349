"""The reference of the plasticity of somebody else's agent: one without a past at every task."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agents import seeding
from agents.base import Transition
from agents.registry import Factory, signature

# What an agent may have that is passed on as it is; see `agents.base`.
POWERS = ("predict", "update", "update_many", "anticipate", "inspect", "on_privileges")


class Restarting:
    """A factory of a whole agent that is made anew at every switch of task: `fresh+NAME`.

    Its settings are the agent's own.

    Args:
        build: the agent's factory.
    """

    def __init__(self, build: Factory) -> None:
        self._build = build
        self.__signature__ = signature(build)

    def __call__(
        self,
        observation_space: Any,
        action_space: Any,
        *,
        seed: int,
        device: str = "cpu",
        **settings: Any,
    ) -> Restarted:
        """Make the first agent, which has the seed given."""

        def make(seed: int) -> Any:
            return self._build(
                observation_space, action_space, seed=seed, device=device, **settings
            )

        return Restarted(make, seed)


class Restarted:
    """An agent of which nothing is left after a switch of task; it has the powers of the agent.

    One that acts is told of a switch by the last transition of a task, before it is tested on what
    the task holds out; so the agent of that task is kept for the test, until the next one acts.

    Args:
        make: seed -> agent.
        seed: of the first one; every later one has a seed of its own, below 2**31.

    Raises:
        ValueError: the agent steps its environments itself.
    """

    needs_boundary = True

    def __init__(self, make: Callable[[int], Any], seed: int) -> None:
        self._make, self._seed, self._restarts = make, seed, 0
        self._learned = False  # since the latest restart; told twice of a switch, it is made once
        self._hold()

    @property
    def outputs(self) -> Any:
        """What the agent showed of its latest action, if it does."""
        return getattr(self._agent, "outputs", None)

    def on_task_switch(self) -> None:
        """Make the next agent."""
        self._restarts, self._learned = self._restarts + 1, False
        self._hold()

    def _hold(self) -> None:
        """Make the agent of the present task and take its powers."""
        seed = seeding.derived(self._seed, seeding.Purpose.RESTART, self._restarts) & 0x7FFFFFFF
        agent = self._make(seed if self._restarts else self._seed)
        if hasattr(agent, "enter"):
            raise ValueError(
                "agent: fresh joins no agent that steps its environments itself; one that is told "
                "of switches (on_task_switch, needs_boundary) can start over by itself"
            )
        self._agent = self._tested = agent
        # On the instance, so that what has not the power does not seem to.
        for name in POWERS:
            if hasattr(agent, name):
                setattr(self, name, getattr(agent, name))
        if hasattr(agent, "act"):
            self.act, self.answer = self._act, lambda observation: self._tested.act(observation)
        if hasattr(agent, "learn"):
            self.learn, self.begin = self._learn, self._begin
        if hasattr(agent, "snapshot"):
            self.snapshot = lambda: self._tested.snapshot()
        if hasattr(agent, "rewind"):
            self.rewind = lambda snapshot: self._tested.rewind(snapshot)
        if hasattr(agent, "state_dict"):
            self.state_dict = self._state_dict
        if hasattr(agent, "load_state_dict"):
            self.load_state_dict = self._load_state_dict

    def _act(self, observation: Any) -> Any:
        self._tested = self._agent
        return self._agent.act(observation)

    def _learn(self, transition: Transition) -> None:
        ended = self._agent
        ended.learn(transition)
        self._learned = True
        if transition.info.get("task_switch"):
            self._begin({key: one for key, one in transition.info.items() if key != "target"})
            self._tested = ended

    def _begin(self, info: dict[str, Any]) -> None:
        if info.get("task_switch") and self._learned:
            self.on_task_switch()
        if hasattr(self._agent, "begin"):
            self._agent.begin(info)

    def _state_dict(self) -> dict[str, Any]:
        state = self._agent.state_dict()
        return {"restarts": self._restarts, "learned": self._learned, "agent": state}

    def _load_state_dict(self, state: dict[str, Any]) -> None:
        self._restarts, self._learned = int(state["restarts"]), bool(state["learned"])
        self._hold()
        self._agent.load_state_dict(state["agent"])
