"""Compare two agents on a problem with the Python interface alone: run, score, report."""

import sys
from pathlib import Path

import evaluation


def main(out: str, tasks: int = 40) -> None:
    """Run two agents with three seeds each and write a page into folder `out`."""
    folders: list[Path] = []
    for agent in ("fresh", "backprop", "continual-backprop"):
        folders += evaluation.run(
            "PermutedDigits-v0",
            agent,
            settings={"step_size": 0.1},
            problem_settings={"batch_size": 16},
            seeds=range(3),
            tasks=tasks,
            measure_every=10,
            out=out,
        )
    for score in evaluation.score(evaluation.load(*folders)):
        print(f"{score.label:20} late accuracy {score.late.estimate:.3f}")
    print(evaluation.report(folders, Path(out) / "report.html"))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "runs/benchmark")
