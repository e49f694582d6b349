"""Record your own Stable-Baselines3 script in a drifting environment; needs the extra `sb3`.

`continual-envs run DriftingCartPole-v0 --agent sb3/ppo` has such a life too, and resumes.
"""

import sys
from pathlib import Path

import gymnasium as gym
import torch
from stable_baselines3 import PPO

import continual_envs  # noqa: F401  (registers the problems)
import evaluation


def main(out: str, tasks: int = 3) -> None:
    """Let PPO live through `tasks` lengths of the pole and print what it earned."""
    torch.set_num_threads(1)
    period = 5_000
    problem = gym.make("continual_envs/DriftingCartPole-v0", drift="length", period=period)
    folder = Path(out) / "ppo" / "seed-0"
    settings = {"learning_rate": 1e-3, "n_steps": 256}
    env = evaluation.Record(problem, folder, agent="my-ppo", settings=settings, seed=0)
    PPO("MlpPolicy", env, seed=0, **settings).learn((tasks + 1) * period)
    env.close()
    (run,) = evaluation.load(folder)
    print("return by task:", " ".join(f"{value:.0f}" for value in run.outcome))
    print("random policy: ", " ".join(f"{value:.0f}" for value in run.anchor))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "runs/sb3-drifting")
