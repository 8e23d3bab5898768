from __future__ import annotations

from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from plainspeech.runtime.long_audio import joined
from plainspeech.transcript import Word


def spoken(lengths: list[float], texts: str) -> list[Word]:
    """Return words one after another, a tenth of a second apart."""
    words, time = [], 0.0
    for length, text in zip(lengths, texts, strict=False):
        words.append(Word(text, time, time + length, 1.0))
        time += length + 0.1
    return words


def within(words: list[Word], start: float, end: float) -> list[Word]:
    """Return what a piece from ``start`` to ``end`` has: words that its edges cut are misheard."""
    heard = []
    for word in words:
        if word.end > start and word.start < end:
            whole = start <= word.start and word.end <= end
            text = word.text if whole else "?"
            heard.append(Word(text, max(start, word.start), min(end, word.end), 1.0))
    return heard


@given(
    lengths=st.lists(st.floats(0.05, 0.8), min_size=6, max_size=60),
    texts=st.text("ab", min_size=60, max_size=60),
    place=st.floats(0, 1),
)
def test_whatever_is_said_is_there_once(lengths: list[float], texts: str, place: float) -> None:
    words = spoken(lengths, texts)
    start = place * words[-1].end
    end = start + 2
    left, right = joined(within(words, 0, end), within(words, start, 1000), start, end)
    assert [*left, *right] == words


@given(
    left=st.lists(st.tuples(st.sampled_from("abc"), st.floats(0.01, 0.8))),
    right=st.lists(st.tuples(st.sampled_from("abc"), st.floats(0.01, 0.8))),
)
@example(
    left=[("a", 0.5), ("b", 0.1875), ("a", 0.53125), ("a", 0.1875)],
    right=[("a", 0.6875), ("a", 0.5)],
)
def test_whatever_is_heard_stays_in_order(
    left: list[tuple[str, float]], right: list[tuple[str, float]]
) -> None:
    """Also where two pieces have heard nothing of the same."""
    earlier = spoken([length for _, length in left], "".join(text for text, _ in left))
    later = spoken([length for _, length in right], "".join(text for text, _ in right))
    end = earlier[-1].end if earlier else 2.0
    later = [Word(w.text, w.start + end - 2, w.end + end - 2, 1.0) for w in later]
    words = [word for part in joined(earlier, later, end - 2, end) for word in part]
    for word, following in pairwise(words):
        assert word.start < word.end <= following.start


def test_pieces_join_at_a_word_that_both_have() -> None:
    left = [
        Word("good", 18.2, 18.5, 0.9),
        Word("deed", 18.8, 19.2, 0.9),
        Word("fa", 19.6, 20.0, 0.4),
    ]
    right = [
        Word("d", 18.0, 18.4, 0.2),
        Word("deed", 18.83, 19.2, 0.8),
        Word("face", 19.7, 20.2, 0.9),
    ]
    assert joined(left, right, 18.0, 20.0) == (tuple(left[:2]), tuple(right[2:]))


def test_a_word_that_is_said_twice_is_there_twice() -> None:
    words = [Word("no", 18.5, 18.7, 1.0), Word("no", 19.2, 19.5, 1.0)]
    left, right = joined(words, words, 18.0, 20.0)
    assert [*left, *right] == words


def test_where_nothing_agrees_each_piece_keeps_its_side() -> None:
    left = [Word("a", 18.1, 18.4, 1.0), Word("b", 19.5, 19.9, 1.0)]
    right = [Word("c", 18.2, 18.5, 1.0), Word("d", 19.4, 19.8, 1.0)]
    assert joined(left, right, 18.0, 20.0) == ((left[0],), (right[1],))
