from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plainspeech.arrays import Array
from plainspeech.runtime.endpointing import LONGEST, Endpointer, UtterancePart
from plainspeech.runtime.vad import VAD_WINDOW

RUNS = st.lists(st.tuples(st.booleans(), st.integers(1, 700)), min_size=1, max_size=6)


def level(windows: Array) -> Array:
    return np.asarray(np.abs(windows).max(axis=1), np.float32)


def windows(runs: list[tuple[bool, int]]) -> Array:
    """Return so many windows each of speech, each sample a little different, or of silence."""
    speech = np.concatenate([np.full(VAD_WINDOW * n, float(loud)) for loud, n in runs])
    noise = np.random.default_rng(1).uniform(0, 0.2, len(speech))
    return (speech * (1 - noise)).astype(np.float32)


def parts_of(audio: Array, portion: int) -> list[UtterancePart]:
    endpointer = Endpointer(16_000, level)
    parts = range(0, len(audio), portion)
    found = [s for i in parts for s in endpointer.feed(audio[i : i + portion])]
    found += endpointer.finish()
    return found


def cut(audio: Array, portion: int) -> list[tuple[int, Array]]:
    """Return the start of each utterance, and its samples."""
    utterances: list[list[UtterancePart]] = [[]]
    for part in parts_of(audio, portion):
        utterances[-1].append(part)
        if part.is_last:
            utterances.append([])
    assert utterances.pop() == []
    for parts in utterances:
        for before, after in pairwise(parts):
            assert after.start == before.start + len(before.waveform)
    return [(parts[0].start, np.concatenate([heard(p) for p in parts])) for parts in utterances]


def heard(part: UtterancePart) -> Array:
    """Return the samples that are no padding, which is silence and follows the audio alone."""
    samples = len(part.waveform) - part.padding
    assert not np.any(part.waveform[samples:])
    assert part.is_last or not part.padding
    return part.waveform[:samples]


@settings(max_examples=50)
@given(RUNS, st.integers(200, 5_000))
def test_all_speech_is_in_one_utterance_each(runs: list[tuple[bool, int]], portion: int) -> None:
    audio = windows(runs)
    covered = np.zeros(len(audio), int)
    for start, waveform in cut(audio, portion):
        end = start + len(waveform)
        np.testing.assert_array_equal(waveform, audio[start:end])
        # What the end of the audio cuts off may have less than a window more.
        assert len(waveform) < (LONGEST + 1) * VAD_WINDOW
        covered[start:end] += 1
    assert covered.max(initial=0) <= 1
    assert np.all(covered[audio > 0.5] == 1)


@settings(max_examples=50)
@given(RUNS, st.integers(200, 5_000))
def test_portions_make_no_difference(runs: list[tuple[bool, int]], portion: int) -> None:
    audio = windows(runs)
    places = [(s.start, len(s.waveform), s.is_last) for s in parts_of(audio, portion)]
    assert places == [(s.start, len(s.waveform), s.is_last) for s in parts_of(audio, len(audio))]


def test_a_pause_ends_an_utterance_and_a_hesitation_does_not() -> None:
    audio = windows([(False, 50), (True, 20), (False, 15), (True, 20), (False, 30), (True, 20)])
    found = cut(audio, 1_000)
    assert [start // VAD_WINDOW for start, _ in found] == [40, 125]
    # With ten windows before the speech and six after it.
    assert len(found[0][1]) == (10 + 55 + 6) * VAD_WINDOW


def test_the_longer_an_utterance_the_shorter_the_pause_that_ends_it() -> None:
    phrase = [(True, 97), (False, 3)]  # a breath of a tenth of a second
    ends = [
        (start + len(waveform)) // VAD_WINDOW for start, waveform in cut(windows(phrase * 12), 999)
    ]
    assert ends[0] == 499  # in the first for which two windows are enough
    hesitation = [(True, 240), (False, 15), (True, 20)]
    assert len(cut(windows(hesitation), 999)) == 1
    assert len(cut(windows([(True, 150), *hesitation]), 999)) == 2


def test_speech_without_a_pause_goes_on_in_the_next_utterance() -> None:
    found = cut(windows([(True, 1_300)]), 999)
    assert [len(waveform) // VAD_WINDOW for _, waveform in found] == [LONGEST, LONGEST, 50]


def test_speech_is_passed_on_at_once_and_silence_kept_back() -> None:
    endpointer = Endpointer(16_000, level)
    speech, silence = windows([(True, 1)]), windows([(False, 1)])
    assert [len(s.waveform) for s in endpointer.feed(speech)] == [VAD_WINDOW]
    assert [len(s.waveform) for s in endpointer.feed(np.tile(silence, 10))] == [VAD_WINDOW] * 6
    assert [len(s.waveform) for s in endpointer.feed(speech)] == [5 * VAD_WINDOW]


def test_silence_is_forgotten() -> None:
    endpointer = Endpointer(16_000, level)
    for _ in range(100):
        assert endpointer.feed(np.zeros(16_000, np.float32)) == []
    assert endpointer.finish() == []
    (part,) = endpointer.feed(np.ones(VAD_WINDOW, np.float32))
    assert len(part.waveform) <= 12 * VAD_WINDOW


@pytest.mark.parametrize(("silent", "padding"), [(0, 6), (2, 4), (6, 0), (10, 0)])
def test_audio_that_ends_soon_after_speech_is_padded_with_silence(
    silent: int, padding: int
) -> None:
    """The last word is heard by what follows it, as in an utterance that a pause has ended."""
    (*_, last) = parts_of(windows([(True, 20), (False, silent)] if silent else [(True, 20)]), 999)
    assert last.padding == padding * VAD_WINDOW
    heard(last)
