"""Makes the page of a report: the template beside this file, filled in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from plainspeech import audio
from plainspeech.errors import AudioError, DataError
from plainspeech.evaluation.comparison import Comparison, compare
from plainspeech.evaluation.confusions import character_confusions, word_confusions
from plainspeech.evaluation.error_rates import rate_interval
from plainspeech.evaluation.explanation import CAUSES
from plainspeech.figures.sheets import AnalysedRecording, alignment_figure
from plainspeech.figures.training_curves import training_figure
from plainspeech.report.breakdowns import (
    aligned,
    breakdowns,
    calibration,
    causes,
    chosen,
    vocabulary_recall,
)
from plainspeech.report.media import audio_address, inline_svg
from plainspeech.report.systems import System
from plainspeech.runtime.analysis import LONGEST_SECONDS, analyse_waveform
from plainspeech.runtime.recognizer import Recognizer

_TEMPLATE = "report.html.jinja"
_AUDIO_RATE = 16_000  # Hz
_CHANGED = 20  # utterances shown in either direction


@dataclass(frozen=True)
class Media:
    """The recording of an utterance and its figure, as text within the page.

    Attributes:
        audio: an address; empty without.
        figure: an ``<svg>`` element; empty without.
        note: why one is missing; empty where none is.
    """

    audio: str = ""
    figure: str = ""
    note: str = ""


def media(
    system: System, places: Sequence[int], recognizer: Recognizer | None, sound: bool
) -> dict[int, Media]:
    """Return recordings and figures of the utterances at ``places``.

    Args:
        system: an evaluation.
        places: of its results.
        recognizer: its model, for the figures; None draws none.
        sound: whether the recordings are included.
    """
    return {place: _media(system, place, recognizer, sound) for place in places}


def _media(system: System, place: int, recognizer: Recognizer | None, sound: bool) -> Media:
    result = system.results[place]
    if not (sound or recognizer):
        return Media()
    if result.audio is None:
        return Media(note="The results do not say where its recording is.")
    rate = recognizer.bundle.features.sample_rate if recognizer else _AUDIO_RATE
    try:
        waveform = audio.read(result.audio, rate)
    except AudioError:
        return Media(note="Its recording cannot be read here.")
    if len(waveform) > LONGEST_SECONDS * rate:
        return Media(note="Its recording is too long for a figure.")
    figure = ""
    if recognizer:
        analysis = analyse_waveform(recognizer, waveform)
        analysed = AnalysedRecording(result.pair.id, analysis, result.pair.reference)
        figure = inline_svg(
            alignment_figure(analysed),
            f"{result.pair.id}: spectrogram, words at their times and log-probabilities of "
            f"characters",
        )
    return Media(audio_address(waveform, rate) if sound else "", figure)


@dataclass(frozen=True)
class Run:
    """A training run.

    Attributes:
        name: of its folder or file.
        epochs: of its history.
    """

    name: str
    epochs: Sequence[Mapping[str, float]]


def render_page(
    systems: Sequence[System],
    found: Sequence[Mapping[int, Media]],
    runs: Sequence[Run],
    title: str,
    examples: int,
) -> str:
    """Return the page.

    Args:
        systems: one or more; the first is what the others are compared with.
        found: recordings and figures of utterances, for each of ``systems``.
        runs: whose curves are shown.
        title: of the page.
        examples: how many of the worst, of the median and of random utterances are shown.

    Raises:
        DataError: the systems were measured with other utterances or references.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["percent"] = lambda value: f"{100 * value:.2f} %"
    environment.filters["shown"] = lambda text: "␣" if text == " " else text
    return environment.get_template(_TEMPLATE).render(
        title=title,
        systems=[
            _described(system, pictures, examples)
            for system, pictures in zip(systems, found, strict=True)
        ],
        comparisons=[_compared(systems[0], other) for other in systems[1:]],
        runs=[
            {
                "name": run.name,
                "epochs": run.epochs,
                "figure": inline_svg(
                    training_figure(run.epochs), f"{run.name}: loss and error rates by epoch"
                ),
            }
            for run in runs
        ],
        causes=CAUSES,
    )


def _described(system: System, pictures: Mapping[int, Media], examples: int) -> dict[str, Any]:
    scores, pairs = system.scores, system.scores.pairs
    seconds = [result.duration for result in system.results if result.duration]
    worst_first = sorted(
        range(len(pairs)), key=lambda place: (-scores.words[place].rate, pairs[place].id)
    )
    return {
        "label": system.label,
        "about": system.about,
        "results": system.results,
        "scores": scores,
        "totals": scores.totals,
        "interval": rate_interval(scores.words),
        "speed": system.speed,
        "minutes": float(np.sum(seconds)) / 60,
        "breakdowns": breakdowns(system),
        "causes": causes(system),
        "recall": vocabulary_recall(system),
        "calibration": calibration(system),
        "words": word_confusions(pairs),
        "characters": character_confusions(pairs),
        "chosen": chosen(system, examples),
        "media": pictures,
        "aligned": [aligned(pair) for pair in pairs],
        "worst_first": worst_first,
    }


def _compared(first: System, second: System) -> dict[str, Any]:
    try:
        found: Comparison = compare(first.scores.pairs, second.scores.pairs)
    except DataError as error:
        raise DataError(f"{first.label} and {second.label}: {error}") from error
    return {
        "first": first,
        "second": second,
        "found": found,
        "better": found.better[:_CHANGED],
        "worse": found.worse[:_CHANGED],
        "steps": {
            place: (
                aligned(first.scores.pairs[place]),
                aligned(second.scores.pairs[place]),
            )
            for place in (*found.better[:_CHANGED], *found.worse[:_CHANGED])
        },
    }
