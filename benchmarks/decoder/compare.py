"""How good and how fast the beam search is, beside others.

Every system decodes in a process of its own, all on the same core, one at a time and in turn, so
that whatever else the machine does falls on all of them alike. Each has alpha and beta from the
same grid, the best on the dev set; what is reported is the test set, medians over the rounds.
Peers run in environments of their own.

Two workloads. The simulated one has a dev and a test set; the real one is what a model gives for
the recordings of a manifest, on which the weights are tuned as well. The language model is a
packaged scorer; peers get the same as an ARPA file, which is written beside it.

    python -m benchmarks.decoder.compare simulated DIR SCORER --peer ctc-beam-decoder=PYTHON ...
    python -m benchmarks.decoder.compare real MODEL MANIFEST SCORER --peer flashlight-text=PYTHON
    python -m benchmarks.decoder.compare growth DIR SCORER...
"""

from __future__ import annotations

import itertools
import shutil
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.decoder.simulate import FRAME_SECONDS
from benchmarks.processes import FIRST_CORE, Child, machine
from plainspeech import audio, load_model
from plainspeech.arrays import Array
from plainspeech.artifact.reading import reading
from plainspeech.cores import available_cores
from plainspeech.data.manifest import Utterance, read_manifest
from plainspeech.evaluation.error_rates import ErrorCounts, Pair, word_counts
from plainspeech.lm.arpa import write_arpa
from plainspeech.lm.package import SCORER, levels_of, read_package, read_scorer_files
from plainspeech.runtime.bundle import bundled_model_path
from plainspeech.runtime.decoders import letters_of
from plainspeech.runtime.recognizer import Recognizer

ALPHAS, BETAS = (0.3, 0.5, 0.7, 0.9), (0.0, 0.6, 1.2, 1.8, 2.4)
WIDTHS = (25, 100, 400)
BATCH = 16  # utterances that the network hears at once
TUNED_ON = 60  # utterances of the dev set
OURS: dict[str, tuple[str, dict[str, Any]]] = {
    "plainspeech": ("plainspeech", {}),
    "plainspeech, threshold 8": ("plainspeech", {"beam_threshold": 8.0}),
    "plainspeech, beam 500": ("plainspeech", {"beam_width": 500, "beam_threshold": 16.0}),
    "plainspeech, prefixes": ("plainspeech", {"merge": "prefix"}),
    "plainspeech, 1,000 hot words": ("plainspeech", {"hot_words": 1000}),
    "plainspeech, asking KenLM": ("plainspeech-kenlm", {}),
}

FAST: dict[str, dict[str, dict[str, Any]]] = {
    "flashlight-text": {
        "flashlight-text, 15 tokens": {"tokens": 15},
        "flashlight-text, 8 tokens": {"tokens": 8},
    }
}
"""Settings of peers that make them faster."""

app = typer.Typer(help="Compare beam searches.")

Peers = Annotated[list[str], typer.Option(help="NAME=PYTHON of an environment that has it.")]
Rounds = Annotated[int, typer.Option(help="How often each decodes the test set.")]
Core = Annotated[int, typer.Option(help="That all share.")]


@dataclass(frozen=True)
class Workload:
    """What is decoded.

    Attributes:
        dev: log-probabilities to tune on, ``logp`` of all utterances in a row and ``lens``.
        test: those that are reported.
        references: what was said in each.
        arpa: the language model; beside it lies the packaged scorer.
        frame_seconds: from one frame to the next.
    """

    dev: Path
    test: Path
    references: dict[Path, list[str]]
    arpa: Path
    frame_seconds: float

    def word_error_rate(self, dataset: Path, texts: Sequence[str]) -> float:
        """Return the rate in percent."""
        said = self.references[dataset][: len(texts)]
        pairs = [Pair("", "", *both) for both in zip(said, texts, strict=True)]
        return 100 * sum(word_counts(pairs), ErrorCounts()).rate


