"""Long recordings give the text that their parts give, in bounded memory."""

from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from difflib import SequenceMatcher
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from plainspeech import audio
from plainspeech.arrays import Array
from plainspeech.errors import ConfigurationError, PlainspeechError
from plainspeech.runtime.long_audio import (
    BeginTranscript,
    join_parts,
    transcribe_sections,
)
from plainspeech.runtime.recognizer import Recognizer, load_model
from plainspeech.runtime.vad import SpeechDetector
from plainspeech.transcript import Alternative, Transcript, Word

Speak = Callable[..., Array]
RATE = 16_000


def loud() -> SpeechDetector:
    """Return a detector that hears tones as voice."""
    return lambda windows: np.asarray(np.abs(windows).max(axis=1) > 0.01, np.float32)


def at_once(transcribe: Callable[[Sequence[Array]], list[Transcript]]) -> BeginTranscript:
    """Return what transcribes a waveform before it returns."""

    def begin(waveform: Array) -> Future[Transcript]:
        made = Future[Transcript]()
        made.set_result(transcribe([waveform])[0])
        return made

    return begin


@pytest.fixture(scope="module")
def recognizer(tone_bundle: Path) -> Recognizer:
    return load_model(tone_bundle, threads=1)


def hear(recognizer: Recognizer, samples: Array) -> Transcript:
    """Transcribe samples as long audio, block by block."""
    blocks = (samples[start : start + RATE] for start in range(0, len(samples), RATE))
    return join_parts(
        transcribe_sections([blocks], RATE, at_once(recognizer.transcribe_waveforms), loud)
    )


def silence(seconds: float) -> Array:
    return np.zeros(round(seconds * RATE), np.float32)


def test_sentences_between_pauses_become_segments(recognizer: Recognizer, spoken: Speak) -> None:
    texts = ["the first of three sentences with some more words to it", "a deed", "the last one"]
    pause = silence(4.0)
    parts = [part for text in texts for part in (spoken(text), pause)]
    samples = np.concatenate([*parts, silence(20)])
    transcript = hear(recognizer, samples)
    assert [segment.text for segment in transcript.segments] == texts
    assert transcript.text == " ".join(texts)
    assert transcript.duration == len(samples) / RATE
    start = 0.0
    for segment, text in zip(transcript.segments, texts, strict=True):
        assert segment.start == pytest.approx(start, abs=0.05)
        assert segment.end == pytest.approx(start + len(text) * 0.18 - 0.06, abs=0.05)
        start += len(text) * 0.18 + 4.0


def test_nothing_is_lost_or_said_twice_where_nobody_pauses(
    recognizer: Recognizer, spoken: Speak
) -> None:
    """Tones part letters by pauses too short to cut in, and pieces cut words."""
    text = " ".join(f"{a}e{b}a{c}" for a in "bcdf" for b in "ghkl" for c in "mnrs")
    transcript = hear(recognizer, spoken(text))
    assert transcript.duration > 60
    assert transcript.text == text
    starts = [place * 0.18 for place, a in enumerate(f" {text}") if a == " "]
    for word, start in zip(transcript.words, starts, strict=True):
        assert word.start == pytest.approx(start, abs=0.05)
    for word, following in pairwise(transcript.words):
        assert word.end <= following.start


def test_readings_belong_to_segments_that_were_heard_as_they_are() -> None:
    def hear_two(waveforms: Sequence[Array]) -> list[Transcript]:
        n_best = Alternative("one two", -1.0), Alternative("won two", -2.0)
        words = (Word("one", 0.1, 0.4, 1.0), Word("two", 19.0, 19.4, 1.0))
        return [Transcript.of_words(words, 20.0, n_best) for _ in waveforms]

    noise = np.ones(RATE, np.float32)
    parted = [*[noise] * 18, silence(4.0), *[noise] * 18]
    found = join_parts(transcribe_sections([parted], RATE, at_once(hear_two), loud))
    assert [len(segment.n_best) for segment in found.segments] == [2, 2]
    found = join_parts(transcribe_sections([[noise] * 40], RATE, at_once(hear_two), loud))
    assert len(found.segments) > 1
    assert [segment.n_best for segment in found.segments[:2]] == [(), ()]


def test_short_recordings_go_the_way_of_long_ones(recognizer: Recognizer, spoken: Speak) -> None:
    parts = spoken("one"), silence(6.0), spoken("two"), silence(3.0)
    samples = np.concatenate(parts)
    transcript = hear(recognizer, samples)
    assert [segment.text for segment in transcript.segments] == ["one", "two"]
    assert recognizer.transcribe(samples) == transcript
    assert recognizer.transcribe_recordings([samples, samples]) == [transcript, transcript]


def test_silence_and_nothing_give_no_segment(recognizer: Recognizer) -> None:
    for samples in (silence(40), silence(0)):
        assert hear(recognizer, samples) == Transcript((), len(samples) / RATE)


