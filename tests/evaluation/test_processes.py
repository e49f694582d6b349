"""The command line as a process: how it is started, read and stopped."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest
import torch

import evaluation
from evaluation.executors import one_thread
from tests.conftest import ROOT
from tests.evaluation.helpers import DIGITS, finish, python, snapshot


def test_list_is_quick_and_loads_no_torch() -> None:
    source = (
        "import sys, time; began = time.perf_counter(); from continual_envs.__main__ import main;"
        "sys.argv = ['continual-envs', 'list']; code = main(); assert 'torch' not in sys.modules;"
        "print(time.perf_counter() - began, file=sys.stderr); sys.exit(code)"
    )
    times = []
    for _ in range(3):  # the machine may be busy
        code, out, err = finish(python("-c", source))
        assert code == 0 and "backprop" in out, err
        times.append(float(err))
    assert min(times) < 0.5


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGPIPE")
def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    process = python("-u", "-m", "continual_envs", "list", "agents")
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(30) == 0
    assert process.stderr is not None and process.stderr.read() == ""
    process.stderr.close()


@pytest.mark.parametrize("name", ["agents", "evaluation"])
def test_a_foreign_package_of_our_name_is_named(name: str, tmp_path: Path) -> None:
    foreign = tmp_path / "foreign" / name / "__init__.py"
    foreign.parent.mkdir(parents=True)
    foreign.write_text("raise SystemExit('the foreign package was imported')")
    path = os.pathsep.join([str(foreign.parents[1]), str(ROOT)])
    source = "import sys; from continual_envs.__main__ import main; sys.exit(main())"
    process = python("-c", f"import sys; sys.path.remove(''); {source}", "list", PYTHONPATH=path)
    code, out, err = finish(process)
    assert (code, out) == (2, "") and err.count("\n") == 1
    assert str(foreign) in err and repr(name) in err


@pytest.mark.skipif(sys.platform == "win32", reason="no process groups")
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_ctrl_c_says_how_to_go_on_and_leaves_nobody_at_work(jobs: str, tmp_path: Path) -> None:
    source = (
        # A shell lets what it starts in the background ignore Ctrl-C.
        "import os, signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "os.setsid(); from continual_envs.__main__ import main;"
        "sys.argv = ['continual-envs', *sys.argv[1:]]; sys.exit(main())"
    )
    line = ["run", DIGITS, "--agent", "backprop", "--tasks", "100000", "--seeds", "0:3"]
    process = python("-c", source, *line, "--jobs", jobs, "--out", str(tmp_path / "o"))
    deadline = time.monotonic() + 60
    while not list(tmp_path.rglob("records.jsonl")) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    code, _, err = finish(process, timeout=30)
    assert code == 130
    assert err.splitlines()[-1] == "continual-envs: stopped; run the same command again to go on"
    assert "Traceback" not in err
    before = snapshot(tmp_path)
    time.sleep(0.5)
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("flushed", [False, True])
def test_running_in_this_process_leaves_torch_as_it_was(flushed: bool) -> None:
    torch.set_flush_denormal(flushed)
    before = torch.get_num_threads()
    try:
        with one_thread():
            assert torch.get_num_threads() == 1 and torch.tensor(1e-38) * 0.1 == 0
        assert torch.get_num_threads() == before
        assert bool(torch.tensor(1e-38) * 0.1 == 0) is flushed
    finally:
        torch.set_flush_denormal(False)


def test_what_can_be_called_is_listed() -> None:
    assert set(evaluation.__all__) <= set(dir(evaluation))
