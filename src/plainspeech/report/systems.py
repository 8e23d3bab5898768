"""Reads what ``plainspeech evaluate --json`` writes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from plainspeech.errors import DataError
from plainspeech.evaluation.conventions import LIBRISPEECH
from plainspeech.evaluation.error_rates import Pair, Scores
from plainspeech.files import shown
from plainspeech.transcript import Word


@dataclass(frozen=True)
class Result:
    """What was measured of one utterance; what earlier versions did not write is None.

    Attributes:
        pair: reference and hypothesis.
        audio: path of the recording.
        duration: seconds.
        signal_to_noise: decibels.
        words: that were recognised.
        unknown: words that were said and are not in the lexicon.
        explanations: of errors: ``said``, ``recognised``, ``errors``, ``cause`` and more.
    """

    pair: Pair
    audio: Path | None
    duration: float | None
    signal_to_noise: float | None
    words: tuple[Word, ...] | None
    unknown: tuple[str, ...] | None
    explanations: tuple[dict[str, Any], ...] | None

    @property
    def confidence(self) -> float | None:
        """The mean confidence of its words; None without words."""
        if not self.words:
            return None
        return sum(word.confidence for word in self.words) / len(self.words)

    @property
    def rate(self) -> float | None:
        """Words said in a second."""
        return len(self.pair.reference.split()) / self.duration if self.duration else None


@dataclass(frozen=True)
class System:
    """One evaluation of one model.

    Attributes:
        label: its name in the report.
        about: model, network, decoder, manifest, convention, command and date, as far as known.
        model: path of the bundle.
        options: by which it was loaded, see `plainspeech.runtime.recognizer.load_model`; none of an
            evaluation by an older plainspeech.
        results: of each utterance.
        scores: their errors.
        speed: seconds of computation for a second of audio.
    """

    label: str
    about: dict[str, str]
    model: str
    options: dict[str, Any]
    results: tuple[Result, ...]
    scores: Scores
    speed: float


_ABOUT = ("model", "network", "decoder", "manifest", "convention", "command", "date")


def read_all(paths: Sequence[Path]) -> list[System]:
    """Read evaluations; those that would have the same label have the names of their files in it.

    Raises:
        DataError: as `read_results`.
    """
    systems = [read_results(path) for path in paths]
    labels = Counter(system.label for system in systems)
    names = Counter(path.name for path in paths)
    for place, (system, path) in enumerate(zip(systems, paths, strict=True)):
        if labels[system.label] > 1:
            name = shown(path.name if names[path.name] == 1 else str(path))
            systems[place] = replace(system, label=f"{system.label} ({name})")
    return systems


def read_results(path: Path) -> System:
    """Read an evaluation.

    Raises:
        DataError: ``path`` cannot be read, or is not what ``plainspeech evaluate --json`` writes.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        results = tuple(_result(row) for row in found["utterances"])
        name = str(found["model"]["name"] or found["model"]["path"])
        about = {key: str(found[key]) for key in _ABOUT if key in found}
        about["model"] = name
        about.setdefault("convention", LIBRISPEECH.description)
        return System(
            label=f"{name}, {found['network']}, {found['decoder']}",
            about=about,
            model=str(found["model"]["path"]),
            options=_options(found.get("options", {})),
            results=results,
            scores=Scores.of([result.pair for result in results]),
            speed=float(found["real_time_factor"]),
        )
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        OverflowError,
        RecursionError,
    ) as error:
        raise DataError(f"{path}: not what 'plainspeech evaluate --json' writes") from error


def _result(row: dict[str, Any]) -> Result:
    words, unknown, explanations = (
        row.get(key) for key in ("recognised", "unknown", "explanations")
    )
    return Result(
        pair=Pair(
            *(str(row[key]) for key in ("id", "speaker", "reference", "hypothesis")),
        ),
        audio=Path(row["audio"]) if "audio" in row else None,
        duration=_number(row.get("duration")),
        signal_to_noise=_number(row.get("signal_to_noise")),
        words=None if words is None else tuple(_word(word) for word in words),
        unknown=None if unknown is None else tuple(map(str, unknown)),
        explanations=None
        if explanations is None
        else tuple(_explanation(one) for one in explanations),
    )


def _options(found: dict[str, Any]) -> dict[str, Any]:
    """Return those that an evaluation tells; `load_model` checks what they say."""
    if not found:
        return {}
    named = ("decoder", "language_model", "precision")
    options = {key: None if found[key] is None else str(found[key]) for key in named}
    return {
        **options,
        "frequency_warps": found["frequency_warps"],
        "streaming": bool(found["streaming"]),
    }


def _word(found: dict[str, Any]) -> Word:
    start, end, confidence = (float(found[key]) for key in ("start", "end", "confidence"))
    return Word(str(found["text"]), start, end, confidence)


def _explanation(found: dict[str, Any]) -> dict[str, Any]:
    return {**found, "errors": int(found["errors"]), "cause": str(found["cause"])}


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
