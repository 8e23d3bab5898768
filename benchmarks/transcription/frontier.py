"""The picture of `speed.py`: error rate against processor time."""

from __future__ import annotations

import statistics
from pathlib import Path

from matplotlib.figure import Figure

from benchmarks.processes import machine
from benchmarks.transcription.rounds import Corpus, Results
from benchmarks.transcription.tables import ONE_BY_ONE, TOGETHER, errors_of
from plainspeech.evaluation.error_rates import ErrorCounts, rate_interval


def draw_frontier(found: dict[str, Results], corpus: Corpus, file: Path) -> None:
    """Draw each system's word error rate, with its 95 % interval, over its time on one core.

    Args:
        found: by label; those that heard all utterances together are left out.
        corpus: what they heard.
        file: PNG to write.
    """
    figure = Figure((8, 5), layout="constrained")
    axes = figure.add_subplot()
    for label, results in found.items():
        if not results.texts or label.endswith(TOGETHER):
            continue
        errors = errors_of(results, corpus)
        rate, interval = 100 * sum(errors, ErrorCounts()).rate, rate_interval(errors)
        cost = 1000 * statistics.median(results.costs())
        bars = [[rate - 100 * interval.low], [100 * interval.high - rate]]
        mark = "o" if results.system.name == "plainspeech" else "s"
        name = label.removesuffix(f", {ONE_BY_ONE}").removeprefix("bundled, ")
        axes.errorbar(cost, rate, bars, fmt=mark, capsize=3, label=name)
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("ms of one core for a second of audio")
    axes.set_ylabel("word error rate, %")
    axes.legend(fontsize=9)
    axes.grid(alpha=0.3, which="both")
    hours = sum(corpus.durations) / 3600
    axes.set_title(f"{len(corpus.utterances)} utterances, {hours:.2f} h; {machine()}", fontsize=9)
    figure.savefig(file, dpi=120, metadata={"Software": None})
