"""Pieces and wholes, threads and thresholds: the same utterance is always the same text."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from brute_force import random_rows
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_lm import Ngram, ToyLm, random_lm

from plainspeech.alphabet import ENGLISH, Alphabet
from plainspeech.arrays import Array
from plainspeech.decoding.beam_search import BeamSearchDecoder
from plainspeech.decoding.settings import Merge
from plainspeech.errors import PlainspeechError

SMALL = Alphabet((" ", "a", "b"))
HOT = {"ab ba": 2.0, "bb": 3.0, "a": -1.0}
LM = random_lm(3, ("a", "ab", "ba", "bab", "abba"))
DECODERS = [
    BeamSearchDecoder(SMALL, beam_width=5, beam_threshold=6.0),
    BeamSearchDecoder(SMALL, LM, beam_width=8, unknown_word_penalty=2.0),
    BeamSearchDecoder(SMALL, LM, beam_width=8, merge="prefix"),
    BeamSearchDecoder(SMALL, LM, prior_weight=0.7, log_priors=[-1.0, -2.0, -3.0, -0.7]),
]
decoders = st.sampled_from(DECODERS)
seeds = st.integers(0, 2**32 - 1)


def speech(seed: int, frames: int) -> Array:
    """Return log-probabilities, half of them of frames that are surely blank."""
    rows = random_rows(seed, frames, SMALL.size)
    silent = np.random.default_rng(seed).random(frames) < 0.5
    rows[silent] = np.log([1e-6, 1e-6, 1e-6, 1 - 3e-6])
    return rows


@given(seeds, st.lists(st.integers(0, 40), max_size=12), decoders)
def test_pieces_give_what_the_whole_gives(
    seed: int, lengths: list[int], decoder: BeamSearchDecoder
) -> None:
    rows = speech(seed, max(1, sum(lengths)))
    stream, stable = decoder.stream(HOT), ""
    for piece in np.split(rows, np.cumsum(lengths[:-1])):
        stream.feed(piece)
        partial = stream.partial()
        assert partial.stable.startswith(stable)
        stable = partial.stable
    found = stream.finish_n_best(5)
    assert found == decoder.decode_n_best(rows, 5, HOT)
    assert f"{found[0].transcript.text} ".startswith(f"{stable} " if stable else "")


def test_a_long_stream_keeps_what_is_needed_alone() -> None:
    rows = speech(1, 4000)
    stream = DECODERS[0].stream()
    for row in rows:
        stream.feed(row[None])
    assert stream.finish() == DECODERS[0].decode(rows)


def test_a_stream_without_frames_has_no_words() -> None:
    transcript = DECODERS[0].stream().finish()
    assert (transcript.text, transcript.words, transcript.duration) == ("", (), 0.0)


def test_a_finished_stream_takes_nothing_more() -> None:
    stream = DECODERS[0].stream()
    stream.finish()
    with pytest.raises(PlainspeechError, match="finished"):
        stream.feed(speech(1, 2))
    with pytest.raises(PlainspeechError, match="finished"):
        stream.finish()


def test_what_is_fed_may_change_afterwards() -> None:
    rows = speech(2, 30)
    stream, given_rows = DECODERS[0].stream(), rows.copy()
    stream.feed(given_rows)
    given_rows[:] = np.log(0.25)
    assert stream.finish() == DECODERS[0].decode(rows)


@settings(max_examples=20)
@given(st.lists(st.tuples(seeds, st.integers(1, 60)), max_size=6), st.integers(1, 3), decoders)
def test_a_batch_gives_what_each_alone_gives(
    utterances: list[tuple[int, int]], threads: int, decoder: BeamSearchDecoder
) -> None:
    rows = [speech(*utterance) for utterance in utterances]
    expected = [decoder.decode(one, HOT) for one in rows]
    assert decoder.decode_batch(rows, threads, HOT) == expected


@given(seeds, st.integers(1, 12), st.integers(1, 12))
def test_frames_of_silence_move_the_times_alone(seed: int, before: int, frames: int) -> None:
    decoder = BeamSearchDecoder(SMALL, LM, frame_seconds=1.0, unknown_word_penalty=1.0)
    rows = random_rows(seed, frames, SMALL.size)
    silence = np.tile(np.log([1e-6, 1e-6, 1e-6, 1 - 3e-6]), (before, 1)).astype(np.float32)
    plain, moved = decoder.decode(rows), decoder.decode(np.concatenate([silence, rows]))
    assert moved.text == plain.text
    shifted = [(w.text, w.start - before, w.end - before) for w in moved.words]
    assert shifted == [(w.text, w.start, w.end) for w in plain.words]


@given(seeds, st.integers(1, 6), st.sampled_from(["state", "prefix"]), st.integers(1, 8))
def test_a_narrow_search_only_loses(seed: int, frames: int, merge: Any, width: int) -> None:
    rows = random_rows(seed, frames, SMALL.size)
    decoder = BeamSearchDecoder(SMALL, LM, unknown_word_penalty=2.0)
    wide = decoder.with_settings(
        merge="prefix", beam_width=500, beam_threshold=np.inf, token_floor=-np.inf
    )
    scores = {h.transcript.text: h for h in wide.decode_n_best(rows, 10_000)}
    for one in decoder.with_settings(merge=merge, beam_width=width).decode_n_best(rows, 100):
        other = scores[one.transcript.text]
        assert one.score <= other.score + 1e-5
        assert one.lm_score == pytest.approx(other.lm_score, abs=1e-5)


def test_texts_that_nothing_to_come_can_tell_apart_are_one_until_the_end() -> None:
    texts = ["a b", "b b"]  # no n-gram but unigrams
    lm = random_lm(0, ("a", "b", "ab"))
    rows = np.full((3, SMALL.size), -30.0, np.float32)
    rows[0, SMALL.encode("ab")] = np.log([0.6, 0.4])
    rows[[1, 2], SMALL.encode(" b")] = 0.0
    unigrams: dict[Ngram, float] = {(word,): -1.0 for word in lm.vocabulary}
    flat = ToyLm(lm.vocabulary, unigrams, lm.backoffs)
    merge: Merge
    gaps = []
    for merge, alive in (("prefix", texts), ("state", texts[:1])):
        stream = BeamSearchDecoder(SMALL, flat, merge=merge).stream()
        stream.feed(rows)
        found = stream.finish_n_best(10)
        assert [candidate.text for candidate in stream.candidates()] == alive
        assert [each.transcript.text for each in found] == texts
        gaps.append(found[0].score - found[1].score)
    assert gaps[0] == pytest.approx(gaps[1], abs=1e-4)


def test_english_from_clear_frames() -> None:
    text = "the quick brown fox's jump"
    ids = [i for c in text for i in (ENGLISH.encode(c)[0], ENGLISH.blank_id)]
    rows = np.full((len(ids), ENGLISH.size), np.log(0.1 / 28), np.float32)
    rows[np.arange(len(ids)), ids] = np.log(0.9)
    transcript = BeamSearchDecoder(ENGLISH, frame_seconds=0.1).decode(rows)
    assert transcript.text == text
    first = transcript.words[0]
    assert (first.start, first.end) == pytest.approx((0.0, 0.5))
    assert 0.5 < first.confidence < 1
