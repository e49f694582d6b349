"""The checkers name the fault of each broken plugin, and nothing else, and none of a sound one."""

from __future__ import annotations

import functools
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from agents import registry
from agents.testing import check_agent
from continual_envs.registration import NAMESPACE, PROBLEMS
from continual_envs.testing import check_problem
from evaluation.cli import main
from tests.contract import broken_agents, broken_loops, broken_problems, broken_protocols
from tests.problems import IMAGES, SMALL

AGENT_MODULE, PROBLEM_MODULE = broken_agents.__name__, broken_problems.__name__
AGENTS = {
    "LearnsFirst": "learns before predicting: update returned outputs at step 0",
    "LearnsChunksFirst": "learns before predicting: update_many answers by the coming target",
    "SkipsInChunks": "update_many: differs from update",
    "ChangesInPredict": "act: asked twice at step 0, the answer changed",
    "IgnoresSeed": "seed: ignored: seeds 0, 1 and 2 give the same",
    "DrawsFromNumpy": "global generator: .* changes the state of numpy.random$",
    "SeedsPython": "global generator: .* changes the state of random$",
    "SeedsTorch": "global generator: .* changes the state of torch$",
    "MutatesInputs": "mutation: act changed the observation of step 0",
    "ForgetsMomentum": "state_dict: forgets something: .* differs at step 61",
    "HandsOutItsState": "state_dict: the state changed while its agent went on",
    "SavesAnObject": "state_dict: cannot be saved and loaded as plain data: TypeError",
    "SavesASet": "state_dict: cannot be saved and loaded as plain data: TypeError: .*set",
    "KeepsReferences": "references: overwriting observations",
    "NeedsTheTask": "lives: raises AttributeError: .*on_task_switch",
    "Fails": "lives: raises KeyError: .*no such.*weight",
    "Quits": "construction: with .* raises SystemExit: 3",
    "AnswersOutside": r"act: the answer .*8.* is not in Discrete\(4\) before any learning",
    "HasMoreOutputs": r"lives: raises ValueError: outputs: shape \(1, 9\) .* give \(1, 4\)$",
    "ChangesInAct": "act: .* at step [1-9]",
    "HalfAnAgent": "protocol: act and learn go together; learn is missing",
    "refuses_everything": "construction: every kind of problem is refused: problem: only images",
}
PROBLEM_FAULTS = {
    "LeaksScaled": "leak: the target is among the inputs: input 2 determines it",
    "LeaksOneHot": "leak: the target is among the inputs: input 6, 7, 8, 9 determines it",
    "LeaksPermuted": "leak: the target is among the inputs: input ",
    "DriftsByCall": r"task: task\(0\) asked twice of one stream gives two answers",
    "NeedsOrder": r"task: task\(3\) asked first is not what it is after tasks 0, 1 and 2",
    "CannotGoBack": r"task: task\(1\) asked after task\(3\) is not what it is after task 0",
    "ReusesInputs": "chunk: the arrays of a chunk changed .*: a buffer is reused",
    "DrawsGlobally": "global generator: .* changes the state of numpy.random",
    "SameForAllSeeds": "seed: ignored: the streams of seeds 0 and 1",
    "HidesItsTransform": "content_hash: the same for tasks 0 and 1, which differ",
    "NeedsMoreClasses": "targets: of task 0 are 0 to 3, not within 0 to 2",
    "FailsLater": "tasks have their form: raises IndexError",
    "ShowsATestExample": "test: 1 of 14 examples of task 0 are also in the stream$",
    "TestsOnACopy": "test: 20 of 20 examples of task 0 are also in the stream$",
    "SelectsOnTest": "validation: 14 of 14 examples of task 0 are also in test$",
    "HoldsNothingOut": "scored: 'last test' needs test examples; task 0 has none$",
    "ShowsSomeTwice": "epochs: pass 1 of task 0 does not show the rows of pass 0$",
    "MiscountsTasks": "start: of task 2 is 240; task 1 starts at 120 and has 240 examples$",
    "LocatesByTheFirst": r"locate: position 359 is task and example \(2, 119\), not \(1, 239\)$",
    "DrawsFractions": r"draws: of task 0 have shape \(120,\) and dtype float64, not \(120,\) and",
    "CountsItsCalls": "privileges: of task and example .* depend on what was asked before$",
    "TellsWhatItDoesNotSay": "privileges: epoch, seen told, but `disclosed` names nothing",
    "TellsTheTarget": r"leak: info\['epoch'\] is the target of the observation that it comes with",
    "LeaksIntoInfo": r"leak: info\['hint'\] is the target of the observation that it comes with",
    "TellsTheNextTarget": r"leak: info\['target'\] is that of the observation it comes with",
    "ReusesObservation": "buffer: step 2 returned an observation in memory returned before",
    "ChunksBySize": r"chunk: the targets of chunk\(160, 80\) differ from those of its parts",
    "RestartsElsewhere": r"reset: reset\(seed=5\) twice in one environment starts two different",
    "NeverEnds": r"num_tasks: the last steps of one task give .* \(False, False\)\]",
    "HidesTheSwitch": "info: 'task_switch' is False at example 200, not True",
    "Terminates": "terminated, truncated: .* are True, False",
    "ForgetsItsPlace": "state_dict: a new environment with another's state goes on differently",
}
PROBLEM_SETTINGS: dict[str, dict[str, Any]] = {
    "PermutedMNIST-v0": {"dataset": "digits"},
    **{problem: SMALL[problem] for problem in IMAGES},
}


