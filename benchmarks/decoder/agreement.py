"""How well `plainspeech.pyctcdecode` agrees with pyctcdecode at the same settings.

Both decode the same log-probabilities with the same calls and the same numbers, each in an
environment of its own, in turn, on the same core. Where their texts differ, the one with the
higher score is what the search was for; what is told is how often that is this package's.

    python -m benchmarks.decoder.agreement DIR SCORER --pyctcdecode PYTHON
"""

from __future__ import annotations

import statistics
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.decoder.compare import System, Workload, simulated_workload
from benchmarks.processes import FIRST_CORE

RUNS: list[tuple[float, float, dict[str, Any]]] = [
    (0.5, 1.5, {}),
    (0.3, 0.6, {}),
    (0.9, 1.2, {}),
    (0.5, 1.5, {"hot_words": 100}),
]
"""Alpha, beta and more; the first are the defaults of both."""


def main(
    folder: Annotated[Path, typer.Argument(help="Has posteriors.npz, references.txt, dev_....")],
    scorer: Annotated[Path, typer.Argument(help="The language model, a packaged scorer.")],
    pyctcdecode: Annotated[str, typer.Option(help="Python of an environment with it.")],
    rounds: Annotated[int, typer.Option(help="How often, in turn.")] = 3,
    core: Annotated[int, typer.Option(help="That both share.")] = FIRST_CORE,
) -> None:
    """Compare texts, scores, word error rates and time."""
    workload = simulated_workload(folder, scorer)
    ours = System("plainspeech.pyctcdecode", sys.executable, workload, [core])
    theirs = System("pyctcdecode", pyctcdecode, workload, [core])
    table = Table(
        "set",
        "alpha",
        "beta",
        "hot words",
        "same text",
        "higher score",
        "WER %",
        "theirs %",
        "faster",
    )
    for dataset in (workload.dev, workload.test):
        for alpha, beta, options in track(RUNS, dataset.name):
            answers = [
                [s.ask(dataset, alpha, beta, options=options, scores=not r) for s in (ours, theirs)]
                for r in range(rounds)
            ]
            settings = f"{alpha:g}", f"{beta:g}", str(options.get("hot_words", 0))
            table.add_row(dataset.stem, *settings, *_compared(workload, dataset, answers))
    Console(width=110).print(table)


def _compared(workload: Workload, dataset: Path, answers: list[list[dict[str, Any]]]) -> list[str]:
    """Return what the columns say, of rounds of answers of both."""
    texts, scores = ([answer[name] for answer in answers[0]] for name in ("texts", "scores"))
    pairs = list(zip(*texts, strict=True))
    other = [place for place, (one, two) in enumerate(pairs) if one != two]
    higher = sum(scores[0][place] > scores[1][place] for place in other)
    ratios = [two["seconds"] / one["seconds"] for one, two in answers]
    return [
        f"{len(pairs) - len(other)} of {len(pairs)}",
        f"{higher} of {len(other)}",
        *(f"{workload.word_error_rate(dataset, found):.2f}" for found in texts),
        f"{statistics.median(ratios):.0f} x",
    ]


if __name__ == "__main__":
    typer.run(main)
