"""What each corpus is worth: one recipe, as long with it as without it.

The recipe's model is trained on some manifests (``--base``), then on these and one more at a time,
and on all, each time for the same hours of audio: what a corpus adds, it takes from the others. Its
search is tuned on dev, and it is measured there and on speech of another kind, which selects and
tunes nothing. ``--again`` trains the base with another seed, too, for what chance alone does.

Each row is kept in the folder of results when it is done; the same command goes on after it, and a
training that was killed goes on from its last checkpoint.

    OMP_NUM_THREADS=1 python -m benchmarks.training.corpora recipe.toml results --base base.jsonl \
        --corpus common_voice.jsonl --corpus an4.jsonl --dev dev-clean.jsonl \
        --other common_voice_dev.jsonl --scorer scorer --pronunciations lexicon.txt \
        --initial best.safetensors
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, count
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from rich.progress import Progress

from benchmarks.processes import machine
from plainspeech.data.manifest import Utterance, read_manifest, write_manifest
from plainspeech.files import write_atomically
from plainspeech.training.export import export_bundle
from plainspeech.training.loop import BEST, StepReport
from plainspeech.training.recipe import Recipe, read_recipe
from plainspeech.training.session import prepare_run

_SELECTING = 40
"""Utterances of dev that are recognised after training; its one epoch leaves nothing to select."""


@dataclass(frozen=True)
class Conditions:
    """What is the same for all rows.

    Attributes:
        recipe: but for its data, epochs and seed; with the weights that each row starts from.
        hours: of audio that each row trains on.
        dev: the manifest that the search is tuned on.
        other: another, for measuring alone.
        scorer: of the search.
        pronunciations: of its words.
        trials: of tuning.
        beam_width: of the search.
    """

    recipe: Recipe
    hours: float
    dev: Path
    other: Path
    scorer: Path
    pronunciations: Path
    trials: int
    beam_width: int


@dataclass(frozen=True)
class Row:
    """What one model is trained on.

    Attributes:
        name: of its folder.
        utterances: of all its corpora.
        seed: of its training.
    """

    name: str
    utterances: Sequence[Utterance]
    seed: int = 1


def main(
    recipe: Annotated[Path, typer.Argument(help="What and how to train.")],
    results: Annotated[Path, typer.Argument(help="Folder, to write and to go on from.")],
    base: Annotated[list[Path], typer.Option(help="A manifest that all rows learn from.")],
    corpus: Annotated[list[Path], typer.Option(help="A manifest whose worth is asked.")],
    dev: Annotated[Path, typer.Option(help="A manifest to tune the search on.")],
    other: Annotated[Path, typer.Option(help="A manifest of another kind of speech.")],
    scorer: Annotated[Path, typer.Option(help="Of the search.")],
    pronunciations: Annotated[Path, typer.Option(help="Of the scorer's words.")],
    initial: Annotated[Path | None, typer.Option(help="Weights that each row starts from.")] = None,
    hours: Annotated[float, typer.Option(help="Of audio, for each row.")] = 15.0,
    trials: Annotated[int, typer.Option(help="Of tuning.")] = 10,
    beam_width: Annotated[int, typer.Option(help="Of the search.")] = 100,
    only: Annotated[list[str] | None, typer.Option(help="Rows; all if none.")] = None,
    again: Annotated[bool, typer.Option(help="Train the base with another seed, too.")] = True,
) -> None:
    """Train, tune, measure, and print the table."""
    model = replace(read_recipe(recipe), initial=initial)
    same = Conditions(model, hours, dev, other, scorer, pronunciations, trials, beam_width)
    every = list(rows(base, corpus, again))
    for row in every:
        folder = results / row.name
        if (not only or row.name in only) and not (folder / "rates.json").exists():
            folder.mkdir(parents=True, exist_ok=True)
            rates = {**heard(row), **measured(trained(row, same, folder), same, folder)}
            write_atomically(folder / "rates.json", json.dumps(rates, indent=1).encode())
    print(machine())
    for line in table({row.name: results / row.name / "rates.json" for row in every}):
        print(line)


def rows(base: Iterable[Path], corpora: Iterable[Path], again: bool) -> Iterator[Row]:
    """Yield the rows of the table."""
    shared = list(chain.from_iterable(map(read_manifest, base)))
    more = {path.stem: read_manifest(path) for path in corpora}
    yield Row("base", shared)
    for name, utterances in more.items():
        yield Row(name, [*shared, *utterances])
    yield Row("all", [*shared, *chain.from_iterable(more.values())])
    if again:
        yield Row("base-again", shared, seed=2)


def heard(row: Row) -> dict[str, float]:
    """Return how much a row has to learn from."""
    hours = sum(utterance.duration for utterance in row.utterances) / 3600
    return {"hours": hours, "speakers": len({u.speaker for u in row.utterances})}


def rounds(utterances: Sequence[Utterance], hours: float) -> list[Utterance]:
    """Return ``hours`` of audio: all utterances as often as they fit, in random order each time."""
    draw, seconds = np.random.default_rng(1), 0.0
    taken: list[Utterance] = []
    for turn in count():
        for place in draw.permutation(len(utterances)):
            if seconds >= 3600 * hours:
                return taken
            utterance = utterances[place]
            taken.append(replace(utterance, id=f"{utterance.id}-{turn}"))
            seconds += utterance.duration
    raise AssertionError("there is no end of turns")


def trained(row: Row, same: Conditions, folder: Path) -> Path:
    """Return the bundle of a model that learned from ``row``."""
    manifest, selecting = folder / "train.jsonl", folder / "selecting.jsonl"
    write_manifest(manifest, rounds(row.utterances, same.hours))
    write_manifest(selecting, read_manifest(same.dev)[:_SELECTING])
    recipe = replace(
        same.recipe,
        name=row.name,
        seed=row.seed,
        data=replace(same.recipe.data, train=(manifest,), dev=selecting),
        optimisation=replace(same.recipe.optimisation, epochs=1),
    )
    trainer, _ = prepare_run(recipe, folder, torch.device("cpu"))
    trainer.resume()
    with Progress() as progress:
        bar = progress.add_task(row.name, total=None)

        def shown(report: StepReport) -> None:
            progress.update(bar, completed=report.progress.batch, total=report.batches)

        trainer.fit(shown, lambda epoch: None)
    bundle = folder / "exported"
    export_bundle(folder / BEST, bundle, pronunciations=same.pronunciations)
    return bundle


def measured(exported: Path, same: Conditions, folder: Path) -> dict[str, float]:
    """Tune the search of a model; return its word error rates, greedily and with the scorer."""
    tuned = folder / "tuned"
    options = [f"--beam-width={same.beam_width}", f"--trials={same.trials}", f"--output={tuned}"]
    if not tuned.exists():  # it is there whole or not at all
        run("tune", exported, same.dev, f"--language-model={same.scorer}", *options)
    rates = {}
    for name, manifest in (("dev", same.dev), ("other", same.other)):
        for decoder in ("greedy", "beam"):
            report = folder / f"{name}-{decoder}.json"
            run("evaluate", tuned, manifest, f"--decoder={decoder}", f"--json={report}")
            rates[f"{name} {decoder}"] = json.loads(report.read_text())["words"]["rate"]
    return rates


def run(*command: object) -> None:
    """Run a verb of the package."""
    arguments = map(str, command)
    subprocess.run(
        [sys.executable, "-m", "plainspeech", *arguments], check=True, stdout=subprocess.DEVNULL
    )


def table(files: Mapping[str, Path]) -> Iterator[str]:
    """Yield the lines of the table; of rows that are not done, none."""
    kinds = ["dev greedy", "dev beam", "other greedy", "other beam"]
    yield f"| learned from | hours | speakers | {' | '.join(kinds)} |"
    yield f"|---|{'--:|' * (2 + len(kinds))}"
    for name, file in files.items():
        if file.exists():
            rates = json.loads(file.read_text())
            shown = (f"{100 * rates[kind]:.1f}" for kind in kinds)
            yield f"| {name} | {rates['hours']:.1f} | {rates['speakers']} | {' | '.join(shown)} |"


if __name__ == "__main__":
    typer.run(main)
