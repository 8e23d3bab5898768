"""Models as ONNX: in float32, whether that computes the same, and in eight bits."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from torch import Tensor, nn

from plainspeech.model.base import AcousticModel
from plainspeech.model.streaming import Streaming, StreamState
from plainspeech.runtime.network import WholeNetwork, WindowedNetwork

OPSET = 18

_INPUTS = ["features", "lengths"]
_OUTPUTS = ["log_probabilities", "output_lengths"]
_STATES = ["features", "contexts", "cells"]


def to_onnx(model: AcousticModel, bins: int) -> bytes:
    """Return ``model`` as ONNX with a batch of any size; see `plainspeech.runtime.network`.

    One that streams takes windows, any other whole utterances of any length.
    """
    if isinstance(model, Streaming):
        return _windowed(model, bins)
    features, lengths = torch.zeros(2, 64, bins), torch.tensor([64, 48])
    axes = {
        "features": {0: "batch", 1: "frames"},
        "lengths": {0: "batch"},
        "log_probabilities": {0: "batch", 1: "output_frames"},
        "output_lengths": {0: "batch"},
    }
    return _exported(model, (features, lengths), _INPUTS, _OUTPUTS, axes)


def _windowed(model: Streaming, bins: int) -> bytes:
    window = model.subsampling * model.windows.size
    inputs = (
        torch.zeros(2, window, bins),
        torch.tensor([window, 5]),
        *model.start(2).tensors(),
    )
    names = [*_INPUTS, *(f"state_{name}" for name in _STATES)]
    outputs = [*_OUTPUTS, *(f"next_{name}" for name in _STATES)]
    axes = {name: {0: "batch"} for name in (*names, *outputs)}
    # The exporter puts what it exports back into its mode, the parts with it.
    step = _Step(model).train(model.training)
    return _exported(step, inputs, names, outputs, axes)


class _Step(nn.Module):
    """One window of a streaming model, its state in pieces."""

    def __init__(self, model: Streaming) -> None:
        super().__init__()
        self.model = model

    def forward(self, features: Tensor, lengths: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        outputs, output_lengths, after = self.model.step(features, lengths, StreamState(*state))
        return outputs, output_lengths, *after.tensors()


def _exported(
    model: nn.Module,
    inputs: tuple[Tensor, ...],
    names: list[str],
    outputs: list[str],
    axes: dict[str, dict[int, str]],
) -> bytes:
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        # Of a recurrence with a batch of any size, the exporter warns whatever its state is.
        warnings.simplefilter("ignore")
        path = Path(folder) / "model.onnx"
        torch.onnx.export(
            model,
            inputs,
            path,
            input_names=names,
            output_names=outputs,
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,
        )
        return path.read_bytes()


def largest_difference(model: AcousticModel, onnx_model: bytes, bins: int) -> float:
    """Return the largest difference of a log-probability between ONNX and torch.

    Over batches of random features of random lengths, far from those that were exported with. A
    streaming model computes all windows at once in torch, one after another in ONNX.
    """
    session = onnxruntime.InferenceSession(onnx_model, providers=["CPUExecutionProvider"])
    streams = isinstance(model, Streaming)
    network = WindowedNetwork(session, model.subsampling) if streams else WholeNetwork(session)
    random = np.random.default_rng(0)
    worst = 0.0
    for size in (1, 2, 5):
        lengths = random.integers(1, 400, size)
        rows = [random.standard_normal((length, bins), np.float32) for length in lengths]
        features = nn.utils.rnn.pad_sequence([torch.from_numpy(row) for row in rows], True)
        with torch.no_grad():
            wanted, output_lengths = model(features, torch.from_numpy(lengths))
        for found, expected, length in zip(
            network.run(rows), wanted.numpy(), output_lengths.tolist(), strict=True
        ):
            worst = max(worst, float(np.abs(found - expected[:length]).max()))
    return worst


# Convolutions stay: in eight bits theirs take more time than in float32.
_OPERATIONS = ["MatMul", "LSTM"]


def quantise(network: bytes) -> bytes:
    """Return an ONNX ``network`` with the weights of its products and LSTMs in eight bits.

    One scale for each output channel. What is multiplied with them is brought to eight bits when
    the network runs, with a scale of its own for all that is computed together (*dynamic*
    quantisation): utterances that are run together have an influence on each other.
    """
    proto = onnx.load_from_string(network)
    # Or it asks for a step before it, the inference of shapes, which weights have no need of.
    onnx.helper.set_model_props(proto, {"onnx.quant.pre_process": "onnxruntime.quant"})
    _unshare(proto.graph)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        quantize_dynamic(
            proto,
            path,
            op_types_to_quantize=_OPERATIONS,
            per_channel=True,
            # Seven of the eight bits: processors without VNNI add two products in 16 bits.
            reduce_range=True,
            weight_type=QuantType.QInt8,
        )
        proto = onnx.load(path)
    _share(proto.graph)
    return bytes(proto.SerializeToString())


def _unshare(graph: onnx.GraphProto) -> None:
    """Give every node weights of its own: quantising an LSTM changes their shape.

    Where a layer is run twice, the exporter gives its weights a second name by an Identity.
    """
    weights = {tensor.name: tensor for tensor in graph.initializer}
    for node in list(graph.node):
        if node.op_type == "Identity" and node.input[0] in weights:
            own = graph.initializer.add()
            own.CopyFrom(weights[node.input[0]])
            own.name = node.output[0]
            graph.node.remove(node)


def _share(graph: onnx.GraphProto) -> None:
    """Keep one of initial values that are alike but for their names."""
    kept: dict[bytes, str] = {}
    renamed: dict[str, str] = {}
    for tensor in list(graph.initializer):
        name = tensor.name
        tensor.name = ""
        content = tensor.SerializeToString()
        tensor.name = name
        renamed[name] = kept.setdefault(content, name)
        if renamed[name] != name:
            graph.initializer.remove(tensor)
    for node in graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = renamed.get(name, name)
