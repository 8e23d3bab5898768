"""An ablation of the reference design's faults: a ladder of systems, each on the same budget.

The first is the design as published, faults included (`published`); each next one mends one thing
more; the last are what this package trains. All learn from the same data for the same processor
time on one core, and are measured on the same dev set: greedily, in batches of eight in random
order and each utterance by itself, and with a trigram model of the training transcripts. None
augments its data. Only short utterances are taken, from which CTC learns to write anything soonest.
The published network, a quarter as wide here and with three GRUs of five, learns
something in minutes; what the full one learns in days, the table does not say.

Each row is kept in the folder of results when it is done, and the same command goes on after it.

    plainspeech data split an4.jsonl -o an4 --dev-share 0.2
    taskset -c 0 env OMP_NUM_THREADS=1 python -m benchmarks.training.ablation an4/train.jsonl \
        an4/dev.jsonl results --pronunciations recipes/english-pronunciations.txt
"""

from __future__ import annotations

import itertools
import json
import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Protocol

import numpy as np
import torch
import typer
from matplotlib.figure import Figure
from torch import Tensor, nn

from benchmarks.processes import machine
from benchmarks.training.published import BATCH, PlainLoop, PowerMel, Published, Sizes
from plainspeech.alphabet import ENGLISH
from plainspeech.arrays import Array
from plainspeech.data.loading import Batch, WaveformSource, batch_of, plan_epoch
from plainspeech.data.manifest import Utterance, read_manifest
from plainspeech.decoding.beam_search import BeamSearchDecoder
from plainspeech.decoding.greedy import greedy_text
from plainspeech.errors import ConfigurationError, PlainspeechError
from plainspeech.evaluation.error_rates import (
    Pair,
    character_counts,
    error_rates,
    rate_interval,
    word_counts,
)
from plainspeech.files import write_atomically
from plainspeech.lm.build import BuildSettings, build_model
from plainspeech.lm.scorer import Scorer
from plainspeech.model.presets import Preset, preset
from plainspeech.model.reference import Reference
from plainspeech.pronunciations import Pronunciations, read_pronunciations
from plainspeech.training.device import FeatureExtractor
from plainspeech.training.loop import Share, Trainer
from plainspeech.training.recipe import Data, Optimisation, Recipe
from plainspeech.training.state import learning_rate
from plainspeech.training.step import ctc_loss

CPU = torch.device("cpu")
NARROW = Sizes(channels=8, hidden=128, layers=3)
"""A quarter as wide as published, and three GRUs of five."""

PLAIN_RATE = 1.5e-3
"""Of learning, in the plain loop; this package's loop has it for its peak. The usual 1e-4 would
hardly move so small a network in minutes."""

MEASUREMENTS = 7
"""On dev, evenly over the budget; the last is the one in the table."""

