"""A tiny run in several processes.

As a program, ``torchrun ranks.py ARGUMENTS...``, it is the command line with the preset ``tiny``.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import tiny
import torch
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from plainspeech import cli
from plainspeech.data.loading import WaveformSource
from plainspeech.data.manifest import Utterance
from plainspeech.errors import AudioError
from plainspeech.model.presets import PRESETS
from plainspeech.training.loop import StepReport, Trainer, TrainingStopped
from plainspeech.training.processes import join
from plainspeech.training.recipe import read_recipe
from plainspeech.training.session import prepare_run

_CONTEXT = get_context("forkserver")
# What takes seconds to import, once; not this module, for the server does not search this folder.
_CONTEXT.set_forkserver_preload(
    [*(f"plainspeech.training.{name}" for name in ("session", "curves", "export")), "torch._dynamo"]
)


def start(count: int, target: Callable[..., None], *arguments: Any) -> list[int | None]:
    """Run ``target(*arguments)`` in ``count`` processes that find each other; return exit codes."""
    store = TCPStore("127.0.0.1", 0, is_master=True)  # which torchrun keeps in its own process
    processes = [
        _CONTEXT.Process(
            target=_begin, args=(rank, count, store.port, target, arguments), daemon=True
        )
        for rank in range(count)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    return [process.exitcode for process in processes]


def _begin(
    rank: int, count: int, port: int, target: Callable[..., None], arguments: tuple[Any, ...]
) -> None:
    os.environ.update(
        RANK=str(rank),
        WORLD_SIZE=str(count),
        LOCAL_RANK=str(rank),
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(port),
        TORCHELASTIC_USE_AGENT_STORE="True",
    )
    torch.set_num_threads(1)
    target(*arguments)


def train(recipe: Path, folder: Path, stop_at: int | None = None) -> None:
    """Train, or resume, and write what each step and epoch reported to a file of this process.

    Args:
        recipe: of the run.
        folder: of the run.
        stop_at: the step after which the last process is asked to stop.
    """
    PRESETS.update(tiny.LISTED)
    processes = join()
    trainer, _ = prepare_run(read_recipe(recipe), folder, torch.device("cpu"), processes)
    folder.mkdir(exist_ok=True)
    trainer.resume()
    losses: dict[int, float] = {}
    rows: list[dict[str, float]] = []

    def on_step(report: StepReport) -> None:
        losses[report.progress.step] = report.loss
        if report.progress.step == stop_at and processes.rank == processes.count - 1:
            trainer.stop()

    with contextlib.suppress(TrainingStopped):
        trainer.fit(on_step, rows.append)
    told = {"losses": losses, "rows": rows}
    (folder.parent / f"{folder.name}.{processes.rank}.json").write_text(json.dumps(told))


def command(arguments: list[str], errors: Path, spoiled: str = "") -> None:
    """Be ``plainspeech`` with ``arguments``; what it writes to stderr goes to ``errors``.

    Args:
        arguments: of the command line.
        errors: a file that all processes append to.
        spoiled: id of an utterance whose recording the process that reads it cannot.
    """
    PRESETS.update(tiny.LISTED)
    sys.argv = ["plainspeech", *arguments]
    if spoiled:
        WaveformSource._read = _cannot_read(spoiled)  # type: ignore[assignment, method-assign]
    with errors.open("a", buffering=1) as file:
        sys.stderr = file
        cli.main()


def _cannot_read(spoiled: str) -> Callable[[WaveformSource, Utterance], Any]:
    read = WaveformSource._read

    def reading(source: WaveformSource, utterance: Utterance) -> Any:
        if utterance.id == spoiled:
            raise AudioError(f"{utterance.id}: damaged")
        return read(source, utterance)

    return reading


if __name__ == "__main__":
    PRESETS.update(tiny.LISTED)
    if victim := os.environ.get("KILLED_RANK"):
        take_step = Trainer.step

        def killed(trainer: Trainer, *arguments: Any) -> Any:
            if trainer.state.progress.step == 3 and os.environ["RANK"] == victim:
                os.kill(os.getpid(), signal.SIGKILL)
            return take_step(trainer, *arguments)

        Trainer.step = killed  # type: ignore[assignment, method-assign]
    cli.main()
