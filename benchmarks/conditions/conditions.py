"""The conditions that are measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain

import numpy as np

from benchmarks.conditions import degrading, sounds
from benchmarks.conditions.sounds import RATE, Random
from plainspeech.arrays import Array

Heard = Array | bytes
"""What is transcribed: ``(samples,)`` or ``(samples, channels)`` at `RATE`, or a file's content."""


@dataclass(frozen=True)
class Material:
    """What conditions are made of.

    Attributes:
        voices: waveforms of each speaker, for babble.
        kitchen: recordings of noise at `RATE`; where there are none, nothing is made of them.
    """

    voices: Mapping[str, Sequence[Array]] = field(repr=False)
    kitchen: Sequence[Array] = field(repr=False)

    def babble(self, samples: int, random: Random, speaker: str) -> Array:
        """Return other speakers than ``speaker``, all at once."""
        others = [
            waveform for name, found in self.voices.items() if name != speaker for waveform in found
        ]
        return sounds.babble(others, samples, random)

    def kitchen_noise(self, samples: int, random: Random) -> Array:
        """Return part of a recording of a kitchen."""
        recording = self.kitchen[int(random.integers(len(self.kitchen)))]
        return sounds.levelled(sounds.cut(recording, samples, random))


@dataclass(frozen=True)
class Condition:
    """Something that happens to recordings.

    Attributes:
        group: heading in the table.
        name: in it.
        make: returns what is heard of a waveform, by its speaker, with a source of chance.
    """

    group: str
    name: str
    make: Callable[[Array, str, Random], Heard] = field(repr=False)

    @property
    def key(self) -> str:
        """Tells it from all others."""
        return f"{self.group}: {self.name}"


def conditions(material: Material) -> list[Condition]:
    """Return all conditions, the clean one first."""
    rooms = [Condition("room", room, partial(_in_room, room=room)) for room in degrading.ROOMS]
    paces = [
        Condition("pace", f"{factor:g} times as fast", partial(_paced, factor=factor))
        for factor in (0.8, 0.9, 1.1, 1.25)
    ]
    parts = _levels(), _silences(), _channels(), _telephones(), _containers(), _noises(material)
    shifts = [
        Condition("clean", f"begun {milliseconds} ms later", partial(_begun_later, by=milliseconds))
        for milliseconds in (5, 8, 12, 15, 24)
    ]
    return [CLEAN, *shifts, *chain.from_iterable(parts), *rooms, *paces]


def no_speech(material: Material) -> dict[str, Callable[[int, Random], Array]]:
    """Return what makes so many samples of each kind of sound in which nobody speaks."""
    kinds: dict[str, Callable[[int, Random], Array]] = {
        "zeros": sounds.zeros,
        "dither": sounds.dither,
        "white noise": partial(sounds.coloured, slope=0.0),
        "pink noise": partial(sounds.coloured, slope=0.5),
        "brown noise": partial(sounds.coloured, slope=1.0),
        "hum": sounds.hum,
        "dial tones": sounds.dial_tones,
        "clicks": sounds.clicks,
        "music": sounds.music,
    }
    if material.kitchen:
        kinds["kitchen"] = material.kitchen_noise
    return kinds


def _as_it_is(samples: Array, speaker: str, random: Random) -> Array:
    return samples


def _begun_later(samples: Array, speaker: str, random: Random, by: float) -> Array:
    return samples[round(by * RATE / 1_000) :]


CLEAN = Condition("clean", "as it is", _as_it_is)


def _levels() -> list[Condition]:
    found = [
        Condition(
            "level",
            f"{decibels} dB, {bits} bits",
            partial(_at_level, decibels=decibels, subtype=f"PCM_{bits}"),
        )
        for bits, every in ((24, (-20, -30, -40, -50, -60)), (16, (-40, -60)))
        for decibels in every
    ]
    return [
        *found,
        *(
            Condition("level", f"clipped {below} dB below its peak", partial(_clipped, below=below))
            for below in (6, 12)
        ),
    ]


def _at_level(samples: Array, speaker: str, random: Random, decibels: float, subtype: str) -> bytes:
    return degrading.wav(degrading.gain(samples, decibels), subtype)


def _clipped(samples: Array, speaker: str, random: Random, below: float) -> Array:
    return degrading.gain(samples / np.abs(samples).max(), below)


