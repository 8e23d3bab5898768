"""``plainspeech model``: what the models are made of."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from plainspeech.cli.extras import needs

app = typer.Typer(help="Look at models.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keep ``summary`` a verb of its own while it is the only one."""


@app.command()
def summary(
    preset: Annotated[str, typer.Argument(help="reference or small.")],
    frames: Annotated[int, typer.Option(min=1, help="Length of the input in frames.")] = 1344,
) -> None:
    """Show a model stage by stage: output shapes, parameters, multiply-adds."""
    with needs("train"):
        from plainspeech.model import presets
        from plainspeech.model.summary import summarise
    from plainspeech.alphabet import ENGLISH

    chosen = presets.preset(preset)
    bins, seconds = chosen.features.bins, frames * chosen.features.hop_ms / 1000
    stages = summarise(chosen.build(ENGLISH.size), bins, frames)
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
    console = Console(highlight=False)
    console.print(table)
    console.print(f"parameters without recurrences: {parameters - recurrent:,}")
    console.print(f"parameters with recurrences: {parameters:,}")
    console.print(f"multiply-adds for a second of audio: {cost / seconds / 1e6:,.0f} M")
