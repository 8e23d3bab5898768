"""Weights that lie outside of an ONNX file are found wherever they are, and noise is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from conftest import tone_model
from plainspeech.errors import ModelError
from plainspeech.runtime.bundle import Bundle, bundled_model_path
from plainspeech.runtime.onnx_file import check_onnx
from plainspeech.runtime.recognizer import load_model


def outside() -> onnx.TensorProto:
    """Return a tensor whose values are in a file of the working directory."""
    tensor = numpy_helper.from_array(np.zeros(3, np.float32), "weights")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="secret.bin")
    return tensor


def in_initializer(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(outside())


def in_attribute(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Constant", [], ["c"], value=outside()))


def in_subgraph(model: onnx.ModelProto) -> None:
    branch = helper.make_graph([], "branch", [], [], [outside()])
    model.graph.node.append(
        helper.make_node("If", ["lengths"], ["d"], then_branch=branch, else_branch=branch)
    )


def in_function(model: onnx.ModelProto) -> None:
    constant = helper.make_node("Constant", [], ["c"], value=outside())
    opsets = [helper.make_opsetid("", 17)]
    model.functions.append(helper.make_function("own", "f", [], ["c"], [constant], opsets))


def in_sparse(model: onnx.ModelProto) -> None:
    indices = numpy_helper.from_array(np.arange(3), "indices")
    sparse = helper.make_sparse_tensor(outside(), indices, [9])
    model.graph.sparse_initializer.append(sparse)


@pytest.mark.parametrize(
    "place", [in_initializer, in_attribute, in_subgraph, in_function, in_sparse]
)
def test_weights_outside_are_found_wherever_they_are(
    place: Callable[[onnx.ModelProto], None],
) -> None:
    model = onnx.load_from_string(tone_model())
    place(model)
    with pytest.raises(ModelError, match=r"b: its model keeps weights in another file"):
        check_onnx(model.SerializeToString(), "b")


def test_a_bundle_with_weights_outside_is_refused(tone_bundle: Path, tmp_path: Path) -> None:
    model = onnx.load_from_string(tone_model())
    in_initializer(model)
    bundle = replace(Bundle.load(tone_bundle), networks={"float32": model.SerializeToString()})
    bundle.write(tmp_path / "b")
    with pytest.raises(ModelError, match="keeps weights in another file"):
        load_model(tmp_path / "b")


def test_whole_models_pass() -> None:
    bundle = Bundle.load(bundled_model_path())
    streaming = bundle.streaming
    assert streaming is not None
    for network in (*bundle.networks.values(), *streaming.networks.values(), tone_model(True)):
        check_onnx(network, "b")


@given(st.binary(max_size=200))
def test_noise_is_no_model_or_harmless(content: bytes) -> None:
    try:
        check_onnx(content, "b")
    except ModelError as error:
        assert str(error).startswith("b: its model ")  # noqa: PT017  # both ends are right


@given(place=st.integers(0, 100_000), value=st.integers(0, 255))
def test_a_byte_of_a_model_that_is_changed(place: int, value: int) -> None:
    content = bytearray(tone_model())
    content[place % len(content)] = value
    try:
        check_onnx(bytes(content), "b")
    except ModelError as error:
        assert str(error).startswith("b: its model ")  # noqa: PT017
    with pytest.raises(ModelError, match="not ONNX, or damaged"):
        check_onnx(bytes(content[:-1]), "b")


def test_messages_that_nest_without_end_are_refused() -> None:
    message = b""
    for _ in range(100):  # graphs within nodes within graphs
        for tag in (b"\x32", b"\x2a", b"\x0a"):  # attribute.g, node.attribute, graph.node
            message = tag + _varint(len(message)) + message
    with pytest.raises(ModelError, match="not ONNX, or damaged"):
        check_onnx(b"\x3a" + _varint(len(message)) + message, "b")


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])
