"""The report: run folders, ours or a third party's, as one page a person can read.

Reads files only. Plotting and templates are loaded when a function is called, so that importing
this costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evaluation.report.arms import Problem
    from evaluation.report.beside import Beside

__all__ = ["report", "save_figures"]

Paths = str | Path | Sequence[str | Path]


def report(
    paths: Paths,
    out: str | Path = "report.html",
    title: str | None = None,
    beside: str | None = None,
) -> Path:
    """Write one self-contained HTML page about every run at or below the paths.

    The same run folders give the same bytes.

    Args:
        paths: One folder or several; each is searched for run folders.
        out: File to write; missing folders above it are made.
        title: Heading of the page; by default it names the problems.
        beside: A study whose frozen results, and what was published, are shown beside the runs.

    Returns:
        The path of the page.

    Raises:
        ValueError: If a path holds no run or a corrupt one; names the file. Or the study has no
            frozen results, or none on the problems of the runs.
    """
    from evaluation.report.page import render

    page = Path(out)
    html = render(*_gathered(paths, beside), title)
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(html, encoding="utf-8")
    return page


def save_figures(paths: Paths, folder: str | Path, beside: str | None = None) -> list[Path]:
    """Write every figure of the report as PDF and as PNG, and return the files.

    Args:
        paths: As for `report`.
        folder: Where to write; made if missing.
        beside: As for `report`.

    Raises:
        ValueError: As for `report`.
    """
    from evaluation.report.figures import save

    return save(*_gathered(paths, beside), Path(folder))


def _gathered(paths: Paths, study: str | None) -> tuple[list[Problem], list[Beside | None]]:
    """Return the problems of the runs, and what stands beside each."""
    from evaluation.report.arms import gather
    from evaluation.report.beside import beside
    from evaluation.report.frozen import load_frozen

    frozen = load_frozen(study) if study is not None else None
    problems = gather([paths] if isinstance(paths, str | Path) else list(paths))
    return problems, beside(frozen, problems) if frozen else [None] * len(problems)