Features = Callable[[Batch], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Budget:
    """What each system may spend, and what it is measured on.

    Attributes:
        train: to learn from.
        dev: to be measured on.
        minutes: of processor time, for steps alone.
        batch_seconds: of audio in a batch of this package's loop; the plain one takes eight
            utterances.
        pronunciations: of the words in ``train`` and ``dev``; None leaves out what needs them.
        seed: of weights and batches.
    """

    train: Sequence[Utterance]
    dev: Sequence[Utterance]
    minutes: float
    batch_seconds: float
    pronunciations: Pronunciations | None
    seed: int = 1


class System(Protocol):
    """Something that learns.

    Attributes:
        model: the network.
    """

    model: nn.Module

    def plan(self, epoch: int) -> list[list[int]]:
        """Return the batches of an epoch, as places in the training data."""

    def learn(self, batch: Batch, done: float) -> None:
        """Take a step; ``done`` is the share of the budget that is spent."""

    def hear(self, batch: Batch) -> list[Array]:
        """Return the log-probabilities that are decoded of each utterance of a batch."""


class PlainSystem:
    """A network in a plain loop: batches of eight in random order, float32, one learning rate.

    Args:
        budget: its data.
        network: gives log-probabilities and lengths for features and lengths.
        features: makes them of batches.
        decodes_padding: the fault of evaluation: all frames of a batch are decoded.
    """

    def __init__(
        self, budget: Budget, network: nn.Module, features: Features, *, decodes_padding: bool
    ) -> None:
        self.model: nn.Module = network
        self._loop = PlainLoop(network, PLAIN_RATE)
        self._features = features
        self._decodes_padding = decodes_padding
        self._utterances, self._seed = len(budget.train), budget.seed

    def plan(self, epoch: int) -> list[list[int]]:
        """Return batches of eight in random order."""
        return shuffled_batches(self._utterances, (self._seed, epoch))

    def learn(self, batch: Batch, done: float) -> None:
        """Take a step at the one rate."""
        targets, lengths = torch.from_numpy(batch.targets), torch.from_numpy(batch.target_lengths)
        self._loop.step(*self._features(batch), targets, lengths)

    def hear(self, batch: Batch) -> list[Array]:
        """Return what the network gives, with the padding where that is the fault."""
        output, lengths = self.model(*self._features(batch))
        if self._decodes_padding:
            return list(output.numpy())
        return cut(output, lengths)


class OwnSystem:
    """A preset in this package's loop: buckets, bfloat16, warm-up and cosine, averaged weights.

    Args:
        budget: its data.
        chosen: the preset.
        name: of the preset.
        settings: of the optimisation, which are the default ones but for these.
        pronunciations: for a model that learns phones, too.
    """

    def __init__(
        self,
        budget: Budget,
        chosen: Preset,
        name: str,
        pronunciations: Pronunciations | None = None,
        **settings: Any,
    ) -> None:
        # An average over fewer steps than the default's: there are only hundreds.
        self._settings = Optimisation(1, warmup_epochs=0.1, average_decay=0.99, **settings)
        recipe = Recipe(
            *(name, name, Data((), Path(), budget.batch_seconds), self._settings),
            augmentation=None,
            seed=budget.seed,
        )
        self._trainer = Trainer(
            *(recipe, chosen, budget.train, (), Path(), {}, CPU), pronunciations=pronunciations
        )
        self.model: nn.Module = self._trainer.state.model.train()
        self._features = FeatureExtractor(chosen.features, CPU)
        self._durations = [utterance.duration for utterance in budget.train]
        self._budget = budget

    def plan(self, epoch: int) -> list[list[int]]:
        """Return batches of like durations, the first epoch from short to long."""
        return plan_epoch(self._durations, self._budget.batch_seconds, self._budget.seed, epoch)

    def learn(self, batch: Batch, done: float) -> None:
        """Take a step at the rate of the schedule, in which the budget is one epoch."""
        peak, warmup = self._settings.learning_rate, self._settings.warmup_epochs
        self._trainer.step(Share.whole(batch), learning_rate(peak, done, warmup, 1))

    def hear(self, batch: Batch) -> list[Array]:
        """Return what the averaged weights give."""
        state = self._trainer.state
        with state.average.applied_to(state.model):
            tensors = self._features(batch)
            return cut(*state.model(tensors.features, tensors.lengths))


def cut(output: Tensor, lengths: Tensor) -> list[Array]:
    """Return the frames of each utterance."""
    rows = zip(output.numpy(), lengths.tolist(), strict=True)
    return [row[:length] for row, length in rows]


def shuffled_batches(count: int, seed: int | tuple[int, ...]) -> list[list[int]]:
    """Return ``count`` places in random order, eight by eight."""
    order = np.random.default_rng(seed).permutation(count).tolist()
    return [order[start : start + BATCH] for start in range(0, count, BATCH)]


def log_mel(features: FeatureExtractor) -> Features:
    """Return ``features`` as the plain loop takes them."""

    def made(batch: Batch) -> tuple[Tensor, Tensor]:
        tensors = features(batch)
        return tensors.features, tensors.lengths

    return made


def narrow_reference() -> Preset:
    """Return the preset ``reference``, a quarter as wide."""
    return Preset(Reference, preset("reference").features, asdict(NARROW))


def published(budget: Budget, *, over_time: bool, log_features: bool) -> System:
    """Return the published design with two of its faults, one or neither."""
    extractor = FeatureExtractor(narrow_reference().features, CPU)
    features = log_mel(extractor) if log_features else PowerMel()
    network = Published(NARROW, over_time=over_time)
    return PlainSystem(budget, network, features, decodes_padding=True)


def masked(budget: Budget) -> System:
    """Return the preset ``reference`` in the plain loop: no fault of the network is left."""
    chosen = narrow_reference()
    features = log_mel(FeatureExtractor(chosen.features, CPU))
    return PlainSystem(budget, chosen.build(ENGLISH.size), features, decodes_padding=False)


@dataclass(frozen=True)
class Rung:
    """A row of the table.

    Attributes:
        title: what it is, or mends beside all that those before it mend.
        build: makes the system.
        over_phones: whether its search takes phones, for which pronunciations are needed.
    """

    title: str
    build: Callable[[Budget], System]
    over_phones: bool = False


LADDER = {
    "published": Rung("as published", lambda b: published(b, over_time=False, log_features=False)),
    "recurrence": Rung(
        "+ all GRUs recur over time",
        lambda b: published(b, over_time=True, log_features=False),
    ),
    "features": Rung(
        "+ log-mel, normalised, no filter empty",
        lambda b: published(b, over_time=True, log_features=True),
    ),
    "padding": Rung("+ padding masked, lengths right", masked),
    "loop": Rung(
        "+ this package's loop (`reference`, narrow)",
        lambda b: OwnSystem(b, narrow_reference(), "reference"),
    ),
    "small": Rung("`small`", lambda b: OwnSystem(b, preset("small"), "small")),
    "phones": Rung(
        "`small`, CTC-CRF over phones beside",
        lambda b: OwnSystem(
            b, preset("small"), "small", b.pronunciations, crf_weight=0.9, pronunciation_weight=0.5
        ),
        over_phones=True,
    ),
}


class Waveforms:
    """All recordings in memory, so that reading them costs no system anything.

    Args:
        budget: whose recordings.
    """

    def __init__(self, budget: Budget) -> None:
        self._read = WaveformSource(16_000, cache_bytes=8e9)
        self._pronunciations = budget.pronunciations
        for utterance in (*budget.train, *budget.dev):
            self._read(utterance)

    def batch(self, utterances: Sequence[Utterance]) -> Batch:
        """Return ``utterances``, padded."""
        waveforms = [self._read(utterance) for utterance in utterances]
        return batch_of(tuple(utterances), waveforms, ENGLISH, self._pronunciations)


def climb(rung: Rung, budget: Budget, waveforms: Waveforms) -> dict[str, Any]:
    """Train the system of ``rung`` and measure it; return its row."""
    torch.manual_seed(budget.seed)
    system = rung.build(budget)
    curve = []
    heard = {"audio_hours": 0.0, "steps": 0.0}
    for spent in trained(system, budget, waveforms, heard):
        outputs = outputs_of(system, budget.dev, waveforms, in_batches(budget))
        scores = rates(budget.dev, [greedy(output) for output in outputs])
        point = {"minutes": spent / 60, "wer": scores["wer"], "cer": scores["cer"]}
        curve.append({**point, "loss": loss_of(budget.dev, outputs)})
        print(rung.title, {**heard, **curve[-1]}, file=sys.stderr)
    found = measured(system, rung, budget, waveforms)
    size = sum(weight.numel() for weight in system.model.parameters())
    return {"title": rung.title, "parameters": size, **heard, "curve": curve, **found}


def trained(
    system: System, budget: Budget, waveforms: Waveforms, heard: dict[str, float]
) -> Iterator[float]:
    """Train to the end of the budget; yield the seconds spent whenever a measurement is due.

    Args:
        system: to train.
        budget: to spend.
        waveforms: of its data.
        heard: hours of audio and steps, which are added to.
    """
    limit, spent, due = 60 * budget.minutes, 0.0, 1
    batches = (batch for epoch in itertools.count() for batch in system.plan(epoch))
    for places in batches:
        system.model.train()
        utterances = [budget.train[place] for place in places]
        began = time.process_time()
        system.learn(waveforms.batch(utterances), min(spent / limit, 1.0))
        spent += time.process_time() - began
        heard["audio_hours"] += sum(utterance.duration for utterance in utterances) / 3600
        heard["steps"] += 1
        if spent >= limit * due / MEASUREMENTS:
            yield spent
            due = int(spent / limit * MEASUREMENTS) + 1
        if spent >= limit:
            return


def in_batches(budget: Budget) -> list[list[int]]:
    """Return dev in batches of eight, in an order that has nothing to do with the speakers."""
    return shuffled_batches(len(budget.dev), budget.seed)


@torch.no_grad()
def outputs_of(
    system: System, dev: Sequence[Utterance], waveforms: Waveforms, plan: Sequence[Sequence[int]]
) -> list[Array]:
    """Return what ``system`` gives for each utterance of ``dev``, heard batch by batch."""
    system.model.eval()
    outputs: dict[int, Array] = {}
    for places in plan:
        heard = system.hear(waveforms.batch([dev[place] for place in places]))
        outputs.update(zip(places, heard, strict=True))
    return [outputs[place] for place in range(len(dev))]


def greedy(output: Array) -> str:
    """Return the text of the letters in ``output``, without a search."""
    return greedy_text(output[:, : ENGLISH.size], ENGLISH)


def loss_of(dev: Sequence[Utterance], outputs: Sequence[Array]) -> float:
    """Return the CTC loss, in nats for each symbol; it falls long before any text is right."""
    total, symbols = 0.0, 0
    for utterance, output in zip(dev, outputs, strict=True):
        rows = torch.from_numpy(output[:, : ENGLISH.size])[None]
        target = torch.tensor([ENGLISH.encode(utterance.text)])
        lengths = torch.tensor([rows.shape[1]]), torch.tensor([target.shape[1]])
        # One that has too few frames, as the published lengths may leave it, does not count.
        loss = float(ctc_loss(rows, lengths[0], target, lengths[1]))
        if math.isfinite(loss):
            total, symbols = total + loss, symbols + target.shape[1]
    return total / symbols


def measured(system: System, rung: Rung, budget: Budget, waveforms: Waveforms) -> dict[str, Any]:
    """Return the error rates of ``system`` on dev, in batches, alone and with a language model."""
    decoder = searching(rung, budget)
    alone = outputs_of(system, budget.dev, waveforms, [[n] for n in range(len(budget.dev))])
    batched = outputs_of(system, budget.dev, waveforms, in_batches(budget))
    texts = [[greedy(output) for output in outputs] for outputs in (alone, batched)]
    found = decoder.decode_batch(batched)
    return {
        "loss": loss_of(budget.dev, batched),
        "batched": rates(budget.dev, texts[1]),
        "alone": rates(budget.dev, texts[0]),
        "language_model": rates(budget.dev, [one.text for one in found]),
        "changed_by_neighbours": sum(map(str.__ne__, *texts)) / len(budget.dev),
    }


def searching(rung: Rung, budget: Budget) -> BeamSearchDecoder:
    """Return the search with a trigram of the training transcripts, at the published settings."""
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "train.txt"
        text.write_text("".join(f"{utterance.text}\n" for utterance in budget.train))
        model, _ = build_model([text], BuildSettings(order=3, prune=(0,), estimator="builtin"))
    over_phones: dict[str, Any] = {"columns": slice(ENGLISH.size)}
    lexicon = budget.pronunciations
    if rung.over_phones and lexicon:
        columns = slice(ENGLISH.size, ENGLISH.size + lexicon.size)
        over_phones = {"pronunciations": lexicon, "columns": columns}
    return BeamSearchDecoder(
        *(ENGLISH, Scorer.from_model(model)), alpha=0.75, beta=1.85, beam_width=25, **over_phones
    )


def rates(dev: Sequence[Utterance], texts: Sequence[str]) -> dict[str, float]:
    """Return error rates of the corpus, and the means over utterances that some report."""
    pairs = [Pair(u.id, u.speaker, u.text, text) for u, text in zip(dev, texts, strict=True)]
    counts, whole = word_counts(pairs), error_rates(pairs)
    interval = rate_interval(counts)
    return {
        "wer": whole.words.rate,
        "wer_low": interval.low,
        "wer_high": interval.high,
        "cer": whole.characters.rate,
        "mean_wer": float(np.mean([count.rate for count in counts])),
        "mean_cer": float(np.mean([count.rate for count in character_counts(pairs)])),
    }


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return ``rows`` as Markdown."""
    lines = [
        "| system | parameters, M | audio, h | steps | loss | WER (95 % interval) | CER "
        "| mean WER of utterances | WER alone | texts that neighbours change | WER, trigram |\n"
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
    ]
    for row in rows:
        batched = {key: 100 * value for key, value in row["batched"].items()}
        interval = f"{batched['wer_low']:.0f} to {batched['wer_high']:.0f}"
        lines.append(
            f"| {row['title']} | {row['parameters'] / 1e6:.2f} | {row['audio_hours']:.1f} "
            f"| {row['steps']:,.0f} | {row['loss']:.2f} "
            f"| {batched['wer']:.1f} ({interval}) | {batched['cer']:.1f} "
            f"| {batched['mean_wer']:.1f} | {100 * row['alone']['wer']:.1f} "
            f"| {row['changed_by_neighbours']:.0%} | {100 * row['language_model']['wer']:.1f} |"
        )
    return "\n".join(lines)


def draw(rows: Sequence[dict[str, Any]], file: Path) -> None:
    """Draw the loss and the character error rate of all systems on dev over processor time."""
    figure = Figure((10, 4.6), layout="constrained")
    losses, errors = figure.subplots(1, 2)
    for row, marker in zip(rows, itertools.cycle("os^vD*P"), strict=False):
        minutes = [point["minutes"] for point in row["curve"]]
        label = row["title"].replace("`", "")
        losses.plot(minutes, [point["loss"] for point in row["curve"]], marker=marker, label=label)
        wrong = [100 * point["cer"] for point in row["curve"]]
        errors.plot(minutes, wrong, marker=marker, label=label)
    losses.set(xlabel="minutes of one core", ylabel="CTC loss on dev, nats a symbol")
    errors.set(xlabel="minutes of one core", ylabel="characters wrong on dev, %")
    figure.legend(*losses.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    figure.savefig(file, dpi=120, metadata={"Software": None})


def main(
    train: Annotated[Path, typer.Argument(help="A manifest to learn from.")],
    dev: Annotated[Path, typer.Argument(help="A manifest of other speakers.")],
    results: Annotated[Path, typer.Argument(help="Folder, to write and to go on from.")],
    pronunciations: Annotated[
        Path | None, typer.Option(help="Of all words; without it the row of phones is left out.")
    ] = None,
    minutes: Annotated[float, typer.Option(help="Of processor time, for each system.")] = 15.0,
    longest: Annotated[float, typer.Option(help="Seconds; longer utterances are left out.")] = 10.0,
    batch_seconds: Annotated[float, typer.Option(help="In a batch of this package's loop.")] = 24.0,
    only: Annotated[list[str] | None, typer.Option(help="Rows; all if none.")] = None,
    picture: Annotated[Path | None, typer.Option(help="PNG of the curves.")] = None,
) -> None:
    """Train, measure, and print the table."""
    if unknown := set(only or ()) - set(LADDER):
        raise ConfigurationError(f"no row {', '.join(sorted(unknown))}; {', '.join(LADDER)} are")
    lexicon = read_pronunciations(pronunciations) if pronunciations else None
    heard, kept_back = (
        [utterance for utterance in read_manifest(path) if utterance.duration <= longest]
        for path in (train, dev)
    )
    budget = Budget(heard, kept_back, minutes, batch_seconds, lexicon)
    settings = {"minutes": minutes, "longest": longest, "batch_seconds": batch_seconds}
    waveforms: Waveforms | None = None
    rows = []
    for name, rung in LADDER.items():
        if name not in (only or LADDER) or (rung.over_phones and lexicon is None):
            continue
        file = results / f"{name}.json"
        if not file.exists():
            waveforms = waveforms or Waveforms(budget)
            row = {"machine": machine(), "settings": settings, **climb(rung, budget, waveforms)}
            write_atomically(file, json.dumps(row, indent=1).encode())
        rows.append(json.loads(file.read_text()))
        if rows[-1]["settings"] != settings:
            raise ConfigurationError(f"{file}: made with other options; give another folder")
    print(
        f"{rows[0]['machine']}, one of them; {minutes:g} minutes of it for each; {len(budget.dev)}"
    )
    print(f"utterances to measure on, {len(budget.train)} to learn from\n\n{table(rows)}")
    if picture:
        draw(rows, picture)


if __name__ == "__main__":
    try:
        typer.run(main)
    except PlainspeechError as error:
        sys.exit(f"error: {error}")
