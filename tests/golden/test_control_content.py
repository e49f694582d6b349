"""The drift of every problem is pinned; no simulator is needed for it.

These tests run on the lowest and the newest numpy allowed, and must pass on both.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from continual_envs import checks
from continual_envs.control.changes import adjusted
from continual_envs.control.schedule import Schedule
from continual_envs.control.stream import DriftStream
from continual_envs.registration import BODIES, CONTROL

ANT, HOPPER, WALKER = "SlipperyAnt-v0", "SlipperyHopper-v0", "SlipperyWalker2d-v0"
CHEETAH, CARTPOLE, ACROBOT = "SlipperyHalfCheetah-v0", "DriftingCartPole-v0", "DriftingAcrobot-v0"
SENSORS = {CARTPOLE: 4, ACROBOT: 6}
FRICTION = [
    [1.52509395358, 0.0318840263263, 0.550901096499],
    [0.0522062181867, 0.597404913179, 0.340860131858],
]
FACTORS = [
    [1.8432689688, 0.575362525388, 1.35664536497],
    [0.667431757208, 1.39014829763, 1.17409261184],
]
NONE = [[1.0, 1.0, 1.0]] * 2

# problem, settings, values of tasks 0 to 2, hash of tasks 0, 1, 2, 7: of seed 0 and of seed 7
GOLDEN: list[tuple[str, dict[str, Any], list[Any], list[str]]] = [
    (
        ANT,
        {},
        FRICTION,
        [
            "34826aa7600249d5dc5575acc676d3b24098d86c0d8b4e0ce024db5dc29555a5",
            "4611949a522547377f6bd1cf4696afdf800cffec99284444c22480d858632f9c",
        ],
    ),
    (
        HOPPER,
        {},
        FRICTION,
        [
            "10950472a8c4ac6a2b58058790d3247d2645466dd513cdd4f29ef5608995aae8",
            "7c56d61f49e24723c17a8a7db69f601729fb9ffd9f2f60d726578a54761a5c08",
        ],
    ),
    (
        WALKER,
        {},
        FRICTION,
        [
            "1987f2447515f3f79b5630b68e1c16b0b829701cfa93f8dc26b21ca3035c73cd",
            "b8580e73bf7dc0c7e8df6b10ac5caf7c051c52e37794484f86263d60d2b797ef",
        ],
    ),
    (
        CHEETAH,
        {},
        FRICTION,
        [
            "6cb88998fd29afdd37fcf8693b5d813e2323f27cba4f47b9d1ff0360d5f62ced",
            "ac3013b9af14c290865a4402ea1e84e8cf73c2e74c8b913b946a01ee01bc158f",
        ],
    ),
    (
        "StationaryAnt-v0",
        {},
        NONE,
        [
            "6d5ce7c9f97ab15a739d4bdb19e0f4b4667d7516c1b036e1ab30a0aae904d10f",
            "6d5ce7c9f97ab15a739d4bdb19e0f4b4667d7516c1b036e1ab30a0aae904d10f",
        ],
    ),
    (
        "StationaryHopper-v0",
        {},
        NONE,
        [
            "bdefec803ed5096b1412eeef842e47442408f8ee33bfed917c8ea2467cac6871",
            "bdefec803ed5096b1412eeef842e47442408f8ee33bfed917c8ea2467cac6871",
        ],
    ),
    (
        "StationaryWalker2d-v0",
        {},
        NONE,
        [
            "7ea87f75de55e5eb124ac9fc44a7bf8fa9400fb13d7062e70882eebe3df0eeb4",
            "7ea87f75de55e5eb124ac9fc44a7bf8fa9400fb13d7062e70882eebe3df0eeb4",
        ],
    ),
    (
        CARTPOLE,
        {},
        [
            [
                [0.0, 0.0, 0.0, 0.0],
                [-2.54867877439, 2.60995359152, -0.524107091798, 2.60821763633],
                [1.16581266076, -1.18452829925, 1.01843597437, -0.772484459416],
            ],
            [
                [0.0, 0.0, 0.0, 0.0],
                [1.27204669169, 0.0684936832808, -3.61934523891, 1.32271111469],
                [0.588796018324, 0.281705703482, 1.24066065027, -3.06335520232],
            ],
        ],
        [
            "a03960bbb63a496d5a376be96f254421c76034d33bcc0bc13d6791393a0af7d9",
            "614b8bc641dcd4f78f1229d649daf9a8d6586fb10a85713efcf5060effded6d8",
        ],
    ),
    (
        ACROBOT,
        {},
        [
            [
                [0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
                [
                    -2.54867877439,
                    2.60995359152,
                    -0.524107091798,
                    2.60821763633,
                    -3.2162178309,
                    -3.18154437534,
                ],
                [
                    1.16581266076,
                    -1.18452829925,
                    1.01843597437,
                    -0.772484459416,
                    -0.139069872656,
                    0.304864320145,
                ],
            ],
            [
                [0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
                [
                    1.27204669169,
                    0.0684936832808,
                    -3.61934523891,
                    1.32271111469,
                    3.91189987585,
                    1.34350980427,
                ],
                [
                    0.588796018324,
                    0.281705703482,
                    1.24066065027,
                    -3.06335520232,
                    0.404528059741,
                    -0.908004261984,
                ],
            ],
        ],
        [
            "d88d34d823b71b1412a55ed598d6276627e28fcd939a972ebe7174882039a295",
            "58d35caba96ae493f52deec06b881a37079e597e349fe29175d60349729d6033",
        ],
    ),
    (
        ANT,
        {"drift": "gravity"},
        FACTORS,
        [
            "dc0ab896d42b8cf32565c65e37853a0d02fcf9dfcc7cb53682372c42e5076b67",
            "f81064443116be58da86c8fdfc5c8e3d2fbd8fddc80a1c276730c1e91a69baff",
        ],
    ),
    (
        CARTPOLE,
        {"schedule": "random"},
        [
            [
                [0.0, 0.0, 0.0, 0.0],
                [-2.54867877439, 2.60995359152, -0.524107091798, 2.60821763633],
                [1.16581266076, -1.18452829925, 1.01843597437, -0.772484459416],
            ],
            [
                [0.0, 0.0, 0.0, 0.0],
                [1.27204669169, 0.0684936832808, -3.61934523891, 1.32271111469],
                [0.588796018324, 0.281705703482, 1.24066065027, -3.06335520232],
            ],
        ],
        [
            "ca369dbc59a76c791466368c9a72c443e2415869aa48ec823a805d433063a412",
            "844316d8f26ded65fc18439025c0d833cf720c08c96b58ce9cfefa2ce9bd3fbe",
        ],
    ),
    (
        CARTPOLE,
        {"drift": "length"},
        FACTORS,
        [
            "cb7951253bd5e93b70631d3236a23c0a2060313bc0be052dcc13e3dd4fb03265",
            "1237c1262029ba81be09bee06c01252f14a25188800a536f292aebf385d588da",
        ],
    ),
    (
        CARTPOLE,
        {"drift": "force", "low": 0.1, "high": 10.0},
        [
            [7.62546976789, 0.159420131631, 2.75450548249],
            [0.261031090933, 2.9870245659, 1.70430065929],
        ],
        [
            "2ecadec9179934989c48565130ecaf6c130f8ee1170d9e94c5fb1a57231f2516",
            "73ebd1e5ed2cfb22aec978729032a1834290d139de8b5b9fd629650d0bb3330e",
        ],
    ),
    (
        CARTPOLE,
        {"scale": 1},
        [
            [
                [0.0, 0.0, 0.0, 0.0],
                [-1.2743393872, 1.30497679576, -0.262053545899, 1.30410881817],
                [0.582906330379, -0.592264149626, 0.509217987185, -0.386242229708],
            ],
            [
                [0.0, 0.0, 0.0, 0.0],
                [0.636023345843, 0.0342468416404, -1.80967261946, 0.661355557344],
                [0.294398009162, 0.140852851741, 0.620330325137, -1.53167760116],
            ],
        ],
        [
            "a0bef0d6ccb4f06620243faeb6fcdf8e2053f25ade7cb61d4dea6eb6845de6c7",
            "919cbc85c5435458046dc157f9f74724ffef67673b19bfa3fba22e59838db5dc",
        ],
    ),
    (
        ACROBOT,
        {"drift": "mass", "period": 1000},
        FACTORS,
        [
            "42a823cb39b8ecabe760d4b3055353fc80d4160afc962a34e803f78b3b9f1137",
            "195b57800e90855fdfdc39dd0340a523251a0ec4a4f86dcbbff5bee3001024af",
        ],
    ),
]


def stream(problem: str, settings: dict[str, Any], seed: int) -> DriftStream:
    """What `gym.make` gives, without making the simulator."""
    body, drift, period, _ = CONTROL[problem]
    kind, drift = checks.loaded("body", f"{BODIES}.{body}"), settings.get("drift", drift)
    ranges = {name: settings.get(name) for name in ("low", "high", "scale")}
    schedule = Schedule(settings.get("schedule", "periodic"), settings.get("period", period))
    change = adjusted(kind.drifts[drift], drift, **ranges)
    return DriftStream(seed, kind, drift, change, schedule, SENSORS.get(problem, 1))


@pytest.mark.parametrize(
    ("problem", "settings", "values", "hashes"),
    [
        pytest.param(*row, id=" ".join([row[0], *(f"{k}={v}" for k, v in row[1].items())]))
        for row in GOLDEN
    ],
)
def test_content(
    problem: str, settings: dict[str, Any], values: list[Any], hashes: list[str]
) -> None:
    for seed, expected, digest in zip((0, 7), values, hashes, strict=True):
        drifting = stream(problem, settings, seed)
        assert [np.asarray(drifting.value(k)).tolist() for k in range(3)] == expected
        assert drifting.content_hash((0, 1, 2, 7)) == digest


@pytest.mark.parametrize(
    ("seed", "lengths"), [(0, [76191, 50680, 40669]), (7, [42677, 46886, 97265])]
)
def test_lengths(seed: int, lengths: list[int]) -> None:
    drifting = stream(CARTPOLE, {"schedule": "random"}, seed)
    assert [drifting.length(k) for k in range(3)] == lengths
    assert [drifting.start(k) for k in range(4)] == [sum(lengths[:k]) for k in range(4)]


def test_every_problem_is_pinned() -> None:
    assert {row[0] for row in GOLDEN} == set(CONTROL)
    hashes = [digest for row in GOLDEN for digest in row[3]]
    stationary = sum(row[0].startswith("Stationary") for row in GOLDEN)
    assert len(hashes) - len(set(hashes)) == stationary, "which are the same for all seeds"
