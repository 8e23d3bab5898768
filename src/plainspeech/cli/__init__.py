"""The command line: one verb a function, one group of verbs a module.

Verbs import what they need when they run, so that ``plainspeech --help`` and ``transcribe`` stay
quick and need no training extra.
"""

from __future__ import annotations

import errno
import os
import sys
from typing import Annotated

import typer

from plainspeech.cli import data, evaluate, listen, lm, model, serve, train, transcribe, tune
from plainspeech.cli.terminal import stderr
from plainspeech.errors import PlainspeechError

app = typer.Typer(
    help="Speech to text: train, evaluate and transcribe.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from plainspeech import __version__

        typer.echo(f"plainspeech {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Take the options that belong to no verb."""


app.command()(transcribe.transcribe)
app.command()(listen.listen)
app.command()(serve.serve)
app.command()(evaluate.evaluate)
app.command()(tune.tune)
app.command()(train.train)
app.command()(train.export)
app.add_typer(data.app, name="data")
app.add_typer(lm.app, name="lm")
app.add_typer(model.app, name="model")


def main() -> None:
    """Run the command line; a `PlainspeechError` is one line on stderr and exit status 1."""
    try:
        app()
    except PlainspeechError as error:
        stderr().print(f"error: {error}", markup=False)
        sys.exit(1)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        # Files are written with an error of their own. What Python could not write it would try
        # again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        stderr().print(f"error: standard output cannot be written: {error.strerror}")
        sys.exit(1)
