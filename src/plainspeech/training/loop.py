"""The training loop.

A run is a folder: ``checkpoint.safetensors`` (to resume from), ``best.safetensors`` (the averaged
weights that did best on dev), ``history.jsonl``, ``curves.png`` and TensorBoard's event files.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from plainspeech.alphabet import ENGLISH, Alphabet
from plainspeech.data.loading import Batch, Loader, WaveformSource, plan_epoch
from plainspeech.data.manifest import Utterance
from plainspeech.decoding.greedy import greedy_text
from plainspeech.errors import ConfigurationError, ModelError
from plainspeech.evaluation.error_rates import Pair, error_rates
from plainspeech.evaluation.listing import evenly_spaced
from plainspeech.model.base import AcousticModel
from plainspeech.model.presets import Preset
from plainspeech.training.checkpoint import Checkpoint, Progress
from plainspeech.training.device import FeatureExtractor, autocast, mixed_precision
from plainspeech.training.recipe import Recipe
from plainspeech.training.state import RunState, learning_rate
from plainspeech.training.step import (
    batch_loss,
    refuse_infinite_gradient,
    refuse_infinite_loss,
)
from plainspeech.training.teacher import Teacher


class TrainingStopped(Exception):  # noqa: N818  # nothing went wrong
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


CHECKPOINT = "checkpoint.safetensors"
"""The file in a run's folder that the run resumes from."""

BEST = "best.safetensors"
"""The file in a run's folder with the averaged weights that did best on dev."""

SAMPLE = 50
"""Utterances of the training data that are recognised with each measurement: the distance between
their error rates and those of dev is what was learned by heart."""

EXAMPLES = 3
"""Utterances of dev whose recognition is shown with each measurement."""

OnStep = Callable[[StepReport], None]
OnEpoch = Callable[[dict[str, float]], None]

_QUEUED_STEPS = 8
"""Steps that a GPU may be behind: their losses are not waited for."""


