"""Model bundles and the ONNX files in them; hashes are right, so that they hide nothing."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from mutations import INTEGERS, VALUES, mutated_bytes, mutated_json, zipped

from conftest import FEATURES, STRIDE, speak, tone_model
from plainspeech.alphabet import ENGLISH
from plainspeech.artifact.listed_files import checksums
from plainspeech.artifact.record import Record
from plainspeech.runtime.bundle import BUNDLE, Bundle
from plainspeech.runtime.decoders import choose_decoder
from plainspeech.runtime.network import open_network
from plainspeech.runtime.recognizer import Recognizer

CARD = {"name": "tones", "licence": "CC0", "hours": 0}


def whole_bundle(folder: Path) -> Path:
    seconds = STRIDE * FEATURES.hop_ms / 1000
    networks = {"float32": tone_model()}
    Bundle(folder, ENGLISH, FEATURES, seconds, CARD, networks).write(folder)
    return folder


def use(bundle: Bundle) -> str:
    network = open_network(bundle)
    recognizer = Recognizer(bundle, 1, choose_decoder(bundle, None, None), network)
    rows = recognizer.log_probabilities([speak("ab")])
    return f"{len(rows)} recognised"


def bundle(folder: Path) -> Callable[[random.Random], str]:
    whole = whole_bundle(folder / "whole")
    onnx_file = (whole / "model.onnx").read_bytes()
    values = json.loads((whole / "bundle.json").read_text())
    values.pop("sha256")
    archive = folder / "b.zip"
    written = zipped({"bundle.json": (whole / "bundle.json").read_bytes(), "model.onnx": onnx_file})
    target = folder / "b"
    target.mkdir()
    (target / "model.onnx").write_bytes(onnx_file)

    def run(draw: random.Random) -> str:
        if draw.random() < 0.3:
            archive.write_bytes(mutated_bytes(written, draw))
            return use(Bundle.load(archive))
        if draw.random() < 0.2:
            raw = mutated_bytes((whole / "bundle.json").read_bytes(), draw)
            (target / "bundle.json").write_bytes(raw)
        else:
            (target / "bundle.json").write_bytes(serialised(target, numbers_changed(values, draw)))
        return use(Bundle.load(target))

    return run


def numbers_changed(values: dict[str, Any], draw: random.Random) -> Any:
    """Return a record of which a setting is another number, or some part another value."""
    if draw.random() < 0.5:
        part = draw.choice(["features", "decoding"])
        key = draw.choice(sorted(values[part]))
        number = draw.choice([*INTEGERS, *VALUES[:28], 1e3, 25.0, 100, 1000, 16_000.0])
        return {**values, part: {**values[part], key: number}}
    return mutated_json(values, draw)


def serialised(folder: Path, values: Any) -> bytes:
    try:
        return Record(folder, BUNDLE, values).serialise()
    except (ValueError, TypeError, UnicodeEncodeError):  # no record at all
        return json.dumps(values).encode()


def onnx_networks(folder: Path) -> Callable[[random.Random], str]:
    whole = whole_bundle(folder / "b")
    values = json.loads((whole / "bundle.json").read_text())
    values.pop("sha256")
    wholes = [tone_model(), tone_model(windows=True)]

    def run(draw: random.Random) -> str:
        content = draw.choice(wholes)
        if draw.random() < 0.5:
            content = mutated_bytes(content, draw)
        else:
            content = mutated_graph(content, draw)
        (whole / "model.onnx").write_bytes(content)
        record = {**values, "files": checksums({"model.onnx": content})}
        (whole / "bundle.json").write_bytes(serialised(whole, record))
        return use(Bundle.load(whole))

    return run


def mutated_graph(content: bytes, draw: random.Random) -> bytes:
    """Return a network that is still ONNX, with other shapes, constants, operators or edges."""
    model = onnx.load_from_string(content)
    graph = model.graph
    for _ in range(draw.choice([1, 1, 2])):
        change = draw.randrange(7)
        if change == 0:
            tensor = draw.choice(graph.initializer)
            tensor.dims[draw.randrange(len(tensor.dims))] = draw.choice([0, 1, 7, 10**6, 2**40, -1])
        elif change == 1:
            tensor = draw.choice([t for t in graph.initializer if t.name != "weights"])
            number = draw.choice([0, -1, 2, 100, 2**31, 2**62, -(2**63)])
            shape = [1 if not 0 <= size <= 9 else size for size in tensor.dims]
            array = np.full(shape, number, np.int64)
            tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))
        elif change == 2:
            draw.choice(graph.node).op_type = draw.choice(["Add", "Exp", "Gather", "Tile", "Nope"])
        elif change == 3:
            node = draw.choice(graph.node)
            other = draw.choice(graph.node)
            node.input[draw.randrange(len(node.input))] = draw.choice(other.output)
        elif change == 4:
            value = draw.choice([*graph.input, *graph.output])
            dims = value.type.tensor_type.shape.dim
            dims[draw.randrange(len(dims))].dim_value = draw.choice([0, 1, 29, 80, 2**31, -5])
        elif change == 5:
            value = draw.choice([*graph.input, *graph.output])
            value.type.tensor_type.elem_type = draw.choice([1, 6, 7, 8, 10, 11, 99])
        else:
            draw.choice(model.opset_import).version = draw.choice([0, 1, 12, 21, 9999])
    return bytes(model.SerializeToString())


CASES = {"bundle": bundle, "ONNX": onnx_networks}
