"""``plainspeech train`` and ``plainspeech export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from plainspeech.cli.extras import needs

Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="Folder of the run; runs/NAME of the recipe by default."),
]


def train(
    recipe: Annotated[Path, typer.Argument(help="A recipe, such as recipes/mini.toml.")],
    output: Output = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")] = "auto",
) -> None:
    """Train a model, or go on with a run that was stopped."""
    with needs("train"):
        from plainspeech.training.console import train_on_console
    train_on_console(recipe, output, device)


def export(
    checkpoint: Annotated[Path, typer.Argument(help="best.safetensors of a run.")],
    bundle: Annotated[Path, typer.Argument(help="Folder to write the model bundle to.")],
    streaming: Annotated[
        Path | None,
        typer.Option(
            metavar="CHECKPOINT",
            help="best.safetensors of a run that went on from that one with the preset streaming, "
            "for the streaming network; the same weights, if not given.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Make a model bundle, which transcribes without torch, from a checkpoint."""
    with needs("train"):
        from plainspeech.training.export import export_bundle
    export_bundle(checkpoint, bundle, streaming)
