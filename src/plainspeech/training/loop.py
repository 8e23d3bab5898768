"""The training loop.

A run is a folder: ``checkpoint.safetensors`` (to go on from), ``best.safetensors`` (the averaged
weights that did best on dev), ``history.jsonl``, ``curves.png`` and TensorBoard's event files.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from plainspeech.alphabet import ENGLISH, Alphabet
from plainspeech.data.batches import plan_epoch
from plainspeech.data.loading import Batch, Loader, WaveformSource
from plainspeech.data.manifest import Utterance
from plainspeech.model.presets import preset
from plainspeech.training.checkpoint import Progress
from plainspeech.training.features import FeatureMaker
from plainspeech.training.folder import RunFolder
from plainspeech.training.precision import autocast, mixed_precision
from plainspeech.training.recipe import Recipe
from plainspeech.training.schedule import learning_rate
from plainspeech.training.state import RunState
from plainspeech.training.step import (
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

_QUEUED_STEPS = 8
"""Steps that a GPU may be behind: their losses are not waited for."""


@dataclass(frozen=True)
class _Taken:
    """A step whose outcome a GPU may still be computing.

    Attributes:
        batch: that it took.
        losses: ``(rows,)`` of the utterances, in nats, on the CPU when ``ready``.
        norm: of the gradient, likewise.
        ready: None where they are there already.
        report: what to tell of the step, but for its loss.
    """

    batch: Batch
    losses: Tensor
    norm: Tensor
    ready: torch.cuda.Event | None
    report: StepReport


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
        settings = preset(recipe.preset).features
        source = WaveformSource(settings.sample_rate, recipe.data.cache_gb * 1e9)
        self._train = Loader(train, source, alphabet, recipe.data.threads)
        self._dev = Loader(dev, source, alphabet, recipe.data.threads)
        views = 2 if recipe.optimisation.consistency_weight else 1
        self._augmented = FeatureMaker(settings, device, recipe.augmentation, views)
        self._plain = FeatureMaker(settings, device)
        self._taken: deque[_Taken] = deque()
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
                self._end_epoch(on_epoch)
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
        for batch in self._train.batches(plan[progress.batch :]):
            self._taken.append(self._take_step(batch, len(plan)))
            self._settle(_QUEUED_STEPS if self.device.type == "cuda" else 0, on_step)
            if self._stopping or self._save_is_due():
                self._settle(0, on_step)
                self._stop_if_asked()
                self.save()
        self._settle(0, on_step)

    def _save_is_due(self) -> bool:
        return time.monotonic() - self._saved_at > 60 * self.recipe.checkpoint_minutes

    def _settle(self, queued: int, on_step: OnStep) -> None:
        """Look at the outcomes of steps, oldest first, until ``queued`` of them are left.

        Raises:
            PlainspeechError: a loss or gradient is not finite.
        """
        progress = self.state.progress
        while len(self._taken) > queued:
            taken = self._taken.popleft()
            if taken.ready is not None:
                taken.ready.synchronize()
            refuse_infinite_loss(taken.losses, taken.batch)
            refuse_infinite_gradient(taken.norm, taken.batch)
            views = len(taken.losses) // len(taken.batch.utterances)
            total = float(taken.losses.sum()) / views
            symbols = int(taken.batch.target_lengths.sum())
            progress.loss_sum += total
            progress.symbols += symbols
            progress.seconds = time.monotonic() - self._started
            on_step(replace(taken.report, loss=total / symbols))

    def _stop_if_asked(self) -> None:
        if self._stopping:
            raise Stopped

    def _take_step(self, batch: Batch, batches: int) -> _Taken:
        """Take one optimiser step, the next of an epoch of ``batches``."""
        progress, settings = self.state.progress, self.recipe.optimisation
        epoch = progress.epoch + (progress.batch + 1) / batches
        rate = learning_rate(settings.learning_rate, epoch, settings.warmup_epochs, settings.epochs)
        strength = min(1.0, epoch / settings.warmup_epochs) if settings.warmup_epochs else 1.0
        losses, norm = self.step(batch, rate, strength)
        ready = None
        if self.device.type == "cuda":
            losses, norm = (tensor.to("cpu", non_blocking=True) for tensor in (losses, norm))
            ready = torch.cuda.Event()  # type: ignore[no-untyped-call]
            ready.record()
        seconds = sum(u.duration for u in batch.utterances)
        report = StepReport(replace(progress), batches, math.nan, rate, seconds)
        return _Taken(batch, losses, norm, ready, report)

    def step(self, batch: Batch, rate: float, strength: float = 1.0) -> tuple[Tensor, Tensor]:
        """Take one optimiser step; on the CPU not where its gradient is not finite.

        Args:
            batch: of waveforms.
            rate: of learning.
            strength: of augmentation and consistency, from 0 to 1.

        Returns:
            The CTC losses, ``(rows,)`` in nats, of every utterance in every view, and the norm of
            the gradient; both on the device.
        """
        progress, settings = self.state.progress, self.recipe.optimisation
        # One stream of random numbers a step: whoever resumes here draws the same.
        seed = self.recipe.seed * 1_000_003 + progress.step
        torch.manual_seed(seed)
        tensors = self._augmented(batch, seed, strength)
        with autocast(self.mixed, self.device):
            loss, losses = batch_loss(
                self.state.model,
                tensors,
                settings.intermediate_weight,
                settings.consistency_weight * strength,
            )
        return losses, self.state.descend(loss, settings.clip_norm, rate)

    def _end_epoch(self, on_epoch: OnEpoch) -> None:
        """Measure the averaged weights on dev where that is due, keep the best, and save."""
        state, progress = self.state, self.state.progress
        settings = self.recipe.optimisation
        epoch = progress.epoch + 1
        if epoch % settings.validate_every and epoch < settings.epochs:
            progress.end_epoch()
            return
        with state.average.lent_to(state.model):
            rates = validate(
                state.model,
                self._dev,
                self._plain,
                self.alphabet,
                self.mixed,
                self._stop_if_asked,
            )
        progress.seconds = time.monotonic() - self._started
        row = {
            "epoch": epoch,
            "step": progress.step,
            "seconds": round(progress.seconds, 1),
            "train_loss": progress.loss_sum / max(progress.symbols, 1),
            "dev_wer": rates.words.rate,
            "dev_cer": rates.characters.rate,
        }
        best = min((past["dev_wer"] for past in progress.history), default=math.inf)
        progress.history.append(row)
        progress.end_epoch()
        if row["dev_wer"] <= best:
            # First: a run that is killed before the checkpoint measures this epoch again.
            self.folder.save_best(state)
        self.save()
        on_epoch(row)
