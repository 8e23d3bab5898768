"""``plainspeech explain``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from plainspeech.cli.options import (
    LanguageModelOption,
    ModelOption,
    PrecisionOption,
    load_recognizer,
)
from plainspeech.cli.terminal import needs, stdout
from plainspeech.errors import AudioError, ConfigurationError

if TYPE_CHECKING:
    from plainspeech.evaluation.explanation import Explanation


def explain(
    recording: Annotated[
        Path, typer.Argument(help="A recording of up to a minute.", metavar="FILE")
    ],
    reference: Annotated[str, typer.Option(help="What is said in it.")],
    model: ModelOption = None,
    language_model: LanguageModelOption = None,
    precision: PrecisionOption = None,
) -> None:
    """Tell what causes each error: acoustics, language model, search or vocabulary."""
    with needs("evaluate"):
        from plainspeech.evaluation.error_rates import Pair
        from plainspeech.evaluation.explanation import CAUSES, Explainer
        from plainspeech.evaluation.listing import listing
    from plainspeech.runtime.analysis import analyse

    recognizer = load_recognizer(
        model, decoder="beam", language_model=language_model, precision=precision
    )
    said = recognizer.bundle.alphabet.normalise(reference)
    if not said:
        raise ConfigurationError("--reference: has no word that the model's alphabet can write")
    analysis = analyse(recognizer, recording)
    if not analysis.chunks:
        raise AudioError(f"{recording}: no speech was found in it, so there is nothing to explain")
    found = Explainer(recognizer.decoder, recognizer.bundle.alphabet).explain(analysis, said)
    console = stdout()
    pair = Pair(recording.name, "", said, analysis.text)
    console.print(listing(pair, console.width), soft_wrap=True)
    if not found:
        return
    console.print(_table(found))
    for cause, meaning in CAUSES.items():
        if any(one.cause == cause for one in found):
            console.print(f"{cause}: {meaning}", soft_wrap=True)


def _table(found: list[Explanation]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("seconds", "said", "recognised"):
        table.add_column(heading, no_wrap=heading == "seconds")
    for heading in ("network", "language model"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("due to", no_wrap=True)
    for one in found:
        table.add_row(
            f"{one.start:.2f} to {one.end:.2f}",
            " ".join(one.difference.said) or "–",
            " ".join(one.difference.recognised) or "–",
            f"{one.acoustic:+.1f}",
            f"{one.language:+.1f}",
            one.cause,
        )
    table.caption = "nats by which each prefers what was said to what was recognised"
    return table
