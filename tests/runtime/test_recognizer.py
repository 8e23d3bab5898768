from __future__ import annotations

import io
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import numpy_helper

import plainspeech
from plainspeech.alphabet import ENGLISH, Alphabet
from plainspeech.arrays import Array
from plainspeech.artifact.kind import Kind
from plainspeech.errors import (
    AudioError,
    ConfigurationError,
    LanguageModelError,
    ModelError,
    PlainspeechError,
)
from plainspeech.features import FeatureSettings
from plainspeech.runtime import bundle as bundles
from plainspeech.runtime import recognizer as recognizers
from plainspeech.runtime.bundle import Bundle
from plainspeech.runtime.recognizer import Recognizer, load_model

Speak = Callable[..., Array]


@pytest.fixture(scope="module")
def recognizer(tone_bundle: Path) -> Recognizer:
    return load_model(tone_bundle, threads=1)


def test_a_waveform_becomes_text_with_times(recognizer: Recognizer, spoken: Speak) -> None:
    transcript = recognizer.transcribe(spoken("feed a cab"))
    assert transcript.text == "feed a cab"
    assert [word.text for word in transcript.words] == ["feed", "a", "cab"]
    assert transcript.duration == pytest.approx(10 * 0.18)
    for word, first, characters in zip(transcript.words, (0, 5, 7), (4, 1, 3), strict=True):
        assert word.start == pytest.approx(first * 0.18, abs=0.045)
        assert word.end == pytest.approx((first + characters) * 0.18 - 0.06, abs=0.045)
        assert 0.5 < word.confidence <= 1


def test_path_name_file_and_array_are_the_same_to_it(
    recognizer: Recognizer, spoken: Speak, tmp_path: Path
) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, spoken("one ear"), 16_000, subtype="FLOAT")
    expected = recognizer.transcribe(spoken("one ear"))
    assert expected.text == "one ear"
    assert recognizer.transcribe(path) == expected
    assert recognizer.transcribe(str(path)) == expected
    assert recognizer.transcribe(io.BytesIO(path.read_bytes())) == expected


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
def test_arrays_of_any_rate_and_type(recognizer: Recognizer, spoken: Speak, rate: int) -> None:
    waveform = spoken("cab", rate)
    assert recognizer.transcribe(waveform, rate).text == "cab"
    assert recognizer.transcribe(waveform.astype(np.float64), rate).text == "cab"
    assert recognizer.transcribe((waveform * 32_767).astype(np.int16), rate).text == "cab"


@pytest.mark.parametrize("samples", [0, 1, 79])
def test_less_than_a_frame_is_an_empty_transcript(recognizer: Recognizer, samples: int) -> None:
    transcript = recognizer.transcribe(np.zeros(samples, np.float32))
    assert transcript == plainspeech.Transcript((), samples / 16_000)


def test_no_recording_is_no_transcript(recognizer: Recognizer) -> None:
    assert recognizer.transcribe_waveforms([]) == []


@given(texts=st.lists(st.text("abc z", max_size=6), max_size=6), budget=st.integers(1, 600))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_batch_gives_what_each_gives_alone(
    recognizer: Recognizer,
    spoken: Speak,
    monkeypatch: pytest.MonkeyPatch,
    texts: list[str],
    budget: int,
) -> None:
    waveforms = [spoken(text) for text in texts]
    alone = [recognizer.transcribe(waveform) for waveform in waveforms]
    with monkeypatch.context() as patch:
        patch.setattr(recognizers, "_BATCH_FRAMES", {"float32": budget})
        assert recognizer.transcribe_waveforms(waveforms) == alone
    assert [found.text for found in alone] == [" ".join(text.split()) for text in texts]


def test_log_probabilities_are_what_the_model_gives(recognizer: Recognizer, spoken: Speak) -> None:
    short, long = recognizer.log_probabilities([spoken("a"), spoken("abc")])
    assert short.shape == (6, 29)
    assert long.shape == (18, 29)
    assert short.dtype == np.float32
    np.testing.assert_allclose(np.exp(long).sum(axis=1), 1, rtol=1e-5)


