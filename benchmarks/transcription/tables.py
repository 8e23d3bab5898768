"""The tables of `speed.py`."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from rich import box
from rich.table import Table

from benchmarks.processes import machine
from benchmarks.transcription.rounds import Corpus, Results, Start
from benchmarks.transcription.systems import CUBE, PRODUCTS
from plainspeech.alphabet import ENGLISH
from plainspeech.evaluation.error_rates import (
    ErrorCounts,
    Interval,
    Pair,
    difference_interval,
    rate_interval,
    word_counts,
)

PARTS = ("features", "network", "decoding")
ONE_BY_ONE, TOGETHER = "one by one", "together"
PYTORCH, POCKETSPHINX, MATRICES = "PyTorch, greedy", "pocketsphinx", "large matrix products"


def surroundings(found: dict[str, Results]) -> str:
    """Return what the machine is, and the versions of what does the work."""
    versions = {name: version for one in found.values() for name, version in one.versions.items()}
    return f"{machine()}; " + ", ".join(f"{name} {version}" for name, version in versions.items())


def speed_table(found: dict[str, Results], corpus: Corpus) -> Table:
    """Return errors, speed and memory on one core."""
    peers = [name for name in (PYTORCH, POCKETSPHINX) if name in found]
    counts = {label: errors_of(one, corpus) for label, one in found.items() if one.texts}
    beside = counts.get(POCKETSPHINX)
    headings = ["WER (95 % interval)", "RTF", *(f"{name.split(',')[0]}\n/ it" for name in peers)]
    differs = ["WER less\npocketsphinx's"] if beside else []
    table = _table("one core", headings[0], *differs, *headings[1:], "peak\nMiB", "busy")
    for label, errors in counts.items():
        results, interval = found[label], rate_interval(errors)
        table.add_row(
            label,
            f"{100 * sum(errors, ErrorCounts()).rate:.2f} % ({_percent(interval)})",
            *([_percent(difference_interval(beside, errors))] if beside else []),
            f"{statistics.median(results.costs()):.5f}",
            *(f"{ratio(found[name].costs(), results.costs()):.2f}" for name in peers),
            f"{results.peak / 2**20:.0f}",
            f"{results.busy:.0%}",
        )
    return table


def errors_of(results: Results, corpus: Corpus) -> list[ErrorCounts]:
    """Return the word errors of each utterance."""
    return word_counts(
        [
            Pair(said.id, said.speaker, ENGLISH.normalise(said.text), ENGLISH.normalise(heard))
            for said, (_, heard) in zip(
                corpus.utterances, sorted(results.texts.items()), strict=True
            )
        ]
    )


def _percent(interval: Interval) -> str:
    return f"{100 * interval.low:.2f} to {100 * interval.high:.2f}"


def cores_table(one: dict[str, Results], two: dict[str, Results]) -> Table:
    """Return speed and memory on two cores."""
    table = _table("two cores", "RTF", "one core\n/ it", "peak\nMiB", "busy")
    for label, results in two.items():
        table.add_row(
            label,
            f"{statistics.median(results.costs()):.5f}",
            f"{statistics.median(one[label].costs()) / statistics.median(results.costs()):.2f}",
            f"{results.peak / 2**20:.0f}",
            f"{results.busy:.0%}",
        )
    return table


def parts_table(found: dict[str, Results]) -> Table:
    """Return where the time goes on one core, beside the floor."""
    rates = product_rates(found[MATRICES])
    best = max(rates, key=lambda library: statistics.median(rates[library]))
    floors = ("network\n/ floor", "all\n/ floor")
    table = _table("ms a second of audio", *PARTS, "rest", "all", "floor", *floors)
    shown = ", ".join(f"{name} {statistics.median(r) / 1e9:.1f}" for name, r in rates.items())
    table.caption = f"1e9 multiply-adds a second in large float32 matrix products: {shown}"
    for label, results in found.items():
        cost = results.system.multiply_adds
        if not cost:
            continue
        floor, whole = [cost / rate for rate in rates[best]], results.costs()
        parts = {part: results.costs(part) for part in PARTS}
        rest = [one - sum(measured) for one, *measured in zip(whole, *parts.values(), strict=True)]
        table.add_row(
            label,
            *(f"{1000 * statistics.median(c):.3f}" for c in (*parts.values(), rest, whole, floor)),
            *(f"{ratio(costs, floor):.2f}" for costs in (parts["network"], whole)),
        )
    return table


def product_rates(results: Results) -> dict[str, list[float]]:
    """Return the multiply-adds a second of large matrix products, by library, round by round."""
    names = results.rounds[0].parts
    return {
        name: [PRODUCTS * CUBE**3 / one.parts[name][1] for one in results.rounds] for name in names
    }


def starts_table(launched: dict[str, list[Start]], found: dict[str, Results]) -> Table:
    """Return how soon programs have the text of a short recording, and what they read for it."""
    table = _table("start", "s to the text", "processor s", "network MB", "language model MB")
    for label, starts in launched.items():
        sizes = (found.get(label) or found[f"{label}, {ONE_BY_ONE}"]).sizes
        megabytes = (sizes.get(kind) for kind in ("network", "language model"))
        table.add_row(
            label,
            f"{statistics.median(start.wall for start in starts):.2f}",
            f"{statistics.median(start.processor for start in starts):.2f}",
            *(f"{size / 1e6:.1f}" if size else "" for size in megabytes),
        )
    return table


def ratio(costs: Sequence[float], others: Sequence[float]) -> float:
    """Return the median ratio of two costs in one round, so that what slowed one slowed both."""
    return statistics.median(one / other for one, other in zip(costs, others, strict=True))


def _table(first: str, *others: str) -> Table:
    table = Table(box=box.SIMPLE, pad_edge=False, caption_justify="left")
    table.add_column(first, no_wrap=True)
    for heading in others:
        table.add_column(heading, justify="right")
    return table
