"""Sounds in which nobody speaks, made by seed, and where recordings of noise are cut."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from plainspeech import audio
from plainspeech.arrays import Array

RATE = audio.SAMPLE_RATE
LEVEL = 0.05
"""Standard deviation of what is no silence: -26 dBFS, the usual level of speech."""

Random = np.random.Generator
_Doubles = npt.NDArray[np.float64]

_CHORDS = ((57, 60, 64), (53, 57, 60), (48, 52, 55), (55, 59, 62))  # MIDI: A minor, F, C, G


def zeros(samples: int, random: Random) -> Array:
    """Return digital silence."""
    return np.zeros(samples, np.float32)


def dither(samples: int, random: Random) -> Array:
    """Return the last bit of a muted input."""
    return (random.integers(-1, 2, samples) / 32_768).astype(np.float32)


def coloured(samples: int, random: Random, slope: float) -> Array:
    """Return noise whose amplitude falls with the ``slope``-th power of the frequency.

    0 is white, 0.5 pink and 1 brown.
    """
    spectrum = np.fft.rfft(random.standard_normal(samples))
    spectrum *= np.arange(1.0, len(spectrum) + 1) ** -slope
    return levelled(np.fft.irfft(spectrum, samples))


def hum(samples: int, random: Random) -> Array:
    """Return mains hum: 50 Hz and its harmonics, at phases of their own."""
    turns = 2 * np.pi * 50 * np.arange(samples) / RATE
    parts = (np.sin(h * turns + random.uniform(0, 2 * np.pi)) / h for h in range(1, 20))
    return levelled(np.sum(list(parts), axis=0))


def dial_tones(samples: int, random: Random) -> Array:
    """Return the keys of a telephone, pressed by chance (ITU-T Q.23)."""
    time = np.arange(round(0.2 * RATE)) / RATE
    keys = []
    for _ in range(-(-samples // round(0.4 * RATE))):
        low, high = random.choice([697, 770, 852, 941]), random.choice([1_209, 1_336, 1_477])
        keys.append(np.sin(2 * np.pi * low * time) + np.sin(2 * np.pi * high * time))
        keys.append(np.zeros(round(0.2 * RATE)))
    return levelled(np.concatenate(keys)[:samples])


def clicks(samples: int, random: Random) -> Array:
    """Return two clicks a second, as of keys and old records."""
    struck = (random.random(samples) < 2 / RATE) * random.normal(0, 0.5, samples)
    return np.convolve(struck, np.exp(-np.arange(160) / 30.0))[:samples].astype(np.float32)


def music(samples: int, random: Random) -> Array:
    """Return chords of decaying harmonics, a melody over them and a beat below."""
    beat = RATE // 2
    sound = np.zeros(samples + 4 * beat)
    for number, start in enumerate(range(0, samples, beat)):
        chord = _CHORDS[number // 4 % len(_CHORDS)]
        played = [(note, 0.5) for note in chord] if number % 2 == 0 else []
        played.append((int(random.choice(chord)) + 12, 1.0))
        for note, weight in played:
            sound[start : start + 2 * beat] += weight * _note(note, 2 * beat)
        drum = random.standard_normal(beat) * np.exp(-np.arange(beat) / (0.03 * RATE))
        sound[start : start + beat] += (2.0 if number % 4 == 0 else 0.7) * drum
    return levelled(sound[:samples])


def _note(note: int, samples: int) -> _Doubles:
    hertz = 440 * 2 ** ((note - 69) / 12)
    time = np.arange(samples) / RATE
    harmonics = [np.sin(2 * np.pi * hertz * h * time) / h for h in range(1, 7)]
    return np.asarray(np.sum(harmonics, axis=0) * np.exp(-3 * time) * np.minimum(1, time / 0.01))


def cut(recording: Array, samples: int, random: Random) -> Array:
    """Return part of a ``recording``, from anywhere, repeated where that is too short."""
    start = int(random.integers(len(recording)))
    return np.asarray(np.resize(np.roll(recording, -start), samples), np.float32)


def babble(voices: Sequence[Array], samples: int, random: Random) -> Array:
    """Return six of ``voices`` at once, as loud as each other."""
    chosen = random.choice(len(voices), 6, replace=False)
    return levelled(np.sum([levelled(cut(voices[i], samples, random)) for i in chosen], axis=0))


def levelled(samples: Array | _Doubles) -> Array:
    """Return ``samples`` at `LEVEL`."""
    return np.asarray(samples * (LEVEL / max(float(np.std(samples)), 1e-9)), np.float32)
