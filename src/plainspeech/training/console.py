"""A training run on a terminal: progress bar, a line an epoch, curves."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import torch
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from plainspeech.errors import PlainspeechError
from plainspeech.files import write_atomically
from plainspeech.training.curves import Curves
from plainspeech.training.export import export_bundle
from plainspeech.training.loop import StepReport, Stopped, Trainer
from plainspeech.training.recipe import read_recipe
from plainspeech.training.session import prepare


def train_on_console(recipe_path: Path, output: Path | None, device_name: str) -> None:
    """Train as the recipe says, showing progress; save and stop on Ctrl-C.

    Raises:
        PlainspeechError: for all that is wrong with the recipe, its data or the run's folder.
    """
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    recipe = read_recipe(recipe_path)
    folder = output or Path("runs") / recipe.name
    trainer, left_out = prepare(recipe, folder, choose_device(device_name))
    for line in left_out:
        console.print(line, style="yellow", markup=False)
    _make(folder)
    resumed = trainer.resume()
    progress = trainer.state.progress
    if resumed:
        console.print(f"going on with {folder} after {progress.step} steps", markup=False)
    try:
        with _stopped_by_signals(trainer):
            _fit(trainer, console)
    except Stopped:
        raise PlainspeechError(
            f"stopped and saved in epoch {progress.epoch + 1}; the same command goes on from there"
        ) from None
    bundle = folder / "bundle"
    export_bundle(trainer.folder.best, bundle)
    console.print(
        f"the model is in {bundle}; its curves are in {folder / 'curves.png'}", markup=False
    )


def choose_device(name: str) -> torch.device:
    """Return the device called ``name``; ``"auto"`` is the first GPU if there is one."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise PlainspeechError(f"--device {name} cannot be used: {reason}") from error
    return device


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PlainspeechError(f"{folder}: cannot be a run's folder: {error.strerror}") from error


@contextmanager
def _stopped_by_signals(trainer: Trainer) -> Iterator[None]:
    """Have Ctrl-C and SIGTERM end ``trainer`` in good order; a second one ends it at once."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def stop(number: int, frame: FrameType | None) -> None:
        restore()
        trainer.stop()

    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        restore()


def _fit(trainer: Trainer, console: Console) -> None:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.3f}  rate {task.fields[rate]:.2e}"),
        TextColumn("{task.fields[speed]:.0f} x real time"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    progress = trainer.state.progress
    curves = Curves(trainer.folder.path, progress.step)
    _write_history(trainer)
    with Progress(*columns, console=console) as bars, curves:
        bar = bars.add_task("", total=None, loss=0.0, rate=0.0, speed=0.0)
        speed = _Speed()

        def on_step(report: StepReport) -> None:
            curves.step(report)
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
            curves.epoch(progress.history)
            _write_history(trainer)
            console.print(
                f"epoch {row['epoch']:>3}  train loss {row['train_loss']:.3f}  "
                f"dev WER {row['dev_wer']:.2%}  CER {row['dev_cer']:.2%}  "
                f"{row['seconds'] / 60:.1f} min"
            )
            bars.reset(bar)

        trainer.fit(on_step, on_epoch)


def _write_history(trainer: Trainer) -> None:
    lines = "".join(f"{json.dumps(row)}\n" for row in trainer.state.progress.history)
    write_atomically(trainer.folder.path / "history.jsonl", lines.encode())


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
