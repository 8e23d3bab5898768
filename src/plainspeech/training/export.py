"""From a checkpoint to a model bundle that runs without torch."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

from plainspeech.alphabet import ENGLISH
from plainspeech.errors import PlainspeechError
from plainspeech.model.presets import preset
from plainspeech.runtime.bundle import Bundle
from plainspeech.training.checkpoint import Checkpoint
from plainspeech.training.onnx_networks import OPSET, largest_difference, to_onnx

TOLERANCE = 1e-3
"""The most by which a log-probability in ONNX may differ from torch's, both in float32."""


def export_bundle(checkpoint_path: Path, bundle: Path, preset_name: str | None = None) -> None:
    """Write the averaged weights of a checkpoint as a model bundle.

    Args:
        checkpoint_path: of the checkpoint.
        bundle: the folder to write.
        preset_name: a preset other than the one that was trained, with weights of the same shapes.

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
    trained = checkpoint.run["recipe"]["preset"]
    chosen = preset(preset_name or trained)
    model = chosen.build(ENGLISH.size)
    checkpoint.give_average(model, checkpoint_path)
    model.eval()
    onnx_model = to_onnx(model, chosen.features.bins)
    difference = largest_difference(model, onnx_model, chosen.features.bins)
    if difference > TOLERANCE:
        raise PlainspeechError(
            f"{checkpoint_path}: not exported: ONNX and torch differ by {difference:.2g}"
        )
    card = _card(checkpoint, difference)
    if preset_name not in (None, trained):
        # What training measured is of the other preset.
        card = {**card, "preset": preset_name, "trained_as": trained}
        del card["dev"]
    Bundle(bundle, ENGLISH, chosen.features, chosen.frame_seconds, card, onnx_model).write(bundle)


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
