"""How far the confidences of words are the probabilities that they are right.

Words are held against their references by the fewest errors. Reported are the expected calibration
error (ten bins of equal size), the area under the ROC and the normalised cross entropy, for the
mean probability of a word's characters, its share of the final hypotheses and of the beam shortly
after its end, and for the confidences of the beam search: with the package's weights, and with
weights fitted without the speaker at hand (without every tenth utterance where there are no
speakers). The package's own were fitted to all of dev-clean, so only the row without the speaker is
a fair estimate there.

    python -m benchmarks.decoder.calibration --manifest corpus/dev-clean.jsonl --scorer SCORER \
        --simulated DIR --simulated-scorer SCORER --picture calibration.png
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import typer
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from benchmarks.decoder.compare import over_letters
from benchmarks.decoder.simulate import FRAME_SECONDS
from benchmarks.decoder.systems import read_posteriors
from plainspeech import load_model
from plainspeech.alphabet import ENGLISH
from plainspeech.arrays import Array
from plainspeech.data.manifest import read_manifest
from plainspeech.decoding.beam_search import BeamSearchDecoder
from plainspeech.decoding.calibration import Evidence, fit_calibration
from plainspeech.decoding.greedy import GreedyDecoder
from plainspeech.evaluation.reliability import (
    correct_words,
    discrimination,
    normalised_cross_entropy,
    reliability,
)
from plainspeech.lm.scorer import Scorer

Doubles = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

FOLDS = 10
MEAN, FITTED = "mean of characters", "fitted, cross-validated"
LAST = "share of the last hypotheses"


@dataclass(frozen=True)
class Corpus:
    """Utterances as a model heard them.

    Attributes:
        name: for the table.
        rows: log-probabilities of each.
        texts: what was said.
        groups: of each; what is fitted is not measured on its own group.
    """

    name: str
    rows: Sequence[Array]
    texts: Sequence[str]
    groups: Sequence[str]


@dataclass(frozen=True)
class Words:
    """All words that a decoder found, one after the other.

    Attributes:
        name: for the table.
        correct: whether each was said.
        confidences: of each, by how they are made.
        weights: of the beam search, fitted to all; empty for another decoder.
    """

    name: str
    correct: Flags
    confidences: dict[str, Doubles]
    weights: tuple[float, ...] = ()


def main(
    manifest: Annotated[Path, typer.Option(help="Recordings, for the bundled model.")],
    scorer: Annotated[Path, typer.Option(help="Scorer for them.")],
    simulated: Annotated[Path, typer.Option(help="Folder, as --data of decoder.py.")],
    simulated_scorer: Annotated[Path, typer.Option(help="Scorer for that.")],
    alpha: Annotated[float, typer.Option(help="Weight of the scorer of the recordings.")] = 0.8,
    beta: Annotated[float, typer.Option(help="Nats a word.")] = 0.5,
    picture: Annotated[Path | None, typer.Option(help="Reliability diagrams, a PNG.")] = None,
) -> None:
    """Measure confidences."""
    plain, recorded = BeamSearchDecoder(ENGLISH), _recorded(manifest)
    found = [_greedy(recorded), _searched(recorded, plain)]
    searched = BeamSearchDecoder(ENGLISH, Scorer.load(scorer), alpha=alpha, beta=beta)
    found.append(_searched(recorded, searched))
    searched = BeamSearchDecoder(ENGLISH, Scorer.load(simulated_scorer), alpha=0.7, beta=1.2)
    for name, prefix in (("simulated dev", "dev_"), ("simulated test", "")):
        corpus = _simulated(simulated, name, prefix)
        found += [_searched(corpus, plain), _searched(corpus, searched)]
    _print(found)
    if picture:
        _draw(found, picture)


def _recorded(manifest: Path) -> Corpus:
    utterances = read_manifest(manifest)
    rows = over_letters(load_model(decoder="greedy"), utterances)
    texts = [one.text for one in utterances]
    return Corpus(manifest.stem, rows, texts, [one.speaker for one in utterances])


def _simulated(folder: Path, name: str, prefix: str) -> Corpus:
    rows = read_posteriors(folder / f"{prefix}posteriors.npz")
    texts = (folder / f"{prefix}references.txt").read_text().splitlines()
    return Corpus(name, rows, texts, [str(index % FOLDS) for index in range(len(texts))])


def _greedy(corpus: Corpus) -> Words:
    found = GreedyDecoder(ENGLISH, FRAME_SECONDS).decode_batch(corpus.rows)
    correct = correct_words(corpus.texts, [transcript.text for transcript in found])
    confidences = np.array([word.confidence for one in found for word in one.words])
    return Words(f"{corpus.name}, greedy", correct, {MEAN: confidences})


def _searched(corpus: Corpus, decoder: BeamSearchDecoder) -> Words:
    found = [decoder.decode_with_evidence(rows) for rows in corpus.rows]
    correct = correct_words(corpus.texts, [transcript.text for transcript, _ in found])
    evidence = np.concatenate([parts for _, parts in found])
    groups = np.repeat(corpus.groups, [len(parts) for _, parts in found])
    given = np.array([word.confidence for transcript, _ in found for word in transcript.words])
    return Words(
        name=f"{corpus.name}, {decoder.description}",
        correct=correct,
        confidences={
            MEAN: evidence[:, 0],
            LAST: np.concatenate([_shares_of_the_last(decoder, rows) for rows in corpus.rows]),
            "share of the beam": evidence[:, 1],
            "package's weights": given,
            FITTED: _cross_validated(evidence, correct, groups),
        },
        weights=astuple(fit_calibration(evidence, correct)),
    )


def _shares_of_the_last(decoder: BeamSearchDecoder, rows: Array) -> Doubles:
    """Return the share of the final hypotheses that has each word of the best at its time."""
    found = decoder.decode_n_best(rows, decoder.settings.beam_width)
    weights = np.exp([hypothesis.score - found[0].score for hypothesis in found])
    has = [
        [
            any(
                one.text == word.text and one.start < word.end and word.start < one.end
                for one in other
            )
            for word in found[0].transcript.words
        ]
        for other in (hypothesis.transcript.words for hypothesis in found)
    ]
    return np.asarray(weights @ np.array(has, np.float64) / weights.sum())


def _cross_validated(evidence: Evidence, correct: Flags, groups: npt.NDArray[np.str_]) -> Doubles:
    confidences = np.zeros(len(correct))
    for group in np.unique(groups):
        held = groups == group
        calibration = fit_calibration(evidence[~held], correct[~held])
        confidences[held] = calibration.confidences(evidence[held])
    return confidences


def _print(found: Sequence[Words]) -> None:
    table = Table("words", "right %", "confidence", "mean %", "ECE", "AUC", "NCE")
    for words in found:
        for kind, confidences in words.confidences.items():
            table.add_row(
                words.name,
                f"{100 * words.correct.mean():.1f}",
                kind,
                f"{100 * confidences.mean():.1f}",
                f"{reliability(confidences, words.correct).error:.3f}",
                f"{discrimination(confidences, words.correct):.3f}",
                f"{normalised_cross_entropy(confidences, words.correct):.3f}",
            )
        table.add_section()
    console = Console()
    console.print(table)
    for words in found:
        if words.weights:
            values = ", ".join(f"{weight:.2f}" for weight in words.weights)
            console.print(f"{words.name}, fitted to all: Calibration({values})")


def _draw(found: Sequence[Words], path: Path) -> None:
    """Draw how often words are right against how sure the decoder is, a panel for each set."""
    figure = Figure(figsize=(4 * len(found), 4), layout="constrained")
    for axes, words in zip(figure.subplots(1, len(found), sharey=True), found, strict=True):
        axes.plot([0, 1], [0, 1], color="lightgrey")
        for kind, confidences in words.confidences.items():
            bins = reliability(confidences, words.correct)
            axes.plot(bins.confidences, bins.accuracies, marker="o", label=kind)
        axes.set(xlabel="confidence", xlim=(0, 1), ylim=(0, 1))
        axes.set_title(words.name, fontsize="small")
    axes.legend()
    figure.supylabel("words that are right")
    figure.savefig(path)


if __name__ == "__main__":
    typer.run(main)
