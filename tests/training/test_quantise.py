from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
import pytest
import tiny
import torch

from plainspeech.alphabet import ENGLISH
from plainspeech.model.base import AcousticModel
from plainspeech.model.reference import Reference
from plainspeech.model.streaming import Streaming
from plainspeech.model.windows import Windows
from plainspeech.runtime.network import WholeNetwork, WindowedNetwork
from plainspeech.training.onnx_networks import to_onnx
from plainspeech.training.quantise import quantise

BINS = 20
MODELS: dict[str, Callable[[], AcousticModel]] = {
    "small": lambda: tiny.Tiny(BINS, ENGLISH.size),
    "streaming": lambda: Streaming(
        BINS, ENGLISH.size, channels=2, width=64, blocks=2, hidden=32, windows=Windows(7, 4)
    ),
    "reference": lambda: Reference(BINS, ENGLISH.size, channels=3, blocks=1, layers=2, hidden=8),
}


@pytest.mark.parametrize("name", sorted(MODELS))
def test_it_computes_nearly_the_same(name: str) -> None:
    torch.manual_seed(3)
    exported = to_onnx(MODELS[name]().eval(), BINS)
    rows = [np.random.default_rng(1).standard_normal((150, BINS), np.float32)]

    def computed(network: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        session = onnxruntime.InferenceSession(network, providers=["CPUExecutionProvider"])
        made = WindowedNetwork(session, 3) if name == "streaming" else WholeNetwork(session)
        return made.run(rows)[0]

    whole, eighth = computed(exported), computed(quantise(exported))
    assert 0 < np.abs(whole - eighth).max() < 0.1


def test_weights_that_a_layer_has_twice_are_kept_once() -> None:
    exported = to_onnx(MODELS["streaming"]().eval(), BINS)
    found = onnx.load_from_string(quantise(exported))
    layers = [node for node in found.graph.node if node.op_type == "DynamicQuantizeLSTM"]
    assert len(layers) == 6  # two of each: forwards, forwards into the look-ahead, backwards
    assert not [node for node in found.graph.node if node.op_type == "LSTM"]
    assert len({layer.input[1] for layer in layers}) == 4
