"""The tables of scores: arms by columns, as data, and as a table for the terminal."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluation.report.arms import rank
from evaluation.report.findings import TITLES, Verdict, verdict
from evaluation.report.wording import (
    DASH,
    DIRECTIONS,
    KINDS,
    RATIO_DECIMALS,
    ends,
    interval_sentence,
    number,
    outcome_decimals,
    outcome_words,
    reason,
)
from evaluation.scores import Score
from evaluation.statistics import Interval

if TYPE_CHECKING:
    from rich.table import Table as RichTable
    from rich.text import Text

Column = tuple[str, str, bool]  # heading, attribute of Score, whether it is a ratio
COLUMNS: tuple[Column, ...] = (
    ("Whole stream", "outcome", False),
    ("Early window", "early", False),
    ("Late window", "late", False),
    ("Plasticity", "plasticity", True),
    ("Retention", "retention", True),
)
GAP: Column = ("Gap to linear", "gap_to_linear", False)
COLLAPSE: Column = ("Collapsed tasks", "collapse", True)
_VERDICT_STYLES: dict[Verdict | None, str] = {"lost": "red", "kept": "green", "steady": "yellow"}


@dataclass(frozen=True)
class Cell:
    """One number: the estimate, its interval, the marks of its footnotes, kind and n."""

    estimate: str
    ends: str
    marks: str
    hint: str


@dataclass(frozen=True)
class Row:
    """One arm. `verdict` is None for a reference arm."""

    label: str
    marks: str
    cells: tuple[Cell, ...]
    seeds: int
    privileges: str
    verdict: Verdict | None


@dataclass(frozen=True)
class Table:
    """The scores of one problem; `footnotes` are pairs of mark and text."""

    title: str
    methods: tuple[Row, ...]
    references: tuple[Row, ...]
    footnotes: tuple[tuple[str, str], ...]


def columns(scores: Sequence[Score]) -> tuple[Column, ...]:
    """Return the columns that the scores need: returns collapse, others have a gap to linear."""
    returns = {score.outcome_name == "return" for score in scores}
    return COLUMNS + (GAP,) * (False in returns) + (COLLAPSE,) * (True in returns)


def table(scores: Sequence[Score], shown: Sequence[Column] | None = None) -> Table:
    """Return the scores of the arms of one problem: methods by late window, then references.

    Args:
        scores: of one problem.
        shown: the columns; None is those that it needs.
    """
    shown = columns(scores) if shown is None else shown
    ordered = sorted(scores, key=rank)
    marks = _marks(ordered, shown)
    decimals = outcome_decimals(ordered)
    rows = [(score.is_reference, _row(score, decimals, marks, shown)) for score in ordered]
    first = ordered[0]
    better = DIRECTIONS[first.higher_is_better]
    return Table(
        title=f"{first.problem_label}: {outcome_words(first)}, {better}",
        methods=tuple(row for is_reference, row in rows if not is_reference),
        references=tuple(row for is_reference, row in rows if is_reference),
        footnotes=tuple((mark, text) for text, mark in marks.items()),
    )


def _row(score: Score, decimals: int, marks: dict[str, str], shown: Sequence[Column]) -> Row:
    return Row(
        label=score.label,
        marks="".join(marks[note] for note in _row_notes(score)),
        cells=tuple(
            _cell(getattr(score, name), RATIO_DECIMALS if is_ratio else decimals, marks)
            for _, name, is_ratio in shown
        ),
        seeds=len(score.seeds),
        privileges=", ".join(score.privileges) or DASH,
        verdict=None if score.is_reference else verdict(score),
    )


def _cell(interval: Interval, decimals: int, marks: dict[str, str]) -> Cell:
    kind = KINDS.get(interval.kind)
    return Cell(
        estimate=number(interval.estimate, decimals),
        ends=ends(interval, decimals),
        marks=marks.get(reason(interval.note), ""),
        hint=f"95 % interval: {kind}, n = {interval.n}" if kind else f"n = {interval.n}",
    )


def _marks(scores: Sequence[Score], shown: Sequence[Column]) -> dict[str, str]:
    """Return every note of these scores with its mark: a, b, ..., z, aa, ab, ..."""
    notes: dict[str, None] = {}
    for score in scores:
        notes.update(dict.fromkeys(_row_notes(score)))
        intervals: list[Interval] = [getattr(score, name) for _, name, _ in shown]
        notes.update(dict.fromkeys(reason(i.note) for i in intervals if i.note))
    return {note: _letters(index) for index, note in enumerate(notes)}


def _row_notes(score: Score) -> tuple[str, ...]:
    return tuple(map(reason, score.notes))


def _letters(index: int) -> str:
    head, last = divmod(index, 26)
    return (_letters(head - 1) if head else "") + chr(ord("a") + last)


def rich_table(scores: Sequence[Score]) -> RichTable:
    """Return the scores as a table for the terminal, about 100 columns wide.

    The same numbers as in the page: methods by late window, reference arms dim below a rule. A
    second line has the privileges of the arm and the intervals.
    """
    from rich import box
    from rich.table import Table as RichTable

    needed = columns(scores)
    shown = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, padding=0)
    shown.caption_justify = "left"
    shown.add_column("Arm", overflow="fold", min_width=18)
    for heading, _, _ in needed:
        shown.add_column(heading.replace(" ", "\n", 1), justify="right", no_wrap=True)
    shown.add_column("Verdict\nand n", no_wrap=True)
    lines = [interval_sentence(scores) + " Reference arms are never ranked."]
    for key in dict.fromkeys((s.problem_label, s.outcome_name) for s in scores):
        own = table([s for s in scores if (s.problem_label, s.outcome_name) == key], needed)
        shown.add_row(_styled(own.title.replace(": ", "\n"), "bold"))
        for rows, style in ((own.methods, ""), (own.references, "dim")):
            for row in rows:
                shown.add_row(*_rich_cells(row), style=style, end_section=row is rows[-1])
        lines += [own.title] * bool(own.footnotes)
        lines += [f"  {mark}  {text}" for mark, text in own.footnotes]
    shown.caption = _styled("\n".join(lines), "dim")
    return shown


def _rich_cells(row: Row) -> list[Text]:
    label = _styled(row.label)
    label.append(f" {row.marks}" if row.marks else "", "cyan")
    label.append(f"\nuses {row.privileges}" if row.privileges != DASH else "", "dim")
    cells = [label]
    for cell in row.cells:
        text = _styled(cell.estimate)
        text.append(f" {cell.marks}" if cell.marks else "", "cyan")
        text.append(f"\n{_compact(cell.ends)}" if cell.ends else "", "dim")
        cells.append(text)
    title = TITLES[row.verdict] if row.verdict else "reference"
    verdict_and_n = _styled(title, _VERDICT_STYLES.get(row.verdict, ""))
    return [*cells, verdict_and_n.append(f"\n{row.seeds}", "dim")]


def _compact(ends: str) -> str:
    """Return "[0.91, 0.93]" as ".91–.93"."""
    low, high = re.sub(r"\b0\.", ".", ends.strip("[]")).split(", ")
    return low + (", " if "\N{MINUS SIGN}" in ends else "\N{EN DASH}") + high


def _styled(text: str, style: str = "") -> Text:
    """Return text that is shown as it stands: labels may look like rich's markup."""
    from rich.text import Text

    return Text(text, style)
