"""From a checkpoint to a model bundle that runs without torch: ONNX, in float32 and eight bits."""

from __future__ import annotations

import tempfile
import warnings
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from torch import Tensor, nn

from plainspeech.errors import ModelError
from plainspeech.model.base import AcousticModel
from plainspeech.model.presets import Preset, preset
from plainspeech.model.streaming import Streaming, StreamState
from plainspeech.pronunciations import output_size, read_pronunciations
from plainspeech.runtime.bundle import LEXICON_FILE, WEIGHTS_FILE, Bundle, StreamingPart
from plainspeech.runtime.network import WholeNetwork, WindowedNetwork
from plainspeech.training.checkpoint import Checkpoint

OPSET = 18

_INPUTS = ["features", "lengths"]
_OUTPUTS = ["log_probabilities", "output_lengths"]
_STATES = ["features", "contexts", "cells"]


# Convolutions stay: in eight bits theirs take more time than in float32.
_OPERATIONS = ["MatMul", "LSTM"]
_LEAST_CAST = 64  # numbers of a tensor, for which a node more is worth it
TOLERANCE = 1e-3
"""The most by which a log-probability in ONNX may differ from torch's, both in float32."""


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
    """One window of a streaming model, its state as separate tensors."""

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


def quantise(network: bytes) -> bytes:
    """Return an ONNX ``network`` with the weights of its products and LSTMs in eight bits.

    One scale for each output channel. What is multiplied with them is brought to eight bits when
    the network runs, with one scale for all that is computed together (*dynamic*
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


def with_float16_weights(network: bytes) -> bytes:
    """Return an ONNX ``network`` with those weights in float16 that it holds exactly.

    A Cast brings them to float32 when the network is loaded, so that it computes what it did; of
    weights that have been rounded to float16 the file takes half the size.
    """
    proto = onnx.load_from_string(network)
    graph = proto.graph
    casts = []
    for tensor in graph.initializer:
        weights = onnx.numpy_helper.to_array(tensor)
        if weights.dtype != np.float32 or weights.size < _LEAST_CAST:
            continue
        with np.errstate(over="ignore"):
            short = weights.astype(np.float16)
        if np.array_equal(short, weights):
            name = tensor.name
            tensor.CopyFrom(onnx.numpy_helper.from_array(short, f"{name}.float16"))
            to = onnx.TensorProto.FLOAT
            casts.append(onnx.helper.make_node("Cast", [tensor.name], [name], to=to))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    return bytes(proto.SerializeToString())


def _unshare(graph: onnx.GraphProto) -> None:
    """Give every node its own weights: quantising an LSTM changes their shape.

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


def export_bundle(
    checkpoint_path: Path,
    bundle: Path,
    streaming_path: Path | None = None,
    pronunciations: Path | None = None,
) -> None:
    """Write the averaged weights of a checkpoint as a model bundle.

    It has the weights in float16, for further training; the network that computes with these in
    float32, and in int8; and where the preset can stream a streaming one, in int8 alone, to keep
    the bundle small.

    Args:
        checkpoint_path: of the checkpoint.
        bundle: the folder to write.
        streaming_path: of a checkpoint whose weights the streaming network takes, trained as the
            preset that streams; by default it takes the same weights as the other.
        pronunciations: a lexicon of all words that are to be found over phones, for a checkpoint
            that learned them; without it the bundle has letters alone.

    Raises:
        DataError: the lexicon cannot be read.
        ModelError: it has other phones than the checkpoint; a checkpoint cannot be read or is of
            another model, or onnxruntime computes something else from the exported model than
            torch does.
    """
    trained = live = _Trained.load(checkpoint_path)
    own = {}
    if streaming_path is not None:
        live = _Trained.load(streaming_path)
        _require_streaming(trained, live)
        own["streaming"] = {"preset": live.preset, **live.history()}
    chosen = preset(trained.preset)
    lexicon = _lexicon(trained, pronunciations) if pronunciations else {}
    network, difference = trained.network(chosen, bool(lexicon))
    Bundle(
        origin=bundle,
        alphabet=trained.checkpoint.alphabet,
        features=chosen.features,
        frame_seconds=chosen.frame_seconds,
        card={**_card(trained, difference), **own},
        networks={"float32": with_float16_weights(network), "int8": quantise(network)},
        weights={WEIGHTS_FILE: trained.weights()},
        streaming_part=_streaming_part(chosen, live, bool(lexicon)),
        phones=trained.checkpoint.phones if lexicon else (),
        lexicon=lexicon,
    ).write(bundle)


