"""Names, settings and seeds: what is accepted, what it becomes, and how the rest is refused."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

from evaluation.config import configure, is_control, parse_seeds, problem_ids
from evaluation.presets import LAPTOP, PAPER
from evaluation.runs import ADDED
from evaluation.settings import parse_assignment
from tests.evaluation.helpers import DIGITS, cell

PLUGINS = "tests.evaluation.plugins"


def test_a_problem_may_be_named_short_in_full_or_by_its_module() -> None:
    short, full = cell(), cell(problem=f"continual_envs/{DIGITS}")
    assert short == full and short.problem == f"continual_envs/{DIGITS}"
    mine = cell(problem=f"{PLUGINS}:mine/Signs-v0", problem_settings={})
    assert (mine.problem, mine.module) == ("mine/Signs-v0", PLUGINS)
    assert mine.problem in problem_ids()
    assert mine.folder("out").parts[:2] == ("out", "mine_Signs-v0")


@pytest.mark.parametrize(
    "name, said",
    [
        ("PermutedDigit-v0", "nearest: PermutedDigits-v0"),
        ("PermutedDigits", "nearest: PermutedDigits-v0"),
        ("CartPole-v1", "problem"),
        ("phys2d/CartPole-v1", "not a stream"),
        ("no_such_module:mine/X-v0", "no_such_module"),
        (".relative:mine/X-v0", ".relative"),
        ("", "problem"),
    ],
)
def test_a_wrong_problem_is_refused_in_one_line(name: str, said: str) -> None:
    _refused(said, name, "backprop")


@pytest.mark.parametrize(
    "name, said",
    [
        ("bakcprop", "nearest: backprop"),
        ("l2+dropot", "nearest: dropout"),
        ("l2+l2", "twice"),
        ("adam+backprop", "two bases"),
        ("", "agent"),
        ("tests.evaluation.plugins:nothing", "nothing"),
        ("no_such_module:f", "no_such_module"),
        ("tests.evaluation.plugins:HERE", "callable"),
    ],
)
def test_a_wrong_agent_is_refused_in_one_line(name: str, said: str) -> None:
    _refused(said, DIGITS, name)


def _refused(said: str, *arguments: object, **more: object) -> None:
    with pytest.raises(ValueError) as caught:
        configure(*arguments, **more)  # type: ignore[arg-type]
    assert said in str(caught.value) and "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    "settings, said",
    [
        ({"stepsize": 1}, "nearest: step_size"),
        ({"step_size": "fast"}, "step_size: 'fast' is not allowed; give a number"),
        ({"step_size": True}, "give a number"),
        ({"step_size": math.nan}, "step_size: nan"),
        ({"step_size": math.inf}, "step_size: inf"),
        ({"hidden": 8}, "give a list"),
        ({"hidden": [8.5]}, "hidden: 8.5"),
        ({"hidden": "[8,"}, "give a list"),
        ({"betas": [0.9]}, "give 2 values"),
        ({"optimizer": None}, "optimizer: None is not one of sgd, adam"),
        ({"seed": 3}, "seed"),
        ({"device": "cpu"}, "device"),
    ],
)
def test_a_wrong_setting_of_the_agent(settings: dict, said: str) -> None:
    _refused(said, DIGITS, "backprop", settings=settings)


@pytest.mark.parametrize(
    "settings, said",
    [
        ({"permutte": "both"}, "nearest: permute"),
        ({"permute": "bth"}, "nearest: both"),
        ({"permute": 3}, "permute: 3"),
        ({"batch_size": 1.5}, "batch_size: 1.5 is not allowed; give a whole number"),
        ({"examples_per_task": True}, "whole number"),
        ({"stream": "x:y"}, "stream"),
    ],
)
def test_a_wrong_setting_of_the_problem(settings: dict, said: str) -> None:
    _refused(said, DIGITS, "backprop", problem_settings=settings)


@pytest.mark.parametrize(
    "more, said",
    [
        ({"tasks": 0}, "tasks: 0"),
        ({"tasks": 2.0}, "tasks: 2.0"),
        ({"seeds": [-1]}, "seed: -1"),
        ({"seeds": []}, "seeds: []"),
        ({"seeds": [3, 3]}, "each once"),
        ({"engine": "fusd"}, "engine: 'fusd'"),
        ({"device": "cuda:99"}, "device: 'cuda:99' is not one of cpu"),
        ({"preset": "papr"}, "nearest: paper"),
        ({"preset": "paper"}, "PermutedMNIST-v0"),  # the digits are in no paper
        ({"measure_every": -1}, "measure_every: -1"),
    ],
)
def test_a_wrong_horizon_seed_engine_device_or_preset(more: dict, said: str) -> None:
    _refused(said, DIGITS, "backprop", **more)


def test_every_setting_is_expanded_and_of_its_declared_type() -> None:
    config = cell(settings={"step_size": 1, "hidden": (8, 4)}, problem_settings={})
    assert config.agent_settings == {
        "step_size": 1.0,
        "optimizer": "sgd",
        "momentum": 0.0,
        "betas": [0.9, 0.999],
        "hidden": [8, 4],
        "activation": "relu",
        "network": "auto",
        "decay_epochs": [],
    }
    assert type(config.agent_settings["step_size"]) is float
    assert config.problem_settings == {
        "permute": "pixels",
        "examples_per_task": None,
        "batch_size": None,
        "num_tasks": None,
        "disclosure": "hidden",
    }
    same = cell(settings={"step_size": np.float64(1), "hidden": [8, 4]}, problem_settings={})
    assert same == config


def test_a_whole_number_may_be_written_with_an_exponent() -> None:
    (short,), (long,) = (
        configure(
            "DriftingCartPole-v0",
            "sb3/ppo",
            settings={"n_steps": n},
            problem_settings={"period": period},
        )
        for n, period in ((1e3, 1e5), (1000, 100_000))
    )
    assert short == long and short.settings_hash == long.settings_hash
    assert type(short.problem_settings["period"]) is int


def test_an_alias_is_the_agent_it_names() -> None:
    assert cell("retrained+l2") == cell("fresh+l2")


def test_a_setting_that_came_later_leaves_older_hashes_alone() -> None:
    config = cell()
    older = {k: v for k, v in config.agent_settings.items() if k not in ADDED}
    assert len(older) == len(config.agent_settings) - len(ADDED)
    assert replace(config, agent_settings=older).settings_hash == config.settings_hash
    other = {"network": "mlp", "decay_epochs": [3]}
    for name, value in other.items():
        assert cell(settings={name: value}).settings_hash != config.settings_hash


def test_settings_of_plugins_that_are_annotated_in_any_way() -> None:
    name = f"{PLUGINS}:odd_settings"
    plain = cell(name).agent_settings
    assert plain == {"level": 1, "either": None, "sloppy": None, "bare": 3, "sizes": [1]}
    given = {"level": 2, "either": "x", "sloppy": 1, "bare": [1], "sizes": [2, 3]}
    assert cell(name, settings=given).agent_settings == given
    assert cell(name, settings={"either": 3}).agent_settings["either"] == 3
    _refused("either: 1.5", DIGITS, name, settings={"either": 1.5})
    _refused("level: '2' is not one of 1, 2", DIGITS, name, settings={"level": "2"})
    _refused("kind: ", DIGITS, f"{PLUGINS}:not_json")


def test_the_hash_covers_problem_agent_and_settings_and_nothing_else() -> None:
    base = cell()
    same = [
        cell(seeds=[5]),
        cell(tasks=99),
        cell(measure_every=0),
        cell(engine="torch"),
        cell(settings={"step_size": 0.1, "hidden": [8], "momentum": 0}),  # a default, spelt out
    ]
    assert {config.settings_hash for config in same} == {base.settings_hash}
    others = [
        base,
        cell(problem="PermutedMNIST-v0", problem_settings={"dataset": "digits"}),
        cell("adam"),
        cell("l2"),
        cell(settings={"step_size": 0.1, "hidden": [9]}),
        cell(problem_settings={"batch_size": 16}),
        cell(problem_settings={"batch_size": 16, "examples_per_task": 64, "permute": "both"}),
    ]
    hashes = [config.settings_hash for config in others]
    assert len(set(hashes)) == len(others) and all(len(one) == 12 for one in hashes)
    from dataclasses import replace

    assert replace(base, device="cuda").settings_hash == base.settings_hash
    assert replace(base, engine="fused").settings_hash == base.settings_hash
    folders = [config.folder("o") for config in [base, *others[1:], cell(seeds=[5])]]
    assert len(set(folders)) == len(folders)


def test_the_paper_preset_of_a_composition_reaches_every_part() -> None:
    problem = "PermutedMNIST-v0"
    (config,) = configure(problem, "l2+continual-backprop", preset="paper")
    assert config.tasks == 800
    want = {"step_size": 0.003, "hidden": [2000] * 3, "weight_decay": 1e-4}
    want |= {"replacement_rate": 1e-5, "maturity": 100, "profile": "code"}
    assert want.items() <= config.agent_settings.items()
    (both,) = configure(problem, "l2+shrink-perturb", preset="paper")
    assert both.agent_settings["l2_weight_decay"] == 1e-4
    assert both.agent_settings["shrink_perturb_weight_decay"] == 1e-4
    (own,) = configure(problem, "l2", preset="paper", settings={"weight_decay": 0.5}, tasks=7)
    assert (own.agent_settings["weight_decay"], own.tasks) == (0.5, 7)
    (adam,) = configure(problem, "adam", preset="paper")
    assert adam.agent_settings["step_size"] == 5e-5


def test_every_preset_is_accepted_by_every_agent_it_names() -> None:
    for presets, name in ((LAPTOP, "laptop"), (PAPER, "paper")):
        for problem, preset in presets.items():
            base = {"sb3/ppo", "fresh+sb3/ppo"} if is_control(problem) else {"backprop", "linear"}
            for agent in {*base, "fresh", *preset.agents} - {"*"}:
                own = preset.agents.get(agent, {})
                if is_control(problem) and "sb3/ppo" not in agent:
                    beside = "+l2" if "l2.weight_decay" in own else ""
                    agent = f"sb3/ppo{beside}+{agent}"
                (config,) = configure(problem, agent, preset=name)
                for key, value in own.items():
                    assert config.agent_settings[key.rpartition(".")[2]] == value


def test_a_setting_that_two_parts_own_must_say_whose() -> None:
    agent = "l2+shrink-perturb"
    _refused("l2.weight_decay", DIGITS, agent, settings={"weight_decay": 1})
    for one, other in itertools.product(
        ("l2.weight_decay", "l2_weight_decay"),
        ("shrink-perturb.weight_decay", "shrink_perturb_weight_decay"),
    ):
        settings = cell(agent, settings={one: 1, other: 2}).agent_settings
        assert (settings["l2_weight_decay"], settings["shrink_perturb_weight_decay"]) == (1, 2)
    twice = {"l2.weight_decay": 1, "l2_weight_decay": 1}
    _refused("given twice", DIGITS, agent, settings=twice)


@pytest.mark.parametrize(
    "text, value",
    [
        ("1e-3", 0.001),
        ("3", 3),
        ("-2.5", -2.5),
        (".5", 0.5),
        ("-.5E-1", -0.05),
        ("3.", 3.0),
        (".", "."),
        ("1.2.3", "1.2.3"),
        ("true", True),
        ("null", None),
        ("mnist", "mnist"),
        ('"3"', "3"),
        ("[8, 8]", [8, 8]),
        ("", ""),
        ("a=b", "a=b"),
        ("True", "True"),
    ],
)
def test_values_are_json_or_bare_words(text: str, value: object) -> None:
    key, parsed = parse_assignment(f"key={text}")
    assert (key, parsed, type(parsed)) == ("key", value, type(value))


@pytest.mark.parametrize("value", ["NaN", "-Infinity", "[1, NaN]", "1e999", ".1e999", '{"a": 1}'])
def test_values_that_are_not_finite_scalars_or_lists(value: str) -> None:
    with pytest.raises(ValueError, match="^key: "):
        parse_assignment(f"key={value}")


@pytest.mark.parametrize("text", ["key", "=3", ""])
def test_an_assignment_needs_a_key(text: str) -> None:
    with pytest.raises(ValueError, match="key=value"):
        parse_assignment(text)


def test_seeds() -> None:
    assert parse_seeds("0:5") == [0, 1, 2, 3, 4]
    assert parse_seeds("0,3,7") == [0, 3, 7]
    assert parse_seeds("4") == [4]
    for text in ("", "5:5", "5:3", "-1:3", "0,-2", "1,1", "0:1:2", "a", "0:", "1.5", "0,"):
        with pytest.raises(ValueError, match="range like 0:5") as caught:
            parse_seeds(text)
        assert repr(text) in str(caught.value)
