"""The command line refuses bad input with code 2 and one line, before anything is written."""

import gzip
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

import evaluation
from evaluation import cli
from evaluation.loop import run_one
from tests.evaluation.helpers import DIGITS, cell, snapshot

RUN = ["run", DIGITS, "--agent", "backprop"]
TINY = ["--set", "hidden=[8]", "step_size=0.1", "--tasks", "3"]
TINY += ["--problem-set", "batch_size=16", "examples_per_task=64"]
Capture = pytest.CaptureFixture[str]


def complaint(arguments: Sequence[str], capsys: Capture) -> str:
    """The one line on stderr of a command that must exit with code 2 and print nothing else."""
    capsys.readouterr()
    try:
        code = cli.main(arguments)
    except SystemExit as exit:
        code = exit.code  # type: ignore[assignment]
    out, err = capsys.readouterr()
    assert code == 2, (out, err)
    assert out == "" and err.count("\n") == 1 and err.endswith("\n"), (out, err)
    assert err.startswith("continual-envs") and len(err) < 700 and "Traceback" not in err
    return err


PLUGINS = "tests.evaluation.plugins"
CASES: list[tuple[list[str], list[str]]] = [
    (["rum", DIGITS], ["command", "'rum'", "check-agent", "nearest: run"]),
    ([], ["COMMAND"]),
    (["--foo", "list"], ["option", "'--foo'", "--version"]),
    (["run"], ["PROBLEM"]),
    (["run", DIGITS], ["--agent"]),
    ([*RUN, "--sed", "3"], ["option", "'--sed'", "--tasks", "nearest: --seeds"]),
    ([*RUN, "--", "--jobs"], ["option", "--jobs"]),
    (["run", DIGITS, "--agnt", "backprop"], ["option", "'--agnt'", "nearest: --agent"]),
    ([*RUN, "--agent", "adam"], ["option", "--agent is given twice"]),
    (
        ["run", "--set", "step_size=1", DIGITS, "--agent", "adam"],
        ["PROBLEM; it comes before --set"],
    ),
    (["run", "mine/Other-v0", "--agent", "adam"], ["problem", "'mine/Other-v0'", "MODULE:"]),
    (["run", f"{PLUGINS}:mine/Missing-v0", "--agent", "adam"], ["stream", "NoSuchStream"]),
    (["run", DIGITS, "--agent", f"{PLUGINS}:seedless"], ["agent", "seedless", "seed", "factory("]),
    (["run", DIGITS, "--agent", f"{PLUGINS}:mute"], ["agent", "mute", "predict and update"]),
    (["run", DIGITS, "--agent", f"l2+{PLUGINS}:by_step"], ["agent", "by_step", "joins none but"]),
    (["run", DIGITS, "--agent", "linear+redo"], ["agent", "redo", "needs hidden layers"]),
    (["run", DIGITS, "--agent", "linear+l2+continual-backprop"], ["continual-backprop", "hidden"]),
    (["run", DIGITS, "--agent", "linear+layer-norm"], ["agent", "normalisation", "hidden layers"]),
    (["run", DIGITS, "--agent", "dropout", "--set", "hidden=[]"], ["agent", "dropout", "hidden"]),
    ([*RUN, "--set", "lr=0.1"], ["setting", "'lr'", "nearest: step_size"]),
    (
        ["run", "DriftingCartPole-v0", "--agent", "sb3/dqn+online-norm"],
        ["agent", "online-norm", "sb3/ppo"],
    ),
    (["report", "nowhere", "--out", "mine.py"], ["out", "'mine.py'", ".html"]),
    (["export", "nowhere", "--out", "mine.html"], ["out", "'mine.html'", ".csv"]),
    (["list", "problem"], ["kind", "'problem'", "studies", "nearest: problems"]),
    (["run", "PermutedDigit-v0", "--agent", "backprop"], ["problem", "nearest: PermutedDigits"]),
    (["run", DIGITS, "--agent", "bakprop"], ["agent", "'bakprop'", "l2", "nearest: backprop"]),
    ([*RUN, "--set", "step=1"], ["setting", "'step'", "momentum", "nearest: step_size"]),
    ([*RUN, "--set", "step_size"], ["setting", "'step_size'", "key=value"]),
    ([*RUN, "--set", "step_size=1", "step_size=2"], ["step_size", "twice"]),
    ([*RUN, "--set", "step_size=fast"], ["step_size", "'fast'", "a number"]),
    ([*RUN, "--set", "step_size=NaN"], ["step_size", "NaN", "finite"]),
    ([*RUN, "--set", "step_size=-0.1"], ["step_size", "-0.1", "above 0"]),
    ([*RUN, "--set", "momentum=1"], ["momentum", "1.0", "below 1"]),
    ([*RUN, "--set", "hidden=[0]"], ["hidden", "0"]),
    ([*RUN, "--set", "activation=rleu"], ["activation", "'rleu'", "nearest: relu"]),
    ([*RUN, "--set", "optimizer=sdg"], ["optimizer", "'sdg'", "nearest: sgd"]),
    (["run", DIGITS, "--agent", "l2", "--set", "weight_decay=-1"], ["weight_decay", "at least 0"]),
    (["run", DIGITS, "--agent", "dropout", "--set", "dropout_rate=1"], ["dropout_rate", "below 1"]),
    ([*RUN, "--problem-set", "permute=bth"], ["permute", "'bth'", "pixels", "nearest: both"]),
    ([*RUN, "--problem-set", "batchsize=3"], ["batchsize", "nearest: batch_size"]),
    ([*RUN, "--problem-set", "batch_size=0"], ["batch_size", "0", "at least 1"]),
    ([*RUN, "--problem-set", "batch_size=5000"], ["batch_size", "5000", "1797"]),
    ([*RUN, "--problem-set", "batch_size=16", "examples_per_task=50"], ["examples_per_task", "50"]),
    ([*RUN, "--problem-set", "disclosure=hiden"], ["disclosure", "nearest: hidden"]),
    ([*RUN, "--problem-set", "num_tasks=2", "--tasks", "3"], ["tasks", "3", "num_tasks=2"]),
    ([*RUN, "--tasks", "0"], ["tasks", "0", "at least 1"]),
    ([*RUN, "--tasks", "-3"], ["tasks", "-3", "at least 1"]),
    ([*RUN, "--tasks", "many"], ["--tasks", "'many'", "int"]),
    ([*RUN, "--tasks", "1.5"], ["--tasks", "'1.5'", "int"]),
    ([*RUN, "--seeds", ""], ["seeds", "''", "0:5"]),
    ([*RUN, "--seeds", "5:5"], ["seeds", "'5:5'", "0:5"]),
    ([*RUN, "--seeds", "5:2"], ["seeds", "'5:2'", "0:5"]),
    ([*RUN, "--seeds=-2:2"], ["seeds", "'-2:2'", "0:5"]),
    ([*RUN, "--device", "cuda:77"], ["device", "'cuda:77'", "cpu"]),
    ([*RUN, "--engine", "toch"], ["engine", "'toch'", "auto", "nearest: torch"]),
    ([*RUN, "--preset", "papr"], ["preset", "'papr'", "laptop", "nearest: paper"]),
    ([*RUN, "--preset", "paper"], ["preset", "PermutedMNIST-v0"]),
    ([*RUN, "--jobs", "0"], ["jobs", "0", "at least 1"]),
    ([*RUN, "--measure-every", "-1"], ["measure_every", "-1", "at least 0"]),
    (["study", "quik"], ["study", "'quik'", "nearest: quick"]),
    (["study", "no.toml"], ["study", "no.toml", "not a file"]),
    (["score", "nowhere"], ["nowhere", "no run"]),
    (["score"], ["DIR"]),
    (["report", "nowhere"], ["nowhere", "no run"]),
    (["export", "nowhere", "--out", "x.csv"], ["nowhere", "no run"]),
    (["export", "nowhere"], ["--out"]),
    (["data", "lst"], ["data", "'lst'", "nearest: list"]),
    (["data", "verify", "mnst"], ["'mnst'", "digits", "nearest: mnist"]),
    (["data", "fetch"], ["fetch", "mnist"]),
    (["check-agent", "--set", "period=3", "redo"], ["NAME; it comes before --set"]),
    (["run", DIGITS, "--agent", f"{PLUGINS}:odd_settings", "--set", "bare=x"], ["bare", "'x'"]),
    (["check-agent", "redo", "--set", "period=0.5"], ["period", "0.5", "a whole number"]),
    (["check-agent", "bakprop"], ["agent", "'bakprop'", "nearest: backprop"]),
    (["check-problem", "PermutedDigit-v0"], ["problem", "nearest: PermutedDigits-v0"]),
]


