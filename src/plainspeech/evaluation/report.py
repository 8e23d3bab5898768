"""One run of a model over a manifest: as JSON, as tables, and on the model's card."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

from plainspeech.errors import DataError, counted
from plainspeech.evaluation.conventions import LIBRISPEECH
from plainspeech.evaluation.error_rates import (
    CONFIDENCE,
    ErrorCounts,
    Interval,
    Scores,
    rate_interval,
)
from plainspeech.evaluation.explanation import CAUSES, Explanation
from plainspeech.evaluation.recognition import Recognition
from plainspeech.files import write_atomically
from plainspeech.runtime.bundle import Bundle
from plainspeech.runtime.model_card import results_of
from plainspeech.writers import word_values

_ERRORS = ("sub", "del", "ins")

FORMAT = 1
"""Version of the JSON."""


_KEPT = ("manifest", "network", "decoder", "command", "date")
_TELLING = ("data", "network", "decoder")


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
        recognition: what was recognised.
        scores: how right it was.
        convention: by which texts were compared, in words.
        options: of `plainspeech.runtime.recognizer.load_model`, by which the model was loaded.
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
    convention: str = LIBRISPEECH.description
    options: Mapping[str, Any] = field(default_factory=dict)

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
        DataError: ``path`` cannot be written.
    """
    text = json.dumps(as_json(evaluation), ensure_ascii=False, allow_nan=False, indent=1)
    try:
        write_atomically(path, f"{text}\n".encode(errors="backslashreplace"))
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror}") from error


def as_json(evaluation: Evaluation) -> dict[str, Any]:
    """Return ``evaluation`` as JSON values; rates are fractions and times seconds."""
    scores, recognition = evaluation.scores, evaluation.recognition
    return {
        "format": FORMAT,
        "model": {"path": evaluation.model, "name": evaluation.model_name},
        "manifest": evaluation.manifest,
        "network": evaluation.network,
        "decoder": evaluation.decoder,
        "options": dict(evaluation.options),
        "convention": evaluation.convention,
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
            {**asdict(pair), "words": asdict(words), "characters": asdict(characters), **details}
            for pair, words, characters, details in zip(
                scores.pairs, scores.words, scores.characters, _details(recognition), strict=True
            )
        ],
    }


def _details(recognition: Recognition) -> list[dict[str, Any]]:
    """Return what else is written of each utterance."""
    if not recognition.details:
        return [{} for _ in recognition.pairs]
    return [
        {
            "audio": str(details.audio),
            "duration": round(details.duration, 3),
            "signal_to_noise": round(details.signal_to_noise, 1),
            "recognised": [word_values(word) for word in details.words],
            "unknown": details.unknown,
            "explanations": None
            if details.explanations is None
            else [_explanation(one) for one in details.explanations],
        }
        for details in recognition.details
    ]


def _explanation(one: Explanation) -> dict[str, Any]:
    return {
        "said": " ".join(one.difference.said),
        "recognised": " ".join(one.difference.recognised),
        "errors": one.difference.errors,
        "cause": one.cause,
        "acoustic": _nats(one.acoustic),
        "language": _nats(one.language),
        "start": round(one.start, 3),
        "end": round(one.end, 3),
    }


def _nats(value: float) -> float | None:
    """Return ``value``; None for minus infinity, which JSON does not have."""
    return round(value, 2) if math.isfinite(value) else None


def _counts(counts: ErrorCounts) -> dict[str, Any]:
    return {"rate": counts.rate, "reference_length": counts.reference_length, **asdict(counts)}


def _speaker(scores: Scores) -> dict[str, Any]:
    totals = scores.totals
    return {
        "utterances": len(scores.pairs),
        "words": _counts(totals.words),
        "characters": _counts(totals.characters),
    }


def headline(evaluation: Evaluation) -> str:
    """Return what was run on what, how fast, and how it was scored, in four lines at most."""
    recognition = evaluation.recognition
    minutes, factor = recognition.audio_seconds / 60, recognition.real_time_factor
    lines = [
        f"{evaluation.model_name or evaluation.model}, {evaluation.network}, "
        f"{evaluation.decoder} decoding, on {evaluation.manifest}",
        f"{counted(len(recognition.pairs), 'utterance')}, {minutes:.1f} minutes of audio, "
        f"real-time factor {factor:.4f}",
        f"scoring convention: {evaluation.convention}",
    ]
    if recognition.missing:
        lines.append(f"missing from all figures because unreadable: {len(recognition.missing)}")
    return "\n".join(lines)


