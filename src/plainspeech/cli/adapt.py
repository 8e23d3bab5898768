"""``plainspeech adapt``."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from plainspeech.cli.interruption import Interrupted
from plainspeech.cli.terminal import needs, stderr, track
from plainspeech.errors import ModelError

if TYPE_CHECKING:
    import torch
    from rich.console import Console

    from plainspeech.alphabet import Alphabet
    from plainspeech.data.manifest import Utterance
    from plainspeech.evaluation.error_rates import Interval, Scores
    from plainspeech.training.adaptation import Adapted
    from plainspeech.training.recipe import Recipe


def adapt(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="RECORDINGS",
            help="A folder of recordings with their texts (name.wav and name.txt, or LibriSpeech's "
            "layout), or a manifest.",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The model to write, a folder.")],
    model: Annotated[
        Path | None,
        typer.Option(
            help="Model bundle to start from; the English model by default.", show_default=False
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")] = "auto",
) -> None:
    """Adapt a model to recordings of your own, with no recipe.

    A fifth of the recordings is kept for measuring. The adapted model is written if it is no worse
    on them than the model that it started from, whose scorer and settings it keeps. Ctrl+C stops,
    and the same command resumes.
    """
    with needs("train"):
        from plainspeech.training import adaptation
    from plainspeech.artifact.writing import check_folder_writable
    from plainspeech.cli.train import alone_in
    from plainspeech.runtime.bundle import BUNDLE, Bundle, named_model
    from plainspeech.training.device import choose_device

    console = stderr()
    computing = choose_device(device)
    check_folder_writable(output, BUNDLE)
    start = named_model(model)
    alphabet = Bundle.load(start).alphabet
    train, dev = adaptation.split(_utterances(source, alphabet, console))
    seconds = sum(utterance.duration for utterance in train)
    folder = output.with_name(f"{output.name}.adapting")
    recipe = adaptation.adaptation_recipe(output.name, start, folder, seconds)
    with alone_in(folder):
        adaptation.write_split(folder, train, dev, start)
        console.print(
            f"adapting to {len(train)} recordings, {seconds / 60:.1f} min; measuring on {len(dev)} "
            f"others"
        )
        adapted = _adapted(recipe, folder, computing, dev, console)
        _report(adapted, console)
        _write(adapted, output, folder)
    console.print(f"the model is in {output}")


def _adapted(
    recipe: Recipe,
    folder: Path,
    computing: torch.device,
    dev: Sequence[Utterance],
    console: Console,
) -> Adapted:
    """Train in ``folder``, or go on there, and choose what is kept."""
    from plainspeech.cli.train import fit, stopped_by_signals
    from plainspeech.training import adaptation
    from plainspeech.training.session import prepare_run

    trainer, left_out = prepare_run(recipe, folder, computing)
    for line in left_out:
        console.print(line, style="yellow")
    if trainer.resume():
        console.print(f"resuming after epoch {trainer.state.progress.epoch}")
    kept = f"stopped; what was learned is kept in {folder}, and the same command resumes from there"
    try:
        with stopped_by_signals(trainer, lambda: kept):
            fit(trainer, console)
        console.print("choosing between the start and what was learned, and measuring ...")
        return adaptation.finish(trainer, dev)
    except KeyboardInterrupt:
        raise Interrupted(kept) from None


def _write(adapted: Adapted, output: Path, folder: Path) -> None:
    """Write the model, and remove the ``folder`` that it was trained in."""
    try:
        adapted.write(output)
    except ModelError as error:
        if not adapted.is_worse:  # a full disk, say
            raise ModelError(
                f"{error}; what was learned is kept in {folder}, and the same command goes on "
                f"from there"
            ) from error
        _remove(folder)
        raise
    _remove(folder)


def _remove(folder: Path) -> None:
    from plainspeech.training.loop import CHECKPOINT

    # First: what a kill leaves of the folder must not look like a run that can resume.
    (folder / CHECKPOINT).unlink()
    shutil.rmtree(folder)


def _utterances(source: Path, alphabet: Alphabet, console: Console) -> list[Utterance]:
    """Return the recordings in ``source`` that can be learned from, and tell of the others."""
    from plainspeech.data.prepare import prepare_utterances
    from plainspeech.training.adaptation import LONGEST

    found, problems = prepare_utterances([source], alphabet, track=track)
    problems += [
        f"{u.origin}: {u.id}: {u.duration:.0f} s are more than {LONGEST:.0f}: cut it"
        for u in found
        if u.duration > LONGEST
    ]
    for problem in problems:
        console.print(f"left out: {problem}", style="yellow")
    return [utterance for utterance in found if utterance.duration <= LONGEST]


def _report(adapted: Adapted, console: Console) -> None:
    before, after, difference = adapted.intervals
    words = adapted.before.totals.words.reference_length
    console.print(
        f"on the {len(adapted.before.pairs)} recordings kept for measuring, {words} words:"
    )
    console.print(f"  before: {_rate(adapted.before, before)}")
    console.print(f"  after:  {_rate(adapted.after, after)}")
    points = 100 * (adapted.after.totals.words.rate - adapted.before.totals.words.rate)
    console.print(
        f"  difference: {points:+.2f} points, 95 % from {100 * difference.low:+.2f} to "
        f"{100 * difference.high:+.2f}"
    )


def _rate(scores: Scores, interval: Interval) -> str:
    return (
        f"WER {scores.totals.words.rate:.2%}, 95 % from {interval.low:.2%} to {interval.high:.2%}"
    )
