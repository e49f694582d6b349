"""The README's code does what the README says."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from evaluation.cli import main

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
GYM, PROBLEM, METHOD, AGENT = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.parametrize("code", [GYM, PROBLEM, METHOD, AGENT])
def test_examples_are_short(code: str) -> None:
    assert len(code.strip().splitlines()) < 20


def test_gymnasium_example_learns() -> None:
    finished = subprocess.run([sys.executable, "-c", GYM], capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    assert float(finished.stdout.split()[-1]) > 0.7


@pytest.fixture
def my_module(tmp_path, monkeypatch):
    (tmp_path / "my_problem.py").write_text(PROBLEM)
    (tmp_path / "my_method.py").write_text(METHOD)
    (tmp_path / "my_agent.py").write_text(AGENT)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_problem_keeps_the_contract_and_runs(my_module, capsys) -> None:
    assert main(["check-problem", "my_problem:mine/Rotation-v0"]) == 0, capsys.readouterr()
    run = ["run", "my_problem:mine/Rotation-v0", "--agent", "backprop", "--tasks", "2"]
    assert main([*run, "--out", str(my_module / "runs")]) == 0


def test_agent_keeps_the_contract_and_learns(my_module, capsys) -> None:
    assert main(["check-agent", "my_agent:Perceptron"]) == 0, capsys.readouterr()
    run = ["run", "PermutedDigits-v0", "--agent", "my_agent:Perceptron", "--tasks", "2"]
    assert main([*run, "--out", str(my_module / "runs")]) == 0
    assert main(["score", str(my_module / "runs"), "--json"]) == 0
    assert float(re.findall(r'"estimate": (0\.\d+)', capsys.readouterr().out)[0]) > 0.5


def test_method_joins_learners_and_algorithms(my_module, capsys) -> None:
    for base in ("adam", "fresh", "sb3/a2c"):
        assert main(["check-agent", f"{base}+my_method:L2Init"]) == 0, capsys.readouterr()
    run = ["run", "PermutedDigits-v0", "--agent", "adam+my_method:L2Init", "--tasks", "2"]
    assert main([*run, "--set", "strength=.1", "--out", str(my_module / "runs")]) == 0
    (config,) = (my_module / "runs").rglob("config.json")
    assert json.loads(config.read_text())["agent_settings"]["strength"] == 0.1


def test_commands_named_in_the_readme_exist(capsys) -> None:
    for command in set(re.findall(r"continual-envs ([a-z-]+)[ `\n]", README)):
        with pytest.raises(SystemExit) as exit:
            main([command, "--help"])
        assert exit.value.code == 0


def test_a_module_of_the_current_folder_is_found(my_module) -> None:
    """As from the installed command, which does not look into the current folder by itself."""
    start = "import sys; from continual_envs.__main__ import main; sys.exit(main())"
    command = [sys.executable, "-P", "-c", start, "check-problem", "my_problem:mine/Rotation-v0"]
    finished = subprocess.run(command, cwd=my_module, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr


EXTENDING = (ROOT / "docs" / "extending.md").read_text()


@pytest.fixture
def of_its_own(tmp_path, monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", EXTENDING, flags=re.DOTALL)
    (study,) = re.findall(r"```toml\n(.*?)```", EXTENDING, flags=re.DOTALL)
    (tmp_path / "my_module.py").write_text(code)
    (tmp_path / "quietest.toml").write_text(study)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("base", ["adam", "fresh", "sb3/a2c"])
def test_a_method_on_units_keeps_the_contract(of_its_own, base, capsys) -> None:
    agent = f"{base}+my_module:Quietest"
    assert main(["check-agent", agent, "--set", "period=7"]) == 0, capsys.readouterr()
    if base == "adam":
        given = ["--set", "hidden=[]"]
        assert main(["run", "PermutedDigits-v0", "--agent", agent, *given]) == 2
        assert "Quietest needs hidden layers" in capsys.readouterr().err


def test_a_study_of_it_is_understood(of_its_own, capsys) -> None:
    assert main(["study", "quietest.toml", "--dry-run"]) == 0
    assert capsys.readouterr().out.count("my_module.Quietest") == 5
    assert main(["study", "quietest.toml", "--dry-run", "--tuning"]) == 0
    assert capsys.readouterr().out.count("my_module.Quietest") == 2 * 3
