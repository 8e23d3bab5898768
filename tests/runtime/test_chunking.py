"""Pieces hold all that is said, in order, and are no longer than a model can take."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plainspeech.arrays import Array
from plainspeech.runtime.chunking import Chunk, Chunker

RATE = 16_000


def loud(windows: Array) -> Array:
    """Detect voice where the samples are not zero."""
    return np.asarray(np.any(windows != 0, axis=1), np.float32)


def audio_of(stretches: list[tuple[float, bool]], rate: int = RATE) -> Array:
    """Return seconds of speech and of silence; each sample of speech is its own place."""
    parts = [np.full(round(seconds * rate), speaks) for seconds, speaks in stretches]
    speaks = np.concatenate([np.zeros(0, bool), *parts])
    return np.where(speaks, np.arange(1, len(speaks) + 1), 0).astype(np.float32)


def cut(samples: Array, rate: int = RATE) -> list[Chunk]:
    chunker = Chunker(rate, loud)
    return list(_chunks(chunker, samples))


def _chunks(chunker: Chunker, samples: Array) -> Iterator[Chunk]:
    for start in range(0, len(samples), 16_384):
        yield from chunker.feed(samples[start : start + 16_384])
    yield from chunker.finish()


def bounds(chunks: list[Chunk], rate: int = RATE) -> list[tuple[float, float]]:
    return [(p.start / rate, (p.start + len(p.waveform)) / rate) for p in chunks]


def near(chunks: list[Chunk], expected: list[tuple[float, float]]) -> None:
    """Hold chunks to their bounds, to within two windows."""
    np.testing.assert_allclose(bounds(chunks), expected, atol=0.065)


STRETCHES = st.lists(
    st.tuples(st.one_of(st.floats(0, 0.5), st.floats(0, 3), st.floats(0, 30)), st.booleans()),
    max_size=12,
)


@given(STRETCHES)
@settings(max_examples=60)
def test_all_that_is_said_is_in_a_chunk(stretches: list[tuple[float, bool]]) -> None:
    samples = audio_of(stretches)
    chunks = cut(samples)
    covered = np.zeros(len(samples), bool)
    for chunk in chunks:
        span = slice(chunk.start, chunk.start + len(chunk.waveform))
        np.testing.assert_array_equal(chunk.waveform, samples[span])
        covered[span] = True
    # Less than a window at the very end is not looked at.
    assert not np.any(samples[~covered][:-512])


@given(STRETCHES)
@settings(max_examples=60)
def test_chunks_are_short_in_order_and_overlap_as_they_say(
    stretches: list[tuple[float, bool]],
) -> None:
    chunks = cut(audio_of(stretches))
    for chunk in chunks:
        assert 0 < len(chunk.waveform) <= 30 * RATE + 512
    for chunk, following in pairwise(chunks):
        end = chunk.start + len(chunk.waveform)
        assert chunk.start < following.start
        assert following.overlap == max(0, end - following.start)


def test_silence_is_no_chunk() -> None:
    assert cut(audio_of([(60, False)])) == []
    assert cut(audio_of([])) == []


def test_long_silence_is_left_out_but_for_its_edges() -> None:
    chunks = cut(audio_of([(5, False), (3, True), (40, False), (2, True), (9, False)]))
    near(chunks, [(4.6, 8.4), (47.6, 50.4)])


def test_silence_at_the_end_is_left_out_as_it_is_elsewhere() -> None:
    for after in (0.2, 0.5, 1.9, 2.1, 20.0):
        near(cut(audio_of([(3, True), (after, False)])), [(0, 3 + min(after, 0.4))])


def test_a_short_pause_ends_a_long_chunk_only() -> None:
    chunks = cut(audio_of([(3, True), (1.0, False), (20, True), (1.0, False), (5, True)]))
    near(chunks, [(0, 24.4), (24.6, 30.0)])
    assert all(chunk.overlap == 0 for chunk in chunks)


def test_the_longest_pause_cuts_what_has_become_too_long() -> None:
    speech = [(21.0, True), (0.2, False), (3.0, True), (0.4, False), (3.0, True), (0.2, False)]
    chunks = cut(audio_of([*speech, (8.0, True)]))
    near(chunks, [(0, 24.4), (24.4, 35.8)])
    assert [chunk.overlap for chunk in chunks] == [0, 0]


def test_without_a_pause_pieces_overlap() -> None:
    chunks = cut(audio_of([(65, True)]))
    near(chunks, [(0, 30), (28, 58), (56, 65)])
    np.testing.assert_allclose([chunk.overlap / RATE for chunk in chunks], [0, 2, 2], atol=0.05)


def test_speech_that_ends_with_an_overlap_is_no_chunk_of_its_own() -> None:
    assert len(cut(audio_of([(30, True)]))) == 1


@pytest.mark.parametrize("rate", [8_000, 22_050, 48_000])
def test_other_rates_are_cut_at_the_same_places(rate: int) -> None:
    stretches = [(5.0, False), (9.0, True), (1.0, False), (45.0, True), (3.0, False)]
    chunks = cut(audio_of(stretches, rate), rate)
    np.testing.assert_allclose(bounds(chunks, rate), bounds(cut(audio_of(stretches))), atol=0.1)
