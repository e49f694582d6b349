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
TASKS = (0, 1, 2, 7)

# problem, settings, hash of seed 0, hash of seed 7
GOLDEN: list[tuple[str, dict[str, Any], str, str]] = [
    (
        MNIST,
        {},
        "2ba088e7c733ee154e46499c85cdb4be32ce022c133f61db1ec9d9ffc49ed719",
        "66d21b1315b78bd9c4b0e4f58a0e82aef9b5300236c37ca8e1697bfd920a641c",
    ),
    (
        MNIST,
        {"dataset": "fashion_mnist"},
        "2a8ab06d6adb056290db22e7f3f0e57a6fb0cdbab0831cdf0e6396c04517923e",
        "c392146d526e1dbd28950063f7aee11800365743fc1550292517f98552ad34a8",
    ),
    (
        MNIST,
        {"permuted_fraction": 0.1},
        "0260167703e86cfd54c9bfded987fac81cfc5cd18ab88de6761cc7d518cf73f0",
        "588ed4393a32c162758c68d6b383134c422d937da7f4b7d19477d045cd30e225",
    ),
    (
        MNIST,
        {"examples_per_task": 10000},
        "34433305c9b178f3dd145b8f202212f611a365ec8f9959e9da4d385bd14db217",
        "88fa18e8e8baec43b3cd6d7b68d949f9925689ba78006f77175d3d6810cfabf0",
    ),
    (
        MNIST,
        {"dataset": "digits"},
        "9469fb67c2977efe45d0d7d9d51c1d2495e6834cb3d33b37a33d74d66604e170",
        "5c5a250d467664662e62b2252245c1394c7b8394b16cb7cd0229b006da2b75ef",
    ),
    (
        MNIST,
        {"dataset": "digits", "permuted_fraction": 0.5},
        "28ce23b2e851a622a0b8b961e631899bae62c5b0b7b07a211a319a4c1f9a0281",
        "65558e278ac037a40f1cf39c9decd5ad13b07aeaa53bbd1a0914e596d7ab36c1",
    ),
    (
        DIGITS,
        {},
        "9469fb67c2977efe45d0d7d9d51c1d2495e6834cb3d33b37a33d74d66604e170",
        "5c5a250d467664662e62b2252245c1394c7b8394b16cb7cd0229b006da2b75ef",
    ),
    (
        DIGITS,
        {"permute": "labels"},
        "53453048ca7cb4791b041581898e99614b6784374be273acc5848b1058ff4888",
        "a1cba6ef570039a21a6b8ae421f47058d8fbc2d03cc8b560a02852454cd17711",
    ),
    (
        DIGITS,
        {"permute": "both"},
        "9afb30d37a3202cd98dd2159bcd5efc347f9542ada0221a45b496c115141ebed",
        "b7fc1ec29b8ea79fbdc3eaed6acde084242f48f01fa7186013bade544eacc12f",
    ),
    (
        DIGITS,
        {"examples_per_task": 4000},
        "accb6d1120a46c02b1260ecc8f12fcd138accfe64caf431c6b0714ef0da14150",
        "eb5d3967120d9586f60dba5f4f6c01bb2530e30aa61c8a076a22a36af31f2283",
    ),
    (
        DIGITS,
        {"batch_size": 16},
        "871be11614b6051702eca21e92bc52ff35243da90ea24c16b176d33ea0062bac",
        "193a98f80531ea138e65a5e87c0810ed1fe5442d3c6e6b51d3038cde996d22f6",
    ),
    (
        REGRESSION,
        {},
        "31088d6505c504a76b591c16d485fb588334284a80ddfac5e8c74822d0aa94a3",
        "7a36a8283a2d42960ef4e1e25f1c9f7d3c4c18cfea7c574b68f3c99b839d9c19",
    ),
    (
        REGRESSION,
        {"flip": "all"},
        "b77e35915705d27101eeef1c805f693d782a429ae9d3e98c646d1aadf7cf7f97",
        "34dfd14fc12543313bbc88d59903e2c49d8249945e94173d54afab75c042a85b",
    ),
    (
        REGRESSION,
        {"profile": "code"},
        "464a597d9469e3b9985cd652ffde7f040b6929511450c91fd4e37fcff7b31826",
        "16d0da503b6ba3c7e960f5e69d07c75846e37fe204b9d080618facca6d59c94a",
    ),
    (
        REGRESSION,
        {"profile": "code", "flip": "one"},
        "097bd675caba7ed130c91877123ed23a2b16393b219b0bdd33559e979748b90f",
        "251e0096e383bab24a9a4b0ab5aac0bdedab2e7196bb6376300f38158f8a0a8e",
    ),
    (
        REGRESSION,
        {"examples_per_task": 1000},
        "1c75ef097e72e6adbd3f3f482d76865192a9c23533fa731694d643661a3563af",
        "a29f9ccebd0ebfa3674ac4b1de325fc079f509fb57e0a2023883a1678ec84e0f",
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
