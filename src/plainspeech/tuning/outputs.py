"""The outputs of a model for the recordings of a manifest: computed once, decoded many times.

They are kept on disk. A file is a SHA-256 and an ``.npz`` of that hash, without pickles. It is
named by a SHA-256 of all that the outputs depend on, and can be deleted at any time.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from platformdirs import user_cache_path

from plainspeech.arrays import Array
from plainspeech.data.manifest import Utterance
from plainspeech.errors import ConfigurationError, DataError
from plainspeech.evaluation.recognition import Unreadable, read_in_batches
from plainspeech.files import write_atomically
from plainspeech.runtime.bundle import Bundle

FORMAT = 2
"""Of the files and of how features are computed; another one makes files of before unused."""

_DIGEST = 32  # bytes of SHA-256


class Model(Protocol):
    """The part of a recognizer that tuning needs."""

    @property
    def bundle(self) -> Bundle:
        """The model's features."""

    def log_probabilities(self, waveforms: Sequence[Array], /) -> Sequence[Array]:
        """Return ``(frames, symbols)`` for each ``(samples,)`` waveform."""


@dataclass(frozen=True)
class Outputs:
    """The log-probabilities of the utterances of a manifest.

    Attributes:
        log_probabilities: ``(frames, symbols)`` float32, by the utterance's place in the manifest;
            no frame where the recording is too short for one.
        missing: the utterances that could not be read, by place.
        audio_seconds: length of those that could.
    """

    log_probabilities: dict[int, Array]
    missing: dict[int, Unreadable]
    audio_seconds: float


def compute(
    model: Model, utterances: Sequence[Utterance], on_progress: Callable[[int], None]
) -> Outputs:
    """Run ``model`` on the recordings of ``utterances``.

    Args:
        model: a recognizer.
        utterances: whose recordings to read.
        on_progress: called after each batch with the number of its utterances.
    """
    rate = model.bundle.features.sample_rate
    found: dict[int, Array] = {}
    missing: dict[int, Unreadable] = {}
    samples = 0
    for waveforms, unreadable in read_in_batches(utterances, rate):
        readable = list(waveforms.values())
        found |= zip(waveforms, model.log_probabilities(readable), strict=True)
        missing |= unreadable
        samples += sum(map(len, readable))
        on_progress(len(waveforms) + len(unreadable))
    return Outputs(dict(sorted(found.items())), dict(sorted(missing.items())), samples / rate)


def default_folder() -> Path:
    """Return where outputs are kept unless a folder is named."""
    return user_cache_path("plainspeech", appauthor=False) / "outputs"


def cache_file(
    folder: Path, bundle: Bundle, manifest: Path, utterances: Sequence[Utterance]
) -> Path:
    """Return the file in ``folder`` for the outputs of a model on a manifest.

    Its name changes with the network, the features and their warps, the content of the manifest,
    and the place, size or time of change of a recording.

    Raises:
        DataError: the manifest cannot be read.
    """
    try:
        content = manifest.read_bytes()
    except OSError as error:
        raise DataError(f"{manifest}: cannot be read: {error.strerror}") from error
    parts = [
        FORMAT,
        hashlib.sha256(bundle.network).hexdigest(),
        asdict(bundle.features),
        bundle.frequency_warps.factors,
        hashlib.sha256(content).hexdigest(),
        [_fingerprint(utterance.audio) for utterance in utterances],
    ]
    return folder / f"{hashlib.sha256(json.dumps(parts).encode()).hexdigest()}.outputs"


def load(path: Path, utterances: Sequence[Utterance], symbols: int) -> Outputs | None:
    """Return the outputs in ``path`` for ``utterances``; None if missing or damaged."""
    try:
        content = path.read_bytes()
        if hashlib.sha256(content[_DIGEST:]).digest() != content[:_DIGEST]:
            return None
        return _unpacked(content[_DIGEST:], utterances, symbols)
    except Exception:  # whatever readers of archives and arrays raise
        return None


def _unpacked(content: bytes, utterances: Sequence[Utterance], symbols: int) -> Outputs:
    """Return the outputs in an ``.npz``; any exception where it is not one of `save`."""
    with np.load(io.BytesIO(content)) as arrays:
        frames, reasons = arrays["frames"], arrays["missing"].tolist()
        rows, seconds = arrays["log_probabilities"], float(arrays["audio_seconds"])
    if (frames.shape, len(reasons)) != ((len(utterances),), len(utterances)):
        raise ValueError("of other utterances")
    if (frames < 0).any() or rows.dtype != np.float32 or rows.shape != (frames.sum(), symbols):
        raise ValueError("of another model")
    parts = np.split(rows, np.cumsum(frames)[:-1])
    return Outputs(
        {place: part for place, part in enumerate(parts) if not reasons[place]},
        {
            place: Unreadable(utterances[place].id, reason)
            for place, reason in enumerate(reasons)
            if reason
        },
        seconds,
    )


def save(path: Path, outputs: Outputs, count: int, symbols: int) -> None:
    """Write ``outputs`` for ``count`` utterances to ``path``, whole or not at all.

    Raises:
        ConfigurationError: it cannot be written.
    """
    none = np.empty((0, symbols), np.float32)
    parts = [outputs.log_probabilities.get(place, none) for place in range(count)]
    reasons = {place: missing.reason for place, missing in outputs.missing.items()}
    arrays: dict[str, Any] = {
        "log_probabilities": np.concatenate([none, *parts]),
        "frames": np.array([len(part) for part in parts], np.int64),
        "missing": np.array([reasons.get(place, "") for place in range(count)]),
        "audio_seconds": np.array(outputs.audio_seconds),
    }
    content = io.BytesIO()
    np.savez(content, **arrays)
    try:
        write_atomically(path, hashlib.sha256(content.getvalue()).digest() + content.getvalue())
    except OSError as error:
        raise ConfigurationError(
            f"{path.parent}: cannot be written: {error.strerror}; give another folder (--cache)"
        ) from error


def _fingerprint(recording: Path) -> tuple[str, int, int]:
    """Return path, size and time of change of a recording, to see whether it is still the same."""
    try:
        known = recording.stat()
    except OSError:
        return str(recording.resolve()), -1, -1
    return str(recording.resolve()), known.st_size, known.st_mtime_ns
