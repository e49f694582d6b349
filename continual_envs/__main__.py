"""The launcher of the command line: makes sure that `agents` and `evaluation` are ours.

Both are generic names that other distributions install too. This module is the one place that
reaches from the environments to the evaluation, by name only.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from pathlib import Path

import continual_envs


def stranger(name: str) -> str | None:
    """Return the file of package `name` if it is not the one installed beside ours."""
    home = Path(continual_envs.__file__).resolve().parents[1]
    spec = importlib.util.find_spec(name)
    found = Path(spec.origin).resolve() if spec and spec.origin else None
    return None if found == home / name / "__init__.py" else str(found)


def main() -> int:
    """Run the command line and return its exit code."""
    for name in ("agents", "evaluation"):
        if found := stranger(name):
            print(
                f"continual-envs: package {name!r} is not ours but {found}; "
                "use a virtual environment without the distribution that installs it",
                file=sys.stderr,
            )
            return 2
    sys.path.append(os.getcwd())  # so that `my_module:attribute` is found, and nothing is shadowed
    code: int = importlib.import_module("evaluation.cli").main()
    return code


if __name__ == "__main__":
    sys.exit(main())
