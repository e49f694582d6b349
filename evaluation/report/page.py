"""The page: problems, sentences, tables, figures and facts through one template."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

import jinja2
from markupsafe import Markup

from evaluation.report.arms import Arm, Problem
from evaluation.report.beside import Beside, Comparison, compare
from evaluation.report.facts import facts, problem_settings, settings
from evaluation.report.figures import Panel, panels
from evaluation.report.findings import (
    MEANINGS,
    TITLES,
    Finding,
    Verdict,
    best_backprop,
    findings,
    verdict,
)
from evaluation.report.svg import inline_svg
from evaluation.report.tables import Table, columns, table
from evaluation.report.wording import (
    DASH,
    estimate,
    interval_sentence,
    measured,
    setup_sentence,
    span,
    window_sentence,
)


@dataclass(frozen=True)
class Drawing:
    """A panel as the page shows it."""

    heading: str
    caption: str
    svg: Markup


@dataclass(frozen=True)
class ArmFacts:
    """Everything recorded about one arm."""

    label: str
    settings: list[tuple[str, str]]
    facts: list[tuple[str, str]]


@dataclass(frozen=True)
class Brief:
    """An arm on one problem, at a glance."""

    verdict: Verdict
    retention: str
    plasticity: str


@dataclass(frozen=True)
class Section:
    """All the page says about one problem."""

    label: str
    anchor: str
    setup: str
    intervals: str
    windows: str
    problem_settings: list[tuple[str, str]]
    findings: list[Finding]
    headings: list[str]
    table: Table
    unfinished: dict[str, str]
    starred: str | None
    outcome: Drawing
    measures: list[Drawing]
    measured: str
    arms: list[ArmFacts]
    beside: Beside | None
    comparison: Comparison | None


def render(
    problems: Sequence[Problem], besides: Sequence[Beside | None], title: str | None = None
) -> str:
    """Return the page as HTML; the same problems, and what stands beside, give the same text."""
    drawn = zip(problems, besides, panels(problems, besides), strict=True)
    sections = [
        _section(index, problem, beside, *figures)
        for index, (problem, beside, figures) in enumerate(drawn)
    ]
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    template = resources.files("evaluation.report").joinpath("template.html")
    return environment.from_string(template.read_text(encoding="utf-8")).render(
        title=title or f"Plasticity on {_joined([p.label for p in problems])}",
        answer=answer(problems),
        sections=sections,
        overview=_overview(problems),
        verdicts=TITLES,
        meanings=MEANINGS,
        folders=_folders(problems),
        DASH=DASH,
    )


def answer(problems: Sequence[Problem]) -> str:
    """Count the verdicts over all arms and problems, and the runs that have not ended."""
    methods = [(arm, verdict(arm.score)) for problem in problems for arm in problem.methods]
    if not methods:
        return "Only reference arms were run, so there is nothing to judge." + _pending(problems)
    counts = Counter(kind for _, kind in methods)
    words: dict[Verdict, str] = {
        "lost": "lost part of it",
        "kept": "kept it",
        "steady": "held the level but ended below a network without a past",
        "undecided": "stayed undecided",
    }
    parts = [f"{counts[kind]} {text}" for kind, text in words.items() if counts[kind]]
    on = span([len(problems)], "problem")
    return f"Of {span([len(methods)], 'arm')} on {on}, {_joined(parts)}.{_pending(problems)}"


def _pending(problems: Sequence[Problem]) -> str:
    arms = [arm for problem in problems for arm in problem.arms]
    pending = sum(len(arm.unfinished) for arm in arms)
    total = span([sum(len(arm.group.runs) for arm in arms)], "run")
    return f" Provisional: {pending} of {total} unfinished." if pending else ""


def _section(
    index: int, problem: Problem, beside: Beside | None, outcome: Panel, measures: list[Panel]
) -> Section:
    scores = [arm.score for arm in problem.arms]
    best = best_backprop(problem)
    return Section(
        label=problem.label,
        anchor=f"problem-{index + 1}",
        setup=setup_sentence(scores),
        intervals=interval_sentence(scores),
        windows=window_sentence(problem.num_tasks),
        problem_settings=problem_settings(problem.arms[0]),
        findings=findings(problem),
        headings=[heading for heading, _, _ in columns(scores)],
        table=table(scores),
        unfinished={a.label: _unfinished(a) for a in problem.arms if a.unfinished},
        starred=best.label if best else None,
        outcome=_drawing(index, outcome),
        measures=[_drawing(index, panel) for panel in measures],
        measured=measured(scores[0]),
        arms=[ArmFacts(arm.label, settings(arm), facts(arm)) for arm in problem.arms],
        beside=beside,
        comparison=compare(beside.problem, problem.arms) if beside else None,
    )


def _drawing(index: int, panel: Panel) -> Drawing:
    svg = inline_svg(panel.figure, f"{index} {panel.name}", panel.heading)
    return Drawing(panel.heading, panel.caption, Markup(svg))


def _unfinished(arm: Arm) -> str:
    return f"unfinished: {len(arm.unfinished)} of {span([len(arm.group.runs)], 'seed')}"


def _overview(problems: Sequence[Problem]) -> list[tuple[str, list[Brief | None]]]:
    """Return each arm on each problem, None where it was not run; empty if none is on two."""
    labels = Counter(arm.label for problem in problems for arm in problem.methods)
    if max(labels.values(), default=0) < 2:
        return []
    by_label = [{arm.label: arm for arm in problem.methods} for problem in problems]
    return [
        (label, [_brief(own[label]) if label in own else None for own in by_label])
        for label in labels
    ]


def _brief(arm: Arm) -> Brief:
    score = arm.score
    return Brief(verdict(score), estimate(score.retention), estimate(score.plasticity))


def _folders(problems: Sequence[Problem]) -> list[str]:
    return sorted(
        str(run.folder) for problem in problems for arm in problem.arms for run in arm.group.runs
    )


def _joined(parts: Sequence[str]) -> str:
    """Return "a", "a and b" or "a, b and c"."""
    *head, last = parts
    return f"{', '.join(head)} and {last}" if head else last