def _silences() -> list[Condition]:
    kinds = {"zeros": sounds.zeros, "dither": sounds.dither, "hum": sounds.hum}
    return [
        Condition(
            "before and after",
            f"{name}, {seconds:g} s",
            partial(_surrounded, make=make, seconds=seconds),
        )
        for name, make in kinds.items()
        for seconds in (0.5, 5.0, 20.0)
    ]


def _surrounded(
    samples: Array,
    speaker: str,
    random: Random,
    make: Callable[[int, Random], Array],
    seconds: float,
) -> Array:
    before, after = (make(round(seconds * RATE), random) for _ in range(2))
    return np.concatenate([before, samples, after])


def _channels() -> list[Condition]:
    found = [
        Condition("channels", name, partial(_two_channels, make=make))
        for name, make in _SECOND_CHANNELS.items()
    ]
    return [
        *found,
        *(
            Condition("channels", f"one {later} ms later", partial(_later, milliseconds=later))
            for later in (1, 20)
        ),
        Condition("channels", "white noise of their own, 40 dB", _noise_of_their_own),
    ]


_SECOND_CHANNELS: dict[str, Callable[[Array, Random], Array]] = {
    "one inverted": lambda samples, _: -samples,
    "one silent": lambda samples, _: 0 * samples,
    "one at half level": lambda samples, _: samples / np.float32(2),
    "one of hum": lambda samples, random: sounds.hum(len(samples), random),
}


def _two_channels(
    samples: Array, speaker: str, random: Random, make: Callable[[Array, Random], Array]
) -> bytes:
    return degrading.wav(np.stack([make(samples, random), samples], axis=1), "PCM_24")


def _later(samples: Array, speaker: str, random: Random, milliseconds: float) -> bytes:
    return degrading.wav(degrading.delayed(samples, milliseconds), "PCM_24")


def _noise_of_their_own(samples: Array, speaker: str, random: Random) -> bytes:
    channels = [
        degrading.with_noise(samples, sounds.coloured(len(samples), random, 0.0), 40)
        for _ in range(2)
    ]
    return degrading.wav(np.stack(channels, axis=1), "PCM_24")


def _telephones() -> list[Condition]:
    kinds = {"16 bits": "PCM_16", "G.711 A-law": "ALAW", "G.711 mu-law": "ULAW", "GSM": "GSM610"}
    return [
        Condition("telephone, 8 kHz", name, partial(_telephone, subtype=subtype))
        for name, subtype in kinds.items()
    ]


def _telephone(samples: Array, speaker: str, random: Random, subtype: str) -> bytes:
    return degrading.wav(samples, subtype, degrading.TELEPHONE)


def _containers() -> list[Condition]:
    kinds = [
        *(("MP3", "mp3", "libmp3lame", kilobits, RATE) for kilobits in (16, 32, 64)),
        *(("Opus", "ogg", "libopus", kilobits, 48_000) for kilobits in (16, 32, 64)),
        ("WebM", "webm", "libopus", 64, 48_000),
        ("m4a", "ipod", "aac", 64, 44_100),
    ]
    return [
        Condition(
            "container",
            f"{name}, {kilobits} kbit/s",
            partial(_encoded, container=container, codec=codec, kilobits=kilobits, rate=rate),
        )
        for name, container, codec, kilobits, rate in kinds
    ]


def _encoded(
    samples: Array,
    speaker: str,
    random: Random,
    container: str,
    codec: str,
    kilobits: int,
    rate: int,
) -> bytes:
    return degrading.encoded(samples, container, codec, kilobits, rate)


def _noises(material: Material) -> list[Condition]:
    kinds: dict[str, Callable[[int, Random, str], Array]] = {
        "white": lambda count, random, _: sounds.coloured(count, random, 0.0),
        "pink": lambda count, random, _: sounds.coloured(count, random, 0.5),
        "babble": material.babble,
    }
    if material.kitchen:
        kinds["kitchen"] = lambda count, random, _: material.kitchen_noise(count, random)
    return [
        Condition("noise", f"{name}, {snr} dB", partial(_noisy, make=make, snr=snr))
        for name, make in kinds.items()
        for snr in (20, 10, 5)
    ]


def _noisy(
    samples: Array,
    speaker: str,
    random: Random,
    make: Callable[[int, Random, str], Array],
    snr: float,
) -> Array:
    return degrading.with_noise(samples, make(len(samples), random, speaker), snr)


def _in_room(samples: Array, speaker: str, random: Random, room: str) -> Array:
    return degrading.in_room(samples, room, random)


def _paced(samples: Array, speaker: str, random: Random, factor: float) -> Array:
    return degrading.paced(samples, factor)