def test_words_end_within_the_audio(recognizer: Recognizer, spoken: Speak) -> None:
    waveform = spoken("a")[: 16_000 * 10 // 100 + 85]  # 11 frames in, 4 out: 120 ms
    transcript = recognizer.transcribe(waveform)
    assert transcript.words[-1].end == transcript.duration == len(waveform) / 16_000


@pytest.mark.parametrize(
    ("waveform", "says"),
    [
        (np.zeros((16_000, 2, 1), np.float32), "shape"),
        (np.zeros((2, 16_000), np.float32), "256 channels"),
        (np.array([0, np.nan] * 500), "not numbers"),
        (np.array([0, np.inf] * 500), "not numbers"),
        (np.array([0, 1e300] * 500), "not numbers"),
        (np.zeros(16_000, complex), "floats are needed"),
    ],
)
def test_an_array_that_is_no_waveform_is_refused(
    recognizer: Recognizer, waveform: npt.NDArray[np.float64], says: str
) -> None:
    with pytest.raises(PlainspeechError, match=says):
        recognizer.transcribe(waveform)


def test_a_sample_rate_of_nothing_is_refused(recognizer: Recognizer, spoken: Speak) -> None:
    with pytest.raises(PlainspeechError, match="sample rate of 0 Hz"):
        recognizer.transcribe(spoken("a"), 0)


def _bundle(tone_bundle: Path, folder: Path, **changes: object) -> Path:
    changed: Any = changes
    replace(Bundle.load(tone_bundle), **changed).write(folder)
    return folder


def test_a_model_that_is_no_onnx_is_refused(tone_bundle: Path, tmp_path: Path) -> None:
    folder = _bundle(tone_bundle, tmp_path / "m", networks={"float32": b"not onnx"})
    with pytest.raises(PlainspeechError, match=r"m: its model is not ONNX, or damaged") as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"alphabet": Alphabet(ENGLISH.symbols[:-1])}, "log_probabilities .* must be 28"),
        ({"features": FeatureSettings(bins=64)}, "features .* must be 64"),
    ],
)
def test_a_model_of_another_shape_than_its_bundle_says_is_refused(
    tone_bundle: Path, tmp_path: Path, changes: dict[str, object], says: str
) -> None:
    with pytest.raises(PlainspeechError, match=says):
        load_model(_bundle(tone_bundle, tmp_path / "m", **changes))


def test_a_model_with_other_inputs_is_refused(tone_bundle: Path, tmp_path: Path) -> None:
    model = onnx.load_from_string(Bundle.load(tone_bundle).network)
    model.graph.node[0].input[0] = model.graph.input[0].name = "samples"
    folder = _bundle(tone_bundle, tmp_path / "m", networks={"float32": model.SerializeToString()})
    with pytest.raises(PlainspeechError, match=r"inputs \['samples', 'lengths'\]"):
        load_model(folder)


