from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plainspeech.transcript import Segment, Transcript, Word

SEGMENTS = st.lists(st.integers(1, 4), max_size=6).map(
    lambda sizes: [
        Segment(
            tuple(
                Word(f"w{i}", i, i + 0.5, 0.9) for i in range(sum(sizes[:k]), sum(sizes[: k + 1]))
            )
        )
        for k in range(len(sizes))
    ]
)


@given(SEGMENTS)
def test_words_and_text_are_those_of_the_segments(segments: list[Segment]) -> None:
    transcript = Transcript(tuple(segments), 60.0)
    assert transcript.words == tuple(word for segment in segments for word in segment.words)
    assert transcript.text == " ".join(segment.text for segment in segments)
    assert transcript.duration == 60.0


def test_a_short_utterance_is_one_segment_and_silence_is_none() -> None:
    words = Word("good", 0.5, 0.9, 0.8), Word("deed", 1.1, 1.4, 0.7)
    (segment,) = Transcript.of_words(words, 2.0).segments
    assert (segment.start, segment.end, segment.text) == (0.5, 1.4, "good deed")
    assert Transcript.of_words((), 2.0).segments == ()


def test_an_utterance_is_as_sure_as_its_words() -> None:
    segment = Segment((Word("a", 0, 1, 0.5), Word("b", 1, 2, 1.0)))
    assert segment.confidence == 0.75
    transcript = Transcript((segment, Segment((Word("c", 2, 3, 0.3),))), 3)
    assert transcript.confidence == pytest.approx(0.6)
    assert Transcript((), 1.0).confidence == 0.0
