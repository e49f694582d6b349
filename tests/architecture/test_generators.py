"""No global random generator: every draw comes from a generator that somebody seeded."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.test_imports import OURS, ROOT, files

NUMPY_ALLOWED = {"SeedSequence", "PCG64", "Generator", "BitGenerator"}
TORCH_GLOBAL = {"manual_seed", "seed", "initial_seed", "get_rng_state", "set_rng_state", "random"}
TORCH_DRAWS = {
    "rand", "randn", "randint", "randperm", "rand_like", "randn_like", "randint_like",
    "bernoulli", "normal", "multinomial", "poisson", "dropout", "alpha_dropout",
    "kaiming_uniform_", "kaiming_normal_", "xavier_uniform_", "xavier_normal_", "trunc_normal_",
    "orthogonal_", "normal_", "uniform_", "bernoulli_", "exponential_", "random_", "cauchy_",
    "geometric_", "log_normal_",
}  # fmt: skip
FUNCTIONS = {"torch", "F", "functional", "nn.functional", "torch.nn.functional"}
TORCH_MODULES = {"Dropout", "Dropout1d", "Dropout2d", "AlphaDropout", "RReLU"}


def dotted(node: ast.AST) -> str:
    """Return "a.b.c" for an attribute chain, its unnamed beginning as an empty part."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def offences(tree: ast.AST) -> Iterator[str]:
    """Yield what uses a global generator, or one without a seed."""
    calls = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import) and any(
            a.name in ("random", "numpy.random") for a in node.names
        ):
            yield "import random"
        if isinstance(node, ast.ImportFrom):
            names = {alias.name for alias in node.names}
            if node.module in ("random", "torch.random"):
                yield f"from {node.module}"
            if node.module == "numpy.random" and not names <= NUMPY_ALLOWED:
                yield f"from numpy.random import {names}"
            if node.module == "numpy" and "random" in names:
                yield "from numpy import random"
            if node.module == "torch" and names & (TORCH_GLOBAL | TORCH_DRAWS):
                yield f"from torch import {names}"
        if not isinstance(node, ast.Attribute):
            continue
        name, call = dotted(node), calls.get(id(node))
        before, _, last = name.rpartition(".")
        if before in ("np.random", "numpy.random"):
            seeded = last == "default_rng" and call is not None and (call.args or call.keywords)
            if last not in NUMPY_ALLOWED and not seeded:
                yield name
        elif before in ("torch", "torch.cuda", "torch.random") and last in TORCH_GLOBAL:
            yield name
        elif last in TORCH_MODULES and call is not None:
            yield name
        elif last in TORCH_DRAWS and call is not None and (last[-1] == "_" or before in FUNCTIONS):
            generators = [keyword.value for keyword in call.keywords if keyword.arg == "generator"]
            given = [g for g in generators if not (isinstance(g, ast.Constant) and g.value is None)]
            if not given:
                yield name


EXEMPT = {
    # seeds the global generators and restores them, to see whether a problem draws from them
    "continual_envs/contract/faults.py",
    # lends the global generators to Stable-Baselines3, which draws from them, and restores them
    "agents/rl/generators.py",
}
SOURCES = [
    path
    for package in OURS
    for path in files(package)
    # the one place of a package where random numbers come from
    if path.name != "seeding.py" and str(path.relative_to(ROOT)) not in EXEMPT
]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_global_generator(path: Path) -> None:
    assert list(offences(ast.parse(path.read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize(
    "line",
    [
        "import random",
        "from random import shuffle",
        "from numpy import random",
        "from numpy.random import rand",
        "np.random.seed(0)",
        "x = np.random.rand(3)",
        "np.random.default_rng()",
        "f = np.random.permutation",
        "torch.manual_seed(0)",
        "torch.cuda.manual_seed(0)",
        "from torch import rand",
        "torch.rand(3)",
        "torch.randn(3, generator=None)",
        "weight.normal_()",
        "weight.data.uniform_(-1, 1)",
        "nn.init.kaiming_uniform_(weight)",
        "F.dropout(x, 0.1)",
        "nn.Dropout(0.1)",
    ],
)
def test_the_search_finds(line: str) -> None:
    assert list(offences(ast.parse(line)))


@pytest.mark.parametrize(
    "line",
    [
        "np.random.default_rng(seed)",
        "np.random.PCG64(np.random.SeedSequence(seed))",
        "torch.rand(3, generator=self.generator)",
        "weight.normal_(generator=generator)",
        "torch.Generator('cpu').manual_seed(words)",
        "seeding.uniform(keys, (1, 2), (3,))",
        "np.random.default_rng(0).multinomial(3, p)",
    ],
)
def test_the_search_allows(line: str) -> None:
    assert list(offences(ast.parse(line))) == []
