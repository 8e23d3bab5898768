from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
import torch

from plainspeech import audio
from plainspeech.alphabet import ENGLISH
from plainspeech.data.loading import FULL_SCALE, Batch, Loader, WaveformSource
from plainspeech.data.manifest import Utterance, read_manifest
from plainspeech.errors import PlainspeechError
from plainspeech.features import FeatureSettings
from plainspeech.runtime.bundle import Bundle
from plainspeech.runtime.network import WholeNetwork
from plainspeech.runtime.recognizer import load_model
from plainspeech.training.device import FeatureExtractor

Speak = Callable[..., npt.NDArray[np.float32]]
TEXTS = ("cab", "a", "one ear", "dead end", "it's")
SETTINGS = FeatureSettings()
PLENTY = 1e9
SAMPLES = Path(__file__).parents[2] / "samples"


@pytest.fixture(scope="module")
def utterances(spoken: Speak, tmp_path_factory: pytest.TempPathFactory) -> list[Utterance]:
    """In files of several formats, rates and channels."""
    folder = tmp_path_factory.mktemp("clips")
    kinds = (("wav", 16_000), ("flac", 44_100), ("wav", 8_000), ("flac", 16_000), ("ogg", 48_000))
    found = []
    for index, (text, (suffix, rate)) in enumerate(zip(TEXTS, kinds, strict=True)):
        path = folder / f"{index}.{suffix}"
        samples = np.stack([spoken(text, rate)] * (1 + index % 2), axis=1)
        soundfile.write(path, samples, rate)
        duration = len(samples) / rate
        found.append(Utterance(f"u{index}", path, text, duration, origin=f"m.jsonl, line {index}"))
    return found


def loader(utterances: list[Utterance], **options: Any) -> Loader:
    cache = options.pop("cache", PLENTY)
    return Loader(utterances, WaveformSource(16_000, cache), ENGLISH, **options)


def assert_same(one: Batch, other: Batch) -> None:
    assert one.utterances == other.utterances
    for part in fields(Batch)[1:]:
        np.testing.assert_array_equal(getattr(one, part.name), getattr(other, part.name))


def test_a_batch_is_padded_with_zeros(utterances: list[Utterance]) -> None:
    (batch,) = loader(utterances).batches([[3, 1]])
    assert batch.utterances == (utterances[3], utterances[1])
    assert batch.waveforms.dtype == np.int16
    assert batch.waveforms.shape == (2, batch.lengths.max())
    assert batch.lengths.tolist() == [round(16_000 * n * 0.18) for n in (8, 1)]
    assert batch.target_lengths.tolist() == [8, 1]
    assert not batch.waveforms[1, batch.lengths[1] :].any()
    assert ENGLISH.decode(batch.targets[0]) == "dead end"
    assert batch.targets[1].tolist() == [*ENGLISH.encode("a"), *[0] * 7]
    for part in (batch.lengths, batch.targets, batch.target_lengths):
        assert part.dtype == np.int64


def test_batches_come_in_the_order_of_the_plan(utterances: list[Utterance]) -> None:
    plan = [[index % 5] for index in range(40)]
    found = [batch.utterances[0].id for batch in loader(utterances).batches(plan)]
    assert found == [f"u{index % 5}" for index in range(40)]


