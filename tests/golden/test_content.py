"""The content of every problem is pinned: a change of any number needs a new version of its id.

These tests run on the lowest and the newest numpy allowed, and must pass on both.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

from continual_envs.registration import NAMESPACE, PROBLEMS

MNIST, DIGITS, REGRESSION = "PermutedMNIST-v0", "PermutedDigits-v0", "SlowlyChangingRegression-v0"
IMAGENET, KUMAR = "ContinualImageNet-v0", "KumarContinualImageNet-v0"
PAIRS, CIFAR = "ProceduralPairs-v0", "IncrementalCIFAR100-v0"
TASKS = (0, 1, 2, 7)

# problem, settings, hash of seed 0, hash of seed 7
GOLDEN: list[tuple[str, dict[str, Any], str, str]] = [
    (
        MNIST,
        {},
        "a22bdc21243bd0820a16a5294df6e11edd9afe5ef95cd0a6a26cba08d444a853",
        "413c0cadd6fa298eae10f0784fa7e73159068b3e22a300fb0145f8a802323c72",
    ),
    (
        MNIST,
        {"dataset": "fashion_mnist"},
        "ccb11e214b81987ffc047e7cadd96f4c13578cab61e4e38016f95dcee0a24c93",
        "871875bb9a2bda62e279e970b5cb57c1ceaf35daf691774614345c11a0f90227",
    ),
    (
        MNIST,
        {"permuted_fraction": 0.1},
        "47f436c00901ac2334fbb43cb8c4743ae50a2c329ddac0dec95d479495d61414",
        "7f0a710c48b662a902a75d8631fb955adfeca250c6e7fd7898184a273af410bb",
    ),
    (
        MNIST,
        {"examples_per_task": 10000},
        "eb005e6f7d39921d463bc604ad4dc905eda72e1b1ec4278237b2c360ff7bb906",
        "4f019176daf42b899a5a663141d040273f21170319eb63bfa9784c781682c5f9",
    ),
    (
        MNIST,
        {"dataset": "digits"},
        "8c5c5abf5434e000ca877d5072d2f8531c055c741f9caca328aaab57e69dbaaf",
        "c92a94cdec525e9a548388272c1b788e83aedf6c831c2de612ebbca58feb1966",
    ),
    (
        MNIST,
        {"dataset": "digits", "permuted_fraction": 0.5},
        "08e1d7100bc66ad3d47b80a3185fb5dfefb42e00751cd92ef3c22e6d57d8eab0",
        "fbd7cdae034c1598395366da7ea3e6b72675ee267af92a684eaf5bba93341518",
    ),
    (
        DIGITS,
        {},
        "8c5c5abf5434e000ca877d5072d2f8531c055c741f9caca328aaab57e69dbaaf",
        "c92a94cdec525e9a548388272c1b788e83aedf6c831c2de612ebbca58feb1966",
    ),
    (
        DIGITS,
        {"permute": "labels"},
        "c1b2d360c242e0d86a4a7c6787cef4fe99aabefcfa23abdd5b5f8903625c8182",
        "6eddb9941b3b4dee25744b89f1488429ed0f648793d2a2fe0dba5282c4c780a9",
    ),
    (
        DIGITS,
        {"permute": "both"},
        "632a19a442243eb0146708232656d4d0348f8c74eac17542560de01fdeef7604",
        "722288a25182ad6be76612c94ce7811f63232a9c107f2f6f8dba194cbe60515c",
    ),
    (
        DIGITS,
        {"examples_per_task": 4000},
        "0b51bdc324b382b28bf898b248db3561a930d87724542f76dbdfce1b61ad48dc",
        "5c4456aae21233a76fbc087a55de623b330a2882f0d4587413152c8ed14310f5",
    ),
    (
        DIGITS,
        {"batch_size": 16},
        "465c11c9e9fce8ccbb98ff88d67d0dd20ddf99571b650259e3e9b7b7ecda5c56",
        "155113b573e2edc5e68d945931bbdbd4fff19f1079cfce2a22cd7b7cf8841be2",
    ),
    (
        REGRESSION,
        {},
        "11212f19937a86af853664ac4987ff2546e9419c6d1955359d927505d4072d5e",
        "f3636f4a119fdb9fcfa0168ed3304078ffdebe8f5d0d4e84e0904740537fd8c7",
    ),
    (
        REGRESSION,
        {"flip": "all"},
        "ff86a3787828138fa916b8d2de1427808cd2d26559cdb89e5a787f2f31080a86",
        "66c42cc11340c9fbbf794a1faa90d0d057508a430737fedfc31938c99a0eba87",
    ),
    (
        REGRESSION,
        {"profile": "code"},
        "9c1b8005bccf6cfadd50596f7bb9119a986b46f48611cd04100c4e7bc98d85a2",
        "c6549663d1c7cae54853fc83219b6374cf0bb7b7b21ceed78db886196953446e",
    ),
    (
        REGRESSION,
        {"profile": "code", "flip": "one"},
        "77be538125e1bb7440d50448d332d2f8a9afcd8cd594cc3b0cad9bbec0f89fff",
        "63f395ad6361f428507e1d27d59dc65e8e07136cbf7bdb89c24e69984c7b6b5b",
    ),
    (
        REGRESSION,
        {"examples_per_task": 1000},
        "80afd5884b80f57ca9d12f290e3099b5e355319dbc57bf437303602a766e0517",
        "92368aa07523a56367a21b0eab654bed4e84ae453d0100a848ca8474a50c8c29",
    ),
    (
        IMAGENET,
        {"epochs": 2},
        "8b412670891bb236ad7dc47d49fa3e322947dcdef9e49bfa6823d619ffa5effd",
        "0a5384a39ec6a281072ef7d242b41bd30af0b5f6eec8995bbe7704a9ed15c000",
    ),
    (
        KUMAR,
        {},
        "37893216a7b5152dd43880e0df154a49434f4e1182480f86bb0d857c9e471c08",
        "9889368182e8fd32b4eacd675e6a426378134bb6973602885aaeb3438449f39a",
    ),
    (
        PAIRS,
        {"epochs": 3, "train_images": 50, "test_images": 10},
        "6c06099bfa5242ab6fd6c47a626f66ed05085666a2b105063cf058d8fc5e5e12",
        "2b8791bd8550a8f06bc44eeaf497c460bdf509f1a198c670c2e1f221974075a8",
    ),
    (
        CIFAR,
        {"epochs": 1},
        "db485593e1c0f0c119726dbd498e341f512b6719e48cca342f490f82d1a06ed4",
        "4fae9eb35f736a8ee33cc9b5929dde2558ede03dc92f030f79fe8443044a1eb9",
    ),
    (
        CIFAR,
        {"epochs": 1, "augment": False},
        "89a0f5466b2d32b9875d86a6ee043c06fd0f1e1d05b7db4ab3f5786d33da1c6f",
        "42a84c14f6af1fa5f83cf7d7935c7411e622196002e5a298c8d1abe2a2375dcc",
    ),
    (
        CIFAR,
        {"epochs": 2, "train_images": 45, "classes_per_task": 30},
        "7d47bcea419508c8a9533731f32fb2d1327f3576a3fef42fb06bf8f372459c0d",
        "5f04ddd61a972a076b23d2f6b10c1047e139b0fde892be92f60b7e1f738648e2",
    ),
]


def content_hash(problem: str, settings: dict[str, Any], seed: int) -> str:
    env = gym.make(f"{NAMESPACE}/{problem}", **settings)
    env.reset(seed=seed)
    return env.unwrapped.stream.content_hash(TASKS)


@pytest.mark.parametrize(
    ("problem", "settings", "zero", "seven"),
    [
        pytest.param(*row, id=" ".join([row[0], *(f"{k}={v}" for k, v in row[1].items())]))
        for row in GOLDEN
    ],
)
def test_content(
    problem: str,
    settings: dict[str, Any],
    zero: str,
    seven: str,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if problem == MNIST and settings.get("dataset") != "digits":
        folder: Path = request.getfixturevalue("real_data")
        monkeypatch.setenv("CONTINUAL_ENVS_DATA", str(folder))
    if problem in (IMAGENET, KUMAR, CIFAR):
        request.getfixturevalue("published")
    assert content_hash(problem, settings, 0) == zero
    assert content_hash(problem, settings, 7) == seven


def test_every_problem_is_pinned() -> None:
    assert {row[0] for row in GOLDEN} == set(PROBLEMS)
    hashes = [value for row in GOLDEN for value in row[2:]]
    # the one content that two ids share: permuted digits
    assert len(hashes) - len(set(hashes)) == 2


def test_seeds_of_further_streams() -> None:
    env = gym.make(f"{NAMESPACE}/{DIGITS}")
    env.reset(seed=0)
    seeds = []
    for _ in range(3):
        env.reset()
        seeds.append(env.unwrapped.stream.seed)
    assert seeds == [1367864807, 579362556, 87989972]
