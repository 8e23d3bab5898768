"""From a checkpoint to a model bundle that runs without torch."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from plainspeech.alphabet import ENGLISH
from plainspeech.errors import ModelError
from plainspeech.model.presets import Preset, preset
from plainspeech.runtime.bundle import Bundle, StreamingPart
from plainspeech.training.checkpoint import Checkpoint
from plainspeech.training.onnx_networks import OPSET, largest_difference, quantise, to_onnx

TOLERANCE = 1e-3
"""The most by which a log-probability in ONNX may differ from torch's, both in float32."""


def export_bundle(checkpoint_path: Path, bundle: Path, streaming_path: Path | None = None) -> None:
    """Write the averaged weights of a checkpoint as a model bundle.

    It has the network in float32 and in int8, and where the preset can stream, a streaming one; in
    int8 alone, to keep the bundle small.

    Args:
        checkpoint_path: of the checkpoint.
        bundle: the folder to write.
        streaming_path: of a checkpoint whose weights the streaming network takes, trained as the
            preset that streams; by default it takes the same weights as the other.

    Raises:
        ModelError: a checkpoint cannot be read or is of another model, or onnxruntime
            computes something else from the exported model than torch does.
    """
    trained = live = _Trained.load(checkpoint_path)
    own = {}
    if streaming_path is not None:
        live = _Trained.load(streaming_path)
        _require_streaming(trained, live)
        own["streaming"] = {"preset": live.preset, **live.history()}
    chosen = preset(trained.preset)
    network, difference = trained.network(chosen)
    Bundle(
        origin=bundle,
        alphabet=ENGLISH,
        features=chosen.features,
        frame_seconds=chosen.frame_seconds,
        card={**_card(trained, difference), **own},
        networks={"float32": network, "int8": quantise(network)},
        streaming_part=_streaming_part(chosen, live),
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
        if checkpoint.progress.batch or not checkpoint.progress.history:
            raise ModelError(
                f"{path}: not exported: it is from the midst of an epoch, and nobody has "
                f"measured its weights; take best.safetensors"
            )
        return cls(path, checkpoint)

    @property
    def preset(self) -> str:
        """The name of what they were trained as."""
        return str(self.checkpoint.run["recipe"]["preset"])

    def network(self, chosen: Preset) -> tuple[bytes, float]:
        """Return ONNX of a preset with these weights, and its largest difference to torch."""
        model = chosen.build(ENGLISH.size)
        self.checkpoint.give_average(model, self.path)
        model.eval()
        network = to_onnx(model, chosen.features.bins)
        difference = largest_difference(model, network, chosen.features.bins)
        if difference > TOLERANCE:
            raise ModelError(
                f"{self.path}: not exported: ONNX and torch differ by {difference:.2g}"
            )
        return network, difference

    def history(self) -> dict[str, Any]:
        """Return how the weights came about, and how good training found them."""
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
    if live.preset != wanted:
        raise ModelError(
            f"{live.path}: trained as {live.preset!r}; the streaming network beside "
            f"{trained.preset!r} takes weights of {wanted!r}"
        )


def _streaming_part(chosen: Preset, live: _Trained) -> StreamingPart | None:
    """Return the streaming network beside a preset, None where that does not stream."""
    if chosen.streams_as is None:
        return None
    windowed = preset(chosen.streams_as)
    network, _ = live.network(windowed)
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
