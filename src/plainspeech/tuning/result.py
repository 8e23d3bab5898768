"""The result of tuning: on the terminal, and on the model's card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from rich import box
from rich.table import Table

from plainspeech.decoding.settings import BeamSettings
from plainspeech.evaluation.bootstrap import (
    CONFIDENCE,
    Interval,
    difference_interval,
    rate_interval,
)
from plainspeech.evaluation.scores import Scores
from plainspeech.lm.package import with_weights
from plainspeech.runtime.bundle import Bundle
from plainspeech.tuning.dev_set import DevResult


@dataclass(frozen=True)
class ComparisonRow:
    """One row of the comparison: a decoder and its result on the dev set.

    Attributes:
        name: of the row in the table.
        decoder: its description.
        result: texts and time.
        scores: errors of each utterance.
    """

    name: str
    decoder: str
    result: DevResult
    scores: Scores

    @property
    def word_error_rate(self) -> float:
        """Of the whole set."""
        return self.scores.totals.words.rate

    @property
    def character_error_rate(self) -> float:
        """Of the whole set."""
        return self.scores.totals.characters.rate


def difference(before: ComparisonRow, after: ComparisonRow) -> tuple[float, Interval]:
    """Return by how much the word error rate changed, and the interval of that."""
    change = after.word_error_rate - before.word_error_rate
    return change, difference_interval(before.scores.words, after.scores.words)


def comparison(rows: Sequence[ComparisonRow]) -> Table:
    """Return error rates and speed of each of ``rows``."""
    table = Table(box=box.SIMPLE, pad_edge=False)
    table.add_column("", no_wrap=True)
    table.add_column("decoder", no_wrap=True)
    for heading in ("WER", f"{CONFIDENCE:.0%} interval", "CER", "ms"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        interval = rate_interval(row.scores.words)
        table.add_row(
            row.name,
            row.decoder,
            f"{row.word_error_rate:.2%}",
            f"{interval.low:.2%} to {interval.high:.2%}",
            f"{row.character_error_rate:.2%}",
            f"{row.result.milliseconds:.3f}",
        )
    return table


def tuned_bundle(
    bundle: Bundle,
    settings: BeamSettings,
    scorer_files: Mapping[str, bytes],
    entry: Mapping[str, Any],
) -> Bundle:
    """Return ``bundle`` with a scorer, the settings for it, and how they were found on its card.

    Results of its beam search until now leave the card: they are of other settings.
    """
    results = [row for row in bundle.card.get("results", []) if row["decoder"] == "greedy"]
    return replace(
        bundle,
        decoding=settings,
        scorer_files=with_weights(scorer_files, settings.alpha, settings.beta),
        card={**bundle.card, "results": results, "tuning": dict(entry)},
    )


def card_figures(row: ComparisonRow) -> dict[str, Any]:
    """Return the entry of ``row`` on the model's card."""
    return {
        "decoder": row.decoder,
        "wer": row.word_error_rate,
        "wer_interval": list(asdict(rate_interval(row.scores.words)).values()),
        "cer": row.character_error_rate,
    }
