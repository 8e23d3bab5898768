"""Error rate against processor time, of this package's settings and of others, as a picture.

What a setting costs and what it gives: each precision greedily and with searches from narrow to
wide, as live audio with the streaming network, other MODELs as they are, each a bundle, and
pocketsphinx. The first MODEL is the one whose settings vary. A line joins what nothing else beats
in both. All hear the same utterances one by one on one core, in turn, as in `speed.py`, which has
the tables of memory, parts and starts.

    python -m benchmarks.transcription.frontier bundled earlier/english-small \
        corpus/dev-clean.jsonl --every 6 --pocketsphinx PYTHON --picture docs/speed.png
"""

from __future__ import annotations

import json
import os
import re
import statistics
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.console import Console

from benchmarks.processes import machine
from benchmarks.transcription.rounds import Corpus, Results, System, take_turns
from benchmarks.transcription.tables import POCKETSPHINX, errors_of, speed_table, surroundings
from plainspeech.data.manifest import read_manifest
from plainspeech.errors import PlainspeechError
from plainspeech.evaluation.error_rates import ErrorCounts, rate_interval
from plainspeech.files import write_atomically
from plainspeech.runtime.bundle import Bundle, bundled_model_path

SEARCHES: tuple[dict[str, Any], ...] = (
    {"beam_width": 25, "beam_threshold": 7.0},
    {"beam_width": 100, "beam_threshold": 10.0},
    {},  # the model's own
    {"beam_width": 1600, "beam_threshold": 18.0},
)
"""From narrow to wide; thresholds are in nats."""

LIVE, OTHERS = "live audio", "other models"
_TICKS = [1, 2, 5, 10, 20, 50, 100, 200, 500]


@dataclass(frozen=True)
class Point:
    """What a system costs and what it gives.

    Attributes:
        cost: ms of one core for a second of audio.
        rate: word error rate, percent.
        low: of its 95 % interval.
        high: of its 95 % interval.
    """

    cost: float
    rate: float
    low: float = 0.0
    high: float = 0.0


def systems(models: Sequence[str], pocketsphinx: str | None) -> dict[str, list[System]]:
    """Return what is measured, by the series that it is drawn in."""
    (_, bundle), *others = ((model, Bundle.load(path_of(model))) for model in models)
    found = {precision: list(_settings(bundle, precision)) for precision in sorted(bundle.networks)}
    if bundle.streaming is not None:
        found[LIVE] = [System(LIVE, "live", {"model": str(bundle.origin)})]
    if others:
        found[OTHERS] = [
            System(model, "plainspeech", _options(other, min(other.networks, key=_speed)))
            for model, other in others
        ]
    if pocketsphinx:
        found[POCKETSPHINX] = [System(POCKETSPHINX, "pocketsphinx", python=pocketsphinx, slow=True)]
    return found


def _settings(bundle: Bundle, precision: str) -> Iterator[System]:
    greedy = _options(bundle, precision) | {"decoder": "greedy"}
    yield System(f"{precision}, greedy", "plainspeech", greedy)
    if not bundle.scorer_files:
        return
    for search in SEARCHES:
        width = search.get("beam_width", bundle.decoding.beam_width)
        threshold = search.get("beam_threshold", bundle.decoding.beam_threshold)
        options = _options(bundle, precision) | {"search": search}
        yield System(f"{precision}, beam {width}, {threshold:g} nats", "plainspeech", options)


def _options(bundle: Bundle, precision: str) -> dict[str, Any]:
    decoder = "beam" if bundle.scorer_files else "greedy"
    return {
        "model": str(bundle.origin),
        "precision": precision,
        "decoder": decoder,
        "together": False,
    }


def _speed(precision: str) -> bool:
    return precision != "int8"


def path_of(model: str) -> Path:
    """Return the bundle that is called ``model``."""
    return bundled_model_path() if model == "bundled" else Path(model)


def point_of(results: Results, corpus: Corpus) -> Point:
    """Return where a system lies."""
    errors = errors_of(results, corpus)
    interval = rate_interval(errors)
    return Point(
        1000 * statistics.median(results.costs()),
        100 * sum(errors, ErrorCounts()).rate,
        100 * interval.low,
        100 * interval.high,
    )


