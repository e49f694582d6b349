"""Record Stable-Baselines3's PPO living in a stream of tasks; needs the extra `sb3`.

To PPO every example is a one-step bandit: the observation is an image, the action a class, the
reward 1 if it is right. The discount is 0, since no action changes what is shown next.
"""

import sys
from pathlib import Path

import gymnasium as gym
import torch
from stable_baselines3 import PPO

import continual_envs  # noqa: F401  (registers the problems)
import evaluation


def main(out: str, tasks: int = 3) -> None:
    """Let PPO live through `tasks` tasks and print what it earned."""
    torch.set_num_threads(1)
    problem = gym.make("continual_envs/PermutedDigits-v0")
    folder = Path(out) / "ppo" / "seed-0"
    settings = {"learning_rate": 3e-3, "n_steps": 256, "batch_size": 64, "gamma": 0.0}
    env = evaluation.Record(problem, folder, agent="sb3-ppo", settings=settings, seed=0)
    PPO("MlpPolicy", env, seed=0, **settings).learn(tasks * 1797)
    env.close()
    (run,) = evaluation.load(folder)
    print("accuracy by task:", " ".join(f"{accuracy:.3f}" for accuracy in run.outcome))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "runs/sb3")
