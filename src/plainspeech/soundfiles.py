"""Files of sound, opened and decoded block by block."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt
import soundfile

from plainspeech.arrays import Array
from plainspeech.containers import check_complete, check_header, check_last_page
from plainspeech.errors import PlainspeechError

_BLOCK = 16_384  # samples a channel; a header can promise any number of them
_SPOOL = 16_000_000  # bytes of a pipe that are kept in memory
_RATES = (1_000, 1_000_000)  # Hz
_LOUDEST = 1e6  # beyond it the energies of the mel filters leave float32


class ForwardFile(soundfile.SoundFile):  # type: ignore[misc]  # soundfile has no types
    """A sound file that is read from front to back.

    soundfile seeks after each read of a file that can seek; FLAC of unknown length cannot.
    """

    def seekable(self) -> bool:
        """Return False."""
        return False


@contextmanager
def decoder(source: str | Path | BinaryIO) -> Iterator[tuple[str, ForwardFile]]:
    """Yield the name of ``source`` for messages, and its decoder.

    A pipe is copied to a temporary file first, where it is more than fits a little memory.

    Raises:
        PlainspeechError: the file is missing, is no audio, or its header contradicts its size.
    """
    if not isinstance(source, (str, Path)):
        yield from _of_file(str(getattr(source, "name", "audio")), source)
        return
    try:
        with Path(source).open("rb") as file:
            yield from _of_file(str(source), file)
    except FileNotFoundError as error:
        raise PlainspeechError(f"{source}: no such file") from error
    except IsADirectoryError as error:
        raise PlainspeechError(f"{source}: is a folder, not a recording") from error
    except OSError as error:
        raise PlainspeechError(f"{source}: cannot be read: {error.strerror}") from error


def _of_file(name: str, file: BinaryIO) -> Iterator[tuple[str, ForwardFile]]:
    with nullcontext(file) if file.seekable() else _copied(file) as stream:
        yield from _decoded(name, stream)


def _decoded(name: str, stream: BinaryIO) -> Iterator[tuple[str, ForwardFile]]:
    magic = stream.read(4)
    if not magic:
        raise PlainspeechError(f"{name}: is empty")
    if magic == b"OggS":
        check_last_page(name, stream)
    stream.seek(0)
    try:
        sound = ForwardFile(stream)
    # TypeError: soundfile wants to be told what a name that ends in .raw holds.
    except (soundfile.LibsndfileError, TypeError) as error:
        reason = getattr(error, "error_string", str(error)).rstrip(".")
        raise PlainspeechError(f"{name}: is not audio, or damaged: {reason}") from error
    with sound:
        check_rate(name, sound.samplerate)
        check_header(name, sound)
        yield name, sound


@contextmanager
def _copied(pipe: BinaryIO) -> Iterator[BinaryIO]:
    """Yield what comes from ``pipe`` as a file that can seek."""
    with tempfile.SpooledTemporaryFile(_SPOOL) as copy:
        shutil.copyfileobj(pipe, copy)
        copy.seek(0)
        yield cast(BinaryIO, copy)


def check_rate(name: str, rate: int) -> None:
    """Refuse a sample rate that no recording has."""
    if not _RATES[0] <= rate <= _RATES[1]:
        raise PlainspeechError(f"{name}: claims a sample rate of {rate} Hz")


def check_samples(name: str, samples: npt.NDArray[np.floating[Any]]) -> None:
    """Refuse samples that features cannot be made of."""
    if not np.all(np.abs(samples) < _LOUDEST):  # also false for NaN
        raise PlainspeechError(
            f"{name}: has samples that are not numbers (NaN, infinite or beyond {_LOUDEST:g})"
        )


def mono(name: str, sound: ForwardFile) -> Iterator[Array]:
    """Yield blocks of the mean of the channels, ``(samples,)`` float32.

    Raises:
        PlainspeechError: the file is damaged, truncated, or has samples that are not finite.
    """
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
        check_samples(name, block)
        done += len(block)
        yield block.mean(axis=1)
    check_complete(name, done, sound.frames, sound.samplerate)
