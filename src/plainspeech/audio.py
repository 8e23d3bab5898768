"""Read any recording that libsndfile reads: WAV, FLAC, MP3, Ogg Vorbis and Opus, AIFF and more."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from plainspeech.containers import (
    UNKNOWN_FRAMES,
    check_complete,
    check_header,
    check_last_page,
)
from plainspeech.errors import PlainspeechError

Array = npt.NDArray[np.float32]

SAMPLE_RATE = 16_000
"""Hz; what models are trained on unless a recipe says otherwise."""

SHORTEST = 0.01
"""Seconds; anything shorter holds not one frame of features."""

_BLOCK = 16_384  # samples a channel; a header can promise any number of them
_RATES = (1_000, 1_000_000)  # Hz
_LOUDEST = 1e6  # beyond it the energies of the mel filters leave float32


class _ForwardFile(soundfile.SoundFile):  # type: ignore[misc]  # soundfile has no types
    """A sound file that is read from front to back.

    soundfile seeks after each read of a file that can seek; FLAC of unknown length cannot.
    """

    def seekable(self) -> bool:
        return False


def read(source: str | Path | BinaryIO, sample_rate: int = SAMPLE_RATE) -> Array:
    """Read a recording as one channel.

    Channels are averaged. Memory is taken for what the file holds, not for what its header
    promises.

    Args:
        source: path, or a binary file, which may be a pipe.
        sample_rate: Hz, of the result.

    Returns:
        ``(samples,)`` float32; [-1, 1] is full scale.

    Raises:
        PlainspeechError: the file is missing, is no audio, is damaged, truncated or shorter than
            `SHORTEST`, or has samples that are not finite.
    """
    return np.concatenate([*blocks(source, sample_rate)])


def blocks(source: str | Path | BinaryIO, sample_rate: int = SAMPLE_RATE) -> Iterator[Array]:
    """Read a recording as `read` does, block by block, each ``(samples,)`` of about a second.

    Raises:
        PlainspeechError: as `read`, when it comes to light.
    """
    samples = 0
    with _opened(source) as (name, sound):
        for block in _resampled(_mono(name, sound), sound.samplerate, sample_rate):
            samples += len(block)
            yield block
    if not samples:
        raise PlainspeechError(f"{name}: holds no audio")
    if samples < SHORTEST * sample_rate:
        raise PlainspeechError(
            f"{name}: too short: {1000 * samples / sample_rate:.3g} ms of audio, "
            f"at least {1000 * SHORTEST:g} ms are needed"
        )


def from_array(samples: npt.NDArray[Any], rate: int, sample_rate: int = SAMPLE_RATE) -> Array:
    """Return a waveform as `read` would return a file that holds it.

    Args:
        samples: ``(samples,)``; floats as they are, signed integers by their full scale.
        rate: Hz, of ``samples``.
        sample_rate: Hz, of the result.

    Raises:
        PlainspeechError: more than one channel, another type, or samples that are not finite.
    """
    if samples.ndim != 1:
        raise PlainspeechError(
            f"waveform: has the shape {samples.shape}; one channel, (samples,), is needed"
        )
    if samples.dtype.kind not in "fi":
        raise PlainspeechError(f"waveform: has the type {samples.dtype}; floats are needed")
    _check_rate("waveform", rate)
    scale = 1.0 if samples.dtype.kind == "f" else -1.0 / np.iinfo(samples.dtype).min
    scaled = samples * np.float64(scale)  # a float64 may be beyond what a float32 holds
    _check_samples("waveform", scaled)
    waveform = scaled.astype(np.float32)
    return np.concatenate([*_resampled([waveform], rate, sample_rate)])


def duration(path: str | Path) -> float:
    """Return the seconds of audio that the header of ``path`` promises.

    Raises:
        PlainspeechError: the file is missing, is no audio, or its header contradicts its size.
    """
    with _opened(path) as (_, sound):
        frames, rate = sound.frames, sound.samplerate
    return len(read(path)) / SAMPLE_RATE if frames >= UNKNOWN_FRAMES else frames / rate


@contextmanager
def _opened(source: str | Path | BinaryIO) -> Iterator[tuple[str, _ForwardFile]]:
    """Yield the name of ``source`` for messages, and its decoder."""
    if not isinstance(source, (str, Path)):
        yield from _decoder(str(getattr(source, "name", "audio")), source)
        return
    try:
        with Path(source).open("rb") as file:
            yield from _decoder(str(source), file)
    except FileNotFoundError as error:
        raise PlainspeechError(f"{source}: no such file") from error
    except IsADirectoryError as error:
        raise PlainspeechError(f"{source}: is a folder, not a recording") from error
    except OSError as error:
        raise PlainspeechError(f"{source}: cannot be read: {error.strerror}") from error


def _decoder(name: str, file: BinaryIO) -> Iterator[tuple[str, _ForwardFile]]:
    stream = file if file.seekable() else io.BytesIO(file.read())
    magic = stream.read(4)
    if not magic:
        raise PlainspeechError(f"{name}: is empty")
    if magic == b"OggS":
        check_last_page(name, stream)
    stream.seek(0)
    try:
        sound = _ForwardFile(stream)
    # TypeError: soundfile wants to be told what a name that ends in .raw holds.
    except (soundfile.LibsndfileError, TypeError) as error:
        reason = getattr(error, "error_string", str(error)).rstrip(".")
        raise PlainspeechError(f"{name}: is not audio, or damaged: {reason}") from error
    with sound:
        _check_rate(name, sound.samplerate)
        check_header(name, sound)
        yield name, sound


def _check_rate(name: str, rate: int) -> None:
    if not _RATES[0] <= rate <= _RATES[1]:
        raise PlainspeechError(f"{name}: claims a sample rate of {rate} Hz")


def _check_samples(name: str, samples: npt.NDArray[np.floating[Any]]) -> None:
    if not np.all(np.abs(samples) < _LOUDEST):  # also false for NaN
        raise PlainspeechError(
            f"{name}: has samples that are not numbers (NaN, infinite or beyond {_LOUDEST:g})"
        )


def _mono(name: str, sound: _ForwardFile) -> Iterator[Array]:
    """Yield blocks of the mean of the channels, ``(samples,)``."""
    done = 0
    while True:
        try:
            block = sound.read(_BLOCK, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise PlainspeechError(
                f"{name}: damaged or truncated: cannot be decoded beyond "
                f"{done / sound.samplerate:.1f} s ({error.error_string.rstrip('.')})"
            ) from error
        if not len(block):
            break
        _check_samples(name, block)
        done += len(block)
        yield block.mean(axis=1)
    check_complete(name, done, sound.frames, sound.samplerate)


def _resampled(blocks: Iterable[Array], rate: int, wanted: int) -> Iterator[Array]:
    if rate == wanted:
        yield from blocks
        return
    stream = soxr.ResampleStream(rate, wanted, 1, dtype="float32")
    for block in blocks:
        yield stream.resample_chunk(block)
    yield stream.resample_chunk(np.empty(0, np.float32), last=True)
