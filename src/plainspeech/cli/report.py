"""``plainspeech report``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from plainspeech.cli.output_files import check_writable, write_text
from plainspeech.cli.terminal import needs, stderr
from plainspeech.errors import DataError, PlainspeechError

if TYPE_CHECKING:
    from plainspeech.report.systems import System
    from plainspeech.runtime.recognizer import Recognizer


def report(
    results: Annotated[
        list[Path],
        typer.Argument(
            help="Files that `evaluate --json` wrote; the first is compared with the others.",
            metavar="RESULTS...",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The page to write.")],
    run: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="RUN",
            help="Folder of a training run, or its history.jsonl, whose curves are shown. Can be "
            "repeated.",
            show_default=False,
        ),
    ] = None,
    title: Annotated[str, typer.Option(help="Of the page.")] = "Recognition report",
    examples: Annotated[
        int,
        typer.Option(min=0, max=50, help="Utterances shown: the worst, the median, and random."),
    ] = 4,
    audio: Annotated[
        bool, typer.Option("--audio/--no-audio", help="Include their recordings, as MP3.")
    ] = True,
    figures: Annotated[
        bool, typer.Option("--figures/--no-figures", help="Draw their figures.")
    ] = True,
) -> None:
    """Make a page of evaluations: errors, comparisons, figures and recordings in one file."""
    with needs("report"):
        from plainspeech.report.breakdowns import chosen
        from plainspeech.report.page import Run, media, render_page
        from plainspeech.report.systems import read_all
    from plainspeech.figures.training_curves import read_epochs
    from plainspeech.files import shown

    check_writable(output)
    systems = read_all(results)
    if any(not system.results for system in systems):
        raise DataError("results: there is no utterance in them")
    runs = [Run(path.name, read_epochs(path)) for path in run or ()]
    found = []
    for system in systems:
        places = [place for group in chosen(system, examples).values() for place in group]
        recognizer = _recognizer(system) if figures and places else None
        found.append(media(system, places, recognizer, audio))
    page = shown(render_page(systems, found, runs, title, examples))  # names of manifests in it
    write_text(output, page)
    typer.echo(f"{output}: {len(page.encode()) / 1e6:.2f} MB")


def _recognizer(system: System) -> Recognizer | None:
    """Return the model of ``system`` as it was run; None where it is not here any more."""
    from plainspeech.runtime.bundle import named_model
    from plainspeech.runtime.recognizer import load_model

    if not system.options:
        stderr().print(f"no figures: {system.label} was evaluated by an older plainspeech")
        return None
    try:
        return load_model(named_model(Path(system.model)), **system.options)
    except PlainspeechError as error:
        stderr().print(f"no figures: {error}")
        return None
