"""``plainspeech data label``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from plainspeech.cli.extras import needs
from plainspeech.cli.options import DecoderOption, LanguageModelOption, ModelOption
from plainspeech.cli.terminal import stderr, track
from plainspeech.errors import DataError


def label(
    sources: Annotated[
        list[Path],
        typer.Argument(metavar="SOURCE...", help="Recordings of an utterance each, or folders."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The manifest to write.")],
    model: ModelOption = None,
    decoder: DecoderOption = None,
    language_model: LanguageModelOption = None,
    least_agreement: Annotated[
        float,
        typer.Option(min=0, max=1, help="Characters that greedy decoding must write as well."),
    ] = 0.8,
) -> None:
    """Write a manifest of recordings without transcripts, with what a model hears as their text.

    A model that is trained on it beside transcribed speech learns more voices; see
    recipes/english-small-student.toml. Recordings that the model is not sure of are left out.
    """
    with needs("evaluate"):
        from plainspeech.evaluation.pseudo_labels import find_recordings, pseudo_label
    from plainspeech.data.manifest import write_manifest
    from plainspeech.runtime.recognizer import load_model

    recordings = find_recordings(sources)
    recognizer = load_model(model, decoder=decoder, language_model=language_model)
    labels, problems = pseudo_label(recognizer, recordings, track)
    for problem in problems:
        stderr().print(f"error: {problem}", markup=False)
    kept = [found.utterance for found in labels if found.agreement >= least_agreement]
    kept = [utterance for utterance in kept if utterance.text]
    if not kept:
        raise DataError(f"{output}: not written, no label agrees so far")
    write_manifest(output, kept)
    hours = sum(utterance.duration for utterance in kept) / 3600
    stderr().print(
        f"{output}: {len(kept)} of {len(recordings)} utterances, {hours:.2f} h", markup=False
    )
