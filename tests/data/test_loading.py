from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from plainspeech import audio
from plainspeech.alphabet import ENGLISH
from plainspeech.data.augment import Augmentation
from plainspeech.data.loading import Batch, FeatureSource, Loader
from plainspeech.data.manifest import Utterance
from plainspeech.errors import PlainspeechError
from plainspeech.features import FeatureSettings
from plainspeech.runtime.bundle import Bundle
from plainspeech.runtime.network import WholeNetwork
from plainspeech.runtime.recognizer import load_model

Speak = Callable[..., npt.NDArray[np.float32]]
TEXTS = ("cab", "a", "one ear", "dead end", "it's")
SETTINGS = FeatureSettings()
PLENTY = 1e9


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
    return Loader(utterances, FeatureSource(SETTINGS, cache), ENGLISH, **options)


def assert_same(one: Batch, other: Batch) -> None:
    assert one.utterances == other.utterances
    for part in fields(Batch)[1:]:
        np.testing.assert_array_equal(getattr(one, part.name), getattr(other, part.name))


def test_a_batch_is_padded_with_zeros(utterances: list[Utterance]) -> None:
    (batch,) = loader(utterances).batches([[3, 1]])
    assert batch.utterances == (utterances[3], utterances[1])
    assert batch.features.dtype == np.float32
    assert batch.features.shape == (2, batch.lengths.max(), SETTINGS.bins)
    assert batch.lengths.tolist() == [SETTINGS.frames(round(16_000 * n * 0.18)) for n in (8, 1)]
    assert batch.target_lengths.tolist() == [8, 1]
    assert not batch.features[1, batch.lengths[1] :].any()
    assert ENGLISH.decode(batch.targets[0]) == "dead end"
    assert batch.targets[1].tolist() == [*ENGLISH.encode("a"), *[0] * 7]
    for part in (batch.lengths, batch.targets, batch.target_lengths):
        assert part.dtype == np.int64


def test_batches_come_in_the_order_of_the_plan(utterances: list[Utterance]) -> None:
    plan = [[index % 5] for index in range(40)]
    found = [batch.utterances[0].id for batch in loader(utterances).batches(plan)]
    assert found == [f"u{index % 5}" for index in range(40)]


def test_without_augmentation_features_are_those_of_use_to_the_bit(
    utterances: list[Utterance], tone_bundle: Path, tmp_path: Path
) -> None:
    """What `Recognizer` hands to its network, whatever the file, is what `Loader` trained on."""
    networks = Bundle.load(tone_bundle).networks
    Bundle(tmp_path, ENGLISH, SETTINGS, 0.03, {}, networks).write(tmp_path / "bundle")
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
        recognizer.transcribe(utterance.audio)
    batches = list(loader(utterances).batches([[i] for i in range(len(utterances))]))
    for inputs, batch in zip(heard, batches, strict=True):
        assert inputs["features"].tobytes() == batch.features.tobytes()
        assert inputs["lengths"].tolist() == batch.lengths.tolist()
    # And together, as they are evaluated and trained on.
    recognizer.transcribe_waveforms([audio.read(u.audio) for u in utterances])
    order = [[u.duration for u in utterances].index(d) for d in sorted_durations(utterances)]
    (batch,) = loader(utterances).batches([order])
    assert heard[-1]["features"].tobytes() == batch.features.tobytes()


def sorted_durations(utterances: list[Utterance]) -> list[float]:
    return sorted((u.duration for u in utterances), reverse=True)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("cache", [0.0, 30_000.0, PLENTY])
def test_a_batch_is_the_same_whenever_and_wherever_it_is_made(
    utterances: list[Utterance], threads: int, cache: float
) -> None:
    def make(**options: Any) -> Loader:
        return loader(utterances, augmentation=Augmentation(), seed=7, **options)

    plan = [[0, 1], [2, 3], [4]]
    expected = list(make().batches(plan, epoch=2))
    other = make(threads=threads, cache=cache)
    list(other.batches([[3], [2, 1, 0]], epoch=1))  # what came before leaves no trace
    for one, again in zip(expected, other.batches(plan, epoch=2), strict=True):
        assert_same(one, again)
    (resumed,) = make().batches(plan[2:], epoch=2)
    assert_same(resumed, expected[2])


def test_an_utterance_is_augmented_alike_in_any_batch(utterances: list[Utterance]) -> None:
    source = loader(utterances, augmentation=Augmentation(), seed=7)
    together, alone = source.batches([[0, 3], [3]])
    length = alone.lengths[0]
    assert together.lengths[1] == length
    np.testing.assert_array_equal(together.features[1, :length], alone.features[0])


def test_epochs_and_seeds_augment_otherwise(utterances: list[Utterance]) -> None:
    def features(seed: int, epoch: int) -> bytes:
        source = loader(utterances, augmentation=Augmentation(), seed=seed)
        (batch,) = source.batches([[3, 4]], epoch)
        return batch.features.tobytes()

    assert len({features(1, 0), features(1, 1), features(2, 0)}) == 3


def test_speeds_are_drawn_evenly(utterances: list[Utterance]) -> None:
    only_speed = Augmentation((0.5, 2.0), 0.0, frequency_masks=0, time_masks_per_second=0)
    source = loader(utterances, augmentation=only_speed)
    frames = [next(source.batches([[3]], epoch)).lengths[0] for epoch in range(60)]
    assert set(frames) == {288, 72}  # 1.44 s
    assert 15 < frames.count(72) < 45


def test_the_cache_saves_the_work_and_keeps_to_its_limit(
    utterances: list[Utterance], monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[str] = []
    read = audio.read

    def counted(path: Path, rate: int) -> npt.NDArray[np.float32]:
        reads.append(path.name)
        return read(path, rate)

    monkeypatch.setattr(audio, "read", counted)
    sizes = [FeatureSource(SETTINGS, 0)(u).nbytes for u in utterances]
    reads.clear()
    limit = sizes[0] + sizes[2]
    source = FeatureSource(SETTINGS, limit)
    for utterance in (utterances[0], utterances[3], utterances[2], utterances[1]) * 2:
        assert source(utterance).nbytes == sizes[utterances.index(utterance)]
    # The fourth is too large beside the first; the first and the third fill it.
    assert reads == ["0.wav", "3.flac", "2.wav", "1.flac", "3.flac", "1.flac"]
    assert sum(features.nbytes for features in source._cache.values()) == limit


def test_the_cache_tells_speeds_apart(utterances: list[Utterance]) -> None:
    source = FeatureSource(SETTINGS, PLENTY)
    assert len(source(utterances[3], 2.0)) == len(source(utterances[3])) / 2
    assert source(utterances[3]) is source(utterances[3])


def test_what_batches_do_does_not_reach_the_cache(utterances: list[Utterance]) -> None:
    source = loader(utterances, augmentation=Augmentation(speeds=(1.0,)))
    before = source._source(utterances[0]).copy()
    for batch in source.batches([[0]] * 5):
        batch.features[:] = np.nan
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
    compute = FeatureSource._compute

    def counted(source: FeatureSource, utterance: Utterance, speed: float) -> Any:
        made.append(utterance.id)
        return compute(source, utterance, speed)

    monkeypatch.setattr(FeatureSource, "_compute", counted)
    batches = loader(utterances, cache=0).batches([[0]] * 1000)
    next(batches)
    batches.close()  # type: ignore[attr-defined]
    assert len(made) <= 10
