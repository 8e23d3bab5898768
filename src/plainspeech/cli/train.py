"""``plainspeech train`` and ``plainspeech export``."""

from __future__ import annotations

import json
import shlex
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

from plainspeech.cli.interruption import Interrupted
from plainspeech.cli.output_files import make_folder, write_text
from plainspeech.cli.terminal import ProgressLines, needs, progress, stderr
from plainspeech.errors import ConfigurationError

if TYPE_CHECKING:
    import torch
    from rich.console import Console

    from plainspeech.training.loop import StepReport, Trainer
    from plainspeech.training.processes import Processes
    from plainspeech.training.recipe import Recipe

Output = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", help="Folder of the run; by default runs/NAME, by the name in the recipe."
    ),
]


def train(
    recipe: Annotated[Path, typer.Argument(help="A recipe, such as recipes/mini.toml.")],
    output: Output = None,
    device: Annotated[
        str, typer.Option(help="Device to train on: auto, cpu, cuda, cuda:1, ...")
    ] = "auto",
) -> None:
    """Train a model, or resume a run that was stopped.

    On several processors or GPUs: `torchrun --nproc-per-node 8 -m plainspeech train RECIPE`.
    """
    with needs("train"):
        from plainspeech.training.device import choose_device
    from plainspeech.training.processes import join
    from plainspeech.training.recipe import read_recipe

    processes = join()
    with processes.one_voice():
        settings = read_recipe(recipe)
        own_device = processes.own_device(choose_device(device))
        _train(settings, output or Path("runs") / settings.name, own_device, processes)


