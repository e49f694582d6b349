"""Published and frozen results as Markdown: `python benchmarks/published.py [STUDY ...]`.

Without a name, those of every study: `docs/studies.md` is what this prints.
"""

import math
import sys
from collections.abc import Iterator

from evaluation.report.beside import compare
from evaluation.report.frozen import load_frozen, names

HEAD = """# Frozen studies

Every arm of every frozen study, with the command that makes its runs again;
`continual-envs study NAME` makes those of all arms. What they show is in [results.md](results.md).
Printed by `python benchmarks/published.py`."""


def page(studies: list[str]) -> str:
    """Return the tables of some studies, or a page with those of all."""
    blocks = [] if studies else [HEAD]
    for study in studies or names():
        blocks += [f"## {study}", *tables(study)]
    return "\n\n".join(blocks)


def tables(study: str) -> Iterator[str]:
    """Yield a study's tables, each with what belongs to it, then what the study cost."""
    problems = load_frozen(study).problems
    for problem in problems:
        table = compare(problem)
        yield f"**{problem.label}, {problem.outcome}**"
        lines = [
            _line("arm", *table.headings, "seeds", "time", "command"),
            _line(*["---"] * (len(table.headings) + 4)),
        ]
        for row in table.frozen:
            cells = [f"{cell.estimate} {cell.ends}".rstrip() for cell in row.cells]
            lines.append(_line(row.label, *cells, str(row.seeds), row.time, f"`{row.command}`"))
        yield "\n".join(lines)
        published = [f"Published: {source}." for source in table.sources]
        yield " ".join([table.caption, *published])
    seconds = [arm.seconds for problem in problems for arm in problem.arms]
    if all(map(math.isfinite, seconds)):
        yield f"All arms together: {sum(seconds) / 3600:.1f} hours of one core."


def _line(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


if __name__ == "__main__":
    print(page(sys.argv[1:]))
