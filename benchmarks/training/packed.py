"""How fast packed data is read and decoded, and whether memory stays flat.

Packs a manifest as FLAC and as Opus, and reads each for some epochs as training does, with threads
that decode and one that reads ahead, in a process of its own; beside them the files of the
manifest, uncached. Processor time is of all threads. Memory is the most that was resident up to the
end of each epoch: it is flat if it does not grow.

    python -m benchmarks.training.packed MANIFEST
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.processes import machine
from plainspeech.alphabet import ENGLISH
from plainspeech.data.loading import Loader, WaveformSource
from plainspeech.data.manifest import read_manifest
from plainspeech.data.packed import FORMATS, PackedLoader, pack, read_packed
from plainspeech.errors import PlainspeechError

BATCH_SECONDS = 300.0


def loader(place: str, threads: int, window: int) -> Loader | PackedLoader:
    """Return the loader of a manifest or of packed data."""
    if place.endswith(".jsonl"):
        return Loader(read_manifest(Path(place)), WaveformSource(16_000, 0), ENGLISH, threads)
    found = read_packed(place)
    return PackedLoader(found.utterances, found.archives, 16_000, ENGLISH, threads, window)


def epochs(place: str, threads: int, window: int, count: int) -> Iterator[tuple[float, ...]]:
    """Yield hours of audio, seconds, seconds of processor time and peak bytes of each epoch."""
    source = loader(place, threads, window)
    hours = sum(utterance.duration for utterance in source.utterances) / 3600
    for epoch in range(count):
        plan = [parts[0] for parts in source.steps(BATCH_SECONDS, 1, seed=1, epoch=epoch)]
        wall, processor = time.perf_counter(), time.process_time()
        for _ in source.batches(plan):
            pass
        spent = time.perf_counter() - wall, time.process_time() - processor
        unit = 1 if sys.platform == "darwin" else 1024
        yield hours, *spent, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def row(name: str, place: str, threads: int, window: int, count: int) -> None:
    """Print a line of the table."""
    found = list(epochs(place, threads, window, count))
    hours, wall, processor = (sum(column) for column in list(zip(*found, strict=True))[:3])
    memory = ", ".join(f"{epoch[3] / 2**20:.0f}" for epoch in found)
    size = 0.0
    if not place.endswith(".jsonl") and "://" not in place:
        size = sum(path.stat().st_size for path in Path(place).iterdir()) / (hours / count) / 1e6
    print(
        f"| {name} | {f'{size:.1f}' if size else ''} | {hours / wall * 3600:.0f} "
        f"| {hours / processor * 3600:.0f} | {memory} |",
        flush=True,
    )


def main(
    manifest: Annotated[Path, typer.Argument(help="What to pack.")],
    threads: Annotated[int, typer.Option(help="That decode.")] = 1,
    window: Annotated[int, typer.Option(help="Shards that are mixed.")] = 4,
    count: Annotated[int, typer.Option("--epochs", help="To read.")] = 3,
    shard_size: Annotated[int, typer.Option(help="Recordings in a shard.")] = 250,
) -> None:
    """Measure and print a table."""
    print(
        f"{manifest.name}, {count} epochs, {threads} threads, windows of {window} shards of "
        f"{shard_size}; {machine()}\n\n"
        "| data | MB an hour | hours of audio an hour | an hour of processor time "
        "| peak MiB after each epoch |\n|---|--:|--:|--:|---|",
        flush=True,
    )
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        places = {"files": str(manifest)}
        for form in FORMATS:
            places[f"packed, {form}"] = f"{folder}/{form}"
            pack(read_manifest(manifest), f"{folder}/{form}", form, shard_size)
        for name, place in places.items():
            child = context.Process(target=row, args=(name, place, threads, window, count))
            child.start()
            child.join()


if __name__ == "__main__":
    try:
        typer.run(main)
    except PlainspeechError as error:
        sys.exit(f"error: {error}")
