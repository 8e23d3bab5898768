"""Checkpoints: everything a run needs to resume as if it had never stopped, in one safe file.

A checkpoint is a safetensors file: tensors, and JSON in its header. Nothing in it can run code.
Random state needs no place in it: every draw is determined by the seed and the place in the run.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from plainspeech.alphabet import ENGLISH, Alphabet
from plainspeech.artifact.record import check_version
from plainspeech.errors import ConfigurationError, ModelError
from plainspeech.files import write_atomically
from plainspeech.runtime.bundle import BUNDLE, WEIGHTS_FILE, Bundle

FORMAT = 1

PHONES = "phones."
"""What the names of the weights of a model's head over phones begin with."""

_SHOWN = 200  # characters of what the reader of safetensors says
_LARGEST = 1e15  # of the numbers of a run


@dataclass
class Progress:
    """How far a run is.

    Attributes:
        epoch: the epoch under way, from 0.
        batch: batches of it that are done.
        step: optimiser steps in all.
        seconds: of training and validation so far, over all sessions of the run.
        processor_seconds: likewise, of all threads of the process.
        audio_seconds: trained on so far, at the recordings' own speed; once for each view.
        loss_sum: of the epoch's utterances so far, in nats.
        symbols: of the epoch's targets so far.
        history: what each validation found.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    seconds: float = 0.0
    processor_seconds: float = 0.0
    audio_seconds: float = 0.0
    loss_sum: float = 0.0
    symbols: int = 0
    history: list[dict[str, float]] = field(default_factory=list)

    def end_epoch(self) -> None:
        """Begin the next epoch."""
        self.epoch += 1
        self.batch, self.loss_sum, self.symbols = 0, 0.0, 0


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint file holds.

    Attributes:
        tensors: of the model (``model.``), its average (``average.``) and the optimiser's moments
            (``optimiser.``), by name.
        progress: of the run.
        run: what the run is: the resolved recipe, a hash of its data and the revision of the code.
    """

    tensors: dict[str, Tensor]
    progress: Progress
    run: dict[str, Any]

    def save(self, path: Path) -> None:
        """Write the checkpoint, whole or not at all.

        Raises:
            ModelError: it cannot be written; one that is there stays.
        """
        header = {"format": FORMAT, "progress": asdict(self.progress), "run": self.run}
        tensors = {name: tensor.detach().contiguous() for name, tensor in self.tensors.items()}
        try:
            # Not its save_file, which replaces the file that it is given by one of its own: nobody
            # removes that after a kill, and it has other permissions.
            write_atomically(path, save(tensors, {"plainspeech": json.dumps(header)}))
        except (OSError, SafetensorError) as error:
            raise ModelError(f"{path}: cannot write the checkpoint: {error}") from error

    @classmethod
    def load(cls, path: Path) -> Checkpoint:
        """Read a checkpoint onto the CPU.

        Raises:
            ModelError: the file is missing, damaged, or not a checkpoint of this format.
        """
        try:
            with safe_open(path, framework="pt") as file:
                header = json.loads((file.metadata() or {})["plainspeech"])
                check_version(header["format"], FORMAT, str(path), ModelError)
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return cls(tensors, _progress(header["progress"]), _run(header["run"]))
        except (OSError, SafetensorError) as error:
            folder = "it is a folder; name a checkpoint in it, such as best.safetensors"
            reason = folder if path.is_dir() else str(error)[:_SHOWN]
            raise ModelError(f"{path}: cannot read the checkpoint: {reason}") from error
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise ModelError(f"{path}: not a checkpoint of plainspeech") from error

    def weights_alone(self) -> Checkpoint:
        """Return a checkpoint with the averaged weights in float16, for bundles."""
        average = {
            f"average.{name}": weight.half() for name, weight in self.part("average").items()
        }
        return Checkpoint(average, self.progress, self.run)

    def give_average(self, model: nn.Module, origin: Path) -> None:
        """Give ``model`` the averaged weights.

        Raises:
            ModelError: they are of another model; the message names ``origin``.
        """
        try:
            model.load_state_dict(self._fitting(model))
        except RuntimeError as error:
            raise ModelError(
                f"{origin}: its weights are not those of this plainspeech's model"
            ) from error

    def _fitting(self, model: nn.Module) -> dict[str, Tensor]:
        """Return the averaged weights, of the head over phones only if ``model`` has one."""
        weights = self.part("average")
        if any(name.startswith(PHONES) for name in model.state_dict()):
            return weights
        return {name: w for name, w in weights.items() if not name.startswith(PHONES)}

    @property
    def phones(self) -> tuple[str, ...]:
        """What else it hears; nothing for a model of letters alone."""
        return tuple(self.run.get("phones", ()))

    @property
    def alphabet(self) -> Alphabet:
        """What the model writes."""
        return _alphabet(self.run)

    def digest(self) -> str:
        """Return a hash of the averaged weights."""
        digest = hashlib.sha256()
        for name, weight in sorted(self.part("average").items()):
            digest.update(name.encode())
            digest.update(weight.contiguous().numpy().tobytes())
        return digest.hexdigest()

    def provenance(self) -> dict[str, Any]:
        """Return how the weights came about: for how long, by which code, and from what."""
        progress, recipe = self.progress, self.run["recipe"]
        if "combination_of" in self.run:
            return {"combination_of": self.run["combination_of"]}
        began = self.run.get("started_from")
        return {
            **({"change": recipe["change"]} if recipe.get("change") else {}),
            "epochs": progress.epoch,
            "hours_of_audio": round(progress.audio_seconds / 3600, 1),
            "hours_of_training": round(progress.seconds / 3600, 2),
            "processor_hours": round(progress.processor_seconds / 3600, 2),
            "seed": recipe.get("seed"),
            "code": self.run.get("code"),
            **({"teacher": self.run["taught_by"]} if "taught_by" in self.run else {}),
            **({"started_from": began} if began else {}),
        }

    def part(self, prefix: str) -> dict[str, Tensor]:
        """Return the tensors whose names begin with ``prefix.``, without it."""
        start = f"{prefix}."
        return {
            name[len(start) :]: tensor
            for name, tensor in self.tensors.items()
            if name.startswith(start)
        }