class Later(Executor):
    """Does nothing until it is told to."""

    def __init__(self) -> None:
        self._tasks: list[tuple[Future[Any], Callable[[], Any]]] = []

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Note what is to be done."""
        self._tasks.append((Future(), partial(function, *args, **kwargs)))
        return self._tasks[-1][0]

    def run(self) -> None:
        """Do it."""
        for future, task in self._tasks:
            _settle(future, task)


def _settle(future: Future[Any], task: Callable[[], Any]) -> None:
    try:
        future.set_result(task())
    except PlainspeechError as error:
        future.set_exception(error)


def test_recordings_are_read_before_the_decoder_is_loaded(
    tone_bundle: Path, recognizer: Recognizer, spoken: Speak
) -> None:
    waveform = spoken("feed a cab")
    later = Later()
    model = load_model(tone_bundle, threads=1, decoder="beam", loader=later)
    expected = load_model(tone_bundle, threads=1, decoder="beam")
    rows = model.log_probabilities([waveform])[0]
    np.testing.assert_array_equal(rows, recognizer.log_probabilities([waveform])[0])
    with ThreadPoolExecutor(1) as pool:
        transcript = pool.submit(model.transcribe, waveform)
        later.run()
        assert transcript.result() == expected.transcribe(waveform)
    assert model.decoder.description == expected.decoder.description
    stream, other = model.decoder.stream({"cab": 2.0}), expected.decoder.stream({"cab": 2.0})
    stream.feed(rows)
    other.feed(rows)
    assert stream.finish() == other.finish()


def test_what_is_wrong_with_the_decoder_is_raised_with_the_first_text(
    tone_bundle: Path, spoken: Speak
) -> None:
    later = Later()
    model = load_model(tone_bundle, language_model="absent", loader=later)
    later.run()
    for _ in range(2):
        with pytest.raises(LanguageModelError, match="absent: no such scorer"):
            model.transcribe(spoken("cab"))


def test_without_a_path_it_is_the_model_of_the_package(
    tone_bundle: Path, monkeypatch: pytest.MonkeyPatch, spoken: Speak
) -> None:
    monkeypatch.setattr(bundles, "bundled_model_path", lambda: tone_bundle)
    assert load_model().transcribe(spoken("cab")).text == "cab"


def test_a_package_without_a_model_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundles, "BUNDLE", Kind("model bundle", "not-there.json", ModelError))
    with pytest.raises(PlainspeechError, match="ships no model"):
        load_model()


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (b"RIFF", "source: is bytes; wrap the content of a file in io.BytesIO"),
        (bytearray(b"RIFF"), "source: is bytes"),
        ([0.0, 0.1], "source: is of type list; pass a path, a binary file or an array"),
        (None, "source: is of type NoneType"),
    ],
)
def test_what_is_no_source_of_audio_is_refused(tone_bundle: Path, source: Any, says: str) -> None:
    with pytest.raises(AudioError, match=says):
        load_model(tone_bundle).transcribe(source)


@pytest.mark.parametrize("threads", [0, -1, 1.5, "a", True])
def test_threads_are_counted(tone_bundle: Path, threads: Any) -> None:
    says = f"threads is {threads!r}; it must be a whole number, 1 or above"
    with pytest.raises(ConfigurationError, match=says):
        load_model(tone_bundle, threads=threads)


@pytest.mark.parametrize("value", [5, b"scorer"])
def test_what_is_no_path_names_no_model_and_no_scorer(tone_bundle: Path, value: Any) -> None:
    says = f"{value!r} is of type {type(value).__name__}; name a model or a scorer by its path"
    for arguments in ((value,), (tone_bundle,)):
        with pytest.raises(ConfigurationError, match=says):
            load_model(*arguments, language_model=value)


def fails(model: onnx.ModelProto) -> str:
    """It takes 29 utterances at a time."""
    model.graph.input[1].type.tensor_type.shape.dim[0].dim_value = 29
    return "the model's network fails: "


def promises(model: onnx.ModelProto) -> str:
    """It says that there are more frames than it gives."""
    for tensor in model.graph.initializer:
        if tensor.name == "rounding":
            tensor.CopyFrom(numpy_helper.from_array(np.array([10_000], np.int64), tensor.name))
    return "the model's network gives "


@pytest.mark.parametrize("change", [fails, promises])
def test_a_network_that_cannot_be_used_is_one_line(
    tone_bundle: Path, spoken: Speak, change: Callable[[onnx.ModelProto], str]
) -> None:
    """A hash says that a file is whole, not that the network in it is of any use."""
    whole = Bundle.load(tone_bundle)
    model = onnx.load_from_string(whole.network)
    says = change(model)
    broken = replace(whole, networks={"float32": model.SerializeToString()})
    with pytest.raises(ModelError, match=says) as error:
        Recognizer(broken, 1).transcribe(spoken("a"), sample_rate=16_000)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("window", "outputs", "state", "says"),
    [
        (30, 0, 1, "no fixed window size|for chunks of 0"),
        (30, 29, 1, "no fixed window size|for chunks of 87"),
        (2**31, 8, 1, "windows of 2147483648 frames"),
        (-5, 8, 1, "no fixed window size|windows of -5"),
        (30, 8, 2**31, "a state of its model has more numbers than can be"),
        (30, 8, 0, "no fixed window size|a state of its model"),
    ],
)
def test_windows_and_states_have_bounds(
    streaming_tone_bundle: Path, window: int, outputs: int, state: int, says: str
) -> None:
    whole = Bundle.load(streaming_tone_bundle)
    model = onnx.load_from_string(whole.network)
    features, _, before = model.graph.input
    rows, _, after = model.graph.output
    for value, size in ((features, window), (rows, outputs), (before, state), (after, state)):
        value.type.tensor_type.shape.dim[1].dim_value = size
    broken = replace(whole, networks={"float32": model.SerializeToString()})
    with pytest.raises(ModelError, match=says):
        Recognizer(broken, 1).transcribe(np.zeros(16_000, np.float32), sample_rate=16_000)
