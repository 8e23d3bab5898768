from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plainspeech.alphabet import ENGLISH, Alphabet
from plainspeech.arrays import Array
from plainspeech.decoding.greedy import GreedyDecoder, greedy_text

SMALL = Alphabet((" ", "a", "b"))
BLANK = SMALL.blank_id
ids_of_frames = st.lists(st.integers(0, BLANK), max_size=40)


def frames(ids: list[int], probability: float = 0.7, size: int = SMALL.size) -> Array:
    """Return log-probabilities whose best symbols are ``ids``."""
    rows = np.full((len(ids), size), (1 - probability) / (size - 1))
    rows[np.arange(len(ids)), ids] = probability
    return np.asarray(np.log(rows), np.float32)


def naive(ids: list[int]) -> str:
    """Collapse what repeats, then drop the blanks: the map B of Graves et al. (2006)."""
    text, last = "", None
    for symbol in ids:
        if symbol not in (last, BLANK):
            text += SMALL.symbols[symbol]
        last = symbol
    return " ".join(text.split())


@given(ids_of_frames)
def test_the_text_is_the_one_of_the_definition(ids: list[int]) -> None:
    transcript = GreedyDecoder(SMALL, 0.03).decode(frames(ids))
    assert transcript.text == naive(ids)
    assert greedy_text(frames(ids), SMALL) == transcript.text
    assert transcript.text == " ".join(word.text for word in transcript.words)


@given(ids_of_frames)
def test_words_follow_one_another_within_the_audio(ids: list[int]) -> None:
    transcript = GreedyDecoder(SMALL, 0.5).decode(frames(ids))
    assert transcript.duration == 0.5 * len(ids)
    edges = [edge for word in transcript.words for edge in (word.start, word.end)]
    assert edges == sorted(edges)
    assert all(0 <= word.start < word.end <= transcript.duration for word in transcript.words)
    for word in transcript.words:
        first, last = int(word.start / 0.5), int(word.end / 0.5) - 1
        assert SMALL.symbols[ids[first]] == word.text[0]
        assert SMALL.symbols[ids[last]] == word.text[-1]
        assert naive(ids[first : last + 1]) == word.text


@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(0, 5), st.integers(0, 5))
def test_blank_frames_at_the_ends_move_the_times_alone(
    seed: int, length: int, before: int, after: int
) -> None:
    rows = np.random.default_rng(seed).normal(size=(length, SMALL.size)).astype(np.float32)
    rows -= np.log(np.exp(rows).sum(axis=1, keepdims=True))
    padded = np.concatenate([frames([BLANK] * before), rows, frames([BLANK] * after)])
    plain, moved = GreedyDecoder(SMALL, 1.0).decode(rows), GreedyDecoder(SMALL, 1.0).decode(padded)
    assert moved.text == plain.text
    assert [word.start - before for word in moved.words] == [word.start for word in plain.words]
    assert [word.confidence for word in moved.words] == [word.confidence for word in plain.words]


def test_times_and_confidence_by_hand() -> None:
    a, b, space = 1, 2, 0
    ids = [BLANK, a, a, BLANK, b, space, space, BLANK, a, BLANK]
    rows = frames(ids, 0.9)
    rows[4] = frames([b], 0.6)  # two frames of "a" at 0.9 and one of "b" at 0.6
    first, second = GreedyDecoder(SMALL, 0.04).decode(rows).words
    assert first.text == "ab"
    assert (first.start, first.end) == pytest.approx((0.04, 0.2))
    assert first.confidence == pytest.approx(0.8)
    assert second.text == "a"
    assert (second.start, second.end) == pytest.approx((0.32, 0.36))
    assert second.confidence == pytest.approx(0.9)


def test_confidence_is_at_most_one() -> None:
    rows = frames([1, 1], 1 - 1e-7)
    rows[:, 1] = 1e-6  # a log-softmax may round to just above zero
    assert GreedyDecoder(SMALL, 0.03).decode(rows).words[0].confidence == 1.0


def test_no_frame_is_no_word() -> None:
    transcript = GreedyDecoder(ENGLISH, 0.03).decode(np.empty((0, ENGLISH.size), np.float32))
    assert (transcript.text, transcript.words, transcript.duration) == ("", (), 0)


def test_a_batch_is_each_of_it() -> None:
    decoder = GreedyDecoder(SMALL, 0.03)
    utterances = [frames([1, 3, 2]), frames([0, 1])]
    assert decoder.decode_batch(utterances) == [decoder.decode(rows) for rows in utterances]


@given(ids_of_frames, st.lists(st.integers(0, 15), max_size=6))
def test_a_stream_gives_what_the_whole_gives(ids: list[int], lengths: list[int]) -> None:
    decoder = GreedyDecoder(SMALL, 0.03)
    stream, rows, text, stable = decoder.stream(), frames(ids), "", ""
    for piece in np.split(rows, np.minimum(np.cumsum(lengths), len(rows))):
        stream.feed(piece)
        partial = stream.partial()
        assert partial.text.startswith(text)
        assert partial.text.startswith(partial.stable)
        assert partial.stable.startswith(stable)
        text, stable = partial.text, partial.stable
    assert stream.finish() == decoder.decode(rows)
    assert text == naive(ids)
    assert f"{text} ".startswith(f"{stable} " if stable else "")


def test_a_word_is_certain_when_a_space_follows() -> None:
    stream = GreedyDecoder(SMALL, 0.03).stream()
    stream.feed(frames([1, 2, BLANK, 0, 2]))
    assert (stream.partial().text, stream.partial().stable) == ("ab b", "ab")
