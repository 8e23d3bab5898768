"""The training loop.

A run is a folder: ``checkpoint.safetensors`` (to go on from), ``best.safetensors`` (the averaged
weights that did best on dev), ``history.jsonl``, ``curves.png`` and TensorBoard's event files.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from plainspeech.alphabet import ENGLISH, Alphabet
from plainspeech.data.batches import plan_epoch
from plainspeech.data.loading import Batch, FeatureSource, Loader
from plainspeech.data.manifest import Utterance
from plainspeech.errors import PlainspeechError
from plainspeech.model.presets import preset
from plainspeech.training.averaging import WeightAverage
from plainspeech.training.checkpoint import Checkpoint, Progress
from plainspeech.training.precision import autocast, mixed_precision
from plainspeech.training.recipe import Recipe
from plainspeech.training.schedule import learning_rate
from plainspeech.training.step import TensorBatch, batch_loss, make_optimiser
from plainspeech.training.validation import validate


@dataclass(frozen=True)
class StepReport:
    """What one step did, for whoever shows progress.

    Attributes:
        progress: of the run, after the step.
        batches: in this epoch.
        loss: nats for each symbol of the batch.
        learning_rate: that the step used.
        seconds_of_audio: in the batch.
    """

    progress: Progress
    batches: int
    loss: float
    learning_rate: float
    seconds_of_audio: float


class Trainer:
    """Trains the model of a recipe, from its start or from its last checkpoint.

    Args:
        recipe: what to do.
        train: utterances that the alphabet can write and CTC can align.
        dev: utterances that select the best weights.
        folder: of the run.
        run: what identifies the run in its checkpoints; resuming under another identity is refused.
        device: where to compute.
        alphabet: of the targets.
    """

    def __init__(
        self,
        recipe: Recipe,
        train: Sequence[Utterance],
        dev: Sequence[Utterance],
        folder: Path,
        run: dict[str, Any],
        device: torch.device,
        alphabet: Alphabet = ENGLISH,
    ) -> None:
        self.recipe = recipe
        self.folder = folder
        self.run = run
        self.device = device
        self.alphabet = alphabet
        chosen = preset(recipe.preset)
        torch.manual_seed(recipe.seed)
        self.model = chosen.build(alphabet.size).to(device)
        if recipe.initial:
            self.model.load_state_dict(Checkpoint.load(recipe.initial).part("average"))
        self.optimiser = make_optimiser(self.model, recipe.optimisation)
        self.average = WeightAverage(self.model, recipe.optimisation.average_decay)
        self.progress = Progress()
        self.mixed = mixed_precision(recipe.optimisation.precision, device)
        self._durations = [utterance.duration for utterance in train]
        source = FeatureSource(chosen.features, recipe.data.cache_gb * 1e9)
        threads = recipe.data.threads
        self._train = Loader(train, source, alphabet, recipe.augmentation, recipe.seed, threads)
        self._dev = Loader(dev, source, alphabet, threads=threads)
        self._saved_at = time.monotonic()

    @property
    def checkpoint_path(self) -> Path:
        """Where the run goes on from."""
        return self.folder / "checkpoint.safetensors"

    @property
    def best_path(self) -> Path:
        """The weights that did best on dev."""
        return self.folder / "best.safetensors"

    def resume(self) -> bool:
        """Take up the run's checkpoint if it has one; return whether it had.

        Raises:
            PlainspeechError: the checkpoint is of another run.
        """
        if not self.checkpoint_path.exists():
            return False
        checkpoint = Checkpoint.load(self.checkpoint_path)
        for key in ("recipe", "data"):
            if checkpoint.run.get(key) != self.run.get(key):
                raise PlainspeechError(
                    f"{self.checkpoint_path}: the run was begun with another {key}; "
                    f"give another --output or delete the folder"
                )
        self.model.load_state_dict(checkpoint.part("model"))
        for name, tensor in checkpoint.part("average").items():
            self.average.weights[name].copy_(tensor)
        _load_moments(self.optimiser, self.model, checkpoint.part("optimiser"))
        self.progress = checkpoint.progress
        return True

    def fit(self, on_step: Callable[[StepReport], None], on_epoch: Callable[[dict[str, float]], None]) -> None:
        """Train to the recipe's last epoch, saving as it asks; callable again after `resume`."""
        started = time.monotonic() - self.progress.seconds
        while self.progress.epoch < self.recipe.optimisation.epochs:
            self._finish_epoch(on_step, started)
            row = self._validate(started)
            on_epoch(row)

    def _finish_epoch(self, on_step: Callable[[StepReport], None], started: float) -> None:
        progress = self.progress
        plan = plan_epoch(
            self._durations, self.recipe.data.batch_seconds, self.recipe.seed, progress.epoch
        )
        self.model.train()
        for batch in self._train.batches(plan[progress.batch :], progress.epoch):
            rate = self._rate(progress.epoch + (progress.batch + 1) / len(plan))
            loss = self._step(batch, rate)
            progress.seconds = time.monotonic() - started
            seconds = sum(u.duration for u in batch.utterances)
            on_step(StepReport(progress, len(plan), loss, rate, seconds))
            if time.monotonic() - self._saved_at > 60 * self.recipe.checkpoint_minutes:
                self.save()

    def _rate(self, epoch: float) -> float:
        settings = self.recipe.optimisation
        return learning_rate(
            settings.learning_rate, epoch, settings.warmup_epochs, settings.epochs
        )

    def _step(self, batch: Batch, rate: float) -> float:
        """Take one optimiser step; return the loss of the batch in nats for each symbol."""
        progress, settings = self.progress, self.recipe.optimisation
        # One stream of random numbers a step: whoever resumes here draws the same dropout.
        torch.manual_seed(self.recipe.seed * 1_000_003 + progress.step)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        tensors = TensorBatch.of(batch, self.device)
        with autocast(self.mixed, self.device):
            loss, utterance_losses = batch_loss(self.model, tensors, settings.intermediate_weight)
        _refuse_infinite(utterance_losses, batch)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), settings.clip_norm)
        self.optimiser.step()
        progress.step += 1
        progress.batch += 1
        self.average.update(self.model, progress.step)
        total, symbols = float(utterance_losses.sum()), int(batch.target_lengths.sum())
        progress.loss_sum += total
        progress.symbols += symbols
        return total / symbols

    def _validate(self, started: float) -> dict[str, float]:
        """Measure the averaged weights on dev, keep them if they are the best, end the epoch."""
        progress = self.progress
        trained = {name: weight.clone() for name, weight in self.model.state_dict().items()}
        self.model.load_state_dict(self.average.weights)
        rates = validate(self.model, self._dev, self.alphabet, self.mixed, self.device)
        self.model.load_state_dict(trained)
        row = {
            "epoch": progress.epoch + 1,
            "step": progress.step,
            "seconds": round(time.monotonic() - started, 1),
            "train_loss": progress.loss_sum / max(progress.symbols, 1),
            "dev_wer": rates.words.rate,
            "dev_cer": rates.characters.rate,
        }
        best = min((past["dev_wer"] for past in progress.history), default=math.inf)
        progress.history.append(row)
        progress.epoch += 1
        progress.batch, progress.loss_sum, progress.symbols = 0, 0.0, 0
        progress.seconds = time.monotonic() - started
        if row["dev_wer"] <= best:
            self._save_best()
        self.save()
        return row

    def save(self) -> None:
        """Write the checkpoint that `resume` takes up."""
        tensors = {f"model.{name}": t for name, t in self.model.state_dict().items()}
        tensors |= {f"average.{name}": t for name, t in self.average.weights.items()}
        tensors |= _moments(self.optimiser, self.model)
        Checkpoint(tensors, self.progress, self.run).save(self.checkpoint_path)
        self._saved_at = time.monotonic()

    def _save_best(self) -> None:
        tensors = {f"average.{name}": t for name, t in self.average.weights.items()}
        Checkpoint(tensors, self.progress, self.run).save(self.best_path)