def _train(recipe: Recipe, folder: Path, device: torch.device, processes: Processes) -> None:
    from plainspeech.training.export import export_bundle
    from plainspeech.training.loop import BEST
    from plainspeech.training.session import prepare_run

    console = stderr(quiet=not processes.leads)
    trainer, left_out = prepare_run(recipe, folder, device, processes)
    for line in left_out:
        console.print(line, style="yellow")
    with alone_in(folder) if processes.leads else nullcontext():
        if trainer.resume():
            console.print(f"resuming {folder} after {trainer.state.progress.step} steps")

        def kept() -> str:
            epoch = trainer.state.progress.epoch + 1
            return f"stopped and saved in epoch {epoch}; the same command resumes from there"

        with stopped_by_signals(trainer, kept):
            fit(trainer, console)
        if processes.leads:
            bundle = folder / "bundle"
            export_bundle(folder / BEST, bundle, pronunciations=recipe.data.pronunciations)
            console.print(f"the model is in {bundle}; its curves are in {folder / 'curves.png'}")
            tune = shlex.join(["plainspeech", "tune", str(bundle), str(recipe.data.dev)])
            console.print(
                f"it has no language model yet: {tune} --language-model SCORER gives it one "
                f"('bundled' is the English model's)"
            )


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Make the folder of a run, where nobody else may train in the block.

    Raises:
        ConfigurationError: somebody does, or it cannot be written to.
    """
    from plainspeech.files import exclusive

    make_folder(folder)
    with exclusive(folder) as alone:
        if not alone:
            raise ConfigurationError(
                f"{folder}: another process trains there; wait for it, or give another --output"
            )
        yield


class Stoppable(Protocol):
    """What trains, and raises `plainspeech.training.loop.TrainingStopped` after `stop`."""

    def stop(self) -> None:
        """Ask it to stop after the step under way."""


@contextmanager
def stopped_by_signals(trainer: Stoppable, kept: Callable[[], str]) -> Iterator[None]:
    """Stop ``trainer`` after its step on Ctrl-C or SIGTERM; a second one ends it at once.

    Args:
        trainer: that trains in the block.
        kept: returns what the user is told when it has stopped.

    Raises:
        Interrupted: it has.
    """
    from plainspeech.training.loop import TrainingStopped

    signalled = int(signal.SIGINT)
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal signalled
        signalled = number
        restore()
        trainer.stop()

    for number in before:
        signal.signal(number, stop)
    try:
        yield
    except TrainingStopped:
        raise Interrupted(kept(), signalled) from None
    finally:
        restore()


def fit(trainer: Trainer, console: Console) -> None:
    """Train, with a progress bar on a terminal and a line a minute elsewhere.

    Of several processes, the one that leads shows it, and keeps history and curves.
    """
    if trainer.processes.leads:
        _fit_in_view(trainer, console)
    else:
        trainer.fit(lambda report: None, lambda row: None)


def _fit_in_view(trainer: Trainer, console: Console) -> None:
    from plainspeech.training.curves import Curves

    fields = (
        "loss {task.fields[loss]:.3f}  rate {task.fields[rate]:.2e}  "
        "{task.fields[speed]:.0f} x real time"
    )
    state = trainer.state
    curves = Curves(trainer.folder, state.progress.step, state.progress.history)
    _write_history(trainer)
    with progress(console, fields, transient=False) as bars, curves:
        bar = bars.add_task("", total=None, loss=0.0, rate=0.0, speed=0.0)
        speed, lines = _Speed(), ProgressLines(console)

        def on_step(report: StepReport) -> None:
            curves.step(report)
            lines.update(
                lambda: (
                    f"epoch {report.progress.epoch + 1:>3}  "
                    f"batch {report.progress.batch} of {report.batches}  loss {report.loss:.3f}"
                )
            )
            bars.update(
                bar,
                description=f"epoch {report.progress.epoch + 1}",
                completed=report.progress.batch,
                total=report.batches,
                loss=report.loss,
                rate=report.learning_rate,
                speed=speed.update(report),
            )

        def on_epoch(row: dict[str, float]) -> None:
            curves.epoch(state.progress.history)
            _write_history(trainer)
            console.print(
                f"epoch {row['epoch']:>3}  train loss {row['train_loss']:.3f}  "
                f"WER {row['train_wer']:.2%}  CER {row['train_cer']:.2%}  "
                f"dev WER {row['dev_wer']:.2%}  CER {row['dev_cer']:.2%}  "
                f"{row['seconds'] / 60:.1f} min"
            )
            for pair in trainer.examples:
                console.print(f"  actual     {pair.reference}")
                console.print(f"  predicted  {pair.hypothesis}")
            bars.reset(bar)

        trainer.fit(on_step, on_epoch)


def _write_history(trainer: Trainer) -> None:
    lines = "".join(f"{json.dumps(row)}\n" for row in trainer.state.progress.history)
    write_text(trainer.folder / "history.jsonl", lines)


class _Speed:
    """Seconds of audio trained on in a second, smoothed over about twenty steps."""

    def __init__(self) -> None:
        self._at: float | None = None
        self._speed = 0.0

    def update(self, report: StepReport) -> float:
        now = report.progress.seconds
        if self._at is not None and now > self._at:
            latest = report.seconds_of_audio / (now - self._at)
            self._speed = latest if not self._speed else 0.95 * self._speed + 0.05 * latest
        self._at = now
        return self._speed


def export(
    checkpoint: Annotated[Path, typer.Argument(help="best.safetensors of a run.")],
    bundle: Annotated[Path, typer.Argument(help="Folder to write the model bundle to.")],
    streaming: Annotated[
        Path | None,
        typer.Option(
            metavar="CHECKPOINT",
            help="best.safetensors of a run of the streaming preset that started from these "
            "weights, for the streaming network; by default the weights are the same.",
            show_default=False,
        ),
    ] = None,
    pronunciations: Annotated[
        Path | None,
        typer.Option(
            metavar="LEXICON",
            help="Of a checkpoint that learned phones: how all words sound that are to be found, "
            "in the format of the CMU Pronouncing Dictionary; without it letters alone are "
            "searched.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Export a checkpoint to a model bundle, which transcribes without torch."""
    with needs("train"):
        from plainspeech.training.export import export_bundle
    export_bundle(checkpoint, bundle, streaming, pronunciations)
