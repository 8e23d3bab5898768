"""Live transcription: what comes out is what was said, whatever the pieces that it came in."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plainspeech.arrays import Array
from plainspeech.errors import PlainspeechError
from plainspeech.runtime.bundle import Bundle, StreamingPart
from plainspeech.runtime.endpointing import Endpointer
from plainspeech.runtime.live import LiveModel, LiveTranscriber
from plainspeech.runtime.live_core import FinalResult, LiveEvent, PartialResult, json_values
from plainspeech.runtime.recognizer import Recognizer, load_model
from plainspeech.runtime.vad import SpeechDetector

Speak = Callable[..., Array]

SILENCE = np.zeros(16_000, np.float32)


def loud() -> SpeechDetector:
    return lambda windows: np.asarray(np.abs(windows).max(axis=1) > 0.1, np.float32)


@pytest.fixture(scope="module")
def streaming(streaming_tone_bundle: Path) -> Recognizer:
    return load_model(streaming_tone_bundle, threads=1, decoder="beam")


@pytest.fixture(scope="module")
def recognizers(
    tone_bundle: Path, streaming_tone_bundle: Path, streaming: Recognizer
) -> dict[str, Recognizer]:
    return {
        "streaming, beam": streaming,
        "streaming, greedy": load_model(streaming_tone_bundle, threads=1, decoder="greedy"),
        "utterances": load_model(tone_bundle, threads=1, decoder="greedy"),
    }


@pytest.fixture(scope="module")
def models(recognizers: dict[str, Recognizer]) -> dict[str, LiveModel]:
    return {name: LiveModel(recognizer, loud) for name, recognizer in recognizers.items()}


def fed(live: LiveTranscriber, audio: Array, pieces: Sequence[int] = ()) -> list[LiveEvent]:
    """Return the events of ``audio`` in pieces of so many samples, and the rest."""
    edges = np.minimum(np.cumsum([0, *pieces]), len(audio))
    parts = [audio[a:b] for a, b in zip(edges, [*edges[1:], len(audio)], strict=True)]
    return [event for part in parts for event in live.feed(part)] + live.finish()


def finals(events: Sequence[LiveEvent]) -> list[FinalResult]:
    return [event for event in events if isinstance(event, FinalResult)]


Spoken = int | str  # so many samples of noise, or of silence if below zero; or what is spoken
SOUNDS = st.lists(
    st.one_of(
        st.integers(-16_000, -500),
        st.integers(500, 30_000),
        st.sampled_from(["good deed", "be", "a cab fed"]),
    ),
    min_size=1,
    max_size=6,
)
PIECES = st.lists(st.integers(0, 20_000), max_size=12)
NAMES = st.sampled_from(["streaming, beam", "streaming, greedy", "utterances"])


@pytest.fixture(scope="module")
def sounded(spoken: Speak) -> Callable[[list[Spoken]], Array]:
    def make(sounds: list[Spoken]) -> Array:
        random = np.random.default_rng(1)

        def sound(what: Spoken) -> Array:
            if isinstance(what, str):
                return spoken(what)
            return (0.2 * (what > 0) * random.standard_normal(abs(what))).astype(np.float32)

        return np.concatenate([sound(what) for what in sounds])

    return make


@given(sounds=SOUNDS, pieces=PIECES, name=NAMES)
@settings(max_examples=60)
def test_pieces_make_no_difference(
    models: dict[str, LiveModel],
    sounded: Callable[..., Array],
    sounds: list[Spoken],
    pieces: list[int],
    name: str,
) -> None:
    audio = sounded(sounds)
    whole, cut = (fed(models[name].begin(), audio, parts) for parts in ([], pieces))
    assert finals(cut) == finals(whole)
    if models[name].streaming:
        assert cut == whole


@given(sounds=SOUNDS, name=NAMES)
@settings(max_examples=40)
def test_finals_are_what_a_recognizer_makes_of_the_utterances(
    recognizers: dict[str, Recognizer],
    models: dict[str, LiveModel],
    sounded: Callable[..., Array],
    sounds: list[Spoken],
    name: str,
) -> None:
    audio = sounded(sounds)
    endpointer, wanted = Endpointer(16_000, loud()), []
    parts_found = [*endpointer.feed(audio), *endpointer.finish()]
    places = np.cumsum([0, *(part.is_last for part in parts_found[:-1])])
    for _, group in groupby(zip(places, parts_found, strict=False), key=lambda pair: pair[0]):
        parts = [part for _, part in group]
        waveform = np.concatenate([part.waveform for part in parts])
        transcript = recognizers[name].transcribe_waveforms([waveform])[0]
        transcript = transcript.clipped((len(waveform) - parts[-1].padding) / 16_000)
        wanted.append(FinalResult.of(transcript, parts[0].start / 16_000))
    found = finals(fed(models[name].begin(), audio))
    assert [final for final in found if final.text] == [final for final in wanted if final.text]


@given(sounds=st.lists(SOUNDS, min_size=1, max_size=3), pieces=PIECES, name=NAMES)
@settings(max_examples=20)
def test_recordings_as_live_audio_are_the_finals_of_a_speaker_each(
    models: dict[str, LiveModel],
    sounded: Callable[..., Array],
    sounds: list[list[Spoken]],
    pieces: list[int],
    name: str,
) -> None:
    recordings = [sounded(one) for one in sounds]
    transcripts = models[name].transcribe_recordings(recordings)
    for recording, transcript in zip(recordings, transcripts, strict=True):
        found = finals(fed(models[name].begin(), recording, pieces))
        words = [segment.words for segment in transcript.segments]
        assert words == [final.words for final in found if final.words]
        assert transcript.duration == len(recording) / 16_000


@given(sounds=SOUNDS, name=st.sampled_from(["streaming, beam", "streaming, greedy"]))
@settings(max_examples=40)
def test_what_is_settled_stays(
    models: dict[str, LiveModel],
    sounded: Callable[..., Array],
    sounds: list[Spoken],
    name: str,
) -> None:
    stable = ""
    for event in fed(models[name].begin(), sounded(sounds)):
        assert f"{event.text} ".startswith(f"{stable} " if stable else "")
        if isinstance(event, PartialResult):
            assert event.stable.startswith(stable)
            assert f"{event.text} ".startswith(f"{event.stable} " if event.stable else "")
        stable = event.stable if isinstance(event, PartialResult) else ""


@pytest.mark.parametrize("name", ["streaming, beam", "streaming, greedy", "utterances"])
def test_text_comes_while_it_is_spoken(
    models: dict[str, LiveModel], spoken: Speak, name: str
) -> None:
    live, seen = models[name].begin(), []
    audio = np.concatenate([SILENCE, spoken("a good deed indeed"), SILENCE, spoken("be")])
    for start in range(0, len(audio), 1_600):
        seen += [(start / 16_000, event) for event in live.feed(audio[start : start + 1_600])]
    partials = [(at, event) for at, event in seen if isinstance(event, PartialResult)]
    assert partials[0][0] < 1.8
    assert partials[0][1].start == pytest.approx(0.7, abs=0.05)
    if "beam" not in name:  # which is not so soon certain
        assert list(dict.fromkeys(e.stable for _, e in partials))[:3] == ["", "a", "a good"]
    ((at, final),) = [(at, event) for at, event in seen if isinstance(event, FinalResult)]
    assert at == pytest.approx(1 + 18 * 0.18 + 0.64, abs=0.2)
    assert final.text == "a good deed indeed"
    assert final.words[1].start == pytest.approx(1 + 2 * 0.18, abs=0.05)
    assert final.start < final.words[0].start < final.words[-1].end <= final.end < at
    assert [event.text for event in finals(live.finish())] == ["be"]


def test_the_model_decides_how_it_is_done(models: dict[str, LiveModel]) -> None:
    assert models["streaming, beam"].streaming is not None
    assert models["utterances"].streaming is None


def test_a_bundle_of_both_networks_streams(
    tone_bundle: Path, streaming_tone_bundle: Path, spoken: Speak
) -> None:
    whole, windows = Bundle.load(tone_bundle), Bundle.load(streaming_tone_bundle)
    part = StreamingPart(windows.features, windows.networks)
    model = LiveModel(Recognizer(replace(whole, streaming_part=part), threads=1), loud)
    assert model.streaming is not None
    events = fed(model.begin(), spoken("good deed"))
    assert [final.text for final in finals(events)] == ["good deed"]
    assert len(events) > 3  # a partial a letter and more, of one `feed`


def test_utterances_give_one_partial_a_feed(models: dict[str, LiveModel], spoken: Speak) -> None:
    live = models["utterances"].begin()
    (partial,) = live.feed(spoken("a good deed indeed"))
    assert (partial.text, live.feed(SILENCE[:160])) == ("a good deed indeed", [])


def test_silence_gives_nothing(models: dict[str, LiveModel]) -> None:
    for model in models.values():
        model.warm_up()
        live = model.begin()
        assert (live.feed(SILENCE), live.finish()) == ([], [])


def test_hot_words_are_heard(streaming: Recognizer, tone_bundle: Path, spoken: Speak) -> None:
    for recognizer in (streaming, load_model(tone_bundle, threads=1, decoder="beam")):
        model = LiveModel(recognizer, loud)
        for hot_words, text in ((None, "first one"), ({"first fun": 90.0}, "first fun")):
            found = finals(fed(model.begin(hot_words), spoken("first one")))
            assert [final.text for final in found] == [text]


def test_hot_words_that_are_none_are_refused_at_once(models: dict[str, LiveModel]) -> None:
    for name in ("streaming, greedy", "utterances"):
        with pytest.raises(PlainspeechError, match="greedy decoding cannot use them"):
            models[name].begin({"deed": 3.0})
    with pytest.raises(PlainspeechError, match="'7', which the alphabet does not"):
        models["streaming, beam"].begin({"deed 7": 3.0})


@pytest.mark.parametrize("name", ["streaming, beam", "streaming, greedy", "utterances"])
def test_a_session_of_hours_takes_no_more_memory(
    models: dict[str, LiveModel], spoken: Speak, name: str
) -> None:
    live = models[name].begin()
    minute = np.concatenate([np.tile(spoken("a good deed "), 20), SILENCE])

    def speak() -> None:
        for block in np.array_split(minute, 60):
            live.feed(block)

    speak()
    tracemalloc.start()
    speak()
    speak()
    left, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert left < minute.nbytes / 10


def test_events_are_json() -> None:
    assert json_values(PartialResult("a b", "a", 0.12345)) == {
        "type": "partial",
        "text": "a b",
        "stable": "a",
        "start": 0.123,
    }
    assert json_values(FinalResult("", 0.0, 1.23456, ())) == {
        "type": "final",
        "text": "",
        "start": 0.0,
        "end": 1.235,
        "words": [],
    }
