"""The report: run folders, ours or a third party's, as one page a person can read.

Reads files only. Plotting and templates are loaded when a function is called, so that importing
this costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

__all__ = ["report", "save_figures"]

Paths = str | Path | Sequence[str | Path]


def report(paths: Paths, out: str | Path = "report.html", title: str | None = None) -> Path:
    """Write one self-contained HTML page about every run at or below the paths.

    The same run folders give the same bytes.

    Args:
        paths: One folder or several; each is searched for run folders.
        out: File to write; missing folders above it are made.
        title: Heading of the page; by default it names the problems.

    Returns:
        The path of the page.

    Raises:
        ValueError: If a path holds no run or a corrupt one; names the file.
    """
    from evaluation.report.arms import gather
    from evaluation.report.page import render

    page = Path(out)
    html = render(gather(_listed(paths)), title)
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(html, encoding="utf-8")
    return page


def save_figures(paths: Paths, folder: str | Path) -> list[Path]:
    """Write every figure of the report as PDF and as PNG, and return the files.

    Args:
        paths: As for `report`.
        folder: Where to write; made if missing.

    Raises:
        ValueError: If a path holds no run or a corrupt one; names the file.
    """
    from evaluation.report.arms import gather
    from evaluation.report.figures import save

    return save(gather(_listed(paths)), Path(folder))


def _listed(paths: Paths) -> list[str | Path]:
    return [paths] if isinstance(paths, str | Path) else list(paths)
