"""Subtitles keep to the broadcasters' rules, whatever is said and however fast."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from plainspeech.transcript import Transcript, Word
from plainspeech.writers import LINE, LONGEST, READING_SPEED, SHORTEST, Cue, subtitle_cues


def transcript_of(spoken: list[tuple[str, float, float]]) -> Transcript:
    """Return the transcript of words with the seconds before and of each."""
    words, time = [], 0.0
    for text, pause, length in spoken:
        start = time + pause
        time = start + length
        words.append(Word(text, start, time, 1.0))
    return Transcript.of_words(words, time + 0.2)


WORDS = st.tuples(
    st.one_of(st.text("abc'<&->", min_size=1, max_size=12), st.just("x" * 50)),
    st.one_of(st.just(0.0), st.floats(0, 0.3), st.floats(0, 3)),
    st.floats(0.02, 1.0),
)
TRANSCRIPTS = st.lists(WORDS, max_size=40).map(transcript_of)


@given(TRANSCRIPTS)
def test_every_word_is_in_one_cue_in_order(transcript: Transcript) -> None:
    texts = [
        word for cue in subtitle_cues(transcript) for line in cue.lines for word in line.split(" ")
    ]
    assert texts == [word.text for word in transcript.words]


@given(TRANSCRIPTS)
def test_lines_are_short_unless_a_word_is_long(transcript: Transcript) -> None:
    for cue in subtitle_cues(transcript):
        assert 1 <= len(cue.lines) <= 2
        for line in cue.lines:
            assert len(line) <= LINE or " " not in line


@given(TRANSCRIPTS)
def test_cues_do_not_overlap_and_hold_their_words(transcript: Transcript) -> None:
    cues = subtitle_cues(transcript)
    for cue, following in pairwise(cues):
        assert cue.start < cue.end <= following.start
    words = iter(transcript.words)
    for cue in cues:
        held = [next(words) for line in cue.lines for _ in line.split(" ")]
        assert cue.start == held[0].start
        assert cue.end >= held[-1].end


@given(TRANSCRIPTS)
def test_a_cue_is_short_and_stays_as_long_as_there_is_room(transcript: Transcript) -> None:
    cues = subtitle_cues(transcript)
    limits = [*(cue.start for cue in cues), transcript.duration][1:]
    for cue, limit in zip(cues, limits, strict=True):
        words = " ".join(cue.lines).split(" ")
        assert len(words) == 1 or cue.end - cue.start <= LONGEST + 1e-9
        characters = sum(map(len, cue.lines))
        wanted = max(SHORTEST, characters / READING_SPEED)
        assert cue.end - cue.start >= min(wanted, limit - cue.start) - 1e-9


@given(TRANSCRIPTS)
@example(transcript_of([("a", 0.0, 0.1), ("b", 1.0, 0.1)]))
def test_no_cue_goes_on_across_a_long_pause(transcript: Transcript) -> None:
    starts = {cue.start for cue in subtitle_cues(transcript)}
    for word, following in pairwise(transcript.words):
        assert following.start - word.end < 1.0 or following.start in starts


def test_a_break_is_where_the_speaker_pauses() -> None:
    words = [(f"word{i:02}", 0.5 if i == 9 else 0.05, 0.35) for i in range(17)]
    first, second = subtitle_cues(transcript_of(words))
    assert " ".join(first.lines).split()[-1] == "word08"
    assert " ".join(second.lines).split()[0] == "word09"


def test_lines_are_balanced() -> None:
    words = [("night", 0.05, 0.4)] * 9
    (cue,) = subtitle_cues(transcript_of(words))
    assert [len(line) for line in cue.lines] == [23, 29]


def test_a_lone_word_stays_a_second_and_not_beyond_the_end() -> None:
    assert subtitle_cues(transcript_of([("no", 0.0, 0.2), ("yes", 4.8, 0.25)])) == [
        Cue(0.0, 1.0, ("no",)),
        Cue(5.0, 5.45, ("yes",)),
    ]