class System:
    """A process that decodes."""

    def __init__(
        self, name: str, python: str, workload: Workload, cores: Sequence[int] | range
    ) -> None:
        arguments = [name, *map(str, (workload.arpa, workload.dev, workload.test))]
        # Loaded one after the other, so that one compiles for all.
        self._child = Child(python, "benchmarks.decoder.systems", arguments, cores, name)

    def ask(self, dataset: Path, alpha: float, beta: float, **more: Any) -> dict[str, Any]:
        """Have a set decoded; return texts, seconds and more."""
        question = {"set": str(dataset), "alpha": alpha, "beta": beta, "options": {}, "threads": 1}
        return self._child.ask(question | {"first": None, "scores": False} | more)


@app.command()
def simulated(
    folder: Annotated[Path, typer.Argument(help="Has posteriors.npz, references.txt, dev_....")],
    scorer: Annotated[Path, typer.Argument(help="The language model, a packaged scorer.")],
    peer: Peers = [],  # noqa: B006
    rounds: Rounds = 5,
    core: Core = FIRST_CORE,
) -> None:
    """Compare on simulated log-probabilities, weights tuned on a set of their own."""
    _compare(simulated_workload(folder, scorer), peer, rounds, core)


def simulated_workload(folder: Path, scorer: Path) -> Workload:
    """Return the log-probabilities and references in ``folder`` with the packaged ``scorer``."""
    sets = {folder / f"{name}posteriors.npz": name for name in ("dev_", "")}
    references = {
        path: (folder / f"{name}references.txt").read_text().splitlines()
        for path, name in sets.items()
    }
    dev, test = sets
    return Workload(dev, test, references, _arpa(scorer), FRAME_SECONDS)


