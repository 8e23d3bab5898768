"""The training loop.

A run is a folder: ``checkpoint.safetensors`` (to resume from), ``best.safetensors`` (the averaged
weights that did best on dev), ``history.jsonl``, ``curves.png`` and TensorBoard's event files.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import accumulate, islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from plainspeech.data.loading import Batch, Loader, WaveformSource, silence
from plainspeech.data.manifest import Utterance
from plainspeech.data.packed import PackedLoader
from plainspeech.errors import ConfigurationError, ModelError
from plainspeech.evaluation.error_rates import Pair, error_rates
from plainspeech.evaluation.listing import evenly_spaced
from plainspeech.model.presets import Preset
from plainspeech.pronunciations import Pronunciations
from plainspeech.training.checkpoint import Checkpoint, Progress
from plainspeech.training.crf import competing
from plainspeech.training.device import FeatureExtractor, autocast, mixed_precision
from plainspeech.training.processes import ALONE, Processes
from plainspeech.training.recipe import Recipe, completed_record, first_change
from plainspeech.training.state import RunState, learning_rate
from plainspeech.training.step import (
    Objective,
    refuse_infinite_gradient,
    refuse_infinite_loss,
)
from plainspeech.training.teacher import Teacher
from plainspeech.training.validation import sample, validate


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
        utterances: of the batch that it took, of all processes.
        symbols: of their targets.
        losses: ``(views * utterances,)``, in nats, on the CPU when ``ready``.
        norm: of the gradient, likewise.
        ready: None where they are there already.
        report: what to tell of the step, but for its loss.
    """

    utterances: Sequence[Utterance]
    symbols: int
    losses: Tensor
    norm: Tensor
    ready: torch.cuda.Event | None
    report: StepReport


