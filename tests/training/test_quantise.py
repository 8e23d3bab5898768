from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from tiny import BINS, SHAPES

from plainspeech.runtime.network import WholeNetwork, WindowedNetwork
from plainspeech.training.export import quantise, to_onnx, with_float16_weights


def computed(network: bytes, name: str) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    rows = [np.random.default_rng(1).standard_normal((150, BINS), np.float32)]
    session = onnxruntime.InferenceSession(network, providers=["CPUExecutionProvider"])
    made = WindowedNetwork(session, 3) if name == "streaming" else WholeNetwork(session)
    return made.run(rows)[0]


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_it_computes_nearly_the_same(name: str) -> None:
    torch.manual_seed(3)
    exported = to_onnx(SHAPES[name]().eval(), BINS)
    whole, eighth = computed(exported, name), computed(quantise(exported), name)
    assert 0 < np.abs(whole - eighth).max() < 0.1


def test_weights_that_a_layer_has_twice_are_kept_once() -> None:
    exported = to_onnx(SHAPES["streaming"]().eval(), BINS)
    found = onnx.load_from_string(quantise(exported))
    layers = [node for node in found.graph.node if node.op_type == "DynamicQuantizeLSTM"]
    assert len(layers) == 6  # two of each: forwards, forwards into the look-ahead, backwards
    assert not [node for node in found.graph.node if node.op_type == "LSTM"]
    assert len({layer.input[1] for layer in layers}) == 4


def bytes_of_weights(network: bytes) -> int:
    return sum(len(each.raw_data) for each in onnx.load_from_string(network).graph.initializer)


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_weights_that_float16_holds_take_half_the_size_and_compute_the_same(name: str) -> None:
    torch.manual_seed(4)
    exported = to_onnx(SHAPES[name]().half().float().eval(), BINS)
    found = with_float16_weights(exported)
    assert bytes_of_weights(found) < 0.7 * bytes_of_weights(exported)
    np.testing.assert_array_equal(computed(found, name), computed(exported, name))


def test_weights_that_float16_does_not_hold_stay() -> None:
    torch.manual_seed(4)
    exported = to_onnx(SHAPES["small"]().eval(), BINS)
    np.testing.assert_array_equal(
        computed(with_float16_weights(exported), "small"), computed(exported, "small")
    )
