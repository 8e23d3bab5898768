"""``plainspeech model``: summaries, model cards, pronunciations and combinations of models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.markdown import Markdown
from rich.table import Table

from plainspeech.cli.options import parse_numbers
from plainspeech.cli.terminal import needs, stdout
from plainspeech.errors import ConfigurationError

app = typer.Typer(help="Show, combine and document models.", no_args_is_help=True)


@app.command()
def card(
    bundle: Annotated[
        Path | None,
        typer.Argument(help="A model bundle; the English model by default.", show_default=False),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print all that it holds, as JSON.")
    ] = False,
) -> None:
    """Print the model card, as Markdown: data, training, licence, measured error rates."""
    from plainspeech.runtime.bundle import Bundle, named_model
    from plainspeech.runtime.model_card import card_page

    loaded = Bundle.load(named_model(bundle))
    console = stdout()
    if as_json:
        typer.echo(json.dumps(loaded.card, ensure_ascii=False, indent=2))
    elif console.is_terminal:
        console.print(Markdown(card_page(loaded)))
    else:
        typer.echo(card_page(loaded), nl=False)


@app.command()
def pronounce(
    words: Annotated[list[str], typer.Argument(metavar="WORD...")],
    model: Annotated[
        Path | None,
        typer.Option(help="A model bundle; the English model by default.", show_default=False),
    ] = None,
) -> None:
    """Print how a model expects words to sound, as lines of a lexicon.

    Words that its lexicon lacks are converted from letters to phones.
    """
    from plainspeech.runtime.bundle import Bundle, named_model

    bundle = Bundle.load(named_model(model))
    lexicon = bundle.pronunciations()
    if lexicon is None:
        raise ConfigurationError(f"{bundle.origin}: hears letters alone, no phones")
    for given in words:
        if lost := bundle.alphabet.lost(given):
            raise ConfigurationError(
                f"{given!r} has {lost!r}, which the model's alphabet lacks: spell it as it is said"
            )
    for word in " ".join(map(bundle.alphabet.normalise, words)).split():
        sounds = lexicon.of(word)
        if not sounds:
            raise ConfigurationError(f"{word!r} has letters that no word of the lexicon has")
        for number, sound in enumerate(sounds, start=1):
            name = word if number == 1 else f"{word}({number})"
            typer.echo(f"{name} {' '.join(map(lexicon.name, sound))}")


@app.command()
def record(
    bundle: Annotated[Path, typer.Argument(help="A model bundle, a folder.")],
    results: Annotated[
        Path, typer.Argument(help="File that `evaluate --json` wrote for that model.")
    ],
    data: Annotated[
        str, typer.Option(help="Name of the data that was evaluated on, for the card.")
    ],
) -> None:
    """Add measured error rates to a model card."""
    with needs("evaluate"):
        from plainspeech.evaluation.report import record_result
    result = record_result(bundle, results, data)
    typer.echo(f"{bundle}: {data}, {result['decoder']}: WER {result['wer']:.2%}")


@app.command("combine")
def combine_checkpoints(
    checkpoints: Annotated[list[Path], typer.Argument(help="best.safetensors of several runs.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The checkpoint to write.")],
    shares: Annotated[
        str, typer.Option(help="Weight of each checkpoint, such as 0.5,0.5; equal by default.")
    ] = "",
) -> None:
    """Compute a weighted sum of the weights of runs that started from the same weights.

    Their mean often has a lower error rate than each of them. Shares may be negative: 1,1,-1 adds
    the difference between the second and the third checkpoint to the first.
    """
    with needs("train"):
        from plainspeech.training.combination import combine
    given = parse_numbers("--shares", shares, "0.5,0.5") if shares else None
    combine(checkpoints, given).save(output)
    typer.echo(f"{output}: written")


@app.command()
def summary(
    preset: Annotated[str, typer.Argument(help="Name of a preset, such as small or base.")],
    frames: Annotated[
        int, typer.Option(min=1, max=100_000, help="Length of the input in frames.")
    ] = 1344,
    phones: Annotated[
        int,
        typer.Option(min=0, max=10_000, help="Outputs of a head over phones, the blank included."),
    ] = 0,
) -> None:
    """Show a model stage by stage: output shapes, parameters, multiply-adds."""
    with needs("train"):
        from plainspeech.model import presets
        from plainspeech.model.summary import summarise
    from plainspeech.alphabet import ENGLISH

    chosen = presets.preset(preset)
    bins, seconds = chosen.features.bins, frames * chosen.features.hop_ms / 1000
    stages = summarise(chosen.build(ENGLISH.size, phones), bins, frames)
    table = Table(title=f"{preset}: {bins} mel bins x {frames} frames ({seconds:g} s)")
    table.add_column("stage")
    for heading in ("output", "parameters", "recurrent", "multiply-adds"):
        table.add_column(heading, justify="right")
    for stage in stages:
        table.add_row(
            stage.name,
            " x ".join(map(str, stage.output)),
            f"{stage.parameters:,}",
            f"{stage.recurrent_parameters:,}" if stage.recurrent_parameters else "",
            f"{stage.multiply_adds / 1e6:,.1f} M",
        )
    parameters = sum(stage.parameters for stage in stages)
    recurrent = sum(stage.recurrent_parameters for stage in stages)
    cost = sum(stage.multiply_adds for stage in stages)
    console = stdout()
    console.print(table)
    console.print(f"parameters without recurrences: {parameters - recurrent:,}")
    console.print(f"parameters with recurrences: {parameters:,}")
    console.print(f"multiply-adds for a second of audio: {cost / seconds / 1e6:,.0f} M")
