from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st

from plainspeech.runtime.voice import WINDOW
from plainspeech.serving.pauses import PauseCutter, Utterance

Array = npt.NDArray[np.float32]

RUNS = st.lists(st.tuples(st.booleans(), st.integers(1, 700)), min_size=1, max_size=6)


def level(window: Array) -> float:
    return float(np.abs(window).max())


def windows(runs: list[tuple[bool, int]]) -> Array:
    """Return so many windows each of speech, each sample a little different, or of silence."""
    speech = np.concatenate([np.full(WINDOW * n, float(loud)) for loud, n in runs])
    noise = np.random.default_rng(1).uniform(0, 0.2, len(speech))
    return (speech * (1 - noise)).astype(np.float32)


def cut(audio: Array, portion: int) -> list[Utterance]:
    cutter = PauseCutter(16_000, level)
    parts = range(0, len(audio), portion)
    found = [u for i in parts for u in cutter.feed(audio[i : i + portion])]
    return found + cutter.finish()


@settings(deadline=None, max_examples=50)
@given(RUNS, st.integers(200, 5_000))
def test_all_speech_is_in_one_utterance_each(runs: list[tuple[bool, int]], portion: int) -> None:
    audio = windows(runs)
    covered = np.zeros(len(audio), int)
    for utterance in cut(audio, portion):
        end = utterance.start + len(utterance.waveform)
        np.testing.assert_array_equal(utterance.waveform, audio[utterance.start : end])
        assert len(utterance.waveform) <= 20.0 * 16_000
        covered[utterance.start : end] += 1
    assert covered.max(initial=0) <= 1
    assert np.all(covered[audio > 0.5] == 1)


@settings(deadline=None, max_examples=50)
@given(RUNS, st.integers(200, 5_000))
def test_portions_make_no_difference(runs: list[tuple[bool, int]], portion: int) -> None:
    audio = windows(runs)
    places = [(u.start, len(u.waveform)) for u in cut(audio, portion)]
    assert places == [(u.start, len(u.waveform)) for u in cut(audio, len(audio))]


def test_a_pause_ends_an_utterance_and_a_hesitation_does_not() -> None:
    audio = windows([(False, 50), (True, 20), (False, 15), (True, 20), (False, 30), (True, 20)])
    found = cut(audio, 1_000)
    assert [u.start // WINDOW for u in found] == [40, 125]


def test_silence_is_forgotten() -> None:
    cutter = PauseCutter(16_000, level)
    for _ in range(100):
        assert cutter.feed(np.zeros(16_000, np.float32)) == []
    assert cutter.running() is None
    assert cutter.finish() == []
    cutter.feed(np.ones(WINDOW, np.float32))
    assert (utterance := cutter.running()) is not None
    assert len(utterance.waveform) <= 12 * WINDOW
