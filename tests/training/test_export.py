from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import tiny
import torch
from tiny import BINS, SHAPES, ignore, trainer_of, write_corpus, write_recipe
from torch.nn.utils.rnn import pad_sequence

from plainspeech import audio
from plainspeech.alphabet import ENGLISH
from plainspeech.decoding.greedy import greedy_text
from plainspeech.errors import PlainspeechError
from plainspeech.features import FeatureSettings, LogMel
from plainspeech.model.base import AcousticModel
from plainspeech.model.presets import PRESETS, Preset
from plainspeech.model.streaming import Streaming
from plainspeech.runtime.bundle import Bundle
from plainspeech.runtime.network import WholeNetwork, WindowedNetwork
from plainspeech.runtime.recognizer import load_model
from plainspeech.runtime.streaming_model import StreamingModel
from plainspeech.training import export
from plainspeech.training.checkpoint import Checkpoint
from plainspeech.training.export import export_bundle, largest_difference, to_onnx

pytestmark = pytest.mark.usefixtures("tiny_preset")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run."""
    folder = tmp_path_factory.mktemp("run")
    write_corpus(folder)
    recipe = write_recipe(folder)
    card = '[card]\nname = "Tones"\nlicence = "CC0"\ndata = "tones"'
    recipe.write_text(f"{recipe.read_text()}\n{card}")
    trainer_of(recipe, folder).fit(ignore, ignore)
    return folder


def averaged(checkpoint: Checkpoint) -> AcousticModel:
    """The model as a bundle has it, its weights rounded to float16."""
    model = tiny.PRESET.build(ENGLISH.size)
    model.load_state_dict(checkpoint.weights_alone().part("average"))
    return model.eval()


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_onnx_is_torch_for_batches_of_any_lengths(name: str) -> None:
    torch.manual_seed(5)
    model = SHAPES[name]().eval()
    exported = to_onnx(model, BINS)
    assert largest_difference(model, exported, BINS) < 1e-5
    session = onnxruntime.InferenceSession(exported, providers=["CPUExecutionProvider"])
    network = WindowedNetwork(session, 3) if name == "streaming" else WholeNetwork(session)
    random = np.random.default_rng(9)
    for lengths in ([1], [2], [3, 1], [301, 7, 150, 1], [64, 64]):
        rows = [random.standard_normal((length, BINS), np.float32) for length in lengths]
        padded = pad_sequence([torch.from_numpy(row) for row in rows], batch_first=True)
        with torch.no_grad():
            wanted, wanted_lengths = model(padded, torch.tensor(lengths))
        for found, expected, length in zip(
            network.run(rows), wanted.numpy(), wanted_lengths.tolist(), strict=True
        ):
            assert len(found) == length
            np.testing.assert_allclose(found, expected[:length], atol=1e-5)


@pytest.mark.parametrize("name", sorted(SHAPES))
@pytest.mark.parametrize("training", [True, False])
def test_the_model_stays_in_its_mode(name: str, training: bool) -> None:
    model = SHAPES[name]().train(training)
    to_onnx(model, BINS)
    assert {part.training for part in model.modules()} == {training}


def test_the_difference_sees_another_model() -> None:
    exported = to_onnx(SHAPES["small"]().eval(), BINS)
    assert largest_difference(SHAPES["small"]().eval(), exported, BINS) > 0.01


def test_the_bundle_transcribes_as_the_model_does(run: Path, tmp_path: Path) -> None:
    export_bundle(run / "best.safetensors", tmp_path / "bundle")
    model = averaged(Checkpoint.load(run / "best.safetensors"))
    recognizer = load_model(tmp_path / "bundle", threads=1, precision="float32")
    for clip in sorted(run.glob("*.wav")):
        waveform = audio.read(clip)
        features = LogMel(tiny.PRESET.features)(waveform)
        with torch.no_grad():
            wanted = model(torch.from_numpy(features)[None], torch.tensor([len(features)]))[0][0]
        (found,) = recognizer.log_probabilities([waveform])
        np.testing.assert_allclose(found, wanted.numpy(), atol=1e-5)
        assert recognizer.transcribe(clip).text == greedy_text(wanted.numpy(), ENGLISH)


def test_the_card_says_what_was_promised(run: Path, tmp_path: Path) -> None:
    export_bundle(run / "best.safetensors", tmp_path / "bundle")
    bundle = load_model(tmp_path / "bundle").bundle
    best = Checkpoint.load(run / "best.safetensors").progress.history[-1]
    card = dict(bundle.card)
    assert card.pop("onnx")["largest_difference_to_torch"] < 1e-5
    assert len(card.pop("exported")) == len("2015-04-19")
    card.pop("code")  # of the checkout, if there is one
    for time in ("hours_of_training", "processor_hours", "hours_of_audio"):
        assert 0 <= card.pop(time) < 1
    weights = Checkpoint.load(run / "best.safetensors").part("average")
    assert card.pop("parameters") == sum(weight.numel() for weight in weights.values())
    assert card == {
        "name": "Tones",
        "licence": "CC0",
        "data": "tones",
        "preset": "tiny",
        "hours_of_training_data": 0.0,
        "epochs": best["epoch"],
        "seed": 3,
        "dev": {"manifest": "corpus.jsonl", "wer": best["dev_wer"], "cer": best["dev_cer"]},
    }
    assert (bundle.features, bundle.frame_seconds) == (tiny.PRESET.features, 0.03)
    assert json.dumps(dict(bundle.card))


def test_the_card_names_the_run_that_the_weights_started_from(run: Path, tmp_path: Path) -> None:
    best = Checkpoint.load(run / "best.safetensors")
    replace(best, run={**best.run, "started_from": best.provenance()}).save(tmp_path / "next")
    export_bundle(tmp_path / "next", tmp_path / "bundle")
    card = load_model(tmp_path / "bundle").bundle.card
    assert card["started_from"] == best.provenance()
    assert card["started_from"]["epochs"] == best.progress.history[-1]["epoch"]


class TinyStreaming(Streaming):
    """Takes the weights of `tiny.Tiny`."""

    def __init__(self, bins: int, symbols: int) -> None:
        super().__init__(bins, symbols, channels=4, width=16, blocks=1, hidden=16)


@pytest.fixture
def streams(monkeypatch: pytest.MonkeyPatch) -> FeatureSettings:
    """Let the tiny preset stream; return the features for it."""
    features = replace(tiny.PRESET.features, normalise="running")
    monkeypatch.setitem(PRESETS, "tiny-streaming", Preset(TinyStreaming, features))
    monkeypatch.setitem(PRESETS, "tiny", replace(tiny.PRESET, streams_as="tiny-streaming"))
    return features


def test_what_can_stream_comes_with_a_streaming_network(
    run: Path, tmp_path: Path, streams: FeatureSettings
) -> None:
    export_bundle(run / "best.safetensors", tmp_path / "bundle")
    bundle = Bundle.load(tmp_path / "bundle")
    assert set(bundle.networks) == {"float32", "int8"}
    assert bundle.streaming is not None
    assert (bundle.streaming.features, set(bundle.streaming.networks)) == (streams, {"int8"})
    assert StreamingModel(bundle).bundle == bundle.streaming
    clip = next(run.glob("*.wav"))
    spoken = load_model(tmp_path / "bundle").transcribe(clip).text
    assert load_model(tmp_path / "bundle", streaming=True).transcribe(clip).text == spoken


def test_the_streaming_network_may_have_weights_of_its_own(
    run: Path, tmp_path: Path, streams: FeatureSettings
) -> None:
    trained = Checkpoint.load(run / "best.safetensors")
    live = of_preset(trained, "tiny-streaming", scale=0.5)
    live.save(tmp_path / "live.safetensors")
    export_bundle(run / "best.safetensors", tmp_path / "shared")
    export_bundle(run / "best.safetensors", tmp_path / "own", tmp_path / "live.safetensors")
    shared, own = (Bundle.load(tmp_path / name) for name in ("shared", "own"))
    assert own.networks == shared.networks
    assert own.streaming_part is not None
    assert shared.streaming_part is not None
    assert own.streaming_part.networks != shared.streaming_part.networks
    assert "streaming" not in shared.card
    assert own.card["streaming"] == {
        "preset": "tiny-streaming",
        **live.provenance(),
        "dev": own.card["dev"],
    }


def of_preset(checkpoint: Checkpoint, preset: str, scale: float = 1.0) -> Checkpoint:
    """Return ``checkpoint`` as if trained as ``preset``, its weights ``scale`` times as large."""
    tensors = {name: tensor * scale for name, tensor in checkpoint.tensors.items()}
    recipe = {**checkpoint.run["recipe"], "preset": preset}
    return replace(checkpoint, tensors=tensors, run={**checkpoint.run, "recipe": recipe})


@pytest.mark.usefixtures("streams")
@pytest.mark.parametrize(
    ("preset", "streaming", "says"),
    [
        ("tiny", "tiny", "live.safetensors: trained as 'tiny'; .* 'tiny-streaming'"),
        ("tiny-streaming", "tiny-streaming", "best.safetensors: trained as 'tiny-streaming', "),
    ],
)
def test_weights_that_do_not_stream_beside_others_are_refused(
    run: Path, tmp_path: Path, preset: str, streaming: str, says: str
) -> None:
    trained = Checkpoint.load(run / "best.safetensors")
    of_preset(trained, preset).save(tmp_path / "best.safetensors")
    of_preset(trained, streaming).save(tmp_path / "live.safetensors")
    with pytest.raises(PlainspeechError, match=says):
        export_bundle(
            tmp_path / "best.safetensors", tmp_path / "bundle", tmp_path / "live.safetensors"
        )
    assert not (tmp_path / "bundle").exists()


def test_what_cannot_stream_says_so(run: Path, tmp_path: Path) -> None:
    export_bundle(run / "best.safetensors", tmp_path / "bundle")
    assert Bundle.load(tmp_path / "bundle").streaming is None
    with pytest.raises(PlainspeechError, match="has no streaming network"):
        load_model(tmp_path / "bundle", streaming=True)


def test_a_bundle_that_computes_something_else_is_not_written(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "largest_difference", lambda *_: 0.5)
    with pytest.raises(PlainspeechError, match=r"not exported: ONNX and torch differ by 0.5"):
        export_bundle(run / "best.safetensors", tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize("changes", [{"batch": 2}, {"history": []}])
def test_weights_that_nobody_has_measured_are_not_exported(
    run: Path, tmp_path: Path, changes: dict[str, object]
) -> None:
    checkpoint = Checkpoint.load(run / "checkpoint.safetensors")
    progress = replace(checkpoint.progress, **changes)  # type: ignore[arg-type]
    replace(checkpoint, progress=progress).save(tmp_path / "midst.safetensors")
    with pytest.raises(PlainspeechError, match=r"from the middle of an epoch.* best.safetensors"):
        export_bundle(tmp_path / "midst.safetensors", tmp_path / "bundle")


def test_weights_of_another_model_are_not_exported(run: Path, tmp_path: Path) -> None:
    checkpoint = Checkpoint.load(run / "best.safetensors")
    tensors = dict(list(checkpoint.tensors.items())[1:])
    replace(checkpoint, tensors=tensors).save(tmp_path / "other.safetensors")
    with pytest.raises(PlainspeechError, match="weights are not those of this plainspeech's model"):
        export_bundle(tmp_path / "other.safetensors", tmp_path / "bundle")
