"""Recordings of phones, browsers and cameras, decoded by FFmpeg's libraries through PyAV.

What libsndfile reads does not come here. Only the containers that people record or publish in are
opened, never playlists or protocols, which could name other files.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import groupby
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from plainspeech.arrays import Array
from plainspeech.audio.decoded import (
    BLOCK,
    DecodedAudio,
    Section,
    check_channels,
    check_complete,
    check_rate,
    check_samples,
)
from plainspeech.errors import AudioError

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer

# Not WAV, of which FFmpeg takes a gigabyte for a list of 30 bytes that claims one.
_CONTAINERS = "aac,amr,amrnb,amrwb,asf,avi,caf,flv,matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,mpegts,ogg"
_HAVE_STREAM_DURATIONS = ("mov", "caf")  # their headers declare the duration of each stream
_OPTIONS = {"format_whitelist": _CONTAINERS, "protocol_whitelist": ""}


def decode_with_ffmpeg(name: str, stream: BinaryIO, stack: ExitStack) -> DecodedAudio | None:
    """Return the audio of ``stream``; None where it is none of these containers.

    Args:
        name: for messages.
        stream: that can seek, at its beginning.
        stack: closes the decoder.

    Raises:
        AudioError: it has no audio that can be decoded; while it is read, it is damaged or
            truncated.
    """
    import av

    try:
        container = stack.enter_context(
            # Not as ``options``, those of streams too: up to PyAV 17 a container whose header tells
            # of no stream, as FLV's does, was read beyond the end of an array for them.
            av.open(stream, mode="r", container_options=_OPTIONS, metadata_errors="ignore")
        )
    except (av.FFmpegError, ValueError):
        return None
    audio = container.streams.best("audio")
    if not isinstance(audio, av.AudioStream):
        raise AudioError(f"{name}: holds no audio")
    if getattr(audio, "codec_context", None) is None:  # decoding it would crash up to PyAV 18.0
        raise AudioError(f"{name}: holds audio of an unknown codec; convert it to FLAC or WAV")
    duration = _duration(container, audio)
    return DecodedAudio(_sections(name, container, audio, duration), duration)


def _duration(container: InputContainer, audio: AudioStream) -> float | None:
    """Return the seconds that the header declares.

    None where it does not say, or of all streams together; FFmpeg guesses then.
    """
    kind = container.format.name
    if (
        kind.startswith(_HAVE_STREAM_DURATIONS)
        and audio.duration is not None
        and audio.time_base is not None
    ):
        return float(audio.duration * audio.time_base)
    if kind.startswith("matroska") and container.duration is not None:
        return container.duration / 1_000_000 if len(container.streams) == 1 else None
    return None


def _sections(
    name: str, container: InputContainer, audio: AudioStream, duration: float | None
) -> Iterator[Section]:
    """Yield the audio, a new section where the rate or the channels change."""
    done = 0.0
    frames = _frames(name, container, audio)
    for (rate, channels), group in groupby(frames, lambda f: (f.sample_rate, f.layout.nb_channels)):
        check_rate(name, rate)
        check_channels(name, channels)
        count = [0]
        yield Section(rate, _blocks(name, group, count))
        done += count[0] / rate
    check_complete(name, done, duration, 1)


def _blocks(name: str, frames: Iterator[AudioFrame], count: list[int]) -> Iterator[Array]:
    """Yield the samples of ``frames``, which have one rate; ``count`` tells how many."""
    for block in _joined(map(_samples, frames)):
        check_samples(name, block)
        count[0] += len(block)
        yield block


def _frames(name: str, container: InputContainer, audio: AudioStream) -> Iterator[AudioFrame]:
    import av

    done = 0.0
    try:
        for packet in container.demux(audio):
            for frame in packet.decode():
                yield frame
                done += frame.samples / frame.sample_rate
    except (av.FFmpegError, ValueError) as error:
        raise AudioError(
            f"{name}: damaged or truncated: cannot be decoded beyond {done:.1f} s "
            f"({getattr(error, 'strerror', error)})"
        ) from error


def _samples(frame: AudioFrame) -> Array:
    """Return ``(samples, channels)``, full scale at 1."""
    found: Any = frame.to_ndarray()
    samples = found.T if frame.format.is_planar else found.reshape(-1, frame.layout.nb_channels)
    kind = samples.dtype
    if kind.kind == "f":
        return np.asarray(samples, np.float32)
    middle = 128 if kind.kind == "u" else 0
    full = 2.0 ** (8 * kind.itemsize - 1)
    return np.asarray((samples.astype(np.float64) - middle) / full, np.float32)


def _joined(pieces: Iterator[Array]) -> Iterator[Array]:
    """Yield ``pieces``, often of 1,024 samples, in blocks of more."""
    held: list[Array] = []
    count = 0
    for piece in pieces:
        held.append(piece)
        count += len(piece)
        if count >= BLOCK:
            yield np.concatenate(held)
            held, count = [], 0
    if held:
        yield np.concatenate(held)