@pytest.fixture(scope="module", autouse=True)
def _registered() -> Iterator[None]:
    ids = broken_problems.register()
    yield
    for id in ids:
        gym.registry.pop(id)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("name", AGENTS)
def test_the_fault_of_an_agent_is_named(name: str) -> None:
    (fault,) = check_agent(f"{AGENT_MODULE}:{name}")
    assert re.match(AGENTS[name], fault) and "\n" not in fault, fault


@pytest.mark.parametrize("name", PROBLEM_FAULTS)
def test_the_fault_of_a_problem_is_named(name: str) -> None:
    kind = getattr(broken_problems, name, None) or getattr(broken_protocols, name)
    (fault,) = check_problem(f"broken/{name}-v0" if kind in broken_problems.ENVIRONMENTS else kind)
    assert re.match(PROBLEM_FAULTS[name], fault) and "\n" not in fault, fault


@pytest.mark.parametrize("settings", [{}, {"batch_size": 8}, {"examples_per_task": 20}])
def test_sound_plugins_have_no_fault(settings: dict[str, Any]) -> None:
    assert check_problem(broken_problems.SoundStream, **settings) == []
    assert check_agent(functools.partial(broken_agents.SoundLearner, momentum=0.5)) == []


@pytest.mark.parametrize("settings", [{}, {"batch_size": 10}, {"images": 4}])
def test_a_sound_protocol_has_no_fault(settings: dict[str, Any]) -> None:
    assert check_problem(broken_protocols.SoundProtocol, **settings) == []


LOOPS = {
    "LacksCopies": "protocol: enter, cycle and copies go together; copies is missing",
    "NoCopies": "copies: 0 is not a number of environments",
    "IdleCopy": "cycle: a cycle takes no step in some copy",
    "OneSeed": "enter: copy 1 is not reset with the agent's seed",
    "SeedsAgain": "cycle: a copy is reset with a seed again",
    "DrawsGlobally": "global generators?: ",
    "Unrepeatable": "seed: two agents of seed 0 do different things",
    "IgnoresSeed": "seed: ignored",
    "Forgets": "state_dict: an agent that loads it does not go on",
    "ShowsItsOwn": "state_dict: the state changed while its agent went on: copy it",
    "PicklesItself": "state_dict: cannot be saved and loaded as plain data",
    "CannotSwitch": "switches are survived: raises AttributeError",
}


@pytest.mark.parametrize("name", LOOPS)
def test_the_fault_of_an_agent_that_owns_its_loop_is_named(name: str) -> None:
    fault, *more = check_agent(getattr(broken_loops, name))
    assert re.match(LOOPS[name], fault) and not more and "\n" not in fault, [fault, *more]


def test_a_sound_agent_that_owns_its_loop_has_no_fault() -> None:
    assert check_agent(broken_loops.SoundLoop) == []


OURS = [*registry.LEARNERS, *registry.METHODS, "adam+equal-betas"]


@pytest.mark.parametrize("name", [name for name in OURS if name != "equal-betas"])
def test_our_agents_have_no_fault(name: str) -> None:
    assert check_agent(name) == []