@pytest.mark.parametrize("arguments, says", CASES, ids=lambda v: " ".join(v)[-40:])
def test_bad_input(
    arguments: list[str],
    says: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
) -> None:
    monkeypatch.chdir(tmp_path)
    said = complaint(arguments, capsys)
    assert all(word in said for word in says), said
    assert not list(tmp_path.iterdir())


def test_seeds_in_python_are_a_list() -> None:
    with pytest.raises(ValueError, match="^seeds: 3 is not allowed; give a list like"):
        evaluation.run(DIGITS, "backprop", seeds=3)  # type: ignore[arg-type]


def test_an_impossible_pair_is_refused_before_its_data_is_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("CONTINUAL_ENVS_DATA", str(tmp_path / "nowhere"))
    said = complaint(["run", "PermutedMNIST-v0", "--agent", "fresh+sb3/ppo"], capsys)
    assert "fresh+sb3/ppo steps its environment itself" in said and "mnist:" not in said


@pytest.mark.parametrize("command", ["run", "report", "export"])
@pytest.mark.parametrize("where", ["/proc/nothing", "file/below", "file", "folder"])
def test_out_cannot_be_written(
    where: str, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """Whoever runs this may be root, whom permissions do not stop."""
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("in the way")
    Path("folder/x.csv").mkdir(parents=True)
    run_one(cell(), tmp_path / "runs")
    if where.startswith("/proc") and not Path("/proc/self").exists():
        pytest.skip("no /proc here")
    if command == "run":
        if where == "folder":  # the folder of the run itself is a file
            path = cell().folder("folder")
            path.parent.mkdir(parents=True)
            path.write_text("in the way")
        line = [*RUN, *TINY, "--out", where]
    else:
        line = [command, "runs", "--out", f"{where}/x.csv"]
    before = snapshot(tmp_path)
    said = complaint(line, capsys)
    assert "out: " in said and where in said
    assert snapshot(tmp_path) == before


def _spoil(folder: Path, name: str, content: bytes | None) -> None:
    path = folder / name
    path.write_bytes(path.read_bytes()[:-300] if content is None else content)


@pytest.mark.parametrize(
    "name, content",
    [
        ("checkpoint.pt", b"damaged"),
        ("checkpoint.pt", b""),
        ("checkpoint.pt", None),
        ("records.jsonl", None),
        ("records.jsonl", b""),
        ("records.jsonl", b"damaged\n" * 5000),
        ("config.json", b'{"format": 1'),
        ("config.json", b"[]"),
        ("config.json", b"\xff\xfe"),
        ("config.json", b"{}"),
        ("result.json", b"{"),
        ("result.json", b"{}"),
        ("result.json", b'{"tasks": "3"}'),
    ],
)
def test_a_damaged_run_is_not_continued(
    name: str, content: bytes | None, tmp_path: Path, capsys: Capture
) -> None:
    config = cell(tasks=2)
    folder = config.folder(tmp_path)
    run_one(config, folder)
    _spoil(folder, name, content)
    before = snapshot(tmp_path)
    said = complaint([*RUN, *TINY, "--out", str(tmp_path)], capsys)
    assert str(folder) in said
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("command", ["score", "report", "export", "run"])
def test_damaged_records_of_a_run_that_is_done(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = cell().folder("runs")
    run_one(cell(), folder)
    _spoil(folder, "records.jsonl", None)
    before = snapshot(tmp_path)
    more = {"score": ["runs"], "report": ["runs"], "export": ["runs", "--out", "x.csv"]}
    said = complaint([command, *more[command]] if command in more else [*RUN, *TINY], capsys)
    assert "records.jsonl" in said and "line" in said
    assert snapshot(tmp_path) == before


def test_another_runs_checkpoint(tmp_path: Path, capsys: Capture) -> None:
    ours, other = cell(tasks=2), cell(tasks=2, seeds=[1])
    for config in (ours, other):
        run_one(config, config.folder(tmp_path))
    shutil.copy(other.folder(tmp_path) / "checkpoint.pt", ours.folder(tmp_path))
    before = snapshot(tmp_path)
    assert "another run" in complaint([*RUN, *TINY, "--out", str(tmp_path)], capsys)
    assert snapshot(tmp_path) == before


def test_missing_and_corrupt_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    from continual_envs.data import images

    images.load.cache_clear()  # another test may have loaded real files
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    monkeypatch.setenv("CONTINUAL_ENVS_DATA", str(data))
    monkeypatch.setenv("CONTINUAL_ENVS_OFFLINE", "1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    line = ["run", "PermutedMNIST-v0", "--agent", "linear", "--out", str(out)]
    for command in (line, ["data", "verify", "mnist"], ["data", "fetch", "mnist"]):
        said = complaint(command, capsys)
        assert "mnist" in said and str(data) in said and "continual-envs data fetch mnist" in said
    (data / "mnist").mkdir()
    for name in ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"):
        (data / "mnist" / name).write_bytes(gzip.compress(b"not digits"))
    for command in (line, ["data", "verify", "mnist"], ["data", "fetch", "mnist"]):
        said = complaint(command, capsys)
        assert str(data / "mnist") in said and "not the published file" in said
    monkeypatch.setenv("CONTINUAL_ENVS_DATA", str(tmp_path / "none"))
    assert "CONTINUAL_ENVS_DATA" in complaint(line, capsys)
    assert not out.exists()
    images.load.cache_clear()


STUDY = """
title = "t"
seeds = "0:2"
tuning_seeds = "9:11"
[[problems]]
problem = "PermutedDigits-v0"
settings = { batch_size = 16 }
tasks = 2
[[problems.arms]]
agent = "backprop"
tried = { step_size = [0.1, 0.2] }
"""


@pytest.mark.parametrize(
    "old, new, says",
    [
        ("title", "= =", ["not TOML"]),
        ("tasks = 2", "task = 2", ["'task'", "nearest: tasks"]),
        ("seeds = ", "sedes = ", ["'sedes'", "nearest: seeds"]),
        ("agent = ", "name = ", ["'name'", "agent"]),
        ('title = "t"', "", ["title is missing"]),
        ('problem = "PermutedDigits-v0"', "", ["problem is missing"]),
        ('"9:11"', '"1:3"', ["overlap"]),
        ('"0:2"', '"2:0"', ["seeds", "'2:0'", "0:5"]),
        ('"0:2"', "5", ["seeds", "5", "text"]),
        ('tuning_seeds = "9:11"', "", ["tuning_seeds is missing"]),
        ("tasks = 2", "tasks = '2'", ["tasks", "'2'", "whole number"]),
        ("{ batch_size = 16 }", "16", ["settings", "16", "table"]),
        ("[0.1, 0.2]", "0.1", ["tried.step_size", "0.1", "list"]),
        ("[[problems]]", "[problems]", ["problems", "list of tables"]),
        ('"backprop"', '"bakprop"', ["'bakprop'", "nearest: backprop"]),
        ("batch_size", "batchsize", ["nearest: batch_size"]),
        ("title", 'preset = "papr"\ntitle', ["nearest: paper"]),
        ("title", 'engine = "fusd"\ntitle', ["engine", "nearest: fused"]),
        ("[[problems.arms]]", "[[problems.arms]]\nseeds = '10:12'", ["overlap"]),
        (
            "[[problems.arms]]",
            "[[problems.arms]]\nseeds = '2'\ngrid = { step_size = [] }",
            ["grid"],
        ),
    ],
)
def test_a_study_file_that_is_wrong(
    old: str, new: str, says: list[str], tmp_path: Path, capsys: Capture
) -> None:
    assert old in STUDY
    path = tmp_path / "mine.toml"
    path.write_text(STUDY.replace(old, new, 1))
    said = complaint(["study", str(path), "--dry-run", "--out", str(tmp_path / "out")], capsys)
    assert all(word in said for word in says), said
    assert [file.name for file in tmp_path.iterdir()] == ["mine.toml"]
