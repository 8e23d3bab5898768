"""``plainspeech transcribe-many``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TextIO

import typer
from rich.console import Console

from plainspeech.cli.interruption import Interrupted
from plainspeech.cli.options import (
    DecoderOption,
    FrequencyWarpsOption,
    HotWordOption,
    HotWordsOption,
    LanguageModelOption,
    ModelOption,
    NumbersOption,
    PrecisionOption,
    parse_warps,
    read_hot_words,
    wants_digits,
)
from plainspeech.cli.terminal import ProgressLines, silent_libraries, stderr
from plainspeech.errors import ConfigurationError, counted, nearest

if TYPE_CHECKING:
    from plainspeech.bulk.job import Engine, Progress
    from plainspeech.bulk.transcription import Settings

_ENGINES = ("local", "ray")


def transcribe_many(
    source: Annotated[
        str,
        typer.Argument(
            metavar="MANIFEST|FOLDER|URL",
            help="A manifest, of which 'audio' and 'id' are used; or a folder of recordings, whose "
            "paths in it are their ids; or the URL of either: s3://bucket/folder.",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="Folder for the rows, as Parquet and JSON lines. The same command again resumes.",
        ),
    ],
    engine: Annotated[
        Literal["local", "ray"],
        typer.Option(
            parser=str,
            metavar="NAME",
            help="local: processes on this machine; ray: Ray Data, on the cluster of RAY_ADDRESS.",
        ),
    ] = "local",
    workers: Annotated[
        int | None,
        typer.Option(help="Processes; by default one per core.", min=1, show_default=False),
    ] = None,
    model: ModelOption = None,
    decoder: DecoderOption = None,
    language_model: LanguageModelOption = None,
    precision: PrecisionOption = None,
    frequency_warps: FrequencyWarpsOption = None,
    hot_word: HotWordOption = None,
    hot_words: HotWordsOption = None,
    channels: Annotated[
        str, typer.Option(metavar="NAME", help="mixed or separate, as for transcribe.")
    ] = "mixed",
    numbers: NumbersOption = "words",
) -> None:
    """Transcribe a manifest, folder or object store with many processes, resumably.

    Each recording has one row in the output, or one in its failed.jsonl with the reason.
    """
    from plainspeech.audio.channels import validated_channels
    from plainspeech.bulk.tables import check_installed
    from plainspeech.bulk.transcription import Settings
    from plainspeech.runtime.bundle import named_model

    if engine not in _ENGINES:
        raise ConfigurationError(f"--engine: unknown {engine!r}; {nearest(engine, _ENGINES)}")
    check_installed()
    settings = Settings(
        named_model(model),
        decoder,
        language_model,
        precision,
        parse_warps(frequency_warps),
        read_hot_words(hot_word or [], hot_words, model),
        validated_channels(channels),
        "digits" if wants_digits(numbers) else "words",
    )
    with silent_libraries() as terminal:
        _run(source, output, settings, _engine(engine, workers, settings), terminal)


def _engine(name: str, workers: int | None, settings: Settings) -> Engine:
    from plainspeech.bulk.transcription import Transcriber

    make = partial(Transcriber, settings)
    if name == "ray":
        from plainspeech.bulk.ray_engine import RayEngine

        return RayEngine(make, workers)
    from plainspeech.bulk.local import LocalEngine
    from plainspeech.cores import available_cores

    return LocalEngine(make, workers or available_cores())


def _run(source: str, folder: Path, settings: Settings, engine: Engine, terminal: TextIO) -> None:
    """Transcribe what is left of ``source``, with progress, and say what there is in the end.

    Raises:
        typer.Exit: something failed.
        Interrupted: the user interrupts.
    """
    from plainspeech import __version__
    from plainspeech.bulk.items import find_items
    from plainspeech.bulk.job import remaining, transcribe_items
    from plainspeech.bulk.output import opened

    found = find_items(source)
    console = stderr()
    if found.skipped:
        files = counted(found.skipped, "file")
        console.print(f"{source}: skipped {files} without the extension of a recording")
    for problem in found.problems:
        console.print(f"error: {problem}")
    identity = {"plainspeech": __version__, **settings.identity()}
    with opened(folder, identity) as output:
        left = remaining(found.items, output.done)
        if len(left) < len(found.items):
            kept = len(found.items) - len(left)
            console.print(f"{folder}: {kept} of {len(found.items)} rows exist already")
        try:
            with _reports(Console(file=terminal), len(left)) as report:
                progress = transcribe_items(left, engine, output, report)
        except KeyboardInterrupt:
            raise Interrupted("interrupted; the same command resumes") from None
    for line in _summary(progress, folder):
        console.print(line)
    if progress.failed or found.problems:
        raise typer.Exit(1)


@contextmanager
def _reports(console: Console, items: int) -> Iterator[Callable[[Progress], object]]:
    """Yield a function that shows progress: a bar on a terminal, else a line now and then."""
    if not console.is_terminal:
        lines = ProgressLines(stderr())
        yield lambda progress: lines.update(
            lambda: f"{progress.done} of {progress.items}, {_state(progress)}"
        )
        return
    from rich import progress as rich_progress

    columns = (
        rich_progress.BarColumn(),
        rich_progress.MofNCompleteColumn(),
        rich_progress.TextColumn("{task.description}"),
    )
    with rich_progress.Progress(*columns, console=console, transient=True) as bars:
        task = bars.add_task("", total=items)
        yield lambda progress: bars.update(
            task, completed=progress.done, description=_state(progress)
        )


def _state(progress: Progress) -> str:
    left = progress.remaining_seconds
    return ", ".join(
        [
            f"{_clock(progress.audio_seconds)} of audio",
            f"{progress.speed:.0f} h an hour",
            *([] if left is None else [f"{_clock(left)} left"]),
            *([f"{progress.failed} failed"] if progress.failed else []),
        ]
    )


def _summary(progress: Progress, folder: Path) -> Iterator[str]:
    """Yield what was done and what it cost, if anything was."""
    if progress.items:
        done = progress.done - progress.failed
        heard = _clock(progress.audio_seconds)
        yield (
            f"{folder}: {done} of {progress.items} transcribed, {heard} of audio in "
            f"{_clock(progress.seconds)}: {progress.speed:.0f} h an hour"
        )
        used, hours = progress.processor_seconds, progress.audio_seconds / 3600
        cost = f", {used / hours:.0f} s for an hour of audio" if hours else ""
        yield f"processor time: {_clock(used)}{cost}"
    if progress.failed:
        yield (
            f"{progress.failed} failed: {folder / 'failed.jsonl'} says why; the same command tries "
            f"them again"
        )


def _clock(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