OFTEN: dict[str, Any] = {"hidden": (8,)}
ON_POLICY = OFTEN | {"n_steps": 32, "batch_size": 16, "n_epochs": 2}
OFF_POLICY = OFTEN | {"learning_starts": 20, "buffer_size": 300, "batch_size": 16}
ALGORITHMS: dict[str, dict[str, Any]] = {
    "fresh+sb3/ppo": ON_POLICY | {"copies": 2},
    "sb3/ppo+l2+continual-backprop+redo+shrink-perturb": ON_POLICY,
    "sb3/a2c": OFTEN,
    **dict.fromkeys(("sb3/dqn", "sb3/sac", "sb3/td3", "sb3/ddpg"), OFF_POLICY),
}


def test_every_algorithm_is_checked() -> None:
    assert set(registry.ALGORITHMS) <= {part for name in ALGORITHMS for part in name.split("+")}


@pytest.mark.parametrize("name", ALGORITHMS)
def test_our_algorithms_have_no_fault(name: str) -> None:
    assert check_agent(functools.partial(registry.factory(name), **ALGORITHMS[name])) == []


def test_our_composition_has_no_fault_while_its_methods_act() -> None:
    factory = registry.factory("adam+fresh+shrink-perturb+continual-backprop")
    often = {"replacement_rate": 0.1, "maturity": 3, "noise_std": 0.01}
    assert check_agent(functools.partial(factory, hidden=(16,), **often)) == []


@pytest.mark.parametrize("name", PROBLEMS)
def test_our_problems_have_no_fault(name: str) -> None:
    assert check_problem(f"{NAMESPACE}/{name}", **PROBLEM_SETTINGS.get(name, {})) == []


@pytest.mark.parametrize("name", IMAGES)
def test_batches_of_images_have_no_fault(name: str) -> None:
    settings = SMALL[name] | {"batch_size": 8, "disclosure": "signalled"}
    assert check_problem(f"{NAMESPACE}/{name}", **settings) == []


def test_an_agent_without_randomness_may_ignore_its_seed() -> None:
    class Zero(broken_agents.SoundLearner):
        def draw(self, shape: tuple[int, int]) -> np.ndarray:
            return np.zeros(shape)

    assert check_agent(Zero) == []


@pytest.mark.parametrize("factory", [broken_agents.SoundAgent, broken_agents.only_batches])
def test_an_agent_may_refuse_kinds_of_problems(factory: Any) -> None:
    assert check_agent(factory) == []


def test_signatures_are_read() -> None:
    found = check_agent(broken_agents.hides_settings)
    assert [fault.split(";")[0] for fault in found] == [
        "signature: rate is not keyword-only",
        "signature: device is missing",
    ]


def test_global_generators_are_left_as_they_were() -> None:
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    check_agent(broken_agents.SeedsTorch)
    check_agent(broken_agents.SeedsPython)
    check_problem(broken_problems.DrawsGlobally)
    assert states == (
        random.getstate(),
        np.random.get_state()[1].tolist(),
        torch.get_rng_state().tolist(),
    )


def test_a_problem_is_checked_without_torch() -> None:
    script = (
        "import sys\nfrom continual_envs.testing import check_problem\n"
        f"print(check_problem('{NAMESPACE}/PermutedDigits-v0'), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.split() == ["[]", "False"], done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["check-agent", f"{AGENT_MODULE}:ForgetsMomentum"], 1, "state_dict: forgets something"),
        (["check-agent", f"{AGENT_MODULE}:SoundLearner"], 0, "keeps the contract"),
        (["check-agent", f"{AGENT_MODULE}:Nobody"], 2, "cannot be loaded"),
        (["check-agent", "backporp"], 2, "nearest: backprop"),
        (["check-problem", f"{PROBLEM_MODULE}:broken/LeaksIntoInfo-v0"], 1, "leak: info['hint']"),
        (["check-problem", "PermutedDigits-v0"], 0, "keeps the contract"),
        (["check-problem", "PermutedDigit-v0"], 2, "nearest: PermutedDigits-v0"),
    ],
)
def test_the_command_line_names_the_fault(
    arguments: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == code
    out, err = capsys.readouterr()
    shown = err if code == 2 else out
    assert said in shown and len(shown.splitlines()) == 1
    assert out == "" or err == ""


def test_unknown_problems_and_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="nearest: continual_envs/PermutedDigits-v0$"):
        check_problem("PermutedDigits-v0")
    with pytest.raises(ValueError, match="^problem: 'CartPole-v1' is not a stream of tasks$"):
        check_problem("CartPole-v1")
    with pytest.raises(ValueError, match="^setting: 'examples' is not one of .*examples_per_task$"):
        check_problem(broken_problems.SoundStream, examples=3)
