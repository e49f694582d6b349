"""Data flows one way, and so do imports: environments, agents, evaluation, report."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OURS = ("continual_envs", "agents", "evaluation")
STANDARD = sys.stdlib_module_names
FILES_ONLY = ("evaluation.report", "evaluation.runs", "evaluation.scores", "evaluation.statistics")


@dataclass(frozen=True)
class Import:
    """One imported name: `from module import name`, or `import module` with an empty name."""

    module: str
    name: str
    lazy: bool

    @property
    def root(self) -> str:
        return self.module.partition(".")[0]


def files(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def imports(path: Path) -> tuple[Import, ...]:
    """Every import statement of a file, those inside functions being lazy."""
    return tuple(_imports(ast.parse(path.read_text(encoding="utf-8")), module_name(path), False))


def _imports(tree: ast.AST, module: str, lazy: bool) -> Iterator[Import]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, "", lazy) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import, which these tests cannot read"
            yield from (Import(node.module or "", alias.name, lazy) for alias in node.names)
        inside = lazy or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        yield from _imports(node, module, inside)


def offences(package: str, allowed: object) -> list[str]:
    assert files(package), f"no files in {package}"
    return [
        f"{path.relative_to(ROOT)}: {one.module} {one.name}"
        for path in files(package)
        for one in imports(path)
        if not allowed(one)  # type: ignore[operator]
    ]


def test_environments_import_numpy_gymnasium_and_themselves() -> None:
    def allowed(one: Import) -> bool:
        known = {"numpy", "gymnasium", "continual_envs"} | STANDARD
        return one.root in known or (one.root in ("pooch", "PIL") and one.lazy)

    assert offences("continual_envs", allowed) == []


def test_agents_know_of_the_environments_only_chunks_and_checks() -> None:
    """Their checkers, which no run imports, also share the helpers of the problems' checkers."""
    permitted = {
        ("continual_envs.core", "Chunk"),
        ("continual_envs", "checks"),
        # Those that a chunk has and an engine reads by reference.
        *(("continual_envs.transforms", name) for name in ("Identity", "Pixels", "Scale")),
        *(
            ("continual_envs.checks", name)
            for name in ("integer", "nearest", "number", "one_line", "one_of")
        ),
    }
    checkers = {ROOT / "agents" / "testing.py", *files("agents/contract")}
    found = [
        f"{path.relative_to(ROOT)}: {one.module} {one.name}"
        for path in files("agents")
        for one in imports(path)
        if one.root in OURS and one.root != "agents"
        if (one.module, one.name) not in permitted
        if not (path in checkers and one.module == "continual_envs.contract.faults")
    ]
    assert found == []


def test_no_run_imports_the_checkers() -> None:
    """What `check-agent` and `check-problem` need is loaded by nothing but their own commands."""
    inside = {*files("agents/contract"), *files("continual_envs/contract")}
    doors = {ROOT / package / "testing.py" for package in ("agents", "continual_envs")}
    found = [
        f"{path.relative_to(ROOT)}: {one.module}"
        for package in OURS
        for path in files(package)
        if path not in inside | doors
        for one in imports(path)
        if not one.lazy and {"contract", "testing"} & {*one.module.split("."), one.name}
    ]
    assert found == []


@pytest.mark.parametrize("package", ["continual_envs", "agents"])
def test_nothing_imports_the_evaluation(package: str) -> None:
    assert offences(package, lambda one: one.root != "evaluation") == []
    launcher = ROOT / "continual_envs" / "__main__.py"
    named = [
        str(path.relative_to(ROOT))
        for path in files(package)
        if path != launcher
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant)
        and str(node.value).startswith(("evaluation.", "evaluation:"))
    ]
    assert named == [], "reached by name"


def test_nothing_installed_imports_the_tests() -> None:
    found = [
        path
        for package in OURS
        for path in files(package)
        for one in imports(path)
        if one.root in ("tests", "benchmarks", "examples")
    ]
    assert found == []


@pytest.mark.parametrize("start", FILES_ONLY)
def test_reading_run_folders_needs_files_only(start: str) -> None:
    """Follow the imports within `evaluation`, lazy ones too."""
    paths = {module_name(path): path for path in files("evaluation")}
    waiting = [name for name in paths if name == start or name.startswith(f"{start}.")]
    assert waiting, f"no module {start}"
    seen: set[str] = set()
    found = []
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        for one in imports(paths[name]):
            if one.root in ("agents", "continual_envs", "torch", "gymnasium"):
                found.append(f"{name}: {one.module}")
            waiting += [m for m in (one.module, f"{one.module}.{one.name}") if m in paths]
    assert found == []


def loaded_by(statement: str) -> set[str]:
    script = f"import sys; {statement}; print(*sorted(m.partition('.')[0] for m in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize("module", FILES_ONLY)
def test_reading_run_folders_loads_no_other_layer(module: str) -> None:
    assert not loaded_by(f"import {module}") & {"agents", "continual_envs", "torch", "gymnasium"}


def test_importing_the_environments_loads_nothing_heavy() -> None:
    before = loaded_by("import gymnasium")
    assert loaded_by("import continual_envs") - before == {"continual_envs"}
    making = "import gymnasium, continual_envs; gymnasium.make('continual_envs/PermutedDigits-v0')"
    heavy = {"torch", "sklearn", "scipy", "pooch", "matplotlib", "pandas"}
    assert not (loaded_by(making) - before) & heavy


def test_importing_the_environments_takes_no_time() -> None:
    """Less than 0.1 s beyond `import gymnasium`: the best of several processes."""
    script = (
        "import gymnasium, time; start = time.perf_counter(); import continual_envs; "
        "print(time.perf_counter() - start)"
    )
    best = min(
        float(subprocess.check_output([sys.executable, "-c", script], text=True, cwd=ROOT))
        for _ in range(4)
    )
    assert best < 0.1
