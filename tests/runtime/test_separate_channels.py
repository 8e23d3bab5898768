"""Each channel of a recording is heard by itself, and what was joined is heard apart."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from plainspeech import audio
from plainspeech.arrays import Array
from plainspeech.errors import ConfigurationError
from plainspeech.runtime.long_audio import BeginTranscript, join_parts, transcribe_sections
from plainspeech.runtime.recognizer import Recognizer, load_model
from plainspeech.transcript import Segment, Transcript, Word

Speak = Callable[..., Array]
RATE = 16_000
SAMPLES = Path(__file__).parents[2] / "samples"


@pytest.fixture(scope="module")
def recognizer(tone_bundle: Path) -> Recognizer:
    return load_model(tone_bundle, threads=1)


def at_once(transcribe: Callable[[Sequence[Array]], list[Transcript]]) -> BeginTranscript:
    """Return what transcribes a waveform before it returns."""

    def begin(waveform: Array) -> Future[Transcript]:
        made = Future[Transcript]()
        made.set_result(transcribe([waveform])[0])
        return made

    return begin


def side_by_side(*channels: Array) -> Array:
    """Return ``(samples, channels)``; shorter ones end in silence."""
    longest = max(map(len, channels))
    return np.stack([np.pad(one, (0, longest - len(one))) for one in channels], axis=1)


def later(samples: Array, seconds: float) -> Array:
    return np.concatenate([np.zeros(round(seconds * RATE), np.float32), samples])


def by_channel(transcript: Transcript) -> dict[int | None, str]:
    """Return the text of each channel in which something was said."""
    found: dict[int | None, list[str]] = {}
    for segment in transcript.segments:
        found.setdefault(segment.channel, []).append(segment.text)
    return {channel: " ".join(texts) for channel, texts in found.items()}


@pytest.mark.parametrize("form", ["array", "integers", "file", "another rate"])
def test_two_who_speak_at_once_are_both_heard(
    recognizer: Recognizer, spoken: Speak, form: str
) -> None:
    rate = 44_100 if form == "another rate" else RATE
    samples = side_by_side(spoken("a good deed", rate), spoken("indeed", rate))
    if form == "array":
        transcript = recognizer.transcribe(samples, channels="separate")
    elif form == "integers":
        whole = (samples * 32_767).astype(np.int16)
        transcript = recognizer.transcribe(whole, channels="separate")
    else:
        file = io.BytesIO()
        soundfile.write(file, samples, rate, format="WAV")
        file.seek(0)
        transcript = recognizer.transcribe(file, channels="separate")
    assert by_channel(transcript) == {1: "a good deed", 2: "indeed"}
    assert transcript.duration == pytest.approx(len(samples) / rate, abs=1e-3)


def test_a_silent_channel_says_nothing_and_an_inverted_one_the_same(
    recognizer: Recognizer, spoken: Speak
) -> None:
    deed = spoken("deed")
    silent = recognizer.transcribe(side_by_side(0 * deed, deed), channels="separate")
    assert by_channel(silent) == {2: "deed"}
    inverted = recognizer.transcribe(side_by_side(deed, -deed), channels="separate")
    assert by_channel(inverted) == {1: "deed", 2: "deed"}


@pytest.mark.parametrize("shape", ["(samples,)", "(samples, 1)", "file"])
def test_one_channel_is_the_first(recognizer: Recognizer, spoken: Speak, shape: str) -> None:
    samples = spoken("deed")
    source: Array | io.BytesIO = samples if shape == "(samples,)" else samples[:, None]
    if shape == "file":
        source = io.BytesIO()
        soundfile.write(source, samples, RATE, format="WAV")
        source.seek(0)
    assert by_channel(recognizer.transcribe(source, channels="separate")) == {1: "deed"}


def test_channels_that_are_mixed_have_no_number(recognizer: Recognizer, spoken: Speak) -> None:
    deed = spoken("deed")
    for samples in (deed, side_by_side(deed, deed), side_by_side(deed, -deed)):
        assert by_channel(recognizer.transcribe(samples)) == {None: "deed"}


def test_other_channels_are_refused(recognizer: Recognizer) -> None:
    with pytest.raises(ConfigurationError, match="did you mean 'separate'"):
        recognizer.transcribe(np.zeros((RATE, 2)), channels="seperate")  # type: ignore[arg-type]


def said_once(waveforms: Sequence[Array]) -> list[Transcript]:
    return [Transcript.of_words([Word("x", 0.1, 0.2, 1.0)], len(w) / RATE) for w in waveforms]


def conversation(seconds: int) -> Iterator[Array]:
    """Yield blocks of two who speak and pause by chance, for a second to a minute."""
    draw = np.random.default_rng(4)
    speaking, left = [True, False], [0, 0]
    for _ in range(seconds):
        for place in range(2):
            if not left[place]:
                speaking[place] = not speaking[place]
                left[place] = int(draw.integers(1, 60))
            left[place] -= 1
        yield np.tile(np.array(speaking, np.float32), (RATE, 1))


@pytest.mark.parametrize("ahead", [0, 5])
@pytest.mark.usefixtures("spoken")  # ones are speech
def test_segments_come_in_order_whoever_speaks(ahead: int) -> None:
    parts = list(transcribe_sections([conversation(1_800)], RATE, at_once(said_once), ahead=ahead))
    segments = join_parts(parts).segments
    assert len(parts) > 5
    assert {segment.channel for segment in segments} == {1, 2}
    for one, following in pairwise(segments):
        assert one.start <= following.start
    every = transcribe_sections([conversation(1_800)], RATE, at_once(said_once))
    assert sum(len(part.segments) for part in every) == len(segments)


@pytest.mark.usefixtures("spoken")
def test_memory_does_not_grow_with_the_recording() -> None:
    def peak(seconds: int) -> int:
        tracemalloc.start()
        try:
            for _ in transcribe_sections([conversation(seconds)], RATE, at_once(said_once)):
                pass
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(2_400) < peak(600) + 2_000_000


def test_no_chunk_reaches_from_one_take_to_the_next(recognizer: Recognizer, spoken: Speak) -> None:
    """As `cat a.mp3 b.mp3` makes them; the second has another number of channels."""
    lengths: list[int] = []

    def transcribe(waveforms: Sequence[Array]) -> list[Transcript]:
        lengths.extend(map(len, waveforms))
        return recognizer.transcribe_waveforms(waveforms)

    first, second = spoken("good"), spoken("deed")
    sections = [[first], [second[: RATE // 10], second[RATE // 10 :]]]
    parts = list(transcribe_sections(sections, RATE, at_once(transcribe)))
    assert [part.end for part in parts] == [len(first) / RATE, (len(first) + len(second)) / RATE]
    assert lengths == [len(first), len(second)]
    transcript = join_parts(parts)
    assert [segment.text for segment in transcript.segments] == ["good", "deed"]
    assert transcript.segments[1].start == pytest.approx(len(first) / RATE, abs=0.05)
    separate = [[side_by_side(first, second)], [second[:, None]]]
    found = join_parts(transcribe_sections(separate, RATE, at_once(transcribe)))
    assert by_channel(found) == {1: "good deed", 2: "deed"}


@pytest.mark.usefixtures("spoken")
def test_the_probability_of_speech_is_that_of_the_segment() -> None:
    """Zeros for a third of what the words span."""

    def hear(waveforms: Sequence[Array]) -> list[Transcript]:
        words = Word("a", 0.0, 1.0, 1.0), Word("b", 1.2, 3.0, 1.0)
        return [Transcript.of_words(words, 3.0) for _ in waveforms]

    blocks = [np.ones(RATE, np.float32), np.zeros(RATE, np.float32), np.ones(RATE, np.float32)]
    (segment,) = join_parts(transcribe_sections([blocks], RATE, at_once(hear))).segments
    assert segment.speech_probability == pytest.approx(2 / 3, abs=0.03)
    assert Segment(segment.words).speech_probability == 1.0


@pytest.mark.parametrize("form", ["OGG", "MP3"])
def test_recordings_that_were_joined_give_the_text_of_each(tmp_path: Path, form: str) -> None:
    """Two speakers half a second apart: heard together, "death" and "sharp" were lost."""
    model = load_model(threads=1)
    paths = []
    for name in ("2803-154328-0001", "2035-147961-0007"):
        samples = audio.read(SAMPLES / f"{name}.flac")
        paths.append(tmp_path / f"{name}.{form}")
        soundfile.write(paths[-1], samples, RATE, format=form)
    joined = io.BytesIO(b"".join(path.read_bytes() for path in paths))
    texts = [model.transcribe(path).text for path in paths]
    assert model.transcribe(joined).text == " ".join(texts)
    assert texts[0] == "they had one night in which to prepare for death"


def test_speakers_of_real_speech_are_told_apart() -> None:
    """Two utterances at once, one second apart: each as its channel alone is heard."""
    model = load_model(threads=1)
    first = audio.read(SAMPLES / "2803-154328-0001.flac")
    second = later(audio.read(SAMPLES / "2035-147961-0007.flac"), 1.0)
    both = side_by_side(first, second)
    texts = {channel + 1: model.transcribe(both[:, channel]).text for channel in range(2)}
    assert texts[1] == "they had one night in which to prepare for death"
    assert by_channel(model.transcribe(both, channels="separate")) == texts
    assert all(len(text.split()) > 5 for text in texts.values())
