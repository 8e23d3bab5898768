from __future__ import annotations

import html
import json
import re
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plainspeech.errors import PlainspeechError
from plainspeech.transcript import Alternative, Segment, Transcript, Word
from plainspeech.writers import FORMATS, Cue, render, subtitle_cues

HOURS = 3600.0
TWO = Transcript(
    (
        Segment((Word("good", 0.5, 0.9, 0.81234), Word("<deed>", 1.1, 1.4, 0.7))),
        Segment((Word("R&B", 100 * HOURS + 61.0614, 100 * HOURS + 61.5, 1.0),)),
    ),
    100 * HOURS + 63,
)


@st.composite
def transcripts(draw: st.DrawFn) -> Transcript:
    time, segments = draw(st.floats(0, 20 * HOURS)), []
    for size in draw(st.lists(st.integers(1, 12), max_size=4)):
        words = []
        for _ in range(size):
            start = time + draw(st.floats(0, 2))
            time = start + draw(st.floats(0.01, 1))
            confidence = draw(st.floats(0, 1))
            words.append(Word(draw(st.text("abé'<&>-", min_size=1)), start, time, confidence))
        scores = draw(st.lists(st.floats(-1e4, 1e4), max_size=3))
        segments.append(Segment(tuple(words), tuple(Alternative("a", score) for score in scores)))
    return Transcript(tuple(segments), time)


def test_txt_is_a_segment_a_line() -> None:
    assert render(TWO, "txt") == "good <deed>\nR&B\n"


def test_srt() -> None:
    assert render(TWO, "srt") == (
        "1\n00:00:00,500 --> 00:00:01,500\ngood <deed>\n\n2\n100:01:01,061 --> 100:01:02,061\nR&B\n"
    )


def test_vtt_escapes_what_its_syntax_needs() -> None:
    assert render(TWO, "vtt") == (
        "WEBVTT\n\n00:00:00.500 --> 00:00:01.500\ngood &lt;deed&gt;\n\n"
        "100:01:01.061 --> 100:01:02.061\nR&amp;B\n"
    )


def test_tsv_is_in_milliseconds() -> None:
    assert render(TWO, "tsv") == (
        "start\tend\ttext\tconfidence\n"
        "500\t1400\tgood <deed>\t0.7562\n"
        "360061061\t360061500\tR&B\t1.0000\n"
    )


def test_json_has_words_with_times_and_confidences() -> None:
    values = json.loads(render(TWO, "json"))
    assert (values["text"], values["duration"]) == ("good <deed> R&B", 360063.0)
    first = values["segments"][0]
    assert (first["start"], first["end"], first["text"]) == (0.5, 1.4, "good <deed>")
    assert first["words"][0] == {"text": "good", "start": 0.5, "end": 0.9, "confidence": 0.8123}


TURNS = Transcript(
    (
        Segment((Word("are you there", 0.5, 2.5, 0.5),), channel=1),
        Segment((Word("yes", 1.0, 1.2, 1.0),), channel=2),
        Segment((Word("good", 6.0, 6.5, 1.0),), channel=1),
    ),
    8.0,
)


def test_channels_are_told_in_every_format() -> None:
    assert render(TURNS, "txt") == "[1] are you there\n[2] yes\n[1] good\n"
    assert render(TURNS, "tsv") == (
        "start\tend\ttext\tconfidence\tchannel\n"
        "500\t2500\tare you there\t0.5000\t1\n"
        "1000\t1200\tyes\t1.0000\t2\n"
        "6000\t6500\tgood\t1.0000\t1\n"
    )
    assert render(TURNS, "srt") == (
        "1\n00:00:00,500 --> 00:00:02,500\n[1] are you there\n\n"
        "2\n00:00:01,000 --> 00:00:02,000\n[2] yes\n\n"
        "3\n00:00:06,000 --> 00:00:07,000\n[1] good\n"
    )
    assert "\n00:00:01.000 --> 00:00:02.000\n[2] yes\n" in render(TURNS, "vtt")
    values = json.loads(render(TURNS, "json"))
    assert [segment["channel"] for segment in values["segments"]] == [1, 2, 1]
    assert [segment["confidence"] for segment in values["segments"]] == [0.5, 1.0, 1.0]
    assert values["confidence"] == pytest.approx(2.5 / 3, abs=1e-4)


@given(transcripts(), transcripts())
def test_cues_of_a_channel_are_those_it_has_alone(left: Transcript, right: Transcript) -> None:
    """But for the label, which takes room on a line."""
    texts = [w.text for t in (left, right) for w in t.words]
    numbered = [
        replace(segment, channel=channel)
        for channel, transcript in enumerate((left, right), start=1)
        for segment in transcript.segments
    ]
    numbered.sort(key=lambda segment: segment.start)
    cues = subtitle_cues(Transcript(tuple(numbered), max(left.duration, right.duration)))
    shown = {
        channel: [c for c in cues if c.lines[0].startswith(f"[{channel}] ")] for channel in (1, 2)
    }
    assert sum(map(len, shown.values())) == len(cues)
    for mine in shown.values():
        assert all(cue.end <= following.start for cue, following in pairwise(mine))
    written = sorted(" ".join(" ".join(c.lines)[4:] for c in cues).split())
    assert written == sorted(" ".join(texts).split())
    assert [cue.start for cue in cues] == sorted(cue.start for cue in cues)


