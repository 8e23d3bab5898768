"""``plainspeech plot``: figures of recordings, searches and runs, as PNG or SVG."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from plainspeech.cli.options import (
    DecoderOption,
    LanguageModelOption,
    ModelOption,
    PrecisionOption,
    load_recognizer,
)
from plainspeech.cli.terminal import needs
from plainspeech.errors import ConfigurationError

if TYPE_CHECKING:
    from plainspeech.figures.sheets import AnalysedRecording
    from plainspeech.runtime.recognizer import Recognizer

app = typer.Typer(help="Draw what a model hears, as PNG or SVG.", no_args_is_help=True)

RecordingArgument = Annotated[
    Path, typer.Argument(help="A recording of up to a minute.", metavar="FILE")
]
OutputOption = Annotated[
    Path, typer.Option("--output", "-o", help="The figure to write, .png or .svg.")
]
ReferenceOption = Annotated[
    str | None, typer.Option(help="What is said in it; errors are coloured then.")
]


@app.command()
def utterance(
    recording: RecordingArgument,
    output: OutputOption,
    reference: ReferenceOption = None,
    model: ModelOption = None,
    decoder: DecoderOption = None,
    language_model: LanguageModelOption = None,
    precision: PrecisionOption = None,
) -> None:
    """Draw a spectrogram with the actual and the predicted text beneath."""
    with needs("plot"):
        from plainspeech.figures.sheets import utterance_figure
    recognizer = _recognizer(output, model, decoder, language_model, precision)
    _save(utterance_figure(_analysed(recognizer, recording, reference)), output)


@app.command()
def alignment(
    recording: RecordingArgument,
    output: OutputOption,
    reference: ReferenceOption = None,
    model: ModelOption = None,
    decoder: DecoderOption = None,
    language_model: LanguageModelOption = None,
    precision: PrecisionOption = None,
) -> None:
    """Draw the network's log-probabilities over time, with the best path and the words."""
    with needs("plot"):
        from plainspeech.figures.sheets import alignment_figure
    recognizer = _recognizer(output, model, decoder, language_model, precision)
    _save(alignment_figure(_analysed(recognizer, recording, reference)), output)


@app.command()
def search(
    recording: RecordingArgument,
    output: OutputOption,
    reference: ReferenceOption = None,
    model: ModelOption = None,
    language_model: LanguageModelOption = None,
    precision: PrecisionOption = None,
) -> None:
    """Draw the beam over time, and where the language model overruled the network."""
    with needs("plot"):
        from plainspeech.figures.sheets import search_figure
    recognizer = _recognizer(output, model, "beam", language_model, precision)
    _save(search_figure(_analysed(recognizer, recording, reference), recognizer), output)


@app.command()
def training(
    run: Annotated[Path, typer.Argument(help="Folder of a run, or its history.jsonl.")],
    output: OutputOption,
) -> None:
    """Draw the training loss and the error rates on dev over the epochs."""
    with needs("plot"):
        from plainspeech.figures.style import check_path
        from plainspeech.figures.training_curves import read_epochs, training_figure
    check_path(output)
    _save(training_figure(read_epochs(run)), output)


@app.command("set")
def whole_set(
    manifest: Annotated[Path, typer.Argument(help="Manifest, as `data prepare` writes it.")],
    output: OutputOption,
    number: Annotated[int, typer.Option(min=1, max=100, help="How many utterances.")] = 20,
    model: ModelOption = None,
    decoder: DecoderOption = None,
    language_model: LanguageModelOption = None,
    precision: PrecisionOption = None,
) -> None:
    """Draw the first utterances of a manifest on one sheet."""
    with needs("plot"):
        from plainspeech.figures.sheets import contact_sheet
    from plainspeech.data.manifest import read_manifest

    utterances = read_manifest(manifest)[:number]
    recognizer = _recognizer(output, model, decoder, language_model, precision)
    analysed = [_analysed(recognizer, one.audio, one.text, one.id) for one in utterances]
    _save(contact_sheet(analysed), output)


def _recognizer(
    output: Path,
    model: Path | None,
    decoder: str | None,
    language_model: str | None,
    precision: str | None,
) -> Recognizer:
    """Load the model, after ``output`` has been found to be a figure's name."""
    from plainspeech.figures.style import check_path

    check_path(output)
    return load_recognizer(
        model, decoder=decoder, language_model=language_model, precision=precision
    )


def _analysed(
    recognizer: Recognizer, recording: Path, reference: str | None, name: str | None = None
) -> AnalysedRecording:
    from plainspeech.figures.sheets import AnalysedRecording
    from plainspeech.files import shown
    from plainspeech.runtime.analysis import analyse

    said = None if reference is None else recognizer.bundle.alphabet.normalise(reference)
    if said == "":
        where = "--reference" if name is None else f"the text of utterance {name!r}"
        raise ConfigurationError(f"{where}: has no word that the model's alphabet can write")
    return AnalysedRecording(shown(name or recording.name), analyse(recognizer, recording), said)


def _save(figure: Any, output: Path) -> None:
    from plainspeech.figures.style import save_figure

    save_figure(figure, output)
    typer.echo(f"{output}: written")
