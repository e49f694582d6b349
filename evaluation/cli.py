"""The command line: `continual-envs`. Every command is also a function of the package."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from continual_envs import __version__, checks

if TYPE_CHECKING:
    from evaluation.config import RunConfig

KINDS = ("problems", "agents", "methods", "studies")


class Parser(argparse.ArgumentParser):
    """Complains in one line and exits with code 2."""

    def error(self, message: str) -> NoReturn:
        """Print the complaint."""
        if "required: PROBLEM" in message or "required: NAME" in message:
            message += "; it comes before --set and --problem-set, which take all that follows"
        self.exit(2, f"{self.prog}: {' '.join(message.split())}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: default those of the process.

    Returns:
        0, or 1 if a run or a check failed, or 2 for bad input.
    """
    parser, commands = build_parser()
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if given and not given[0].startswith("-"):
            checks.one_of("command", given[0], commands)
            _check_options(commands[given[0]], given[1:])
        elif given:
            checks.one_of("option", given[0], parser._option_string_actions)
        parsed, more = parser.parse_known_args(given)
        if more:
            checks.one_of("option", more[-1], commands[given[0]]._option_string_actions)
            raise ValueError(f"option: {more[-1]} stands behind --; give it before")
        code: int = parsed.action(parsed)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # whoever reads this, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, OSError) as error:
        print(f"{parser.prog}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except RuntimeError as error:
        import traceback

        if error.__cause__ is not None:
            traceback.print_exception(error.__cause__)
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{parser.prog}: stopped; run the same command again to go on", file=sys.stderr)
        return 130


def _check_options(parser: argparse.ArgumentParser, given: Sequence[str]) -> None:
    """Refuse options that a command does not have, before it misses others, and those given twice.

    Raises:
        ValueError: one line names the option.
    """
    known, seen = parser._option_string_actions, set()
    for text in given:
        option = text.partition("=")[0]
        if not option.startswith("--") or option == "--":
            continue
        checks.one_of("option", option, known)
        if option in seen and not isinstance(known[option], argparse._ExtendAction):
            raise ValueError(f"option: {option} is given twice; give it once")
        seen.add(option)


def build_parser() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    """Return the parser and those of all commands by name."""
    parser = Parser(prog="continual-envs", description="Measure loss of plasticity.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=Parser)

    def command(name: str, action: Callable[[Any], int], help: str) -> argparse.ArgumentParser:
        added = subparsers.add_parser(name, help=help, description=help, allow_abbrev=False)
        added.set_defaults(action=action)
        return added

    sub = command("list", _list, "Show what can be named.")
    sub.add_argument("kind", nargs="?", metavar="KIND", help=", ".join(KINDS))
    sub.add_argument("-v", "--verbose", action="store_true", help="show settings and defaults")

    sub = command("run", _run, "Run an agent on a problem, or go on with it.")
    sub.add_argument("problem", metavar="PROBLEM")
    sub.add_argument("--agent", required=True, metavar="NAME")
    for option, owner in (("--set", "agent"), ("--problem-set", "problem")):
        text = f"settings of the {owner}; takes all that follows, so PROBLEM comes first"
        sub.add_argument(
            option, nargs="+", default=[], metavar="KEY=VALUE", action="extend", help=text
        )
    sub.add_argument("--seeds", default="0", help="0:5 is 0 to 4; 0,3,7 is a list")
    sub.add_argument("--tasks", type=int, metavar="N", help="horizon; a larger one goes on")
    sub.add_argument("--preset", default="laptop", help="laptop or paper")
    sub.add_argument("--engine", default="auto", help="auto, torch, fused or graph")
    sub.add_argument("--device", default="cpu")
    sub.add_argument("--measure-every", type=int, default=1, metavar="N", help="in tasks; 0 never")
    _add_execution(sub)

    sub = command("study", _study, "Run a study, or go on with it, and report.")
    sub.add_argument("study", metavar="NAME_OR_FILE")
    sub.add_argument("--dry-run", action="store_true", help="print the runs and do nothing")
    sub.add_argument("--tuning", action="store_true", help="run what was tried in tuning instead")
    _add_execution(sub)

    sub = command("report", _report, "Write one page from run folders.")
    sub.add_argument("dirs", nargs="+", metavar="DIR")
    sub.add_argument("--out", metavar="FILE.html", help="else report.html in the first DIR")
    text = "show this study's frozen results, and what was published, beside the runs"
    sub.add_argument("--beside", metavar="STUDY", help=text)

    sub = command("score", _score, "Print the scores of run folders.")
    sub.add_argument("dirs", nargs="+", metavar="DIR")
    sub.add_argument("--json", action="store_true")

    sub = command("export", _export, "Write one row per run and task.")
    sub.add_argument("dirs", nargs="+", metavar="DIR")
    sub.add_argument("--out", required=True, metavar="FILE.csv")

    sub = command("data", _data, "Say where data sets are, fetch or verify them.")
    sub.add_argument("what", nargs="?", default="list", metavar="list|fetch|verify")
    sub.add_argument("name", nargs="?", metavar="NAME")

    sub = command("check-agent", _check_agent, "Check that an agent keeps the contract.")
    sub.add_argument("name", metavar="NAME")
    text = "settings at which a rare thing happens within a hundred steps; NAME comes first"
    sub.add_argument(
        "--set", nargs="+", default=[], metavar="KEY=VALUE", action="extend", help=text
    )
    sub = command("check-problem", _check_problem, "Check that a problem keeps the contract.")
    sub.add_argument("id", metavar="ID")
    return parser, dict(subparsers.choices)


def _add_execution(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes")
    parser.add_argument("--out", default="runs", metavar="DIR")


def _list(parsed: argparse.Namespace) -> int:
    from evaluation.listing import listing

    if parsed.kind:
        checks.one_of("kind", parsed.kind, KINDS)
    for line in listing(parsed.kind, parsed.verbose):
        print(line)
    return 0


def _run(parsed: argparse.Namespace) -> int:
    from evaluation.config import configure, parse_seeds
    from evaluation.settings import parse_assignments

    configs = configure(
        parsed.problem,
        parsed.agent,
        settings=parse_assignments(parsed.set),
        problem_settings=parse_assignments(parsed.problem_set),
        seeds=parse_seeds(parsed.seeds),
        tasks=parsed.tasks,
        preset=parsed.preset,
        engine=parsed.engine,
        device=parsed.device,
        measure_every=parsed.measure_every,
    )
    folders = _execute(configs, parsed.out, parsed.jobs)
    _print_scores(folders)
    for folder in folders:
        print(folder)
    return 0


def _study(parsed: argparse.Namespace) -> int:
    from evaluation.studies import load_study

    study = load_study(parsed.study)
    configs = study.runs(parsed.tuning)
    if parsed.dry_run:
        for config in configs:
            print(config.folder(parsed.out), config.tasks, "tasks")
        print(f"{len(configs)} runs; nothing done")
        return 0
    folders = _execute(configs, parsed.out, parsed.jobs)
    _print_scores(folders)
    if not parsed.tuning:
        from evaluation.report import report

        name = f"{Path(parsed.study).stem}.html"
        page = report(folders, Path(parsed.out) / name, study.title)
        print(f"report: {page}")
    return 0


def _execute(configs: Sequence[RunConfig], out: str, jobs: int) -> list[Path]:
    """Check all, run all with progress shown, and return the run folders."""
    from rich.console import Console

    from evaluation import api, executors
    from evaluation.progress import Bars

    cells = api.check(configs, out, jobs)
    for folder in api.starting_over(cells):
        print(f"{folder}: no checkpoint; starts over", file=sys.stderr)
    with Bars(configs, Console(stderr=True)) as bars:
        executors.execute(cells, min(jobs, len(cells)), bars)
    return [folder for _, folder in cells]


def _print_scores(folders: Sequence[Path]) -> None:
    from rich.console import Console

    from evaluation.report.tables import rich_table
    from evaluation.runs import load
    from evaluation.scores import score

    console = Console()
    console.width = max(console.width, 120)  # what the table needs; narrower, it loses columns
    console.print(rich_table(score(load(*folders))))


def _report(parsed: argparse.Namespace) -> int:
    from evaluation.api import check_writable_file
    from evaluation.report import report

    first = Path(parsed.dirs[0])
    if parsed.out is None and not first.is_dir():
        raise ValueError(f"{first}: holds no run; a run folder has a config.json")
    page = Path(parsed.out or first / "report.html")
    check_writable_file("out", page, ".html")
    print(report(parsed.dirs, page, beside=parsed.beside))
    return 0


def _score(parsed: argparse.Namespace) -> int:
    from dataclasses import asdict

    from evaluation.runs import load
    from evaluation.scores import score

    if not parsed.json:
        _print_scores([Path(folder) for folder in parsed.dirs])
        return 0
    print(json.dumps([asdict(one) for one in score(load(*parsed.dirs))], indent=1))
    return 0


def _export(parsed: argparse.Namespace) -> int:
    from evaluation.api import check_writable_file
    from evaluation.export import export

    check_writable_file("out", Path(parsed.out), ".csv")
    print(export(parsed.dirs, parsed.out))
    return 0


def _data(parsed: argparse.Namespace) -> int:
    from continual_envs import data

    checks.one_of("data", parsed.what, ("list", "fetch", "verify"))
    everything = data.all_names()
    names = everything if parsed.name is None else (parsed.name,)
    if parsed.what == "fetch" and parsed.name is None:
        raise ValueError(f"data: fetch needs a name; give one of {', '.join(everything)}")
    if parsed.what == "verify" and parsed.name is None:
        names = tuple(name for name in everything if data.locate(name))
    for name in names:
        if parsed.what == "list":
            print(f"{name:15} {_where(name)}")
        else:
            location = (data.fetch if parsed.what == "fetch" else data.verify)(name)
            print(f"{name:15} ok, {location.origin}: {location.files[0].parent}")
    return 0


def _where(name: str) -> str:
    """Return where a data set is, or what is wrong with it."""
    from continual_envs import data

    try:
        location = data.locate(name)
    except (data.DataNotFound, data.DataCorrupt) as error:
        return str(error)
    if location is None:
        return f"not here; see continual-envs data fetch {name}"
    return f"{location.origin}: {location.files[0].parent}"


def _check_agent(parsed: argparse.Namespace) -> int:
    from agents import registry
    from agents.testing import check_agent
    from evaluation.settings import expand, parse_assignments

    name, given = parsed.name, parse_assignments(parsed.set)
    if not given:
        return _print_faults(name, check_agent(name))
    public = registry.canonical(name, given)
    known = {key: registry.parameters(name)[key] for key in public}
    settings = expand(known, {}, public, f"setting of {name}")
    return _print_faults(name, check_agent(partial(registry.factory(name), **settings)))


def _check_problem(parsed: argparse.Namespace) -> int:
    from continual_envs.testing import check_problem
    from evaluation.config import problem_id

    module, _, name = parsed.id.rpartition(":")
    return _print_faults(parsed.id, check_problem(problem_id(name, module)))


def _print_faults(name: str, faults: Sequence[str]) -> int:
    for fault in faults:
        if "not installed" in fault:  # a lack of this machine, not of what is checked
            raise ValueError(fault.rpartition("ValueError: ")[2])
    for fault in faults:
        print(f"{name}: {fault}")
    if not faults:
        print(f"{name}: keeps the contract")
    return 1 if faults else 0
