"""The command line: one verb a function, one group of verbs a module.

The module of a verb is imported when the verb is run, and imports what it needs in functions, so
that ``plainspeech --help`` and ``transcribe`` stay quick and need no training extra.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from plainspeech.cli.interruption import Interrupted, ended_by_interrupts
from plainspeech.errors import PlainspeechError

_VERBS = {
    "transcribe": "Transcribe recordings and print a line of text for each, after its name if "
    "there are several.",
    "transcribe-many": "Transcribe a manifest, folder or object store with many processes, "
    "resumably.",
    "align": "Align a known text with a recording of it, and cut it into utterances for training.",
    "listen": "Transcribe live speech until Ctrl+C, and print the latency at the end.",
    "serve": "Serve transcription over HTTP (OpenAI's API) and live over WebSocket.",
    "evaluate": "Measure the word and character error rates of a model.",
    "explain": "Tell what causes each error: acoustics, language model, search or vocabulary.",
    "report": "Make a page of evaluations: errors, comparisons, figures and recordings in one "
    "file.",
    "plot": "Draw what a model hears, as PNG or SVG.",
    "tune": "Tune the settings of the beam search, and write them into the model with its scorer.",
    "init": "Write a commented recipe for recordings of your own.",
    "train": "Train a model, or resume a run that was stopped.",
    "adapt": "Adapt a model to recordings of your own, with no recipe.",
    "export": "Export a checkpoint to a model bundle, which transcribes without torch.",
    "data": "Download, prepare, split and check corpora.",
    "lm": "Build, inspect and use n-gram scorers.",
    "model": "Show, combine and document models.",
}
"""The verbs and groups of verbs, with the first line of what each does."""

_MODULES = {"export": "train"}
"""Modules of the verbs whose module has another name."""


def _verb(name: str) -> Any:
    """Return the verb or group ``name``, whose module is imported."""
    _keep_caches_together()
    function = name.replace("-", "_")
    module = import_module(f"plainspeech.cli.{_MODULES.get(name, function)}")
    if hasattr(module, "app"):
        return typer.main.get_group(module.app)
    alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    alone.command(name)(getattr(module, function))
    return typer.main.get_command(alone)


def _keep_caches_together() -> None:
    """Let matplotlib keep its files in this package's cache, not in two folders of its own."""
    from platformdirs import user_cache_path

    cache = user_cache_path("plainspeech", appauthor=False)
    os.environ.setdefault("MPLCONFIGDIR", str(cache / "matplotlib"))
    there = next(folder for folder in (cache, *cache.parents) if folder.exists())
    if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        import logging

        # It draws as well with a temporary folder, which it would say in two long lines.
        logging.getLogger("matplotlib").setLevel(logging.ERROR)


class _Verbs(TyperGroup):
    """Lists the verbs without their modules; a module is imported when its verb is run."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the name of the verb that ``args`` begin with, the verb, and its arguments."""
        name, verb, rest = super().resolve_command(ctx, args)
        return name, verb if name is None else _verb(name), rest


app = typer.Typer(
    help="Speech to text: train, evaluate and transcribe.",
    cls=_Verbs,
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


for _name, _line in _VERBS.items():
    app.command(_name, help=_line)(lambda: None)


def main() -> None:
    """Run the command line; a `PlainspeechError` is one line on stderr and exit status 1.

    Of interrupted commands see `plainspeech.cli.interruption`.
    """
    with ended_by_interrupts():
        _run()


def _run() -> None:
    # NumPy's linear algebra is of no use here, and each of its threads, one a core, waits for work
    # for the first tenth of a second without letting others have the core.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # A name in another encoding than the terminal's is shown with escapes.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except Interrupted as interrupted:
        _stderr().print(str(interrupted))
        sys.exit(interrupted.status)
    except PlainspeechError as error:
        _stderr().print(f"error: {error}")
        sys.exit(1)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        # Only standard output comes here: other files raise a PlainspeechError. It is redirected
        # because Python would try to flush it again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _stderr().print(f"error: standard output cannot be written: {error.strerror}")
        sys.exit(1)


def _stderr() -> Any:
    from plainspeech.cli.terminal import stderr

    return stderr()
