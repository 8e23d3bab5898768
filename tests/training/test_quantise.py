from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from tiny import BINS, SHAPES

from plainspeech.runtime.network import WholeNetwork, WindowedNetwork
from plainspeech.training.export import quantise, to_onnx


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_it_computes_nearly_the_same(name: str) -> None:
    torch.manual_seed(3)
    exported = to_onnx(SHAPES[name]().eval(), BINS)
    rows = [np.random.default_rng(1).standard_normal((150, BINS), np.float32)]

    def computed(network: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        session = onnxruntime.InferenceSession(network, providers=["CPUExecutionProvider"])
        made = WindowedNetwork(session, 3) if name == "streaming" else WholeNetwork(session)
        return made.run(rows)[0]

    whole, eighth = computed(exported), computed(quantise(exported))
    assert 0 < np.abs(whole - eighth).max() < 0.1


def test_weights_that_a_layer_has_twice_are_kept_once() -> None:
    exported = to_onnx(SHAPES["streaming"]().eval(), BINS)
    found = onnx.load_from_string(quantise(exported))
    layers = [node for node in found.graph.node if node.op_type == "DynamicQuantizeLSTM"]
    assert len(layers) == 6  # two of each: forwards, forwards into the look-ahead, backwards
    assert not [node for node in found.graph.node if node.op_type == "LSTM"]
    assert len({layer.input[1] for layer in layers}) == 4
