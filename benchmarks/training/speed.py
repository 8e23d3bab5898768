"""How fast training is, beside a plain PyTorch loop over the reference design as published.

Every system trains in a process of its own, so that each has its own peak memory; the processes
take steps in turn, one at a time on all cores, so that whatever else the machine does falls on
all of them alike. What is timed is the step: forward, loss, backward, update, and ours makes its
features and augments them besides. Durations are real (``--manifest``) or drawn like
LibriSpeech's; the waveforms are noise, on whose values no time depends.

    python -m benchmarks.training.speed [--manifest MANIFEST]
"""

from __future__ import annotations

import itertools
import multiprocessing
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from rich.console import Console
from rich.progress import track

from benchmarks.processes import machine
from plainspeech.errors import PlainspeechError

if TYPE_CHECKING:
    from plainspeech.data.loading import Batch

BASELINE = "published"
# Seconds at the 0th, 10th, ... 100th percentile of Mini LibriSpeech's train-clean-5.
DECILES = (1.9, 6.3, 10.0, 12.3, 13.2, 13.9, 14.5, 14.9, 15.4, 15.8, 17.3)
CHARACTERS_PER_SECOND = 14.6
RATE = 16_000


@dataclass(frozen=True)
class Corpus:
    """Utterances, as far as speed depends on them.

    Attributes:
        source: where the durations are from.
        durations: seconds of each utterance.
        symbols: length of each transcript.
    """

    source: str
    durations: list[float]
    symbols: list[int]


@dataclass(frozen=True)
class Step:
    """One measured step.

    Attributes:
        audio: seconds of it in the batch, without padding.
        padded: seconds of it in the batch, with padding.
        seconds: that the step took.
    """

    audio: float
    padded: float
    seconds: float


@dataclass(frozen=True)
class System:
    """Something that trains.

    Attributes:
        parameters: of the model.
        method: how it trains, in a few words.
        steps: takes one step whenever it is advanced.
    """

    parameters: int
    method: str
    steps: Iterator[Step]


def drawn_corpus(utterances: int = 2000) -> Corpus:
    """Draw durations as LibriSpeech's are distributed."""
    places = np.random.default_rng(1).uniform(0, 10, utterances)
    durations = np.interp(places, range(11), DECILES).tolist()
    return Corpus(
        "drawn from the deciles of Mini LibriSpeech",
        durations,
        [int(CHARACTERS_PER_SECOND * seconds) for seconds in durations],
    )


def corpus_of(manifest: Path) -> Corpus:
    """Take durations and lengths of transcripts from a manifest."""
    from plainspeech.data.manifest import read_manifest

    utterances = read_manifest(manifest)
    # At most as many symbols as CTC can align at the slowest frame rate measured here.
    symbols = [min(len(u.text), int(25 * u.duration)) for u in utterances]
    return Corpus(f"of {manifest.name}", [u.duration for u in utterances], symbols)


def make_batch(corpus: Corpus, indices: Sequence[int]) -> Batch:
    """Return noise of the durations of the utterances at ``indices``."""
    from plainspeech.data.loading import Batch

    lengths = np.array([round(RATE * corpus.durations[i]) for i in indices], np.int64)
    symbols = np.array([corpus.symbols[i] for i in indices], np.int64)
    shape = (len(indices), int(lengths.max()))
    noise = np.random.default_rng(1).integers(-9_999, 9_999, shape, np.int16)
    # Targets without equal neighbours, which would need a frame more each.
    targets = np.tile(np.arange(symbols.max(), dtype=np.int64) % 28, (len(indices), 1))
    none = np.zeros_like(symbols)
    return Batch((), noise, lengths, targets, symbols, none[:, None][:, :0], none)


def measured_steps(
    corpus: Corpus,
    plan: Sequence[Sequence[int]],
    step: Callable[[Batch], object],
) -> Iterator[Step]:
    """Take ``step`` on batch after batch of ``plan``, over and over, and time it."""
    for indices in itertools.cycle(plan):
        batch = make_batch(corpus, indices)
        durations = [corpus.durations[index] for index in indices]
        started = time.perf_counter()
        step(batch)
        seconds = time.perf_counter() - started
        yield Step(sum(durations), max(durations) * len(durations), seconds)


def ours(name: str, corpus: Corpus) -> System:
    """Return this package's trainer of the preset ``name``, with a recipe's own settings."""
    import torch

    from plainspeech.data.loading import plan_epoch
    from plainspeech.model.presets import preset
    from plainspeech.training.loop import Share, Trainer
    from plainspeech.training.recipe import Data, Optimisation, Recipe

    data = Data(train=(), dev=Path())
    recipe = Recipe(name, name, data, Optimisation(epochs=1))
    trainer = Trainer(recipe, preset(name), (), (), Path(), {}, torch.device("cpu"))
    trainer.state.model.train()
    # Epoch 1: from the second on, batches are in random order.
    plan = plan_epoch(corpus.durations, data.batch_seconds, recipe.seed, epoch=1)
    return System(
        sum(weight.numel() for weight in trainer.state.model.parameters()),
        f"buckets of {data.batch_seconds:g} s, {'bf16' if trainer.mixed else 'fp32'}",
        measured_steps(corpus, plan, lambda batch: trainer.step(Share.whole(batch), 1e-4)),
    )


