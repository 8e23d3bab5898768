"""``device="cuda"`` with and without its provider; the GPU is the processor in disguise."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import soundfile

from conftest import Plainspeech
from plainspeech.arrays import Array
from plainspeech.errors import ConfigurationError
from plainspeech.runtime.bundle import Bundle
from plainspeech.runtime.devices import DEVICES, DeviceWarning, usable_device
from plainspeech.runtime.network import WholeNetwork
from plainspeech.runtime.recognizer import load_model

CUDA = "CUDAExecutionProvider"
Speak = Callable[..., Array]


class Pretended(onnxruntime.InferenceSession):  # type: ignore[misc]
    """Says that it runs on a GPU where it was asked to."""

    asked: Sequence[Any] = ()
    works = True

    def __init__(self, content: bytes, options: Any, providers: Sequence[Any]) -> None:
        type(self).asked = providers
        super().__init__(content, options, providers=["CPUExecutionProvider"])
        self._cuda = self.works and any(CUDA in each for each in providers)

    def get_providers(self) -> list[str]:
        return [CUDA, *super().get_providers()] if self._cuda else list(super().get_providers())


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> type[Pretended]:
    monkeypatch.setattr(onnxruntime, "InferenceSession", Pretended)
    monkeypatch.setattr(
        onnxruntime, "get_available_providers", lambda: [CUDA, "CPUExecutionProvider"]
    )
    monkeypatch.setattr(Pretended, "works", True)
    return Pretended


def test_every_device_has_a_name_that_is_known() -> None:
    assert usable_device("cpu") == "cpu"
    with pytest.raises(ConfigurationError, match="unknown device 'gpu'; choose cpu or cuda"):
        usable_device("gpu")
    assert DEVICES == ("cpu", "cuda")


def test_without_the_provider_the_processor_computes(tone_bundle: Path, spoken: Speak) -> None:
    with pytest.warns(DeviceWarning, match=r"install onnxruntime-gpu.*the processor computes"):
        model = load_model(tone_bundle, device="cuda")
    assert model.transcribe(spoken("good deed")).text == "good deed"


def test_a_provider_that_cannot_be_loaded_is_no_failure(
    gpu: type[Pretended], monkeypatch: pytest.MonkeyPatch, tone_bundle: Path, spoken: Speak
) -> None:
    monkeypatch.setattr(gpu, "works", False)
    with pytest.warns(DeviceWarning, match="CUDA, cuDNN or the GPU is missing"):
        model = load_model(tone_bundle, device="cuda")
    assert model.transcribe(spoken("good deed")).text == "good deed"


def test_the_network_is_given_to_the_provider(gpu: type[Pretended], tone_bundle: Path) -> None:
    load_model(tone_bundle, device="cuda")
    assert gpu.asked == [(CUDA, {"cudnn_conv_algo_search": "HEURISTIC"}), "CPUExecutionProvider"]
    load_model(tone_bundle)
    assert gpu.asked == ["CPUExecutionProvider"]


def test_float32_is_what_runs_there(
    gpu: type[Pretended], tone_bundle: Path, tmp_path: Path
) -> None:
    loaded = Bundle.load(tone_bundle)
    networks = {"float32": loaded.network, "int8": loaded.network}
    both = tmp_path / "both"
    Bundle(
        both, loaded.alphabet, loaded.features, loaded.frame_seconds, loaded.card, networks
    ).write(both)
    assert load_model(both).bundle.precision == "int8"
    assert load_model(both, device="cuda").bundle.precision == "float32"
    with pytest.raises(ConfigurationError, match="int8 is for processors"):
        load_model(both, device="cuda", precision="int8")


def test_results_are_the_same_and_batches_large(
    gpu: type[Pretended], monkeypatch: pytest.MonkeyPatch, tone_bundle: Path, spoken: Speak
) -> None:
    sizes: list[int] = []
    run = WholeNetwork.run

    def counted(self: WholeNetwork, features: Sequence[Array]) -> list[Array]:
        sizes.append(len(features))
        return run(self, features)

    monkeypatch.setattr(WholeNetwork, "run", counted)
    texts = ["good deed", "a", "feed a cab", "one ear"] * 3
    waveforms = [spoken(text) for text in texts]
    expected = load_model(tone_bundle).transcribe_waveforms(waveforms)
    sizes.clear()
    model = load_model(tone_bundle, device="cuda")
    assert model.transcribe_waveforms(waveforms) == expected
    assert sizes == [len(waveforms)]


def test_recordings_are_transcribed_through_batches(
    gpu: type[Pretended], tone_bundle: Path, spoken: Speak
) -> None:
    waveforms = [spoken(text) for text in ("good deed", "feed a cab", "one ear")]
    model, usual = load_model(tone_bundle, device="cuda"), load_model(tone_bundle)
    assert model.transcribe_recordings(waveforms) == usual.transcribe_recordings(waveforms)
    for waveform in waveforms:
        assert model.transcribe(waveform) == usual.transcribe(waveform)


@pytest.mark.parametrize("verb", ["transcribe", "evaluate"])
def test_the_command_line_says_it_in_one_line(
    plainspeech: Plainspeech, tone_bundle: Path, spoken: Speak, tmp_path: Path, verb: str
) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, spoken("good deed"), 16_000, subtype="FLOAT")
    manifest = tmp_path / "a.jsonl"
    manifest.write_text(
        '{"id": "a", "audio": "a.wav", "text": "good deed", "duration": 1.62, "speaker": "s"}\n'
    )
    arguments = {
        "transcribe": ["transcribe", path, "--model", tone_bundle],
        "evaluate": ["evaluate", tone_bundle, manifest],
    }
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        status, said = plainspeech(*arguments[verb], "--device", "cuda")
    assert status == 0
    assert said == (
        "warning: --device: this onnxruntime has no provider for CUDA (install onnxruntime-gpu in "
        "its place); the processor computes\n"
    )


def test_other_devices_are_one_line(plainspeech: Plainspeech, tone_bundle: Path) -> None:
    status, said = plainspeech("transcribe", "a.wav", "--model", tone_bundle, "--device", "tpu")
    assert (status, said.count("\n")) == (1, 1)


def test_a_gpu_has_no_workers(plainspeech: Plainspeech, tone_bundle: Path) -> None:
    status, said = plainspeech(
        "serve", "--model", tone_bundle, "--workers", "2", "--device", "cuda"
    )
    assert status == 1
    assert said == "error: --workers: a GPU is used by one process; leave the option out\n"