@dataclass(frozen=True)
class _PendingStep:
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
        preset: that the recipe names.
        train: utterances that the alphabet can write and CTC can align.
        dev: utterances that select the best weights.
        folder: of the run.
        run: what the run is, for its checkpoints: the resolved recipe, a hash of its data, the
            revision of the code, hours of audio.
        device: where to compute.
        initial: what the recipe names to start from; None starts from random weights.

    Attributes:
        examples: actual against predicted, of a few utterances of dev, as of the last measurement.
    """

    def __init__(
        self,
        recipe: Recipe,
        preset: Preset,
        train: Sequence[Utterance],
        dev: Sequence[Utterance],
        folder: Path,
        run: Mapping[str, Any],
        device: torch.device,
        initial: Checkpoint | None = None,
    ) -> None:
        self.recipe = recipe
        self.folder = folder
        self.run = run
        self.device = device
        self.alphabet = alphabet = recipe.symbols
        self.state = RunState.fresh(recipe, preset, self.alphabet, device, initial)
        self.mixed = mixed_precision(recipe.optimisation.precision, device)
        self._durations = [utterance.duration for utterance in train]
        settings = preset.features
        source = WaveformSource(settings.sample_rate, recipe.data.cache_gb * 1e9)
        self._train = Loader(train, source, alphabet, recipe.data.threads)
        self._dev = Loader(dev, source, alphabet, recipe.data.threads)
        self._sample = Loader(_sample(train), source, alphabet, recipe.data.threads)
        views = 2 if recipe.optimisation.consistency_weight else 1
        teacher = Teacher(recipe.teacher, preset, alphabet, device) if recipe.teacher else None
        self._augmented = FeatureExtractor(settings, device, recipe.augmentation, views, teacher)
        self._unaugmented = FeatureExtractor(settings, device)
        self.examples: Sequence[Pair] = ()
        self._pending: deque[_PendingStep] = deque()
        self._clock, self._processor = time.monotonic(), time.process_time()
        self._saved_at = self._clock
        self._stopping = False

    def resume(self) -> bool:
        """Continue from the run's checkpoint if it has one; return whether it had.

        Raises:
            ConfigurationError: the checkpoint is of a run with another recipe, other data or other
                initial weights.
            ModelError: it is damaged, or of another model.
        """
        path = self.folder / CHECKPOINT
        if not path.exists():
            return False
        checkpoint = Checkpoint.load(path)
        # A recipe from before there were other alphabets does not name its own.
        # Neither does it say which its initial weights were.
        begun = {
            "initial": self.run.get("initial"),
            **checkpoint.run,
            "recipe": {"alphabet": ENGLISH.text, **checkpoint.run["recipe"]},
        }
        for key, name in (("recipe", "recipe"), ("data", "data"), ("initial", "initial model")):
            if begun.get(key) != self.run.get(key):
                raise ConfigurationError(
                    f"{path}: the run was begun with another {name}; "
                    f"give another --output or delete the folder"
                )
        try:
            self.state.restore(checkpoint)
        except (RuntimeError, KeyError) as error:
            raise ModelError(
                f"{path}: its weights are not those of this plainspeech's model"
            ) from error
        return True

    def save(self) -> None:
        """Write the checkpoint that `resume` continues from.

        Raises:
            ModelError: it cannot be written; one that is there stays.
        """
        self.state.checkpoint(self.run).save(self.folder / CHECKPOINT)
        self._saved_at = time.monotonic()

    def stop(self) -> None:
        """Make `fit` save and stop after the batch under way; for signal handlers."""
        self._stopping = True

    def fit(self, on_step: OnStep, on_epoch: OnEpoch) -> None:
        """Train to the recipe's last epoch, saving as it asks; callable again after `resume`.

        Raises:
            TrainingStopped: `stop` was called.
            PlainspeechError: a loss or gradient is not finite, or a file cannot be read or written.
        """
        self._clock, self._processor = time.monotonic(), time.process_time()
        try:
            while not self._finished():
                self._train_epoch(on_step)
                self._end_epoch(on_epoch)
        except TrainingStopped:
            # Raised between batches alone, where the state is one that the run goes through.
            self._stopping = False
            self.save()
            raise

    def _finished(self) -> bool:
        """Return whether the last epoch is over, or dev has not got better for long enough."""
        settings, progress = self.recipe.optimisation, self.state.progress
        if progress.epoch >= settings.epochs:
            return True
        # By characters: all words can be wrong for epochs while they get better.
        rates = [row["dev_cer"] for row in progress.history]
        return bool(settings.patience and rates) and (
            len(rates) - 1 - rates.index(min(rates)) >= settings.patience
        )

    def _train_epoch(self, on_step: OnStep) -> None:
        """Take the steps of the epoch that are not yet done."""
        progress, seed = self.state.progress, self.recipe.seed
        plan = plan_epoch(self._durations, self.recipe.data.batch_seconds, seed, progress.epoch)
        self.state.model.train()
        for batch in self._train.batches(plan[progress.batch :]):
            self._pending.append(self._take_step(batch, len(plan)))
            self._collect(_QUEUED_STEPS if self.device.type == "cuda" else 0, on_step)
            if self._stopping or self._save_is_due():
                self._collect(0, on_step)
                self._stop_if_asked()
                self.save()
        self._collect(0, on_step)

    def _save_is_due(self) -> bool:
        return time.monotonic() - self._saved_at > 60 * self.recipe.checkpoint_minutes

    def _count_time(self) -> None:
        """Add the time since this was called last."""
        progress = self.state.progress
        clock, processor = time.monotonic(), time.process_time()
        progress.seconds += clock - self._clock
        progress.processor_seconds += processor - self._processor
        self._clock, self._processor = clock, processor

    def _collect(self, queued: int, on_step: OnStep) -> None:
        """Look at the outcomes of steps, oldest first, until ``queued`` of them are left.

        Raises:
            PlainspeechError: a loss or gradient is not finite.
        """
        progress = self.state.progress
        while len(self._pending) > queued:
            pending = self._pending.popleft()
            if pending.ready is not None:
                pending.ready.synchronize()
            refuse_infinite_loss(pending.losses, pending.batch)
            refuse_infinite_gradient(pending.norm, pending.batch)
            views = len(pending.losses) // len(pending.batch.utterances)
            total = float(pending.losses.sum()) / views
            symbols = int(pending.batch.target_lengths.sum())
            progress.loss_sum += total
            progress.symbols += symbols
            progress.audio_seconds += views * pending.report.seconds_of_audio
            self._count_time()
            on_step(replace(pending.report, loss=total / symbols))

    def _stop_if_asked(self) -> None:
        if self._stopping:
            raise TrainingStopped

    def _take_step(self, batch: Batch, batches: int) -> _PendingStep:
        """Take one optimiser step, the next of an epoch of ``batches``."""
        progress, settings = self.state.progress, self.recipe.optimisation
        epoch = progress.epoch + (progress.batch + 1) / batches
        rate = learning_rate(settings.learning_rate, epoch, settings.warmup_epochs, settings.epochs)
        strength = min(1.0, epoch / settings.warmup_epochs) if settings.warmup_epochs else 1.0
        losses, norm = self.step(batch, rate, strength, epoch / settings.epochs)
        ready = None
        if self.device.type == "cuda":
            losses, norm = (tensor.to("cpu", non_blocking=True) for tensor in (losses, norm))
            ready = torch.cuda.Event()  # type: ignore[no-untyped-call]
            ready.record()
        seconds = sum(u.duration for u in batch.utterances)
        report = StepReport(replace(progress), batches, math.nan, rate, seconds)
        return _PendingStep(batch, losses, norm, ready, report)

    def step(
        self, batch: Batch, rate: float, strength: float = 1.0, done: float = 0.0
    ) -> tuple[Tensor, Tensor]:
        """Take one optimiser step; on the CPU not where its gradient is not finite.

        Args:
            batch: of waveforms.
            rate: of learning.
            strength: of augmentation and consistency, from 0 to 1.
            done: share of the run that is over, and of the teacher's weight that is gone.

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
                settings.distillation_weight * (1 - done),
            )
        return losses, self.state.descend(loss, settings.clip_norm, rate, settings.start_decay)

    def recognise_dev(self) -> list[Pair]:
        """Return what the model, with its present weights, recognises of dev, greedily.

        Raises:
            TrainingStopped: `stop` was called.
        """
        return self._recognise(self._dev)

    def _recognise(self, loader: Loader) -> list[Pair]:
        return validate(
            self.state.model,
            loader,
            self._unaugmented,
            self.alphabet,
            self.mixed,
            self._stop_if_asked,
        )

    def _end_epoch(self, on_epoch: OnEpoch) -> None:
        """Measure the averaged weights on dev where that is due, keep the best, and save."""
        state, progress = self.state, self.state.progress
        settings = self.recipe.optimisation
        epoch = progress.epoch + 1
        if epoch % settings.validate_every and epoch < settings.epochs:
            progress.end_epoch()
            return
        with state.average.applied_to(state.model):
            pairs = self.recognise_dev()
            known = error_rates(self._recognise(self._sample))
        rates, self.examples = error_rates(pairs), evenly_spaced(pairs, EXAMPLES)
        self._count_time()
        row = {
            "epoch": epoch,
            "step": progress.step,
            "seconds": round(progress.seconds, 1),
            "train_loss": progress.loss_sum / max(progress.symbols, 1),
            "train_wer": known.words.rate,
            "train_cer": known.characters.rate,
            "dev_wer": rates.words.rate,
            "dev_cer": rates.characters.rate,
        }
        best = min((past["dev_wer"] for past in progress.history), default=math.inf)
        progress.history.append(row)
        progress.end_epoch()
        if row["dev_wer"] <= best:
            # First: a run that is killed before the checkpoint measures this epoch again.
            state.averaged(self.run).save(self.folder / BEST)
        self.save()
        on_epoch(row)