def frontier(points: Iterable[Point]) -> list[Point]:
    """Return those that no other beats in both time and errors, the fastest first."""
    best: list[Point] = []
    for point in sorted(points, key=lambda one: (one.cost, one.rate)):
        if not best or point.rate < best[-1].rate:
            best.append(point)
    return best


def draw(series: dict[str, dict[str, Point]], title: str, file: Path) -> None:
    """Draw each system's word error rate, with its 95 % interval, over its time on one core.

    Args:
        series: points by their labels, by the name of their series.
        title: of the picture.
        file: PNG to write.
    """
    figure = Figure((9, 6), layout="constrained")
    axes = figure.add_subplot()
    best = frontier(point for points in series.values() for point in points.values())
    axes.plot(
        [point.cost for point in best],
        [point.rate for point in best],
        color="0.6",
        linestyle="--",
        label="best for its time",
    )
    for place, (name, points) in enumerate(series.items()):
        costs = [point.cost for point in points.values()]
        rates = [point.rate for point in points.values()]
        bars = [
            [point.rate - point.low for point in points.values()],
            [point.high - point.rate for point in points.values()],
        ]
        mark, color = "s" if name == POCKETSPHINX else "o", f"C{place}"
        axes.errorbar(
            costs, rates, bars, fmt=mark, color=color, capsize=2, elinewidth=0.6, label=name
        )
        for label, point in points.items():
            if label != name:
                _write(axes, _short(label), point, color, above=place % 2 == 0)
    axes.set_xscale("log")
    axes.set_xticks(_TICKS, [str(tick) for tick in _TICKS], minor=False)
    costs = [point.cost for points in series.values() for point in points.values()]
    axes.set_xlim(min(costs) / 1.3, max(costs) * 1.6)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("ms of one core for a second of audio")
    axes.set_ylabel("word error rate, %")
    axes.legend(fontsize=9)
    axes.grid(alpha=0.3, which="both")
    axes.set_title(f"{title}\nNumbers are widths of the beam", fontsize=9)
    figure.savefig(file, dpi=120, metadata={"Software": None})


def _write(axes: Axes, text: str, point: Point, color: str, above: bool) -> None:
    axes.annotate(
        text,
        (point.cost, point.rate),
        xytext=(4, 5 if above else -12),
        textcoords="offset points",
        fontsize=8,
        color=color,
    )


def _short(label: str) -> str:
    """Return what tells a system from the others of its series."""
    if found := re.search(r", beam (\d+)", label):
        return found[1]
    return label.rpartition(", ")[2].rpartition("/")[2]


def main(
    models: Annotated[list[str], typer.Argument(help="Bundles, or bundled.")],
    manifest: Annotated[Path, typer.Argument(help="Recordings and what was said.")],
    picture: Annotated[Path, typer.Option(help="PNG to draw.")],
    pocketsphinx: Annotated[
        str | None, typer.Option(help="Python of an environment that has it.")
    ] = None,
    every: Annotated[int, typer.Option(min=1, help="Take every so manieth utterance.")] = 1,
    repeat: Annotated[int, typer.Option(min=1, help="Rounds.")] = 3,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write all that was measured there.")
    ] = None,
) -> None:
    """Measure, print and draw."""
    utterances = read_manifest(manifest)[::every]
    if repeat > len(utterances):
        raise PlainspeechError(f"--repeat {repeat}: there are only {len(utterances)} utterances")
    drawn = systems(models, pocketsphinx)
    core = min(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder:
        corpus = Corpus(utterances, Path(folder))
        found = take_turns((one for each in drawn.values() for one in each), corpus, [core], repeat)
    hours = sum(corpus.durations) / 3600
    console = Console(width=132)
    console.print(
        f"{len(utterances)} utterances of {manifest.name}, {hours:.2f} h; {repeat} rounds"
    )
    console.print(surroundings(found))
    console.print(speed_table(found, corpus))
    series = {
        name: {one.label: point_of(found[one.label], corpus) for one in each}
        for name, each in drawn.items()
    }
    draw(series, f"{len(utterances)} utterances, {hours:.2f} h; {machine()}", picture)
    if json_file:
        record = {
            "command": sys.argv,
            "utterances": [utterance.id for utterance in utterances],
            "systems": {label: asdict(one) for label, one in found.items()},
        }
        write_atomically(json_file, json.dumps(record, indent=1).encode())


if __name__ == "__main__":
    try:
        typer.run(main)
    except PlainspeechError as error:
        sys.exit(f"error: {error}")
