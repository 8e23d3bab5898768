"""From a checkpoint to a model bundle that runs without torch."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch

from plainspeech.alphabet import ENGLISH
from plainspeech.errors import PlainspeechError
from plainspeech.model.base import AcousticModel
from plainspeech.model.presets import preset
from plainspeech.runtime.bundle import Bundle
from plainspeech.training.checkpoint import Checkpoint

OPSET = 18
TOLERANCE = 1e-3
"""The most by which a log-probability in ONNX may differ from torch's, both in float32."""


def export_bundle(checkpoint_path: Path, bundle: Path) -> None:
    """Write the averaged weights of a checkpoint as a model bundle.

    Raises:
        PlainspeechError: the checkpoint cannot be read, or onnxruntime computes something else
            from the exported model than torch does.
    """
    checkpoint = Checkpoint.load(checkpoint_path)
    if checkpoint.progress.batch or not checkpoint.progress.history:
        raise PlainspeechError(
            f"{checkpoint_path}: not exported: it is from the midst of an epoch, and nobody has "
            f"measured its weights; take best.safetensors"
        )
    chosen = preset(checkpoint.run["recipe"]["preset"])
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
    Bundle(bundle, ENGLISH, chosen.features, chosen.frame_seconds, card, onnx_model).write(bundle)


def to_onnx(model: AcousticModel, bins: int) -> bytes:
    """Return ``model`` as ONNX with batch and frames of any size; see `Recognizer` for its face."""
    features, lengths = torch.zeros(2, 64, bins), torch.tensor([64, 48])
    axes = {
        "features": {0: "batch", 1: "frames"},
        "lengths": {0: "batch"},
        "log_probabilities": {0: "batch", 1: "output_frames"},
        "output_lengths": {0: "batch"},
    }
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        # Of a recurrence with a batch of any size, the exporter warns whatever its state is.
        warnings.simplefilter("ignore")
        path = Path(folder) / "model.onnx"
        torch.onnx.export(
            model,
            (features, lengths),
            path,
            input_names=["features", "lengths"],
            output_names=["log_probabilities", "output_lengths"],
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,
        )
        return path.read_bytes()


def largest_difference(model: AcousticModel, onnx_model: bytes, bins: int) -> float:
    """Return the largest difference of a log-probability between ONNX and torch.

    Over batches of random features of random lengths, far from those that were exported with.
    """
    session = onnxruntime.InferenceSession(onnx_model, providers=["CPUExecutionProvider"])
    random = np.random.default_rng(0)
    worst = 0.0
    for size in (1, 2, 5):
        lengths = random.integers(1, 400, size)
        features = random.standard_normal((size, lengths.max(), bins), np.float32)
        with torch.no_grad():
            wanted, output_lengths = model(torch.from_numpy(features), torch.from_numpy(lengths))
        found = session.run(["log_probabilities"], {"features": features, "lengths": lengths})[0]
        for row, expected, length in zip(found, wanted.numpy(), output_lengths, strict=True):
            worst = max(worst, float(np.abs(row[:length] - expected[:length]).max()))
    return worst


def _card(checkpoint: Checkpoint, difference: float) -> Mapping[str, Any]:
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
