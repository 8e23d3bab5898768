"""From a checkpoint to a model bundle that runs without torch."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

from plainspeech.alphabet import ENGLISH
from plainspeech.errors import PlainspeechError
from plainspeech.model.presets import Preset, preset
from plainspeech.runtime.bundle import Bundle, StreamingPart
from plainspeech.training.checkpoint import Checkpoint
from plainspeech.training.onnx_networks import OPSET, largest_difference, to_onnx
from plainspeech.training.quantise import quantise

TOLERANCE = 1e-3
"""The most by which a log-probability in ONNX may differ from torch's, both in float32."""


def export_bundle(checkpoint_path: Path, bundle: Path) -> None:
    """Write the averaged weights of a checkpoint as a model bundle.

    It has the network in float32 and in int8, and where the preset can stream, a streaming one of
    the same weights; in int8 alone, for float32 would be the same weights once more.

    Args:
        checkpoint_path: of the checkpoint.
        bundle: the folder to write.

    Raises:
        PlainspeechError: the checkpoint cannot be read or is of another model, or onnxruntime
            computes something else from the exported model than torch does.
    """
    checkpoint = Checkpoint.load(checkpoint_path)
    if checkpoint.progress.batch or not checkpoint.progress.history:
        raise PlainspeechError(
            f"{checkpoint_path}: not exported: it is from the midst of an epoch, and nobody has "
            f"measured its weights; take best.safetensors"
        )
    trained = preset(checkpoint.run["recipe"]["preset"])
    network, difference = _network(checkpoint, checkpoint_path, trained)
    streaming = None
    if trained.streams_as is not None:
        live = preset(trained.streams_as)
        windows, _ = _network(checkpoint, checkpoint_path, live)
        streaming = StreamingPart(live.features, {"int8": quantise(windows)})
    Bundle(
        origin=bundle,
        alphabet=ENGLISH,
        features=trained.features,
        frame_seconds=trained.frame_seconds,
        card=_card(checkpoint, difference),
        networks={"float32": network, "int8": quantise(network)},
        streaming_part=streaming,
    ).write(bundle)


def _network(checkpoint: Checkpoint, path: Path, chosen: Preset) -> tuple[bytes, float]:
    """Return ONNX of a checkpoint's weights, and its largest difference to torch."""
    model = chosen.build(ENGLISH.size)
    checkpoint.give_average(model, path)
    model.eval()
    network = to_onnx(model, chosen.features.bins)
    difference = largest_difference(model, network, chosen.features.bins)
    if difference > TOLERANCE:
        raise PlainspeechError(f"{path}: not exported: ONNX and torch differ by {difference:.2g}")
    return network, difference


def _card(checkpoint: Checkpoint, difference: float) -> dict[str, Any]:
    """Return what is known of the model: what its recipe says, and what its training measured."""
    run, progress = checkpoint.run, checkpoint.progress
    recipe, last = run["recipe"], progress.history[-1]
    return {
        "name": recipe["name"],
        **recipe["card"],
        "preset": recipe["preset"],
        "hours_of_training_data": round(run["hours"], 2),
        **checkpoint.pedigree(),
        "exported": date.today().isoformat(),
        "onnx": {"opset": OPSET, "largest_difference_to_torch": difference},
        "dev": {"manifest": recipe["data"]["dev"], "wer": last["dev_wer"], "cer": last["dev_cer"]},
    }