def _refuse_infinite(losses: Tensor, batch: Batch) -> None:
    """Stop at a loss that is not a number, naming the utterances that may be at fault."""
    if bool(torch.isfinite(losses).all()):
        return
    bad = [
        f"{utterance.id} ({float(loss):g})"
        for utterance, loss in zip(batch.utterances, losses, strict=True)
        if not math.isfinite(float(loss))
    ]
    others = ", ".join(utterance.id for utterance in batch.utterances)
    raise PlainspeechError(
        f"the loss is not finite for {', '.join(bad)}; the batch was {others}; "
        f"look at these with 'plainspeech data check', or lower optimisation.learning_rate"
    )


def _moments(optimiser: torch.optim.Optimizer, model: torch.nn.Module) -> dict[str, Tensor]:
    """Return the optimiser's state by the names of the weights it belongs to."""
    return {
        f"optimiser.{kind}.{name}": value
        for name, weight in model.named_parameters()
        for kind, value in optimiser.state.get(weight, {}).items()
    }


def _load_moments(
    optimiser: torch.optim.Optimizer, model: torch.nn.Module, moments: dict[str, Tensor]
) -> None:
    """Put back what `_moments` took out."""
    weights = dict(model.named_parameters())
    for key, value in moments.items():
        kind, name = key.split(".", 1)
        # AdamW keeps its step counter on the CPU unless it is fused; each goes where its weight is.
        optimiser.state[weights[name]][kind] = value.to(weights[name].device)
