"""``plainspeech data``: corpora and manifests."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track

from plainspeech.errors import PlainspeechError

app = typer.Typer(help="Download, prepare and check corpora.", no_args_is_help=True)
_stderr = Console(stderr=True, soft_wrap=True, highlight=False)


@app.command()
def prepare(
    sources: Annotated[
        list[Path],
        typer.Argument(
            help="Folders of LibriSpeech's layout, or JSONL manifests.", metavar="SOURCE..."
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The manifest to write.")],
    skip_faulty: Annotated[
        bool, typer.Option("--skip-faulty", help="Leave out what cannot be used, and go on.")
    ] = False,
) -> None:
    """Write a manifest of recordings, with durations and normalised transcripts."""
    from plainspeech.data.manifest import write_manifest
    from plainspeech.data.prepare import prepare as find

    utterances, problems = find(
        sources,
        track=lambda items, total: track(
            items, "Reading headers", total=total, console=_stderr, transient=True
        ),
    )
    for problem in problems:
        _stderr.print(f"error: {problem}", markup=False)
    if problems and not skip_faulty:
        raise PlainspeechError(
            f"{output}: not written: {len(problems)} faults (above); mend them, or leave those "
            f"utterances out with --skip-faulty"
        )
    if not utterances:
        raise PlainspeechError(f"{output}: not written: no utterance is left")
    write_manifest(output, utterances)
    hours = sum(utterance.duration for utterance in utterances) / 3600
    _stderr.print(f"{output}: {len(utterances)} utterances, {hours:.2f} h")