def published(corpus: Corpus, *, over_time: bool) -> System:
    """Return the plain loop: padded batches of 8 in random order, float32."""
    import torch

    from benchmarks.training.published import BATCH, BINS, HOP_MS, PlainLoop, Published

    loop = PlainLoop(Published(over_time=over_time))
    order = np.random.default_rng(1).permutation(len(corpus.durations)).tolist()
    plan = [order[i : i + BATCH] for i in range(0, len(order), BATCH)]

    def step(batch: Batch) -> None:
        frames = np.rint(batch.lengths / RATE / (HOP_MS / 1000)).astype(np.int64)
        features = torch.randn(len(frames), int(frames.max()), BINS)
        arrays = (frames, batch.targets, batch.target_lengths)
        loop.step(features, *map(torch.from_numpy, arrays))

    return System(
        sum(weight.numel() for weight in loop.model.parameters()),
        f"random {BATCH}, fp32",
        measured_steps(corpus, plan, step),
    )


SYSTEMS: dict[str, Callable[[Corpus], System]] = {
    BASELINE: lambda corpus: published(corpus, over_time=False),
    "published, GRUs 2-5 mended to recur over time": lambda c: published(c, over_time=True),
    "reference": lambda corpus: ours("reference", corpus),
    "small": lambda corpus: ours("small", corpus),
}


def serve(name: str, corpus: Corpus, connection: Connection) -> None:
    """Be the process of one system: a step for every true message, peak memory at the end."""
    system = SYSTEMS[name](corpus)
    connection.send((system.parameters, system.method))
    while connection.recv():
        connection.send(next(system.steps))
    unit = 1 if sys.platform == "darwin" else 1024
    connection.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)


class Worker:
    """A system in a process of its own."""

    def __init__(self, name: str, corpus: Corpus) -> None:
        # Spawned, not forked: peak memory must not start from this process's.
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        context.Process(target=serve, args=(name, corpus, theirs), daemon=True).start()
        theirs.close()
        self.name = name
        self.parameters, self.method = self._connection.recv()
        self.steps: list[Step] = []

    def step(self) -> Step:
        """Take one step and wait for it."""
        self._connection.send(True)
        step: Step = self._connection.recv()
        return step

    def finish(self) -> float:
        """End the process; return its peak resident memory in bytes."""
        self._connection.send(False)
        return float(self._connection.recv())


def speed(steps: Sequence[Step]) -> float:
    """Return hours of audio for each hour of training."""
    return sum(step.audio for step in steps) / sum(step.seconds for step in steps)


def row(worker: Worker, baseline: float) -> str:
    """Return the line of the table for ``worker``, whose process it ends."""
    low, middle, high = np.percentile([s.audio / s.seconds for s in worker.steps], (25, 50, 75))
    waste = 1 - sum(s.audio for s in worker.steps) / sum(s.padded for s in worker.steps)
    return (
        f"| {worker.name} | {worker.parameters / 1e6:.1f} M | {worker.method} | {waste:.0%} "
        f"| {speed(worker.steps):.1f} | {middle:.1f} ({low:.1f} to {high:.1f}) "
        f"| {speed(worker.steps) / baseline:.2f} | {worker.finish() / 2**30:.2f} GiB |"
    )


def main(
    manifest: Annotated[
        Path | None, typer.Option(help="Take durations from here, not from a distribution.")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Measured, of each system.")] = 20,
    warm_up: Annotated[int, typer.Option(min=0, help="Steps before that.")] = 2,
) -> None:
    """Measure and print a table."""
    corpus = corpus_of(manifest) if manifest else drawn_corpus()
    workers = [Worker(name, corpus) for name in SYSTEMS]
    console = Console(stderr=True)
    for turn in track(range(warm_up + steps), "Training in turn", console=console):
        for worker in workers:
            step = worker.step()
            if turn >= warm_up:
                worker.steps.append(step)
    print(
        f"{steps} steps of each in turn; {machine()}; durations "
        f"{corpus.source}, waveforms noise\n\n"
        "| system | parameters | batches | padding | hours of audio an hour "
        "| median step (quartiles) | ratio | peak memory |\n|---|--:|---|--:|--:|--:|--:|--:|"
    )
    baseline = speed(next(worker.steps for worker in workers if worker.name == BASELINE))
    for worker in workers:
        print(row(worker, baseline))


if __name__ == "__main__":
    try:
        typer.run(main)
    except PlainspeechError as error:
        sys.exit(f"error: {error}")
