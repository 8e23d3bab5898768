"""The folder of a run: what it goes on from, and what it found best."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plainspeech.errors import PlainspeechError
from plainspeech.training.checkpoint import Checkpoint
from plainspeech.training.state import RunState


@dataclass(frozen=True)
class RunFolder:
    """Keeps the checkpoints of one run.

    Attributes:
        path: of the folder.
        run: what the run is, for its checkpoints: the resolved recipe, a hash of its data, the
            revision of the code, hours of audio.
    """

    path: Path
    run: Mapping[str, Any]

    @property
    def checkpoint(self) -> Path:
        """Where the run goes on from."""
        return self.path / "checkpoint.safetensors"

    @property
    def best(self) -> Path:
        """The averaged weights that did best on dev."""
        return self.path / "best.safetensors"

    def save(self, state: RunState) -> None:
        """Write the checkpoint that `restore` takes up.

        Raises:
            PlainspeechError: it cannot be written.
        """
        state.checkpoint(self.run).save(self.checkpoint)

    def save_best(self, state: RunState) -> None:
        """Write the averaged weights as the best.

        Raises:
            PlainspeechError: they cannot be written.
        """
        state.averaged(self.run).save(self.best)

    def restore(self, state: RunState) -> bool:
        """Bring ``state`` to the checkpoint if there is one; return whether there was.

        Raises:
            PlainspeechError: the checkpoint is damaged, or of another run: with another recipe,
                other data or another model.
        """
        if not self.checkpoint.exists():
            return False
        checkpoint = Checkpoint.load(self.checkpoint)
        for key in ("recipe", "data"):
            if checkpoint.run.get(key) != self.run.get(key):
                raise PlainspeechError(
                    f"{self.checkpoint}: the run was begun with another {key}; "
                    f"give another --output or delete the folder"
                )
        try:
            state.restore(checkpoint)
        except (RuntimeError, KeyError) as error:
            raise PlainspeechError(
                f"{self.checkpoint}: its weights are not those of this plainspeech's model"
            ) from error
        return True
