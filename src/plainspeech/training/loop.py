"""The training loop.

A run is a folder: ``checkpoint.safetensors`` (to go on from), ``best.safetensors`` (the averaged
weights that did best on dev), ``history.jsonl``, ``curves.png`` and TensorBoard's event files.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from plainspeech.alphabet import ENGLISH, Alphabet
from plainspeech.data.batches import plan_epoch
from plainspeech.data.loading import Batch, FeatureSource, Loader
from plainspeech.data.manifest import Utterance
from plainspeech.model.presets import preset
from plainspeech.training.checkpoint import Progress
from plainspeech.training.folder import RunFolder
from plainspeech.training.precision import autocast, mixed_precision
from plainspeech.training.recipe import Recipe
from plainspeech.training.schedule import learning_rate
from plainspeech.training.state import RunState
from plainspeech.training.step import (
    TensorBatch,
    batch_loss,
    refuse_infinite_gradient,
    refuse_infinite_loss,
)
from plainspeech.training.validation import validate


class Stopped(Exception):  # noqa: N818  # nothing went wrong
    """A run was asked to stop; it has saved its state."""


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


OnStep = Callable[[StepReport], None]
OnEpoch = Callable[[dict[str, float]], None]


class Trainer:
    """Trains the model of a recipe, from its start or from its last checkpoint.

    Args:
        recipe: what to do.
        train: utterances that the alphabet can write and CTC can align.
        dev: utterances that select the best weights.
        folder: where the checkpoints go.
        device: where to compute.
        alphabet: of the targets.
    """

    def __init__(
        self,
        recipe: Recipe,
        train: Sequence[Utterance],
        dev: Sequence[Utterance],
        folder: RunFolder,
        device: torch.device,
        alphabet: Alphabet = ENGLISH,
    ) -> None:
        self.recipe = recipe
        self.folder = folder
        self.device = device
        self.alphabet = alphabet
        self.state = RunState.fresh(recipe, alphabet.size, device)
        self.mixed = mixed_precision(recipe.optimisation.precision, device)
        self._durations = [utterance.duration for utterance in train]
        source = FeatureSource(preset(recipe.preset).features, recipe.data.cache_gb * 1e9)
        threads = recipe.data.threads
        self._train = Loader(train, source, alphabet, recipe.augmentation, recipe.seed, threads)
        self._dev = Loader(dev, source, alphabet, threads=threads)
        self._started = self._saved_at = time.monotonic()
        self._stopping = False

    def resume(self) -> bool:
        """Take up the run's checkpoint if it has one; return whether it had.

        Raises:
            PlainspeechError: the checkpoint is damaged or of another run.
        """
        return self.folder.restore(self.state)

    def save(self) -> None:
        """Write the checkpoint that `resume` takes up."""
        self.folder.save(self.state)
        self._saved_at = time.monotonic()

    def stop(self) -> None:
        """Make `fit` save and stop after the batch under way; for signal handlers."""
        self._stopping = True

    def fit(self, on_step: OnStep, on_epoch: OnEpoch) -> None:
        """Train to the recipe's last epoch, saving as it asks; callable again after `resume`.

        Raises:
            Stopped: `stop` was called.
            PlainspeechError: a loss or gradient is not finite, or a file cannot be read or written.
        """
        self._started = time.monotonic() - self.state.progress.seconds
        try:
            while self.state.progress.epoch < self.recipe.optimisation.epochs:
                self._train_epoch(on_step)
                on_epoch(self._end_epoch())
        except Stopped:
            # Raised between batches alone, where the state is one that the run goes through.
            self._stopping = False
            self.save()
            raise

    def _train_epoch(self, on_step: OnStep) -> None:
        """Take the steps of the epoch that are not yet done."""
        progress, seed = self.state.progress, self.recipe.seed
        plan = plan_epoch(self._durations, self.recipe.data.batch_seconds, seed, progress.epoch)
        self.state.model.train()
        for batch in self._train.batches(plan[progress.batch :], progress.epoch):
            rate = self._rate(progress.epoch + (progress.batch + 1) / len(plan))
            loss = self.step(batch, rate)
            progress.seconds = time.monotonic() - self._started
            seconds = sum(u.duration for u in batch.utterances)
            on_step(StepReport(progress, len(plan), loss, rate, seconds))
            self._stop_if_asked()
            if time.monotonic() - self._saved_at > 60 * self.recipe.checkpoint_minutes:
                self.save()

    def _rate(self, epoch: float) -> float:
        settings = self.recipe.optimisation
        return learning_rate(settings.learning_rate, epoch, settings.warmup_epochs, settings.epochs)

    def _stop_if_asked(self) -> None:
        if self._stopping:
            raise Stopped

    def step(self, batch: Batch, rate: float) -> float:
        """Take one optimiser step; return the loss of the batch in nats for each symbol.

        Raises:
            PlainspeechError: the loss or its gradient is not finite; the weights stay.
        """
        progress, settings = self.state.progress, self.recipe.optimisation
        # One stream of random numbers a step: whoever resumes here draws the same dropout.
        torch.manual_seed(self.recipe.seed * 1_000_003 + progress.step)
        tensors = TensorBatch.of(batch, self.device)
        with autocast(self.mixed, self.device):
            loss, losses = batch_loss(self.state.model, tensors, settings.intermediate_weight)
        refuse_infinite_loss(losses, batch)
        norm = self.state.descend(loss, settings.clip_norm, rate)
        refuse_infinite_gradient(norm, batch)
        total, symbols = float(losses.sum()), int(batch.target_lengths.sum())
        progress.loss_sum += total
        progress.symbols += symbols
        return total / symbols

    def _end_epoch(self) -> dict[str, float]:
        """Measure the averaged weights on dev, keep them if they are the best, and save."""
        state, progress = self.state, self.state.progress
        with state.average.lent_to(state.model):
            rates = validate(
                state.model, self._dev, self.alphabet, self.mixed, self.device, self._stop_if_asked
            )
        progress.seconds = time.monotonic() - self._started
        row = {
            "epoch": progress.epoch + 1,
            "step": progress.step,
            "seconds": round(progress.seconds, 1),
            "train_loss": progress.loss_sum / max(progress.symbols, 1),
            "dev_wer": rates.words.rate,
            "dev_cer": rates.characters.rate,
        }
        best = min((past["dev_wer"] for past in progress.history), default=math.inf)
        progress.end_epoch(row)
        if row["dev_wer"] <= best:
            # First: a run that is killed before the checkpoint measures this epoch again.
            self.folder.save_best(state)
        self.save()
        return row
