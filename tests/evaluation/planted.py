"""Run folders with planted answers: who loses plasticity, who keeps it, who is saved by a step."""

import numpy as np

from evaluation.report.figures import MEASURES
from tests.evaluation.folders import write_run

SEEDS = range(4)


def stream(early, late, seed=0, tasks=20):
    """A first task, 2 early tasks, a plateau, 2 late tasks; seeds differ a little."""
    noise = np.random.default_rng(seed).normal(0, 0.003, tasks)
    levels = np.array([early / 2, early, early, *[(early + late) / 2] * (tasks - 5), late, late])
    return [float(value) for value in levels + noise]


def write_arm(root, early, late, seeds=SEEDS, **config):
    config = {"bins": 1} | config
    for seed in seeds:
        write_run(root, stream(early, late, seed), seed=seed, **config)


def write_references(root, **config):
    write_arm(root, 0.7, 0.7, agent="fresh", reference="fresh", **config)
    write_arm(root, 0.4, 0.4, agent="linear", reference="linear", **config)


def write_study(root):
    """Two problems; on the first a planted loss, a planted keep and a cure by a small step."""
    write_references(root)
    for step_size, early, late in [(0.1, 0.7, 0.5), (0.01, 0.71, 0.72)]:
        settings = {"step_size": step_size, "hidden": [100, 100]}
        write_arm(root, early, late, agent_settings=settings)
    measures = {name: {0: 0.1, 10: 0.2} for name in [*MEASURES, "own_measure"]}
    privileges = {"privileges": ["task_switch"], "content_hash": "c0ffee"}
    write_arm(root, 0.7, 0.73, agent="l2", measures=measures, **privileges)
    write_arm(root, 0.5, 0.52, agent="timid")
    second = {"problem": "continual_envs/PermutedMNIST-v0"}
    write_references(root, **second)
    write_arm(root, 0.7, 0.6, agent="l2", **second)
    return root
