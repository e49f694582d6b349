"""Agents that own their loop, each with one fault, as a third party could write them."""

from __future__ import annotations

from typing import Any

import numpy as np


class SoundLoop:
    """Pushes at random, 30 steps a cycle, more often to the side that was paid more so far."""

    def __init__(
        self, observation_space: Any, action_space: Any, *, seed: int, device: str = "cpu",
        copies: int = 2,
    ) -> None:  # fmt: skip
        self.copies, self.seed, self._space = copies, seed, action_space
        self._generator, self._worth = np.random.default_rng(seed), [0.0, 0.0]

    def enter(self, envs: Any) -> None:
        self.envs = list(envs)
        for copy, env in enumerate(self.envs):
            env.reset(seed=self.seed + copy)

    def cycle(self) -> None:
        for _ in range(30):
            for env in self.stepped():
                side = int(self.draw() < 0.5 + np.clip(self._worth[1] - self._worth[0], -0.4, 0.4))
                discrete = hasattr(self._space, "n")
                action = side if discrete else np.array([2.0 * side - 1], dtype=np.float32)
                _, reward, terminated, truncated, _ = env.step(action)
                self._worth[side] += 0.1 * (reward - self._worth[side])
                if terminated or truncated:
                    self.again(env)

    def draw(self) -> float:
        return float(self._generator.random())

    def again(self, env: Any) -> None:
        env.reset()

    def stepped(self) -> Any:
        return self.envs

    def state_dict(self) -> dict[str, Any]:
        return {"worth": list(self._worth), "generator": self._generator.bit_generator.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._worth = list(state["worth"])
        self._generator.bit_generator.state = state["generator"]


class LacksCopies:
    def __init__(self, a: Any, b: Any, *, seed: int, device: str = "cpu") -> None:
        self.enter = self.cycle = lambda *envs: None


class NoCopies(SoundLoop):
    def __init__(self, a: Any, b: Any, *, seed: int, device: str = "cpu") -> None:
        super().__init__(a, b, seed=seed)
        self.copies = 0


class IdleCopy(SoundLoop):
    def stepped(self) -> Any:
        return self.envs[:1]


class OneSeed(SoundLoop):
    def enter(self, envs: Any) -> None:
        self.envs = list(envs)
        for env in self.envs:
            env.reset(seed=self.seed)


class SeedsAgain(SoundLoop):
    def again(self, env: Any) -> None:
        env.reset(seed=self.seed)


class DrawsGlobally(SoundLoop):
    def draw(self) -> float:
        return float(np.random.random())


class Unrepeatable(SoundLoop):
    def draw(self) -> float:
        return float(np.random.default_rng().random())


class IgnoresSeed(SoundLoop):
    def __init__(self, a: Any, b: Any, *, seed: int, device: str = "cpu") -> None:
        super().__init__(a, b, seed=seed)
        self._generator = np.random.default_rng(0)

    def cycle(self) -> None:
        for _ in range(30):
            for env in self.envs:
                side = int(self.draw() < 0.5)
                discrete = hasattr(self._space, "n")
                action = side if discrete else np.array([2.0 * side - 1], dtype=np.float32)
                if any(env.step(action)[2:4]):
                    env.reset()


class Forgets(SoundLoop):
    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._worth = list(state["worth"])


class PicklesItself(SoundLoop):
    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "me": object()}


class CannotSwitch(SoundLoop):
    needs_boundary = True


class ShowsItsOwn(SoundLoop):
    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"worth": self._worth}