def may_be_bundle(path: Path) -> bool:
    """Return whether ``path`` is a folder or a zip, as bundles are and checkpoints are not."""
    return path.is_dir() or is_zipfile(path)


def load_weights(path: Path) -> Checkpoint:
    """Return the checkpoint ``path``, or the one within the bundle ``path``, a folder or a zip.

    Raises:
        ModelError: it is neither, is damaged, or is a bundle without weights for training.
    """
    if not may_be_bundle(path):
        return Checkpoint.load(path)
    others = {file.name for file in path.glob("*.safetensors")} - {WEIGHTS_FILE}
    if others and not (path / BUNDLE.record).exists():
        raise ModelError(
            f"{path}: is the folder of a run; name a checkpoint in it, such as best.safetensors, "
            f"or its bundle"
        )
    weights = Bundle.load(path).weights
    if WEIGHTS_FILE not in weights:
        raise ModelError(
            f"{path}: the bundle has no weights to train from; export it anew from its checkpoint"
        )
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / WEIGHTS_FILE
        copy.write_bytes(weights[WEIGHTS_FILE])
        checkpoint = Checkpoint.load(copy)
    tensors = {name: tensor.float() for name, tensor in checkpoint.tensors.items()}
    return replace(checkpoint, tensors=tensors)


def _progress(values: Any) -> Progress:
    """Return the progress that a header tells; TypeError or ValueError where it is none."""
    progress = Progress(**values)
    for known in fields(Progress):
        value = getattr(progress, known.name)
        if known.name == "history":
            if not isinstance(value, list):
                raise TypeError(known.name)
            numbers = [number for row in value for number in dict(row).values()]
        else:
            numbers = [value]
        kinds = (int,) if known.type == "int" else (int, float)
        for number in numbers:
            if type(number) not in kinds or not 0 <= number <= _LARGEST:
                raise ValueError(known.name)
    return progress


def _run(values: Any) -> dict[str, Any]:
    """Return what a header says of its run; TypeError or KeyError where that is no run."""
    if not isinstance(values, dict) or not isinstance(values["recipe"]["name"], str):
        raise TypeError("run")
    try:
        _alphabet(values)
    except ConfigurationError as error:
        raise ValueError("alphabet") from error
    return values


def _alphabet(run: Mapping[str, Any]) -> Alphabet:
    # Checkpoints from before there were other alphabets do not name theirs.
    return Alphabet(tuple(run["recipe"].get("alphabet", ENGLISH.text)))
