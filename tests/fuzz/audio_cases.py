"""Recordings of every kind of container and codec that can be written here."""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile
from mutations import mutated_bytes

from plainspeech import audio
from plainspeech.arrays import Array

_RATE = 16_000
_WITH_LIBSNDFILE = [("WAV", "PCM_16"), ("WAV", "FLOAT"), ("WAV", "ULAW"), ("WAV", "MS_ADPCM")]
_WITH_LIBSNDFILE += [("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("AIFF", "PCM_24")]
_WITH_LIBSNDFILE += [
    ("MP3", "MPEG_LAYER_III"),
    ("W64", "PCM_16"),
    ("CAF", "ALAC_16"),
    ("AU", "PCM_16"),
]
_WITH_FFMPEG = [("mp4", "aac"), ("matroska", "libopus"), ("webm", "libopus"), ("asf", "wmav2")]
_WITH_FFMPEG += [("mpegts", "aac"), ("avi", "pcm_s16le"), ("adts", "aac"), ("mov", "alac")]
_LONGEST = 3600 * _RATE  # samples; a file of some kilobytes that gives more is a bomb


def sound() -> Array:
    time = np.arange(_RATE // 4) / _RATE
    return (0.3 * np.sin(2 * np.pi * 440 * time)).astype(np.float32)


def with_ffmpeg(container: str, codec: str) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        rate = 48_000 if codec == "libopus" else _RATE
        stream: Any = output.add_stream(codec, rate=rate)
        samples = (np.tile(sound(), 3) * 32767).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate = rate
        resampler = av.AudioResampler(format=stream.codec_context.format, rate=rate)
        with suppress(av.FFmpegError):  # the last part of a frame
            fifo = av.AudioFifo()
            for part in resampler.resample(frame):
                fifo.write(part)
            size = stream.codec_context.frame_size or 1024
            while (chunk := fifo.read(size)) is not None:
                output.mux(stream.encode(chunk))
            output.mux(stream.encode(None))
    return file.getvalue()


def recordings() -> list[bytes]:
    found = []
    for container, codec in _WITH_LIBSNDFILE:
        file = io.BytesIO()
        with suppress(soundfile.LibsndfileError, ValueError):  # not in this build of it
            soundfile.write(file, sound(), _RATE, format=container, subtype=codec)
            found.append(file.getvalue())
    for container, codec in _WITH_FFMPEG:
        with suppress(av.FFmpegError, ValueError):
            found.append(with_ffmpeg(container, codec))
    return found


def cases(folder: Path) -> Callable[[random.Random], str]:
    whole = recordings()
    assert len(whole) >= 12, len(whole)
    path = folder / "recording"

    def run(draw: random.Random) -> str:
        content = mutated_bytes(draw.choice(whole), draw)
        if draw.random() < 0.1:
            content += mutated_bytes(draw.choice(whole), draw)
        path.write_bytes(content)
        source = path if draw.random() < 0.7 else io.BytesIO(content)
        samples = 0
        with audio.opened(source) as recording:
            for block in recording.blocks:
                samples += len(block)
                assert np.isfinite(block).all()
                assert samples < _LONGEST
        return "read"

    return run


CASES = {"audio": cases}
