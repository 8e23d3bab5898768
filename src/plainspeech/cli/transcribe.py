"""``plainspeech transcribe``."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from plainspeech.cli.options import DecoderOption, LanguageModelOption
from plainspeech.errors import PlainspeechError


def transcribe(
    files: Annotated[
        list[str],
        typer.Argument(
            help="Recordings: WAV, FLAC, MP3, Ogg, any rate and channels; - is standard input.",
            metavar="FILE...",
            show_default=False,
        ),
    ],
    model: Annotated[
        Path | None,
        typer.Option(help="Model bundle, folder or zip; the English model by default."),
    ] = None,
    decoder: DecoderOption = None,
    language_model: LanguageModelOption = None,
) -> None:
    """Print what is said in recordings, one line each; after its name where there are several."""
    from plainspeech import audio
    from plainspeech.runtime.recognizer import load_model

    recognizer = load_model(model, None, decoder, language_model)
    failed = False
    for file in files:
        try:
            with _silent_libraries():
                waveform = audio.read(_source(file), recognizer.bundle.features.sample_rate)
        except PlainspeechError as error:
            typer.echo(f"error: {error}", err=True)
            failed = True
            continue
        text = recognizer.transcribe_waveforms([waveform])[0].text
        typer.echo(text if len(files) == 1 else f"{typer.format_filename(file)}: {text}")
    if failed:
        raise typer.Exit(1)


def _source(file: str) -> str | BinaryIO:
    return sys.stdin.buffer if file == "-" else file


@contextmanager
def _silent_libraries() -> Iterator[None]:
    """Keep C libraries off stderr: libmpg123 remarks on damaged files, which are one line each."""
    sys.stderr.flush()
    saved = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
