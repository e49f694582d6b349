"""The checker names the fault of each broken drifting environment, and none of a sound one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import pytest

from continual_envs.registration import CONTROL, NAMESPACE
from continual_envs.testing import check_problem
from tests.contract import broken_control

FAULTS = {
    "IgnoresSeed": "seed: ignored: the streams of seeds 0 and 1 have the same values",
    "DriftsByCall": "value: of tasks 0 to 3 asked twice of one stream gives two answers",
    "DoesNotAct": "drift: friction of 0.1 and of 1 give the same trajectory",
    "AddsUp": r"reset: reset\(seed=5\) twice in one environment starts two different streams",
    "ForgetsItsGenerator": "state_dict: a new environment with the state of one within an episode",
    "HandsOutItsState": "state_dict: the state changed when its environment went on",
    "ResetsItsPhysics": "state_dict: a new environment with the state of one after a switch of",
    "TellsItsFriction": r"leak: info\['mu'\] is the value of the drift",
    "DrawsGlobally": "global generator: .* changes the state of numpy.random",
    "ReusesItsObservation": "buffer: observation 2 is in memory returned before",
    "SharesItsState": "writing: overwriting what was returned changed the result of call 2",
    "EndsEarlier": "max_episode_steps: 60 registered, but episode_steps is 50",
    "SwitchesWithinEpisodes": "switch: step at step 31 leads to task 1, not 0",
    "SwitchesTwice": r"switch: reset\(\) at step 40 leads to task 2, not 1",
    "RestartsItsClock": r"clock: 0 steps after reset\(\), 20 were taken in this stream",
    "CountsAlone": "copies: 1 steps counted, all took 2",
    "TellsTheTask": r"info: task told or missing .*\(disclosure='hidden'\)",
    "ForgetsTheTask": "state_dict: a new environment with the state of one after a switch of task",
}


@pytest.fixture(scope="module", autouse=True)
def _registered() -> Iterator[None]:
    ids = broken_control.register()
    yield
    for id in ids:
        gym.registry.pop(id)


def test_every_fault_is_planted() -> None:
    planted = {kind.__name__ for kind in (*broken_control.BODIES, *broken_control.ENVIRONMENTS)}
    assert planted == {*FAULTS, "SoundBlock"}


@pytest.mark.parametrize("name", FAULTS)
def test_the_fault_is_named(name: str) -> None:
    (fault,) = check_problem(f"broken/{name}-v0")
    assert re.match(FAULTS[name], fault) and "\n" not in fault, fault


@pytest.mark.parametrize(
    "settings",
    [{}, {"schedule": "random"}, {"low": 0.3, "high": 0.3}, {"disclosure": "signalled"}],
)
def test_a_sound_one_has_no_fault(settings: dict[str, Any]) -> None:
    assert check_problem("broken/SoundBlock-v0", **settings) == []


@pytest.mark.parametrize("problem", [id for id in CONTROL if id != "StationaryAnt-v0"])
def test_ours_have_no_fault(problem: str) -> None:
    if CONTROL[problem][0].startswith("mujoco"):
        pytest.importorskip("mujoco")
    assert check_problem(f"{NAMESPACE}/{problem}") == []


@pytest.mark.parametrize("drift", ["length", "mass", "force", "none"])
def test_other_drifts_have_no_fault(drift: str) -> None:
    assert check_problem(f"{NAMESPACE}/DriftingCartPole-v0", drift=drift) == []


@pytest.mark.parametrize("drift", ["gravity", "offset"])
def test_other_drifts_of_mujoco_have_no_fault(drift: str) -> None:
    pytest.importorskip("mujoco")
    assert check_problem(f"{NAMESPACE}/SlipperyHopper-v0", drift=drift) == []


def test_a_wrong_setting_or_id_is_one_line() -> None:
    with pytest.raises(ValueError, match="^setting: 'perod' is not one of .*; nearest: period$"):
        check_problem("broken/SoundBlock-v0", perod=3)
    with pytest.raises(ValueError, match="^problem: .*; nearest: continual_envs/SlipperyAnt-v0$"):
        check_problem("continual_envs/SliperyAnt-v0")
