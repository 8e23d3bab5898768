"""Recordings of any kind as float32 samples, of one channel or of each.

libsndfile reads WAV, FLAC, MP3, Ogg Vorbis and Opus, AIFF and more; FFmpeg's libraries read what
phones, browsers and cameras record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from plainspeech.arrays import Array
from plainspeech.audio.channels import mixed
from plainspeech.audio.decoded import MOST_CHANNELS, DecodedAudio, check_rate, check_samples
from plainspeech.audio.ffmpeg import decode_with_ffmpeg
from plainspeech.audio.libsndfile import decode_mpeg, decode_with_libsndfile
from plainspeech.audio.sources import Source, opened_source
from plainspeech.errors import AudioError

SAMPLE_RATE = 16_000
"""Hz; what models are trained on unless a recipe says otherwise."""

SHORTEST = 0.01
"""Seconds; anything shorter holds not one frame of features."""

_BLOCK = 1 << 16  # samples of an array that are converted at a time

EXTENSIONS = frozenset(
    {
        ".aif",
        ".aiff",
        ".au",
        ".caf",
        ".flac",
        ".mp2",
        ".mp3",
        ".oga",
        ".ogg",
        ".opus",
        ".w64",
        ".wav",
    }
    | {
        ".3g2",
        ".3gp",
        ".aac",
        ".amr",
        ".asf",
        ".avi",
        ".flv",
        ".m4a",
        ".m4b",
        ".m4v",
        ".mka",
        ".mkv",
    }
    | {".mov", ".mp4", ".ogv", ".spx", ".ts", ".weba", ".webm", ".wma", ".wmv"}
)
"""By which recordings are found in a folder; a file that is named is read whatever its name."""


def read(source: Source, sample_rate: int = SAMPLE_RATE) -> Array:
    """Read a recording as one channel.

    Channels are mixed as `plainspeech.audio.channels.Downmix` describes. Memory grows with the
    audio that the file holds, not with what its header declares.

    Args:
        source: path, or a binary file, which may be a pipe.
        sample_rate: Hz, of the result.

    Returns:
        ``(samples,)`` float32; [-1, 1] is full scale.

    Raises:
        AudioError: the file is missing, is no audio, is damaged, truncated or shorter than
            `SHORTEST`, or has samples that are not finite.
    """
    with opened(source, sample_rate) as recording:
        return np.concatenate([*recording.blocks])


@dataclass(frozen=True)
class Recording:
    """A recording that is being read.

    Attributes:
        sections: in order; more than one where several files were joined, or the format changes.
            Each is an iterator of blocks of about a second, ``(samples,)`` float32 of one channel,
            or ``(samples, channels)`` of channels that are kept apart, and is read to its end
            before the next. Concatenated they are what `read` returns; they raise its errors, those
            about the end of the file when it is reached.
        duration: seconds that the header declares; None where it does not say.
    """

    sections: Iterator[Iterator[Array]]
    duration: float | None

    @property
    def blocks(self) -> Iterator[Array]:
        """The blocks of all sections."""
        return chain.from_iterable(self.sections)


@contextmanager
def opened(
    source: Source, sample_rate: int = SAMPLE_RATE, separate: bool = False
) -> Iterator[Recording]:
    """Yield a recording that is read block by block, in memory that does not grow with its length.

    Args:
        source: path, or a binary file; a pipe is copied to a temporary file where it is long.
        sample_rate: Hz, of the blocks.
        separate: keep the channels apart; each section has as many as it was recorded with.

    Raises:
        AudioError: as `read`.
    """
    with opened_source(source) as (name, stream), ExitStack() as stack:
        decoded = _decoded(name, stream, stack)
        sections = _sections(decoded, sample_rate, separate)
        yield Recording(_long_enough(name, sections, sample_rate), decoded.duration)


def _decoded(name: str, stream: BinaryIO, stack: ExitStack) -> DecodedAudio:
    """Return the audio of ``stream`` by the first decoder that reads it; ``stack`` closes that."""
    try:
        return decode_with_libsndfile(name, stream, stack)
    except soundfile.LibsndfileError as error:
        stream.seek(0)
        found = decode_with_ffmpeg(name, stream, stack) or decode_mpeg(name, stream, stack)
        if found is None:
            reason = error.error_string.rstrip(".")
            raise AudioError(f"{name}: is not audio, or damaged: {reason}") from error
        return found


def _sections(decoded: DecodedAudio, sample_rate: int, separate: bool) -> Iterator[Iterator[Array]]:
    for section in decoded.sections:
        blocks = section.blocks if separate else mixed(section.blocks, section.rate)
        yield resampled(blocks, section.rate, sample_rate)


def _long_enough(
    name: str, sections: Iterable[Iterator[Array]], rate: int
) -> Iterator[Iterator[Array]]:
    done = 0

    def counted(section: Iterator[Array]) -> Iterator[Array]:
        nonlocal done
        for block in section:
            done += len(block)
            yield block

    yield from map(counted, sections)
    if not done:
        raise AudioError(f"{name}: holds no audio")
    if done < SHORTEST * rate:
        raise AudioError(
            f"{name}: too short: {1000 * done / rate:.3g} ms of audio, "
            f"at least {1000 * SHORTEST:g} ms are needed"
        )


def from_array(
    samples: npt.NDArray[Any], rate: int, sample_rate: int = SAMPLE_RATE, separate: bool = False
) -> Array:
    """Return a waveform as `read` would return a file that holds it.

    Args:
        samples: ``(samples,)`` or ``(samples, channels)``; floats as they are, signed integers by
            their full scale.
        rate: Hz, of ``samples``.
        sample_rate: Hz, of the result.
        separate: keep channels apart.

    Returns:
        ``(samples,)``, or as many channels as there were where they are kept apart.

    Raises:
        AudioError: no array, another shape or type, or samples that are not finite.
    """
    _check_array(samples)
    check_rate("waveform", rate)
    blocks = _scaled(samples)
    if samples.ndim == 2 and not separate:
        blocks = mixed(blocks, rate)
    if rate != sample_rate and len(samples):
        return np.concatenate([*resampled(blocks, rate, sample_rate)])
    waveform = np.empty(samples.shape if separate else samples.shape[:1], np.float32)
    for start, block in zip(range(0, len(samples), _BLOCK), blocks, strict=True):
        waveform[start : start + len(block)] = block
    return waveform


def _check_array(samples: object) -> None:
    if not isinstance(samples, np.ndarray):
        raise AudioError(f"waveform: is {type(samples).__name__}; a NumPy array is needed")
    if not (samples.ndim == 1 or (samples.ndim == 2 and 0 < samples.shape[1] <= MOST_CHANNELS)):
        raise AudioError(
            f"waveform: has the shape {samples.shape}; (samples,) is needed, or "
            f"(samples, channels) with at most {MOST_CHANNELS} channels"
        )
    if samples.dtype.kind not in "fi":
        raise AudioError(f"waveform: has the type {samples.dtype}; floats are needed")


def _scaled(samples: npt.NDArray[Any]) -> Iterator[Array]:
    """Yield ``samples`` as float32, checked, in blocks, so that little memory is taken."""
    scale = 1.0 if samples.dtype.kind == "f" else -1.0 / np.iinfo(samples.dtype).min
    for start in range(0, len(samples), _BLOCK):
        # A float64 may be beyond what a float32 holds.
        block = samples[start : start + _BLOCK] * np.float64(scale)
        check_samples("waveform", block)
        yield block.astype(np.float32)


def duration(path: Source) -> float:
    """Return the seconds of audio in ``path``, by its header if that says, else by decoding it.

    Raises:
        AudioError: the file is missing, is no audio, or its header contradicts its size.
    """
    with opened(path) as recording:
        if recording.duration is not None:
            return recording.duration
        return sum(map(len, recording.blocks)) / SAMPLE_RATE


def resampler(rate: int, wanted: int) -> Callable[[Array], Array]:
    """Return a function that resamples a stream from ``rate`` to ``wanted`` Hz, block by block.

    Its output is late where the rates differ, 14 ms from 48 to 16 kHz and 113 ms between 8 and
    16 kHz, and what it holds back is lost at the end; see `resampled`.
    """
    if rate == wanted:
        return lambda block: block
    stream = soxr.ResampleStream(rate, wanted, 1, dtype="float32")
    return lambda block: np.asarray(stream.resample_chunk(block), np.float32)


def resampled(blocks: Iterable[Array], rate: int, wanted: int) -> Iterator[Array]:
    """Yield ``blocks``, ``(samples,)`` or ``(samples, channels)``, at another rate, to the end."""
    if rate == wanted:
        yield from blocks
        return
    blocks = iter(blocks)
    first = next(blocks, None)
    if first is None:
        return
    channels = 1 if first.ndim == 1 else first.shape[1]
    stream = soxr.ResampleStream(rate, wanted, channels, dtype="float32")
    for block in chain([first], blocks):
        yield stream.resample_chunk(np.ascontiguousarray(block))
    yield stream.resample_chunk(np.empty_like(first[:0]), last=True)