@pytest.mark.parametrize("normalise", ["speech", "utterance"])
def test_without_augmentation_features_are_those_of_use(
    tone_bundle: Path, tmp_path: Path, normalise: str
) -> None:
    """What `Recognizer` hands to its network is what training hands to its own."""
    utterances = read_manifest(SAMPLES / "manifest.jsonl")
    settings = replace(SETTINGS, normalise=normalise)
    networks = Bundle.load(tone_bundle).networks
    Bundle(tmp_path, ENGLISH, settings, 0.03, {}, networks).write(tmp_path / "bundle")
    recognizer = load_model(tmp_path / "bundle", threads=1)
    heard: list[dict[str, npt.NDArray[Any]]] = []
    network = recognizer._network
    assert isinstance(network, WholeNetwork)
    session = network._session

    class Spy:
        def run(self, outputs: list[str], inputs: dict[str, npt.NDArray[Any]]) -> Any:
            heard.append(inputs)
            return session.run(outputs, inputs)

    network._session = Spy()
    for utterance in utterances:
        recognizer.log_probabilities([audio.read(utterance.audio)])
    features = FeatureExtractor(settings, torch.device("cpu"))
    batches = list(loader(utterances).batches([[i] for i in range(len(utterances))]))
    for inputs, batch in zip(heard, batches, strict=True):
        tensors = features(batch)
        difference = np.abs(tensors.features.numpy() - inputs["features"])
        assert difference.mean() < 1e-4
        assert difference.max() < 0.01
        assert inputs["lengths"].tolist() == tensors.lengths.tolist()


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("cache", [0.0, 30_000.0, PLENTY])
def test_a_batch_is_the_same_whenever_and_wherever_it_is_made(
    utterances: list[Utterance], threads: int, cache: float
) -> None:
    plan = [[0, 1], [2, 3], [4]]
    expected = list(loader(utterances).batches(plan))
    other = loader(utterances, threads=threads, cache=cache)
    list(other.batches([[3], [2, 1, 0]]))  # what came before leaves no trace
    for one, again in zip(expected, other.batches(plan), strict=True):
        assert_same(one, again)


def test_the_cache_saves_the_work_and_keeps_to_its_limit(
    utterances: list[Utterance], monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[str] = []
    read = audio.read

    def counted(path: Path, rate: int) -> npt.NDArray[np.float32]:
        reads.append(path.name)
        return read(path, rate)

    monkeypatch.setattr(audio, "read", counted)
    sizes = [WaveformSource(16_000, 0)(u).nbytes for u in utterances]
    reads.clear()
    limit = sizes[0] + sizes[2]
    source = WaveformSource(16_000, limit)
    for utterance in (utterances[0], utterances[3], utterances[2], utterances[1]) * 2:
        assert source(utterance).nbytes == sizes[utterances.index(utterance)]
    # The fourth is too large beside the first; the first and the third fill it.
    assert reads == ["0.wav", "3.flac", "2.wav", "1.flac", "3.flac", "1.flac"]
    assert sum(waveform.nbytes for waveform in source._cache.values()) == limit


def test_samples_beyond_full_scale_are_brought_down_not_wrapped(tmp_path: Path) -> None:
    loud = np.sin(np.arange(1_000) / 5).astype(np.float32) * 3
    soundfile.write(tmp_path / "loud.wav", loud, 16_000, subtype="FLOAT")
    utterance = Utterance("loud", tmp_path / "loud.wav", "a", 1_000 / 16_000)
    found = WaveformSource(16_000, 0)(utterance)
    np.testing.assert_allclose(found / FULL_SCALE, loud / np.abs(loud).max(), atol=1e-4)


def test_what_batches_do_does_not_reach_the_cache(utterances: list[Utterance]) -> None:
    source = loader(utterances)
    before = source._source(utterances[0]).copy()
    for batch in source.batches([[0]] * 5):
        batch.waveforms[:] = -1
    np.testing.assert_array_equal(source._source(utterances[0]), before)


def test_a_recording_that_cannot_be_read_is_named_with_its_line(
    utterances: list[Utterance], tmp_path: Path
) -> None:
    gone = replace(utterances[0], audio=tmp_path / "gone.wav")
    with pytest.raises(PlainspeechError, match=r"^m.jsonl, line 0: u0: .*gone.wav: no such file"):
        list(loader([gone]).batches([[0]]))


def test_who_stops_early_waits_for_a_few_batches_alone(
    utterances: list[Utterance], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    read = WaveformSource._read

    def counted(source: WaveformSource, utterance: Utterance) -> Any:
        made.append(utterance.id)
        return read(source, utterance)

    monkeypatch.setattr(WaveformSource, "_read", counted)
    batches = loader(utterances, cache=0).batches([[0]] * 1000)
    next(batches)
    batches.close()  # type: ignore[attr-defined]
    assert len(made) <= 10
