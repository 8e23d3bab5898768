"""An evaluation as JSON: everything a later analysis needs, so that nothing is run again."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from plainspeech.errors import PlainspeechError
from plainspeech.evaluation.bootstrap import CONFIDENCE, Interval, rate_interval
from plainspeech.evaluation.error_rates import Counts
from plainspeech.evaluation.recognition import Recognition
from plainspeech.evaluation.scores import Scores
from plainspeech.files import write_atomically

FORMAT = 1
"""Version of the JSON."""


@dataclass(frozen=True)
class Evaluation:
    """One run of a model over a manifest.

    Attributes:
        model: path of the bundle.
        model_name: from its card; empty where that has none.
        manifest: path of the manifest.
        network: which of the model's, in words.
        decoder: how text was made of the model's outputs.
        command: that ran it.
        date: when, ISO 8601.
        recognition: what was heard.
        scores: how right it was.
    """

    model: str
    model_name: str
    manifest: str
    network: str
    decoder: str
    command: str
    date: str
    recognition: Recognition
    scores: Scores

    @property
    def word_interval(self) -> Interval:
        """Confidence interval of the word error rate."""
        return rate_interval(self.scores.words)

    @property
    def character_interval(self) -> Interval:
        """Confidence interval of the character error rate."""
        return rate_interval(self.scores.characters)


def write_json(path: Path, evaluation: Evaluation) -> None:
    """Write `as_json` of ``evaluation``, whole or not at all.

    Raises:
        PlainspeechError: ``path`` cannot be written.
    """
    text = json.dumps(as_json(evaluation), ensure_ascii=False, allow_nan=False, indent=1)
    try:
        write_atomically(path, f"{text}\n".encode())
    except OSError as error:
        raise PlainspeechError(f"{path}: cannot be written: {error.strerror}") from error


def as_json(evaluation: Evaluation) -> dict[str, Any]:
    """Return ``evaluation`` as JSON values; rates are fractions and times seconds."""
    scores, recognition = evaluation.scores, evaluation.recognition
    return {
        "format": FORMAT,
        "model": {"path": evaluation.model, "name": evaluation.model_name},
        "manifest": evaluation.manifest,
        "network": evaluation.network,
        "decoder": evaluation.decoder,
        "command": evaluation.command,
        "date": evaluation.date,
        "confidence": CONFIDENCE,
        "words": {**_counts(scores.totals.words), "interval": asdict(evaluation.word_interval)},
        "characters": {
            **_counts(scores.totals.characters),
            "interval": asdict(evaluation.character_interval),
        },
        "sentences": {"all": len(scores.pairs), "wrong": scores.sentences_wrong},
        "audio_seconds": recognition.audio_seconds,
        "elapsed_seconds": recognition.elapsed_seconds,
        "real_time_factor": recognition.real_time_factor,
        "speakers": {name: _speaker(part) for name, part in scores.by_speaker().items()},
        "missing": [asdict(missing) for missing in recognition.missing],
        "utterances": [
            {**asdict(pair), "words": asdict(words), "characters": asdict(characters)}
            for pair, words, characters in zip(
                scores.pairs, scores.words, scores.characters, strict=True
            )
        ],
    }


def _counts(counts: Counts) -> dict[str, Any]:
    return {"rate": counts.rate, "reference_length": counts.reference_length, **asdict(counts)}


def _speaker(scores: Scores) -> dict[str, Any]:
    totals = scores.totals
    return {
        "utterances": len(scores.pairs),
        "words": _counts(totals.words),
        "characters": _counts(totals.characters),
    }
