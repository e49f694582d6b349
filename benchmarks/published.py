"""Published and frozen results of a study as Markdown: `python benchmarks/published.py STUDY`."""

import sys

from evaluation.report.beside import compare
from evaluation.report.frozen import load_frozen


def main(study: str) -> None:
    for problem in load_frozen(study).problems:
        table = compare(problem)
        print(f"**{problem.label}, {problem.outcome}**\n")
        print(_line("arm", *table.headings, "seeds", "time", "command"))
        print(_line(*["---"] * (len(table.headings) + 4)))
        for row in table.frozen:
            cells = [f"{cell.estimate} {cell.ends}".rstrip() for cell in row.cells]
            print(_line(row.label, *cells, str(row.seeds), row.time, f"`{row.command}`"))
        print("\n" + table.caption)
        for source in table.sources:
            print(f"Published: {source}.")
        print()


def _line(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


if __name__ == "__main__":
    main(*sys.argv[1:])
