"""How good and how fast the beam search is, beside others.

Every system decodes in a process of its own, all on the same core, one at a time and in turn, so
that whatever else the machine does falls on all of them alike. Each has alpha and beta from the
same grid, the best on the dev set; what is reported is the test set, medians over the rounds.
Peers run in environments of their own.

    python benchmarks/decoder.py --data DIR --scorer LM.arpa \
        --peer ctc-beam-decoder=PYTHON --peer pyctcdecode=PYTHON --peer flashlight-text=PYTHON
"""

from __future__ import annotations

import itertools
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from plainspeech.evaluation.error_rates import Counts, Pair, word_counts

ALPHAS, BETAS = (0.3, 0.5, 0.7, 0.9), (0.0, 0.6, 1.2, 1.8, 2.4)
OURS: dict[str, dict[str, Any]] = {
    "plainspeech": {},
    "plainspeech, narrow": {"beam_threshold": 8.0, "token_floor": -5.0},
    "plainspeech, beam 500": {"beam_width": 500, "beam_threshold": 16.0},
    "plainspeech, prefixes": {"merge": "prefix"},
    "plainspeech, 1,000 hot words": {"hot_words": 1000},
}


class System:
    """A process that decodes."""

    def __init__(
        self, name: str, python: str, arguments: Sequence[str], cores: Sequence[int]
    ) -> None:
        worker = Path(__file__).with_name("decoder_systems.py")
        self._process = subprocess.Popen(
            [python, str(worker), name, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        os.sched_setaffinity(self._process.pid, cores)

    def ask(self, dataset: Path, alpha: float, beta: float, **more: Any) -> dict[str, Any]:
        """Have a set decoded; return texts, seconds and more."""
        question = {"set": str(dataset), "alpha": alpha, "beta": beta, "options": {}, "threads": 1}
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(question | {"first": None} | more) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


class Data:
    """Log-probabilities of a dev and a test set with what was said.

    Args:
        folder: has ``posteriors.npz``, ``references.txt``, and the same with ``dev_`` before.
    """

    def __init__(self, folder: Path) -> None:
        self.dev, self.test = folder / "dev_posteriors.npz", folder / "posteriors.npz"
        self._references = {
            self.dev: (folder / "dev_references.txt").read_text().splitlines(),
            self.test: (folder / "references.txt").read_text().splitlines(),
        }

    def word_error_rate(self, dataset: Path, texts: Sequence[str]) -> float:
        """Return the rate in percent."""
        pairs = [
            Pair("", "", reference, text)
            for reference, text in zip(self._references[dataset], texts, strict=True)
        ]
        return 100 * sum(word_counts(pairs), Counts()).rate


def main(
    data: Annotated[Path, typer.Option(help="Folder of log-probabilities and references.")],
    scorer: Annotated[Path, typer.Option(help="Language model in the ARPA format.")],
    peer: Annotated[list[str], typer.Option(help="NAME=PYTHON of an environment with it.")] = [],  # noqa: B006
    rounds: Annotated[int, typer.Option(help="How often each decodes the test set.")] = 5,
    frame_seconds: Annotated[float, typer.Option(help="From one frame to the next.")] = 0.02,
    core: Annotated[int, typer.Option(help="That all share.")] = 0,
) -> None:
    """Compare beam searches."""
    sets = Data(data)
    arguments = [str(scorer), str(sets.dev), str(sets.test)]
    pythons = {"plainspeech": sys.executable} | dict(name.split("=", 1) for name in peer)
    systems = {name: System(name, python, arguments, [core]) for name, python in pythons.items()}
    weights = {name: _tuned(system, sets) for name, system in track(systems.items(), "tuning")}
    runs: list[tuple[str, str, dict[str, Any]]] = [
        *((label, "plainspeech", {"options": options}) for label, options in OURS.items()),
        *((name, name, {}) for name in systems if name != "plainspeech"),
    ]
    answers: dict[str, list[dict[str, Any]]] = {label: [] for label, _, _ in runs}
    for _ in track(range(rounds), "measuring"):
        for label, name, more in runs:
            answers[label].append(systems[name].ask(sets.test, *weights[name], **more))
    _print(sets, answers, {label: weights[name] for label, name, _ in runs}, frame_seconds)
    _print_threads(
        System("plainspeech", sys.executable, arguments, range(os.cpu_count() or 1)), sets
    )


def _tuned(system: System, sets: Data) -> tuple[float, float]:
    """Return the alpha and beta with the fewest errors on the dev set."""

    def errors(weights: tuple[float, float]) -> float:
        return sets.word_error_rate(sets.dev, system.ask(sets.dev, *weights)["texts"])

    return min(itertools.product(ALPHAS, BETAS), key=errors)


def _print(
    sets: Data,
    answers: dict[str, list[dict[str, Any]]],
    weights: dict[str, tuple[float, float]],
    frame_seconds: float,
) -> None:
    table = Table("system", "alpha", "beta", "WER %", "ms per s", "load s", "MB")
    for label, rounds in answers.items():
        seconds = statistics.median(answer["seconds"] for answer in rounds)
        last = rounds[-1]
        alpha, beta = weights[label]
        table.add_row(
            label,
            f"{alpha:g}",
            f"{beta:g}",
            f"{sets.word_error_rate(sets.test, last['texts']):.2f}",
            f"{1000 * seconds / (last['frames'] * frame_seconds):.3f}",
            f"{last['load']:.2f}",
            f"{last['megabytes']:.0f}",
        )
    Console().print(table)


def _print_threads(system: System, sets: Data) -> None:
    """Print how much faster two threads are than one, on as many cores as there are."""
    seconds = {
        threads: statistics.median(
            system.ask(sets.test, 0.5, 1.2, threads=threads)["seconds"] for _ in range(7)
        )
        for threads in (1, 2)
    }
    Console().print(f"two threads: {seconds[1] / seconds[2]:.2f} x one")


if __name__ == "__main__":
    typer.run(main)