def test_silence_is_a_valid_file() -> None:
    rendered = {name: render(Transcript((), 1.0), name) for name in FORMATS}
    assert json.loads(rendered.pop("json")) == {
        "text": "",
        "duration": 1.0,
        "confidence": 0.0,
        "segments": [],
    }
    assert rendered.pop("textgrid").count('text = ""') == 2
    table = "start\tend\ttext\tconfidence\n"
    assert rendered == {"txt": "", "srt": "", "vtt": "WEBVTT\n", "tsv": table}


def test_an_arrow_does_not_begin_a_cue() -> None:
    transcript = Transcript.of_words([Word("-->", 0, 1, 1)], 1)
    assert render(transcript, "srt").count("-->") == 1
    assert render(transcript, "vtt").count("-->") == 1


@pytest.mark.parametrize(
    ("name", "says"), [("vvt", "did you mean 'vtt'"), ("docx", "choose one of")]
)
def test_another_format_is_refused(name: str, says: str) -> None:
    with pytest.raises(PlainspeechError, match=says):
        render(TWO, name)


@given(transcripts())
def test_json_holds_the_transcript_to_the_millisecond(transcript: Transcript) -> None:
    rendered = render(transcript, "json")
    again = transcript_of(json.loads(rendered))
    assert [w.text for w in again.words] == [w.text for w in transcript.words]
    for segment, original in zip(again.segments, transcript.segments, strict=True):
        assert len(segment.words) == len(original.words)
        assert len(segment.n_best) == len(original.n_best)
    assert again.text == transcript.text
    for word, written in zip(again.words, transcript.words, strict=True):
        assert word.start == pytest.approx(written.start, abs=0.00051)
        assert word.end == pytest.approx(written.end, abs=0.00051)
        assert word.confidence == pytest.approx(written.confidence, abs=0.000051)
    assert render(again, "json") == rendered


def transcript_of(values: dict[str, Any]) -> Transcript:
    segments = (
        Segment(
            tuple(Word(**word) for word in segment["words"]),
            tuple(Alternative(**one) for one in segment.get("n_best", [])),
        )
        for segment in values["segments"]
    )
    return Transcript(tuple(segments), values["duration"])


@given(transcripts())
def test_subtitles_read_back_have_the_same_cues(transcript: Transcript) -> None:
    expected = [
        Cue(round(1000 * cue.start) / 1000, round(1000 * cue.end) / 1000, cue.lines)
        for cue in subtitle_cues(transcript)
    ]
    assert parse_srt(render(transcript, "srt")) == [
        Cue(cue.start, cue.end, tuple(line.replace("-->", "->") for line in cue.lines))
        for cue in expected
    ]
    assert parse_vtt(render(transcript, "vtt")) == expected


def parse_srt(content: str) -> list[Cue]:
    blocks = content.removesuffix("\n").split("\n\n") if content else []
    cues = []
    for number, block in enumerate(blocks, start=1):
        assert block.startswith(f"{number}\n")
        cues.append(parse_cue(block.removeprefix(f"{number}\n"), ","))
    return cues


def parse_vtt(content: str) -> list[Cue]:
    header, *blocks = content.removesuffix("\n").split("\n\n")
    assert header == "WEBVTT"
    cues = [parse_cue(block, ".") for block in blocks]
    return [Cue(cue.start, cue.end, tuple(map(html.unescape, cue.lines))) for cue in cues]


def parse_cue(block: str, point: str) -> Cue:
    """Read a cue as strictly as the formats' specifications let one."""
    times, *lines = block.split("\n")
    clock = rf"(\d\d+):([0-5]\d):([0-5]\d){re.escape(point)}(\d\d\d)"
    match = re.fullmatch(f"{clock} --> {clock}", times)
    assert match
    fields = [int(field) for field in match.groups()]
    start, end = (
        (3_600_000 * hours + 60_000 * minutes + 1000 * seconds + thousandths) / 1000
        for hours, minutes, seconds, thousandths in (fields[:4], fields[4:])
    )
    assert start < end
    return Cue(start, end, tuple(lines))


def test_a_textgrid_has_intervals_without_gaps() -> None:
    words = (Word('said "no"', 0.5, 1.0, 0.9), Word("yes", 1.0, 1.5, 0.8))
    grid = render(Transcript((Segment(words),), 2.0), "textgrid")
    numbers = [float(n) for n in re.findall(r"            xm(?:in|ax) = (\S+)", grid)]
    assert numbers == [0, 0.5, 0.5, 1.5, 1.5, 2, 0, 0.5, 0.5, 1, 1, 1.5, 1.5, 2]
    texts = re.findall(r'text = "(.*)"', grid)
    assert texts == ["", 'said ""no"" yes', "", "", 'said ""no""', "yes", ""]
