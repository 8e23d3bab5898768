"""What happens to a recording on its way: codecs, rooms, channels, pace."""

from __future__ import annotations

import io
from contextlib import suppress
from functools import cache
from typing import Any

import av
import numpy as np
import soundfile
import soxr

from benchmarks.conditions.sounds import RATE, Random
from plainspeech.arrays import Array

TELEPHONE = 8_000  # Hz

ROOMS = {
    "small": ((3.0, 2.5, 2.4), 0.3, 0.7),
    "medium": ((6.0, 5.0, 2.8), 0.5, 1.5),
    "large": ((12.0, 9.0, 4.0), 0.8, 3.0),
}
"""Metres, seconds in which sound falls by 60 dB, metres from the mouth to the microphone."""

_PLACES = 4  # of mouth and microphone in a room


def gain(samples: Array, decibels: float) -> Array:
    """Return ``samples`` louder by so many decibels, clipped at full scale."""
    return np.asarray(np.clip(samples * np.float32(10 ** (decibels / 20)), -1, 1))


def with_noise(samples: Array, noise: Array, snr: float) -> Array:
    """Return ``samples`` with ``noise`` below them by ``snr`` decibels, over all of them."""
    wanted = float(np.std(samples)) * 10 ** (-snr / 20)
    return np.asarray(samples + noise * (wanted / max(float(np.std(noise)), 1e-9)), np.float32)


def wav(samples: Array, subtype: str, rate: int = RATE) -> bytes:
    """Return a WAV of ``samples``, ``(samples,)`` or ``(samples, channels)`` at `RATE`.

    Args:
        samples: in [-1, 1].
        subtype: soundfile's name, such as ``PCM_16``, ``ALAW``, ``ULAW`` or ``GSM610``.
        rate: Hz, of the file.
    """
    file = io.BytesIO()
    if rate != RATE:
        samples = soxr.resample(samples, RATE, rate)
    soundfile.write(file, np.clip(samples, -1, 1), rate, format="WAV", subtype=subtype)
    return file.getvalue()


def encoded(samples: Array, container: str, codec: str, kilobits: int, rate: int = RATE) -> bytes:
    """Return ``samples`` as FFmpeg encodes them.

    Args:
        samples: ``(samples,)`` at `RATE`.
        container: FFmpeg's name, such as ``mp3``.
        codec: likewise, such as ``libmp3lame``.
        kilobits: a second.
        rate: Hz, of the file.
    """
    file = io.BytesIO()
    with av.open(file, "w", container) as output:
        stream: Any = output.add_stream(codec, rate)
        stream.layout, stream.bit_rate = "mono", 1_000 * kilobits
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[None]), "fltp", "mono")
        frame.sample_rate, frame.pts = RATE, 0  # without a time, FFmpeg refuses some last packets
        resampler = av.AudioResampler(stream.format, "mono", rate)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            output.mux(stream.encode(part))
        output.mux(stream.encode())
    return file.getvalue()


def paced(samples: Array, factor: float) -> Array:
    """Return ``samples`` spoken so many times as fast, at the same pitch (FFmpeg's atempo)."""
    graph = av.filter.Graph()
    source = graph.add_abuffer(format="flt", sample_rate=RATE, layout="mono")
    tempo = graph.add("atempo", str(factor))
    sink = graph.add("abuffersink")
    source.link_to(tempo)
    tempo.link_to(sink)
    graph.configure()
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[None]), "flt", "mono")
    frame.sample_rate = RATE
    graph.push(frame)
    graph.push(None)
    parts: list[Array] = []
    with suppress(av.EOFError):
        while True:
            pulled: Any = graph.pull()
            parts.append(pulled.to_ndarray()[0])
    return np.concatenate(parts)


def in_room(samples: Array, room: str, random: Random) -> Array:
    """Return ``samples`` as a microphone in one of `ROOMS` hears them."""
    response = _responses(room)[int(random.integers(_PLACES))]
    size = 1 << (len(samples) + len(response)).bit_length()
    heard = np.fft.irfft(np.fft.rfft(samples, size) * np.fft.rfft(response, size), size)
    return np.asarray(heard[: len(samples) + len(response)], np.float32)


@cache
def _responses(room: str) -> list[Array]:
    """Return the impulse responses of a room at some places in it, by the image source method."""
    import pyroomacoustics

    size, fading, distance = ROOMS[room]
    absorption, order = pyroomacoustics.inverse_sabine(fading, size)
    random, found = np.random.default_rng(0), list[Array]()
    while len(found) < _PLACES:
        mouth = random.uniform(0.5, np.array(size) - 0.5)
        angle = random.uniform(0, 2 * np.pi)
        microphone = mouth + distance * np.array([np.cos(angle), np.sin(angle), 0])
        if np.all(microphone > 0.3) and np.all(microphone < np.array(size) - 0.3):
            box = pyroomacoustics.ShoeBox(
                size,
                fs=RATE,
                materials=pyroomacoustics.Material(absorption),
                max_order=min(order, 30),
            )
            box.add_source(mouth)
            box.add_microphone(microphone)
            box.compute_rir()
            response = np.asarray(box.rir[0][0])
            found.append(np.asarray(response / np.abs(response).max(), np.float32))
    return found


def delayed(samples: Array, milliseconds: float) -> Array:
    """Return ``samples`` and, in a second channel, the same so much later."""
    gap = np.zeros(round(milliseconds * RATE / 1_000), np.float32)
    return np.stack([np.concatenate([samples, gap]), np.concatenate([gap, samples])], axis=1)
