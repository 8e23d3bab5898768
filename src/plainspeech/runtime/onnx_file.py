"""Checks ONNX files before onnxruntime reads them.

An ONNX file may take its weights from another file, which a bundle does not list, so that no hash
covers it; onnxruntime would read it from the working directory. ONNX is a protocol buffer
(onnx.proto3); those of its messages that can hold tensors are read here, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator

from plainspeech.errors import ModelError

# The messages of onnx.proto3 that lead to tensors: which fields of each hold which.
_FIELDS = {
    "Model": {7: "Graph", 20: "Training", 25: "Function"},
    "Graph": {1: "Node", 5: "Tensor", 15: "Sparse"},
    "Node": {5: "Attribute"},
    "Attribute": {5: "Tensor", 6: "Graph", 10: "Tensor", 11: "Graph", 22: "Sparse", 23: "Sparse"},
    "Sparse": {1: "Tensor", 2: "Tensor"},
    "Function": {7: "Node", 11: "Attribute"},
    "Training": {1: "Graph", 2: "Graph"},
}
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14  # fields of a tensor
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5  # wire types
_SIZES = {_FIXED64: 8, _FIXED32: 4}  # bytes
_DEEPEST = 50  # messages within messages
_MOST_FIELDS = 1_000_000  # english-small has 12,000


def check_onnx(content: bytes, name: str) -> None:
    """Refuse an ONNX file that is damaged, or that keeps weights outside of it.

    Args:
        content: of the file.
        name: for messages.

    Raises:
        ModelError: it is such a file.
    """
    try:
        for number, value in _tensor_fields(memoryview(content)):
            if number == _EXTERNAL_DATA or (number == _DATA_LOCATION and value != 0):
                raise ModelError(
                    f"{name}: its model keeps weights in another file, which no hash covers; "
                    f"export it with all weights inside"
                )
    except (IndexError, KeyError) as error:
        raise ModelError(f"{name}: its model is not ONNX, or damaged") from error


def _tensor_fields(content: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield number and value of the fields of all tensors; IndexError or KeyError if damaged."""
    waiting = [("Model", content, 0)]
    fields = 0
    while waiting:
        kind, message, depth = waiting.pop()
        for number, value in _fields(message):
            fields += 1
            if depth > _DEEPEST or fields > _MOST_FIELDS:
                raise IndexError
            if kind == "Tensor":
                yield number, value
            elif number in _FIELDS[kind] and isinstance(value, memoryview):
                waiting.append((_FIELDS[kind][number], value, depth + 1))


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield number and value of each field; IndexError or KeyError where there is no such one."""
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        wire_type = tag & 7
        if wire_type == _VARINT:
            value, place = _varint(message, place)
            yield tag >> 3, value
            continue
        size = _SIZES.get(wire_type)
        if wire_type == _LENGTH:
            size, place = _varint(message, place)
        if size is None:
            raise KeyError(wire_type)
        if place + size > len(message):
            raise IndexError(size)
        yield tag >> 3, message[place : place + size]
        place += size


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    """Return the number at ``place``, of seven bits a byte, and the place after it."""
    value = shift = 0
    while True:
        byte = message[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place
        if shift > 63:
            raise IndexError(place)