def summary_table(evaluation: Evaluation) -> Table:
    """Return the corpus-level rates with their intervals and the errors by kind."""
    totals = evaluation.scores.totals
    sentences, wrong = len(evaluation.scores.pairs), evaluation.scores.sentences_wrong
    table = _table("", "rate", f"{CONFIDENCE:.0%} interval", *_ERRORS, "of")
    table.add_row("words (WER)", *_row(totals.words, evaluation.word_interval))
    table.add_row("characters (CER)", *_row(totals.characters, evaluation.character_interval))
    table.add_row(
        "sentences wrong", _percent(wrong / max(1, sentences)), *[""] * 4, f"{sentences:,}"
    )
    return table


def speaker_table(scores: Scores) -> Table:
    """Return the rates of each speaker, the one with the highest word error rate first."""
    table = _table("speaker", "utterances", "words", "WER", "CER", *_ERRORS)
    for speaker, part in scores.by_speaker().items():
        words, characters = part.totals.words, part.totals.characters
        table.add_row(
            speaker or "(unknown)",
            f"{len(part.pairs):,}",
            f"{words.reference_length:,}",
            _percent(words.rate),
            _percent(characters.rate),
            *_by_kind(words),
        )
    return table


def cause_table(recognition: Recognition) -> Table | None:
    """Return how many errors each part of the recogniser causes; None where that is not known."""
    found = [one for details in recognition.details for one in details.explanations or ()]
    if all(details.explanations is None for details in recognition.details):
        return None
    table = _table("errors due to", "errors", "share", "meaning")
    table.columns[-1].justify = "left"
    errors = sum(one.difference.errors for one in found)
    for cause, meaning in CAUSES.items():
        owed = sum(one.difference.errors for one in found if one.cause == cause)
        table.add_row(cause, f"{owed:,}", _percent(owed / max(1, errors)), meaning)
    return table


def _table(first: str, *others: str) -> Table:
    table = Table(box=box.SIMPLE, pad_edge=False)
    table.add_column(first, no_wrap=True)
    for heading in others:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _row(counts: ErrorCounts, interval: Interval) -> list[str]:
    return [
        _percent(counts.rate),
        f"{100 * interval.low:.2f} to {_percent(interval.high)}",
        *_by_kind(counts),
        f"{counts.reference_length:,}",
    ]


def _by_kind(counts: ErrorCounts) -> list[str]:
    return [f"{n:,}" for n in (counts.substitutions, counts.deletions, counts.insertions)]


def _percent(rate: float) -> str:
    return f"{100 * rate:.2f} %"


def record_result(folder: Path, results: Path, data: str) -> dict[str, Any]:
    """Add the figures of an evaluation to a model card, in place of earlier ones of that kind.

    Args:
        folder: the model bundle; a zip has to be unpacked first.
        results: what ``plainspeech evaluate --json`` wrote of this model.
        data: name of the data, such as ``"dev-clean"``; with the network and the
            decoder, it identifies the earlier result that is replaced.

    Returns:
        The new entry of the card's ``results``.

    Raises:
        DataError: the bundle or the results cannot be read, or the results are of another
            model.
    """
    bundle = Bundle.load(folder)
    result = {"data": data, **_figures(results, str(bundle.card.get("name", "")))}
    others = [
        earlier
        for earlier in results_of(bundle.card)
        if any(earlier.get(key) != result[key] for key in _TELLING)
    ]
    card = {**bundle.card, "results": [*others, result]}
    replace(bundle, card=card).write(folder)
    return result


def _figures(path: Path, model: str) -> dict[str, Any]:
    """Return what a card tells of an evaluation."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["model"]["name"] != model:
            raise DataError(
                f"{path}: measures the model {found['model']['name']!r}, the bundle is {model!r}"
            )
        convention = found.get("convention", LIBRISPEECH.description)
        if convention != LIBRISPEECH.description:
            raise DataError(
                f"{path}: was scored by another convention ({convention}); cards hold figures by "
                f"LibriSpeech's, so evaluate without options of scoring"
            )
        return {
            **{key: found[key] for key in _KEPT},
            "hours": round(found["audio_seconds"] / 3600, 2),
            "words": found["words"]["reference_length"],
            "wer": found["words"]["rate"],
            "wer_interval": [found["words"]["interval"][key] for key in ("low", "high")],
            "cer": found["characters"]["rate"],
        }
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"{path}: not what 'plainspeech evaluate --json' writes") from error