@dataclass(frozen=True)
class _Trained:
    """Weights that training has measured.

    Attributes:
        path: of their checkpoint.
        checkpoint: that holds them.
    """

    path: Path
    checkpoint: Checkpoint

    @classmethod
    def load(cls, path: Path) -> _Trained:
        checkpoint = Checkpoint.load(path)
        measured = checkpoint.progress.history or "combination_of" in checkpoint.run
        if checkpoint.progress.batch or not measured:
            raise ModelError(
                f"{path}: not exported: it is from the middle of an epoch, and nobody has "
                f"measured its weights; take best.safetensors"
            )
        trained = cls(path, checkpoint)
        try:
            _card(trained, 0.0)
        except (KeyError, TypeError) as error:
            raise ModelError(
                f"{path}: not exported: its header lacks what a bundle tells of its training"
            ) from error
        return trained

    @property
    def preset(self) -> str:
        """The name of what they were trained as."""
        return str(self.checkpoint.run["recipe"]["preset"])

    def network(self, chosen: Preset, with_phones: bool) -> tuple[bytes, float]:
        """Return ONNX of a preset with these weights, rounded, and its difference to torch."""
        phones = output_size(self.checkpoint.phones) if with_phones else 0
        model = chosen.build(self.checkpoint.alphabet.size, phones)
        self.checkpoint.weights_alone().give_average(model, self.path)
        model.eval()
        network = to_onnx(model, chosen.features.bins)
        difference = largest_difference(model, network, chosen.features.bins)
        if not difference <= TOLERANCE:  # also where it is not a number
            raise ModelError(
                f"{self.path}: not exported: ONNX and torch differ by {difference:.2g}"
            )
        return network, difference

    def weights(self) -> bytes:
        """Return the file that further training starts from."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / WEIGHTS_FILE
            self.checkpoint.weights_alone().save(path)
            return path.read_bytes()

    def history(self) -> dict[str, Any]:
        """Return how the weights came about, and how good training found them if it did."""
        if not self.checkpoint.progress.history:
            return self.checkpoint.provenance()
        data, last = self.checkpoint.run["recipe"]["data"], self.checkpoint.progress.history[-1]
        dev = {"manifest": data["dev"], "wer": last["dev_wer"], "cer": last["dev_cer"]}
        return {**self.checkpoint.provenance(), "dev": dev}


def _require_streaming(trained: _Trained, live: _Trained) -> None:
    wanted = preset(trained.preset).streams_as
    if wanted is None:
        raise ModelError(
            f"{trained.path}: trained as {trained.preset!r}, which has no streaming network beside "
            f"it; leave out {live.path}"
        )
    if live.checkpoint.alphabet != trained.checkpoint.alphabet:
        raise ModelError(f"{live.path}: writes another alphabet than {trained.path}")
    if live.checkpoint.phones != trained.checkpoint.phones:
        raise ModelError(f"{live.path}: learned other phones than {trained.path}")
    if live.preset != wanted:
        raise ModelError(
            f"{live.path}: trained as {live.preset!r}; the streaming network beside "
            f"{trained.preset!r} takes weights of {wanted!r}"
        )


def _lexicon(trained: _Trained, path: Path) -> dict[str, bytes]:
    """Return the file of a lexicon, which has the phones that the weights were trained with."""
    known = read_pronunciations(path).phones
    if known != trained.checkpoint.phones:
        learned = " ".join(trained.checkpoint.phones) or "none"
        raise ModelError(f"{path}: has other phones than {trained.path} has learned: {learned}")
    return {LEXICON_FILE: path.read_bytes()}


def _streaming_part(chosen: Preset, live: _Trained, with_phones: bool) -> StreamingPart | None:
    """Return the streaming network beside a preset, None where that does not stream."""
    if chosen.streams_as is None:
        return None
    windowed = preset(chosen.streams_as)
    network, _ = live.network(windowed, with_phones)
    return StreamingPart(windowed.features, {"int8": quantise(network)})


def _card(trained: _Trained, difference: float) -> dict[str, Any]:
    """Return what is known of the model: what its recipe says, and what its training measured."""
    run = trained.checkpoint.run
    recipe = run["recipe"]
    parameters = sum(weight.numel() for weight in trained.checkpoint.part("average").values())
    return {
        "name": recipe["name"],
        **recipe["card"],
        "preset": trained.preset,
        "parameters": parameters,
        "hours_of_training_data": round(run["hours"], 2),
        **trained.history(),
        "exported": date.today().isoformat(),
        "onnx": {"opset": OPSET, "largest_difference_to_torch": difference},
    }
