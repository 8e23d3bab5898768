from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from plainspeech import audio
from plainspeech.alphabet import ENGLISH
from plainspeech.arrays import Array
from plainspeech.decoding.beam_search import BeamSearchDecoder
from plainspeech.errors import PlainspeechError
from plainspeech.features import FeatureSettings, LogMel
from plainspeech.model.streaming import Streaming
from plainspeech.model.windows import Windows
from plainspeech.runtime.bundle import Bundle
from plainspeech.runtime.recognizer import Recognizer
from plainspeech.runtime.streaming_model import StreamingModel
from plainspeech.training.export import to_onnx

BINS = 20
FEATURES = FeatureSettings(bins=BINS, normalise="running")
CLIP = Path(__file__).resolve().parents[2] / "samples" / "1272-135031-0004.flac"


@pytest.fixture(scope="module")
def network() -> Streaming:
    torch.manual_seed(1)
    sizes = {"channels": 2, "width": 8, "blocks": 2, "kernel": 5, "hidden": 8}
    return Streaming(BINS, ENGLISH.size, windows=Windows(4, 3), **sizes).eval()


@pytest.fixture(scope="module")
def bundle(network: Streaming) -> Bundle:
    return Bundle(Path("streams"), ENGLISH, FEATURES, 0.03, {}, {"float32": to_onnx(network, BINS)})


@pytest.fixture(scope="module")
def model(bundle: Bundle) -> StreamingModel:
    return StreamingModel(bundle)


def noise(samples: int, seed: int = 0) -> Array:
    return (0.1 * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)


def in_pieces(model: StreamingModel, waveform: Array, pieces: Sequence[int]) -> Array:
    stream, start, found = model.stream(), 0, []
    for piece in pieces:
        found.append(stream.feed(waveform[start : start + piece]))
        start += piece
    return np.concatenate([*found, stream.feed(waveform[start:]), stream.finish()])


def by_torch(network: Streaming, waveform: Array) -> Array:
    features = torch.from_numpy(LogMel(FEATURES)(waveform))
    with torch.no_grad():
        whole: Array = network(features[None], torch.tensor([len(features)]))[0][0].numpy()
    return whole


@given(samples=st.integers(80, 30_000), pieces=st.lists(st.integers(0, 9_000), max_size=6))
@settings(max_examples=40)
def test_pieces_give_what_torch_gives_for_the_whole(
    network: Streaming, model: StreamingModel, samples: int, pieces: list[int]
) -> None:
    waveform = noise(samples)
    found = in_pieces(model, waveform, pieces)
    np.testing.assert_allclose(found, by_torch(network, waveform), atol=1e-5)


def test_output_comes_a_window_after_the_sound(model: StreamingModel) -> None:
    # The window is 21 features: the last is centred on 205 ms and ends at 217.5 ms.
    assert model.latency_seconds == pytest.approx(0.2225)
    assert model.chunk_seconds == pytest.approx(0.12)
    stream = model.stream()
    assert stream.feed(noise(3_479)).shape == (0, ENGLISH.size)
    assert stream.feed(noise(1)).shape == (4, ENGLISH.size)
    assert stream.feed(noise(1_919)).shape == (0, ENGLISH.size)
    assert stream.feed(noise(1)).shape == (4, ENGLISH.size)


@pytest.mark.parametrize("samples", [0, 79])
def test_less_than_a_frame_gives_nothing(model: StreamingModel, samples: int) -> None:
    assert in_pieces(model, noise(samples), []).shape == (0, ENGLISH.size)


def test_a_finished_stream_takes_no_more(model: StreamingModel) -> None:
    stream = model.stream()
    stream.finish()
    with pytest.raises(PlainspeechError, match="stream is finished"):
        stream.feed(noise(10))
    with pytest.raises(PlainspeechError, match="stream is finished"):
        stream.finish()


def test_streams_of_several_threads_do_not_meet(model: StreamingModel) -> None:
    waveforms = [noise(20_000, seed) for seed in range(4)]
    alone = [in_pieces(model, waveform, []) for waveform in waveforms]
    found: dict[int, Array] = {}

    def run(index: int) -> None:
        found[index] = in_pieces(model, waveforms[index], [1_000] * 20)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index, wanted in enumerate(alone):
        np.testing.assert_allclose(found[index], wanted, atol=1e-6)


def test_a_recognizer_takes_it_for_whole_recordings(
    network: Streaming, bundle: Bundle, model: StreamingModel
) -> None:
    recognizer = Recognizer(bundle, threads=1)
    waveforms = [noise(samples, samples) for samples in (20_000, 79, 80, 7_777)]
    for waveform, found in zip(waveforms, recognizer.log_probabilities(waveforms), strict=True):
        if len(waveform) < 80:
            assert found.shape == (0, ENGLISH.size)
        else:
            np.testing.assert_allclose(found, by_torch(network, waveform), atol=1e-5)
    text = recognizer.transcribe_waveforms(waveforms)[0].text
    assert recognizer.decoder.decode_batch([in_pieces(model, waveforms[0], [])])[0].text == text


def test_the_search_is_fed_by_it(model: StreamingModel) -> None:
    decoder = BeamSearchDecoder(ENGLISH, frame_seconds=0.03)
    waveform = audio.read(CLIP)
    sound, search = model.stream(), decoder.stream()
    for start in range(0, len(waveform), 1_600):
        search.feed(sound.feed(waveform[start : start + 1_600]))
    search.feed(sound.finish())
    assert search.finish() == decoder.decode(in_pieces(model, waveform, []))


def test_a_model_of_whole_utterances_is_refused(tone_bundle: Path) -> None:
    with pytest.raises(PlainspeechError, match="its model needs whole utterances"):
        StreamingModel(Bundle.load(tone_bundle))


def changed(bundle: Bundle, name: str, size: int | str) -> Bundle:
    """Return ``bundle`` with another size in the second place of the input or output ``name``."""
    proto = onnx.load_from_string(bundle.network)
    for value in (*proto.graph.input, *proto.graph.output):
        if value.name == name:
            dimension = value.type.tensor_type.shape.dim[1]
            dimension.dim_param = str(size)
    return Bundle(
        bundle.origin, ENGLISH, FEATURES, 0.03, {}, {"float32": bytes(proto.SerializeToString())}
    )


@pytest.mark.parametrize("name", ["features", "state_cells"])
def test_a_state_without_fixed_windows_is_refused(bundle: Bundle, name: str) -> None:
    with pytest.raises(PlainspeechError, match="streams: its model has states, but no fixed"):
        StreamingModel(changed(bundle, name, "any"))


def test_as_many_states_come_out_as_go_in(bundle: Bundle) -> None:
    proto = onnx.load_from_string(bundle.network)
    del proto.graph.output[-1]
    other = Bundle(
        bundle.origin, ENGLISH, FEATURES, 0.03, {}, {"float32": bytes(proto.SerializeToString())}
    )
    with pytest.raises(PlainspeechError, match="as many states after both"):
        StreamingModel(other)