def test_segments_come_before_the_end_is_read() -> None:
    read = 0

    def blocks() -> Iterator[Array]:
        nonlocal read
        for _ in range(1200):
            read += 1
            yield np.concatenate([np.ones(RATE // 2, np.float32), silence(0.5)])

    parts = transcribe_sections([blocks()], RATE, at_once(said_once), loud)
    first = next(parts)
    assert first.segments
    assert first.end == read <= 70  # the next chunk may change the last segment
    rest = list(parts)
    assert rest[-1].end == 1200
    assert len(rest) > 1200 / 40  # a part a chunk
    ends = [first.end, *(part.end for part in rest)]
    assert ends == sorted(ends)


def said_once(waveforms: Sequence[Array]) -> list[Transcript]:
    return [Transcript.of_words([Word("x", 0.1, 0.2, 1.0)], len(w) / RATE) for w in waveforms]


def test_memory_does_not_grow_with_the_recording() -> None:
    block = np.concatenate([np.ones(RATE // 2, np.float32), silence(0.5)])

    def peak(seconds: int) -> int:
        tracemalloc.start()
        try:
            for _ in transcribe_sections(
                [(block.copy() for _ in range(seconds))], RATE, at_once(said_once), loud
            ):
                pass
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(3_000) < 1.2 * peak(600)


class Waiting:
    """A transcript that is made when it is waited for."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.state = "pending"

    def result(self) -> Transcript:
        self.state = "done"
        return Transcript.of_words([Word(f"w{self.number}", 0.1, 0.2, 1.0)], 1.0)

    def cancel(self) -> None:
        self.state = "cancelled"


@pytest.mark.parametrize("ahead", [0, 3])
def test_chunks_are_made_ahead_and_given_up_at_the_end(ahead: int) -> None:
    begun: list[Waiting] = []

    def begin(waveform: Array) -> Waiting:
        begun.append(Waiting(len(begun)))
        return begun[-1]

    block = np.concatenate([np.ones(RATE * 10, np.float32), silence(2.5)])
    parts = transcribe_sections([itertools.repeat(block)], RATE, begin, loud, ahead)
    heard = [segment.text for part in itertools.islice(parts, 3) for segment in part.segments]
    assert heard == [f"w{number}" for number in range(len(heard))]
    assert [each.state for each in begun[-ahead - 1 :]] == ["done"] + ["pending"] * ahead
    parts.close()
    assert [each.state for each in begun[-ahead - 1 :]] == ["done"] + ["cancelled"] * ahead


def test_threads_make_no_difference(tone_bundle: Path, spoken: Speak) -> None:
    texts = ["the first of some sentences", "a deed", "the last one"] * 6
    samples = np.concatenate([x for text in texts for x in (spoken(text), silence(2.5))])
    models = [load_model(tone_bundle, threads=threads) for threads in (1, 2, 3)]
    found = [[*model.transcribe_parts(samples)] for model in models]
    found.append([*models[2].transcribe_parts(samples, threads=1)])
    assert [segment.text for part in found[0] for segment in part.segments] == texts
    first, *others = map(join_parts, found)
    assert others == [first] * 3
    with pytest.raises(
        ConfigurationError, match="threads is 0; it must be a whole number, 1 or above"
    ):
        next(models[0].transcribe_parts(samples, threads=0))


SAMPLES = ("2412-153954-0002", "2035-147961-0007", "2803-154328-0001", "1272-135031-0004")


@pytest.fixture(scope="module")
def reading(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of the bundled samples, with pauses between them; 40 s at 44.1 kHz."""
    folder = pytestconfig.rootpath / "samples"
    parts = [audio.read(folder / f"{name}.flac", 44_100) for name in SAMPLES]
    pause = np.zeros(5 * 44_100, np.float32)
    path = tmp_path_factory.mktemp("long") / "reading.flac"
    soundfile.write(path, np.concatenate([x for part in parts for x in (part, pause)]), 44_100)
    return path


def test_a_long_file_is_what_its_sentences_are(reading: Path, pytestconfig: pytest.Config) -> None:
    model = load_model()
    folder = pytestconfig.rootpath / "samples"
    alone = [model.transcribe(folder / f"{name}.flac").text for name in SAMPLES]
    transcript = model.transcribe(reading)
    assert len(transcript.segments) == len(SAMPLES)
    # Silence around a sentence moves its features a little, and some letters with them.
    assert SequenceMatcher(None, " ".join(alone), transcript.text, autojunk=False).ratio() > 0.8
    assert transcript.duration == pytest.approx(audio.duration(reading), abs=0.001)
    parts = list(model.transcribe_parts(reading))
    assert join_parts(parts) == transcript
    assert parts[-1].end == transcript.duration
    assert {part.declared_duration for part in parts} == {audio.duration(reading)}
    waveform, rate = soundfile.read(reading, dtype="float32")
    assert model.transcribe(waveform, rate).text == transcript.text


def test_a_long_file_that_is_cut_off_says_so(reading: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    path.write_bytes(reading.read_bytes()[:-200_000])
    with pytest.raises(PlainspeechError, match="truncated"):
        load_model().transcribe(path)