@app.command()
def real(
    model: Annotated[str, typer.Argument(help="A bundle, or bundled.")],
    manifest: Annotated[Path, typer.Argument(help="Recordings and what was said.")],
    scorer: Annotated[Path, typer.Argument(help="The language model, a packaged scorer.")],
    peer: Peers = [],  # noqa: B006
    utterances: Annotated[int, typer.Option(help="How many of the recordings.")] = 160,
    rounds: Rounds = 5,
    core: Core = FIRST_CORE,
) -> None:
    """Compare on what a model gives for recordings; the weights are tuned on the first of them."""
    bundle = bundled_model_path() if model == "bundled" else Path(model)
    recognizer = load_model(bundle, decoder="greedy")
    said = read_manifest(manifest)
    said = said[:: max(1, len(said) // utterances)][:utterances]
    rows = over_letters(recognizer, said)
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "posteriors.npz"
        np.savez(path, logp=np.concatenate(rows), lens=[len(one) for one in rows])
        references = {path: [utterance.text for utterance in said]}
        seconds = recognizer.bundle.frame_seconds
        arpa = _arpa(Path(shutil.copytree(scorer, Path(name) / "scorer")))
        _compare(Workload(path, path, references, arpa, seconds), peer, rounds, core)


def over_letters(recognizer: Recognizer, utterances: Sequence[Utterance]) -> list[Array]:
    """Return the log-probabilities of letters alone, ``(frames, letters)``: all peers know them.

    Args:
        recognizer: whose network may have other outputs besides.
        utterances: that it hears.
    """
    rate, letters = recognizer.bundle.features.sample_rate, letters_of(recognizer.bundle)
    rows = list[Array]()
    for start in track(range(0, len(utterances), BATCH), "acoustics"):
        batch = [audio.read(one.audio, rate) for one in utterances[start : start + BATCH]]
        rows += [row[:, letters or slice(None)] for row in recognizer.log_probabilities(batch)]
    return rows


@app.command()
def growth(
    folder: Annotated[Path, typer.Argument(help="As for simulated.")],
    scorers: Annotated[list[Path], typer.Argument(help="Language models, packaged scorers.")],
    rounds: Rounds = 5,
    core: Core = FIRST_CORE,
) -> None:
    """Measure how cost grows with the width of the beam and the size of the language model."""
    test = folder / "posteriors.npz"
    systems = {
        path: System(
            "plainspeech",
            sys.executable,
            Workload(test, test, {}, Path(f"{path}.arpa"), FRAME_SECONDS),
            [core],
        )
        for path in scorers
    }
    answers: dict[tuple[Path, int], list[dict[str, Any]]] = {
        both: [] for both in itertools.product(scorers, WIDTHS)
    }
    for _ in track(range(rounds), "measuring"):
        for (path, width), found in answers.items():
            found.append(systems[path].ask(test, 0.5, 1.8, options={"beam_width": width}))
    table = Table(
        "scorer", "words", "n-grams", *(f"beam {w}, ms per s" for w in WIDTHS), "load s", "MB"
    )
    for path in scorers:
        with reading(path, SCORER) as read:
            counts = read_package(path, read).source["ngrams"]
        last = answers[path, WIDTHS[-1]][-1]
        medians = (statistics.median(a["seconds"] for a in answers[path, w]) for w in WIDTHS)
        times = (f"{1000 * median / (last['frames'] * FRAME_SECONDS):.3f}" for median in medians)
        table.add_row(
            path.name,
            f"{counts[0]:,}",
            f"{sum(counts):,}",
            *times,
            f"{last['load']:.2f}",
            f"{last['megabytes']:.0f}",
        )
    Console(width=110).print(table)


def _arpa(scorer: Path) -> Path:
    """Write the model of ``scorer`` for those that read ARPA; return where."""
    arpa = Path(f"{scorer}.arpa")
    if not arpa.exists():
        write_arpa(arpa, *levels_of(scorer, read_scorer_files(scorer)))
    return arpa


def _compare(workload: Workload, peer: Sequence[str], rounds: int, core: int) -> None:
    peers = dict(name.split("=", 1) for name in peer)
    names = {system: sys.executable for system, _ in OURS.values()} | peers
    systems = {name: System(name, python, workload, [core]) for name, python in names.items()}
    weights = {name: _tuned(system, workload) for name, system in track(systems.items(), "tuning")}
    runs = OURS | {name: (name, {}) for name in peers}
    for name in FAST.keys() & peers.keys():
        runs |= {label: (name, options) for label, options in FAST[name].items()}
    answers: dict[str, list[dict[str, Any]]] = {label: [] for label in runs}
    for _ in track(range(rounds), "measuring"):
        for label, (name, options) in runs.items():
            found = systems[name].ask(workload.test, *weights[name], options=options)
            answers[label].append(found)
    Console(width=110).print(machine())
    _print(workload, answers, {label: weights[name] for label, (name, _) in runs.items()})
    cores = range(available_cores())
    _print_threads(System("plainspeech", sys.executable, workload, cores), workload)


def _tuned(system: System, workload: Workload) -> tuple[float, float]:
    """Return the alpha and beta with the fewest errors on the dev set."""

    def errors(weights: tuple[float, float]) -> float:
        texts = system.ask(workload.dev, *weights, first=TUNED_ON)["texts"]
        return workload.word_error_rate(workload.dev, texts)

    return min(itertools.product(ALPHAS, BETAS), key=errors)


def _print(
    workload: Workload,
    answers: dict[str, list[dict[str, Any]]],
    weights: dict[str, tuple[float, float]],
) -> None:
    table = Table(
        *("system", "alpha", "beta", "WER %", "ms per s", "times ours", "same texts %"),
        *("load s", "MB"),
    )
    first = next(iter(answers.values()))
    for label, rounds in answers.items():
        # Of one round, so that what slowed the machine down slowed both.
        ratio = statistics.median(
            one["seconds"] / ours["seconds"] for one, ours in zip(rounds, first, strict=True)
        )
        seconds = statistics.median(answer["seconds"] for answer in rounds)
        last, texts = rounds[-1], rounds[-1]["texts"]
        alike = sum(map(str.__eq__, texts, first[-1]["texts"])) / len(texts)
        table.add_row(
            label,
            *(f"{weight:g}" for weight in weights[label]),
            f"{workload.word_error_rate(workload.test, texts):.2f}",
            f"{1000 * seconds / (last['frames'] * workload.frame_seconds):.3f}",
            f"{ratio:.2f}",
            f"{100 * alike:.0f}",
            f"{last['load']:.2f}",
            f"{last['megabytes']:.0f}",
        )
    Console(width=110).print(table)


def _print_threads(system: System, workload: Workload) -> None:
    """Print how much faster two threads are than one, on as many cores as there are."""
    ratios = []
    for _ in range(9):
        one, two = (
            system.ask(workload.test, 0.5, 1.2, threads=threads)["seconds"] for threads in (1, 2)
        )
        ratios.append(one / two)
    Console().print(f"two threads: {statistics.median(ratios):.2f} x one")


if __name__ == "__main__":
    app()