@dataclass(frozen=True)
class Share:
    """What one process computes of a batch.

    Attributes:
        places: of its parts among those of the batch, in order; none where others have them all.
        parts: these parts.
        sizes: utterances in each part of the batch, also in those of other processes.
        symbols: of all targets of the batch.
    """

    places: Sequence[int]
    parts: Iterable[Batch]
    sizes: Sequence[int]
    symbols: int

    @classmethod
    def whole(cls, batch: Batch) -> Share:
        """Return all of ``batch``, in one part."""
        return cls((0,), (batch,), (len(batch.lengths),), int(batch.target_lengths.sum()))


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
        processes: that train it together; all have the same of the above but for the device.
        pronunciations: that the recipe names; None for none.
        archives: of packed training data, by the ids of its utterances.

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
        processes: Processes = ALONE,
        pronunciations: Pronunciations | None = None,
        archives: Mapping[str, str] | None = None,
    ) -> None:
        self.recipe = recipe
        self.folder = folder
        self.run = run
        self.device = device
        self.processes = processes
        self.alphabet = alphabet = recipe.symbols
        self.state = RunState.fresh(recipe, preset, self.alphabet, device, initial, pronunciations)
        self.mixed = mixed_precision(recipe.optimisation.precision, device)
        weight = recipe.optimisation.crf_weight
        texts = (utterance.text for utterance in train)
        competition = competing(texts, alphabet, pronunciations, weight, device) if weight else None
        self._objective = processes.parallel(
            Objective(self.state.model, competition, recipe.optimisation.pronunciation_weight)
        )
        settings = preset.features
        source = WaveformSource(settings.sample_rate, recipe.data.cache_gb * 1e9)
        self._sample_rate = settings.sample_rate
        heard = processes.share(sample(train, archives))
        self._train: Loader | PackedLoader
        self._sample: Loader | PackedLoader
        if archives:
            self._train = self._packed(train, archives, pronunciations)
            self._sample = self._packed(heard, archives)
        else:
            self._train = Loader(train, source, alphabet, recipe.data.threads, pronunciations)
            self._sample = Loader(heard, source, alphabet, recipe.data.threads)
        self._dev = Loader(processes.share(dev), source, alphabet, recipe.data.threads)
        self._views = 2 if recipe.optimisation.consistency_weight else 1
        teacher = None
        if recipe.teacher:
            phones = pronunciations.phones if pronunciations else ()
            teacher = Teacher(recipe.teacher, preset, alphabet, device, phones)
        self._augmented = FeatureExtractor(
            settings, device, recipe.augmentation, self._views, teacher
        )
        self._unaugmented = FeatureExtractor(settings, device)
        self.examples: Sequence[Pair] = ()
        self._pending: deque[_PendingStep] = deque()
        self._clock, self._processor = time.monotonic(), time.process_time()
        self._saved_at = self._clock
        self._asked_to_stop = False  # of this process
        self._stopping = False  # as all have agreed

    def _packed(
        self,
        utterances: Sequence[Utterance],
        archives: Mapping[str, str],
        pronunciations: Pronunciations | None = None,
    ) -> PackedLoader:
        data = self.recipe.data
        if self.processes.count > data.micro_batches:
            raise ConfigurationError(
                f"data.micro_batches is {data.micro_batches}, fewer than the "
                f"{self.processes.count} processes: packed data is read in as many streams"
            )
        return PackedLoader(
            utterances,
            archives,
            self._sample_rate,
            self.alphabet,
            data.threads,
            data.shuffle_shards,
            streams=-(-data.micro_batches // self.processes.count),
            pronunciations=pronunciations,
        )

    def resume(self) -> bool:
        """Continue from the run's checkpoint if it has one; return whether it had.

        Raises:
            ConfigurationError: the checkpoint is of a run with another recipe, other data, or
                another initial model or teacher.
            ModelError: it is damaged, or of another model.
        """
        path = self.folder / CHECKPOINT
        if not path.exists():
            return False
        checkpoint = Checkpoint.load(path)
        if other := self._begun_with(checkpoint.run):
            best = (self.folder / BEST).resolve()
            from_it = f' (begin from its weights by initial = "{best}")' if best.exists() else ""
            raise ConfigurationError(
                f"{path}: the run was begun with {other}; give another --output{from_it} or delete "
                f"the folder"
            )
        try:
            self.state.restore(checkpoint)
        except (RuntimeError, KeyError) as error:
            raise ModelError(
                f"{path}: its weights are not those of this plainspeech's model"
            ) from error
        return True

    def _begun_with(self, begun: Mapping[str, Any]) -> str:
        """Return what ``begun``, the run of a checkpoint, has that this run has not; or nothing."""
        if change := first_change(completed_record(begun["recipe"]), self.run["recipe"]):
            return f"another recipe: {change}"
        # Older checkpoints do not tell of all of them.
        named = (
            ("data", "other data"),
            ("initial", "another initial model"),
            ("teacher", "another teacher"),
        )
        now = self.run
        return next(
            (name for key, name in named if begun.get(key, now.get(key)) != now.get(key)), ""
        )

    def save(self) -> None:
        """Write the checkpoint that `resume` continues from.

        Raises:
            ModelError: it cannot be written; one that is there stays.
        """
        self._write(self.state.checkpoint(self.run), CHECKPOINT)
        self._saved_at = time.monotonic()

    def _write(self, checkpoint: Checkpoint, name: str) -> None:
        if self.processes.leads:
            checkpoint.save(self.folder / name)

    def stop(self) -> None:
        """Make `fit` save and stop after the batch under way; for signal handlers."""
        self._asked_to_stop = True

    def fit(self, on_step: OnStep, on_epoch: OnEpoch) -> None:
        """Train to the recipe's last epoch, saving as it asks; callable again after `resume`.

        Raises:
            TrainingStopped: `stop` was called, in any process.
            PlainspeechError: a loss or gradient is not finite, or a file cannot be read or written.
        """
        begun = [self.run.get(key) for key in ("recipe", "data", "initial")]
        self.processes.refuse_differences("recipe, data or initial model", begun)
        self.processes.refuse_differences("checkpoint to resume from", self.state.progress.step)
        self._clock, self._processor = time.monotonic(), time.process_time()
        try:
            if not self.state.progress.step:
                self._read_dev()
            while not self._finished():
                self._train_epoch(on_step)
                self._end_epoch(on_epoch)
        except TrainingStopped:
            # Raised between batches alone, where the state is one that the run goes through.
            self._asked_to_stop = self._stopping = False
            self.save()
            # torchrun ends all when the first has ended, also one that is still writing.
            self.processes.wait()
            raise

    def _read_dev(self) -> None:
        """Read all of dev, so that what cannot be read ends the run now, not after an epoch."""
        with suppress(TrainingStopped):
            self._dev.read_all(self._stop_if_asked)
        self._meet()
        self._stop_if_agreed()

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
        self.state.model.train()
        plan = self._plan()
        for share, utterances in self._shares(plan[self.state.progress.batch :]):
            self._pending.append(self._take_step(share, utterances, len(plan)))
            self._collect(_QUEUED_STEPS if self.device.type == "cuda" else 0, on_step)
            self._meet()
            if self._stopping or self._save_is_due():
                self._collect(0, on_step)
                self._stop_if_agreed()
                self.save()
        self._collect(0, on_step)

    def _plan(self) -> list[list[Sequence[int]]]:
        """Return the batches of the epoch in parts, the same in every process."""
        data, epoch = self.recipe.data, self.state.progress.epoch
        parts = max(data.micro_batches, self.processes.count)
        return self._train.steps(data.batch_seconds, parts, self.recipe.seed, epoch)

    def _shares(
        self, plan: Sequence[Sequence[Sequence[int]]]
    ) -> Iterator[tuple[Share, Sequence[Utterance]]]:
        """Yield this process's share of each batch of ``plan``, and the batch's utterances."""
        own = [
            [place for place in self.processes.share(range(len(parts))) if parts[place]]
            for parts in plan
        ]
        read = self._train.batches(
            [parts[place] for parts, places in zip(plan, own, strict=True) for place in places]
        )
        for parts, places in zip(plan, own, strict=True):
            utterances = [self._train.utterances[index] for part in parts for index in part]
            symbols = sum(len(self.alphabet.encode(u.text)) for u in utterances)
            sizes = [len(part) for part in parts]
            yield Share(places, islice(read, len(places)), sizes, symbols), utterances

    def _save_is_due(self) -> bool:
        return time.monotonic() - self._saved_at > 60 * self.recipe.checkpoint_minutes

    def _meet(self) -> None:
        """Add up the time of all processes since the last call, and tell all if one is to stop."""
        progress = self.state.progress
        clock, processor = time.monotonic(), time.process_time()
        progress.seconds += clock - self._clock
        spent, asked = self.processes.sums(processor - self._processor, self._asked_to_stop)
        progress.processor_seconds += spent
        self._stopping = asked > 0
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
            refuse_infinite_loss(pending.losses, pending.utterances)
            refuse_infinite_gradient(pending.norm, pending.utterances)
            total = float(pending.losses.sum()) / self._views
            progress.loss_sum += total
            progress.symbols += pending.symbols
            progress.audio_seconds += self._views * pending.report.seconds_of_audio
            on_step(replace(pending.report, loss=total / pending.symbols))

    def _stop_if_agreed(self) -> None:
        if self._stopping:
            raise TrainingStopped

    def _stop_if_asked(self) -> None:
        if self._asked_to_stop:
            raise TrainingStopped

    def _take_step(
        self, share: Share, utterances: Sequence[Utterance], batches: int
    ) -> _PendingStep:
        """Take one optimiser step, the next of an epoch of ``batches``."""
        progress, settings = self.state.progress, self.recipe.optimisation
        epoch = progress.epoch + (progress.batch + 1) / batches
        rate = learning_rate(settings.learning_rate, epoch, settings.warmup_epochs, settings.epochs)
        strength = min(1.0, epoch / settings.warmup_epochs) if settings.warmup_epochs else 1.0
        losses, norm = self.step(share, rate, strength, epoch / settings.epochs)
        ready = None
        if self.device.type == "cuda":
            losses, norm = (tensor.to("cpu", non_blocking=True) for tensor in (losses, norm))
            ready = torch.cuda.Event()  # type: ignore[no-untyped-call]
            ready.record()
        seconds = sum(u.duration for u in utterances)
        report = StepReport(replace(progress), batches, math.nan, rate, seconds)
        return _PendingStep(utterances, share.symbols, losses, norm, ready, report)

    def step(
        self, share: Share, rate: float, strength: float = 1.0, done: float = 0.0
    ) -> tuple[Tensor, Tensor]:
        """Take one optimiser step; on the CPU not where its gradient is not finite.

        Args:
            share: what this process computes of a batch.
            rate: of learning.
            strength: of augmentation and consistency, from 0 to 1.
            done: share of the run that is over, and of the teacher's weight that is gone.

        Returns:
            The CTC losses, ``(views * utterances,)`` in nats, of every utterance of the whole batch
            in every view, and the norm of the gradient; both on the device.
        """
        settings = self.recipe.optimisation
        self.state.optimiser.zero_grad(set_to_none=True)
        losses = torch.zeros(self._views, sum(share.sizes), device=self.device)
        ends = list(accumulate(share.sizes))
        # What the processes have is averaged, and is to be added up.
        symbols = self._views * share.symbols / self.processes.count
        for place, batch in zip(share.places, share.parts, strict=True):
            with self.processes.exchanging(self._objective, place == share.places[-1]):
                found = self._compute(place, batch, symbols, strength, done)
            losses[:, ends[place] - share.sizes[place] : ends[place]] = found
        if not share.places:
            # Gradients are exchanged by all or by none: nothing is divided by all there is.
            self._compute(0, silence(self._sample_rate), math.inf, strength, done)
        norm = self.state.descend(settings.clip_norm, rate, settings.start_decay)
        return self.processes.sum(losses).flatten(), norm

    def _compute(
        self, place: int, batch: Batch, symbols: float, strength: float, done: float
    ) -> Tensor:
        """Add the gradient of a part to what is there; return its losses, ``(views, rows)``."""
        settings = self.recipe.optimisation
        # One stream of random numbers for each part of a step: whoever resumes here, or takes the
        # part in the place of another process, draws the same.
        seed = self.recipe.seed * 1_000_003 + self.state.progress.step + (place << 40)
        seed %= 1 << 63  # as much as torch takes
        torch.manual_seed(seed)
        tensors = self._augmented(batch, seed, strength)
        with autocast(self.mixed, self.device):
            loss, losses = self._objective(
                tensors,
                settings.intermediate_weight,
                settings.consistency_weight * strength,
                settings.distillation_weight * (1 - done),
                symbols,
            )
        torch.autograd.backward(loss)
        by_view: Tensor = losses.reshape(self._views, -1)
        return by_view

    def recognise_dev(self) -> list[Pair]:
        """Return what the model, with its present weights, recognises of dev, greedily.

        Raises:
            TrainingStopped: `stop` was called.
        """
        return self._recognise(self._dev)

    def _recognise(self, loader: Loader | PackedLoader) -> list[Pair]:
        """Return what all processes recognise of their shares, of which ``loader`` has one."""
        own: Sequence[Pair] = ()
        with suppress(TrainingStopped):
            own = validate(
                self.state.model,
                loader,
                self._unaugmented,
                self.alphabet,
                self.mixed,
                self._stop_if_asked,
            )
        self._meet()
        self._stop_if_agreed()
        return self.processes.gathered(own)

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
            self._write(state.averaged(self.run), BEST)
        self.save()
        on_epoch(row)