def _sample(train: Sequence[Utterance]) -> list[Utterance]:
    """Return `SAMPLE` utterances evenly over ``train``, or all; each once."""
    different = list({utterance.id: utterance for utterance in train}.values())
    count = min(SAMPLE, len(different))
    return [different[index * len(different) // count] for index in range(count)]


_BATCH_SECONDS = 300.0  # without gradients, more fits into memory than in training


@torch.no_grad()
def validate(
    model: AcousticModel,
    loader: Loader,
    features: FeatureExtractor,
    alphabet: Alphabet,
    mixed: bool,
    on_batch: Callable[[], None],
) -> list[Pair]:
    """Return what ``model`` recognises of the loader's utterances, greedily, in their order.

    Args:
        model: which is left ready to evaluate, not to train.
        loader: of the utterances.
        features: makes theirs, not augmented, where the model is.
        alphabet: of the model's outputs.
        mixed: whether to compute in mixed precision.
        on_batch: called after every batch; what it raises ends the validation.
    """
    model.eval()
    durations = [utterance.duration for utterance in loader.utterances]
    texts = {}
    for batch in loader.batches(plan_epoch(durations, _BATCH_SECONDS, seed=0, epoch=0)):
        tensors = features(batch)
        with autocast(mixed, tensors.features.device):
            log_probabilities, lengths = model(tensors.features, tensors.lengths)
        for utterance, rows, length in zip(
            batch.utterances, log_probabilities.cpu().numpy(), lengths.tolist(), strict=True
        ):
            texts[utterance.id] = greedy_text(rows[:length], alphabet)
        on_batch()
    return [Pair(u.id, u.speaker, u.text, texts[u.id]) for u in loader.utterances]
