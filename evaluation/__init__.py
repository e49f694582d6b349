"""From runs to a plasticity score with honest intervals and one readable report.

What the command line does is a function: `run`, `study`, `load`, `score`, `export`, `report`,
`check_agent`, `check_problem`, and the wrapper `Record` for loops that are not ours; data sets are
in `continual_envs.data`. Imported on first use, since torch takes seconds.
"""

from importlib import import_module
from typing import Any

from evaluation.report import report  # also the name of a module: it must be bound here

_HOME = {
    "run": "evaluation.api",
    "study": "evaluation.api",
    "load": "evaluation.runs",
    "score": "evaluation.scores",
    "export": "evaluation.export",
    "check_agent": "agents.testing",
    "check_problem": "continual_envs.testing",
    "Record": "evaluation.record",
}
__all__ = [*_HOME, "report"]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'evaluation' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
