"""Files of sound, opened and decoded block by block."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt
import soundfile

from plainspeech.arrays import Array
from plainspeech.containers import check_complete, check_header, check_last_page
from plainspeech.errors import AudioError

_BLOCK = 16_384  # samples a channel; a header can promise any number of them
_SPOOL = 16_000_000  # bytes of a pipe that are kept in memory
_PIECE = 1 << 20  # bytes of a pipe at a time
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
def decoder(source: str | os.PathLike[str] | BinaryIO) -> Iterator[tuple[str, ForwardFile]]:
    """Yield the name of ``source`` for messages, and its decoder.

    A pipe is copied to a temporary file first, where it is more than fits a little memory.

    Raises:
        AudioError: the file is missing, is no audio, or its header contradicts its size.
    """
    # What the caller's block raises is its own: nothing here is caught around the yield.
    with ExitStack() as stack:
        if isinstance(source, (str, os.PathLike)):
            name, file = os.fspath(source), stack.enter_context(_opened(Path(source)))
        elif hasattr(source, "read"):
            name, file = str(getattr(source, "name", "audio")), source
        else:
            raise AudioError(
                f"audio: is {type(source).__name__}; a path or a binary file is needed "
                f"(io.BytesIO makes one of bytes)"
            )
        sound = stack.enter_context(_decoded(name, _seekable(name, file, stack)))
        check_rate(name, sound.samplerate)
        check_header(name, sound)
        yield name, sound


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except FileNotFoundError as error:
        raise AudioError(f"{path}: no such file") from error
    except IsADirectoryError as error:
        raise AudioError(f"{path}: is a folder, not a recording") from error
    except OSError as error:
        raise AudioError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:  # a null character
        raise AudioError(f"{str(path)!r}: cannot be read: {error}") from error


def _seekable(name: str, file: BinaryIO, stack: ExitStack) -> BinaryIO:
    """Return ``file`` where it can seek, else a temporary copy, which ``stack`` closes."""
    try:
        if file.seekable():
            return file
        # stack closes it
        copy = stack.enter_context(tempfile.SpooledTemporaryFile(_SPOOL))  # noqa: SIM115
        while block := file.read(_PIECE):
            _append(name, copy, block)
        copy.seek(0)
        return cast(BinaryIO, copy)
    except (OSError, ValueError) as error:  # the latter where it is closed
        reason = getattr(error, "strerror", None) or error
        raise AudioError(f"{name}: cannot be read: {reason}") from error


def _append(name: str, copy: IO[bytes], block: bytes) -> None:
    try:
        copy.write(block)
    except OSError as error:
        raise AudioError(
            f"{name}: cannot be copied to {tempfile.gettempdir()}: {error.strerror}"
        ) from error


def _decoded(name: str, stream: BinaryIO) -> ForwardFile:
    """Return the decoder of ``stream``."""
    try:
        magic = stream.read(4)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise AudioError(f"{name}: cannot be read: {reason}") from error
    if not isinstance(magic, bytes):
        raise AudioError(f"{name}: is open as text; open it in binary ('rb')")
    if not magic:
        raise AudioError(f"{name}: is empty")
    if magic == b"OggS":
        check_last_page(name, stream)
    stream.seek(0)
    try:
        return ForwardFile(stream)
    # TypeError: soundfile wants to be told what a name that ends in .raw holds.
    except (soundfile.LibsndfileError, TypeError) as error:
        reason = getattr(error, "error_string", str(error)).rstrip(".")
        raise AudioError(f"{name}: is not audio, or damaged: {reason}") from error


def check_rate(name: str, rate: object) -> None:
    """Refuse a sample rate that no recording has."""
    if not (isinstance(rate, (int, float, np.number)) and _RATES[0] <= rate <= _RATES[1]):
        raise AudioError(f"{name}: claims a sample rate of {rate} Hz")


def check_samples(name: str, samples: npt.NDArray[np.floating[Any]]) -> None:
    """Refuse samples that features cannot be made of."""
    if not np.all(np.abs(samples) < _LOUDEST):  # also false for NaN
        raise AudioError(
            f"{name}: has samples that are not numbers (NaN, infinite or beyond {_LOUDEST:g})"
        )


def mono(name: str, sound: ForwardFile) -> Iterator[Array]:
    """Yield blocks of the mean of the channels, ``(samples,)`` float32.

    Raises:
        AudioError: the file is damaged, truncated, or has samples that are not finite.
    """
    done = 0
    while True:
        try:
            block = sound.read(_BLOCK, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise AudioError(
                f"{name}: damaged or truncated: cannot be decoded beyond "
                f"{done / sound.samplerate:.1f} s ({error.error_string.rstrip('.')})"
            ) from error
        if not len(block):
            break
        check_samples(name, block)
        done += len(block)
        yield block.mean(axis=1)
    check_complete(name, done, sound.frames, sound.samplerate)
