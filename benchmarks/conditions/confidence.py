"""How far confidences are probabilities, on clean and on noisy recordings; fits them for a model.

Utterances of a manifest are recognised as they are and under `NOISY` conditions, made by fixed
seeds. Weights of `plainspeech.decoding.calibration.Calibration` are fitted to half of the speakers
and measured on the other half, fitted to clean recordings alone and to both kinds. Reported are the
expected calibration error (ten bins of equal size), the area under the ROC and the normalised cross
entropy of words, and of utterances how far their confidence, the mean of their words', is from the
share of their words that are right. The picture shows the latter two.

With ``--output`` the weights are fitted to all speakers, clean and noisy, and written into a copy
of the model: run it after a model has been trained and tuned.

    python -m benchmarks.conditions.confidence corpus/dev-clean.jsonl --every 3 \
        --kitchen doing_the_dishes.opus --picture docs/confidence.png --output calibrated
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import typer
from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.conditions.conditions import CLEAN, Condition, conditions
from benchmarks.conditions.measure import material_of
from benchmarks.conditions.sounds import RATE
from plainspeech import audio
from plainspeech.data.manifest import Utterance, read_manifest
from plainspeech.decoding.beam_search import BeamSearchDecoder
from plainspeech.decoding.calibration import Calibration, Evidence, fit_calibration
from plainspeech.errors import ConfigurationError
from plainspeech.evaluation.reliability import (
    correct_words,
    discrimination,
    normalised_cross_entropy,
    reliability,
)
from plainspeech.runtime.recognizer import Recognizer, load_model

NOISY = (
    "noise: white, 10 dB",
    "noise: pink, 10 dB",
    "noise: babble, 10 dB",
    "noise: kitchen, 10 dB",
    "room: medium",
    "telephone, 8 kHz: GSM",
)
"""Conditions, those of them that there is material for."""

_Doubles = npt.NDArray[np.float64]
_Flags = npt.NDArray[np.bool_]
_UTTERANCE_BINS = 6  # there are fewer utterances than words


@dataclass(frozen=True)
class Words:
    """All words that were found under some conditions, one after the other.

    Attributes:
        evidence: what the search knows of each.
        correct: whether each was said.
        speakers: who spoke.
        utterances: number of the utterance, each condition of which counts.
    """

    evidence: Evidence
    correct: _Flags
    speakers: npt.NDArray[np.str_]
    utterances: npt.NDArray[np.int64]

    def of(self, chosen: _Flags) -> Words:
        """Return those that are ``chosen``."""
        return Words(*(values[chosen] for values in vars(self).values()))

    def and_those(self, other: Words) -> Words:
        """Return these and ``other`` words, of other utterances."""
        last = self.utterances.max(initial=0) + 1
        moved = replace(other, utterances=other.utterances + last)
        pairs = zip(vars(self).values(), vars(moved).values(), strict=True)
        return Words(*(np.concatenate(pair) for pair in pairs))

    def whole(self, values: _Doubles | _Flags) -> _Doubles:
        """Return the mean of ``values`` over each utterance, repeated for each of its words."""
        _, places, counts = np.unique(self.utterances, return_inverse=True, return_counts=True)
        return np.asarray((np.bincount(places, values) / counts)[places])


def main(
    manifest: Annotated[Path, typer.Argument(help="Recordings, JSONL, of several speakers.")],
    every: Annotated[int, typer.Option(help="Take each so-manieth utterance.")] = 1,
    kitchen: Annotated[list[Path] | None, typer.Option(help="Recordings of noise.")] = None,
    model: Annotated[Path | None, typer.Option(help="Bundle; the English model if none.")] = None,
    threads: Annotated[int | None, typer.Option(help="That compute; one a core if none.")] = None,
    picture: Annotated[Path | None, typer.Option(help="Reliability diagrams, a PNG.")] = None,
    output: Annotated[Path | None, typer.Option(help="Write the calibrated model here.")] = None,
) -> None:
    """Measure confidences, and fit them."""
    recognizer = load_model(model, threads=threads)
    utterances = read_manifest(manifest)
    known = {one.key: one for one in conditions(material_of(utterances, kitchen or []))}
    chosen = utterances[::every]
    clean = _words(recognizer, chosen, CLEAN)
    used = [known[key] for key in NOISY if key in known]
    noisy = _words(recognizer, chosen, used[0])
    for condition in used[1:]:
        noisy = noisy.and_those(_words(recognizer, chosen, condition))
    given = recognizer.bundle.decoding.calibration
    found = _compared(clean, noisy, given)
    Console().print(_table(found))
    calibration = _fitted(clean.and_those(noisy))
    Console().print(f"fitted to all: {calibration}")
    if picture:
        _draw(found, picture)
    if output:
        _write(recognizer, calibration, manifest, every, used, output)


def _words(recognizer: Recognizer, utterances: Sequence[Utterance], condition: Condition) -> Words:
    """Return the words that are found in ``utterances`` under ``condition``."""
    decoder = recognizer.decoder
    if not isinstance(decoder, BeamSearchDecoder):
        raise ConfigurationError("only the beam search has confidences that can be fitted")
    alphabet, wanted = recognizer.bundle.alphabet, recognizer.bundle.features.sample_rate
    evidence, correct, counts = list[Evidence](), list[_Flags](), list[int]()
    for utterance in track(utterances, condition.key, transient=True):
        waveform = audio.read(utterance.audio, RATE)
        chance = np.random.default_rng(zlib.crc32(f"{condition.key} {utterance.id}".encode()))
        heard = condition.make(waveform, utterance.speaker, chance)
        samples = (
            audio.read(io.BytesIO(heard), wanted)
            if isinstance(heard, bytes)
            else audio.from_array(heard, RATE, wanted)
        )
        (rows,) = recognizer.log_probabilities([samples])
        transcript, parts = decoder.decode_with_evidence(rows)
        evidence.append(parts)
        correct.append(correct_words([alphabet.normalise(utterance.text)], [transcript.text]))
        counts.append(len(parts))
    return Words(
        np.concatenate(evidence),
        np.concatenate(correct),
        np.repeat(np.array([one.speaker for one in utterances]), counts),
        np.repeat(np.arange(len(utterances)), counts),
    )


def _fitted(words: Words) -> Calibration:
    return fit_calibration(words.evidence, words.correct)


@dataclass(frozen=True)
class Measured:
    """Confidences of words of one kind.

    Attributes:
        audio: clean or noisy.
        fitted_to: what their weights were.
        words: half of the speakers.
        confidences: of each word.
    """

    audio: str
    fitted_to: str
    words: Words
    confidences: _Doubles


def _compared(clean: Words, noisy: Words, given: Calibration | None) -> list[Measured]:
    """Return confidences on half of the speakers, fitted to the other half.

    Those of the model itself, where it has any, were perhaps fitted to these words.
    """
    held = np.unique(clean.speakers)[1::2]
    here = {"clean": clean.of(_held(clean, held)), "noisy": noisy.of(_held(noisy, held))}
    others = clean.of(~_held(clean, held))
    fitted = {
        "clean": _fitted(others),
        "clean and noisy": _fitted(others.and_those(noisy.of(~_held(noisy, held)))),
    }
    every = {"the model's own data": given, **fitted} if given else fitted
    return [
        Measured(name, fitted_to, words, calibration.confidences(words.evidence))
        for name, words in here.items()
        for fitted_to, calibration in every.items()
        if calibration
    ]


def _held(words: Words, speakers: npt.NDArray[np.str_]) -> _Flags:
    return np.isin(words.speakers, speakers)


def _table(found: Sequence[Measured]) -> Table:
    table = Table("audio", "fitted to", "right %", "mean %", "ECE", "AUC", "NCE", "ECE, utterances")
    for one in found:
        correct, confidences = one.words.correct, one.confidences
        whole = reliability(one.words.whole(confidences), one.words.whole(correct), _UTTERANCE_BINS)
        table.add_row(
            one.audio,
            one.fitted_to,
            f"{100 * correct.mean():.1f}",
            f"{100 * confidences.mean():.1f}",
            f"{reliability(confidences, correct).error:.3f}",
            f"{discrimination(confidences, correct):.3f}",
            f"{normalised_cross_entropy(confidences, correct):.3f}",
            f"{whole.error:.3f}",
        )
    return table


def _draw(found: Sequence[Measured], path: Path) -> None:
    """Draw how many words are right against how sure the search is, of words and of utterances."""
    figure = Figure(figsize=(9, 9), layout="constrained")
    panels = figure.subplots(2, 2, sharex=True, sharey=True)
    for column, name in enumerate(("clean", "noisy")):
        for row, kind in enumerate(("words", "utterances")):
            axes = panels[row][column]
            axes.plot([0, 1], [0, 1], color="lightgrey")
            for one in found:
                if one.audio == name:
                    bins = (
                        reliability(one.confidences, one.words.correct)
                        if kind == "words"
                        else reliability(
                            one.words.whole(one.confidences),
                            one.words.whole(one.words.correct),
                            _UTTERANCE_BINS,
                        )
                    )
                    axes.plot(
                        bins.confidences,
                        bins.accuracies,
                        marker="o",
                        label=one.fitted_to,
                    )
            axes.set(xlim=(0, 1), ylim=(0, 1), title=f"{kind}, {name} audio")
    panels[0][0].legend(title="fitted to")
    figure.supxlabel("confidence")
    figure.supylabel("share of words that are right")
    figure.savefig(path)


def _write(
    recognizer: Recognizer,
    calibration: Calibration,
    manifest: Path,
    every: int,
    used: Sequence[Condition],
    folder: Path,
) -> None:
    bundle = recognizer.bundle
    entry = {
        "manifest": manifest.name,
        "every": every,
        "conditions": [CLEAN.key, *(condition.key for condition in used)],
        **asdict(calibration),
    }
    replace(
        bundle,
        decoding=replace(bundle.decoding, calibration=calibration),
        card={**bundle.card, "confidences": entry},
    ).write(folder)


if __name__ == "__main__":
    typer.run(main)
