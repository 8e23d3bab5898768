"""How far `plainspeech adapt` brings a model with minutes of one speaker, and what that costs.

For the speakers with most speech in a manifest, a model is adapted to the first minutes of each and
measured on what comes after the longest of these, the same recordings for all; and on a sample of
other speech, for what the model forgets. What is done is kept in the file of results, and the same
command goes on after it.

    python -m benchmarks.training.adaptation START SPEAKERS.jsonl OTHER.jsonl results.json
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from plainspeech.data.manifest import Utterance, read_manifest, write_manifest
from plainspeech.evaluation.error_rates import Scores, rate_interval
from plainspeech.evaluation.recognition import recognise
from plainspeech.runtime.recognizer import load_model


def main(
    start: Annotated[Path, typer.Argument(help="The bundle to adapt.")],
    speakers: Annotated[Path, typer.Argument(help="A manifest that tells speakers apart.")],
    other: Annotated[Path, typer.Argument(help="A manifest of other speech.")],
    results: Annotated[Path, typer.Argument(help="JSON, to write and to go on from.")],
    count: Annotated[int, typer.Option(help="Speakers, those with most speech.")] = 3,
    minutes: Annotated[str, typer.Option(help="To adapt to.")] = "1,3,10",
    every: Annotated[int, typer.Option(help="One in so many of the other utterances.")] = 4,
) -> None:
    """Adapt, measure, and print the table."""
    done: dict[str, Any] = json.loads(results.read_text()) if results.exists() else {}
    sizes = [float(size) for size in minutes.split(",")]
    sample = read_manifest(other)[::every]

    def measured(key: str, bundle: Path, rest: Sequence[Utterance], **more: Any) -> None:
        done[key] = {**more, "rest": _rates(bundle, rest), "other": _rates(bundle, sample)}
        results.write_text(json.dumps(done, indent=1))

    for speaker, utterances in _longest(read_manifest(speakers), count):
        rest = utterances[_first(utterances, max(sizes)) :]
        if f"{speaker} 0" not in done:
            measured(f"{speaker} 0", start, rest)
        for size in sizes:
            if f"{speaker} {size:g}" not in done:
                with tempfile.TemporaryDirectory() as folder:
                    part = utterances[: _first(utterances, size)]
                    bundle, cost = _adapted(start, part, Path(folder))
                    measured(f"{speaker} {size:g}", bundle, rest, **cost)
    Console().print(_table(done))


def _longest(utterances: Sequence[Utterance], count: int) -> list[tuple[str, list[Utterance]]]:
    """Return the speakers with most speech, each with what they say."""
    spoken: dict[str, list[Utterance]] = defaultdict(list)
    for utterance in utterances:
        spoken[utterance.speaker].append(utterance)
    order = sorted(spoken.items(), key=lambda item: -sum(u.duration for u in item[1]))
    return order[:count]


def _first(utterances: Sequence[Utterance], minutes: float) -> int:
    """Return how many of ``utterances`` it takes to reach ``minutes``."""
    ends = accumulate(utterance.duration for utterance in utterances)
    return next(n for n, end in enumerate(ends, start=1) if end >= 60 * minutes)


def _adapted(
    start: Path, utterances: Sequence[Utterance], folder: Path
) -> tuple[Path, dict[str, Any]]:
    """Return the model adapted to ``utterances``, or the start if none came of it, and the cost."""
    write_manifest(folder / "own.jsonl", utterances)
    bundle = folder / "own"
    began, used = time.perf_counter(), _processor_seconds()
    command = [sys.executable, "-m", "plainspeech", "adapt", str(folder / "own.jsonl")]
    run = subprocess.run([*command, "-o", str(bundle), "--model", str(start)], check=False)
    cost = {
        "seconds": time.perf_counter() - began,
        "processor_seconds": _processor_seconds() - used,
        "kept": run.returncode == 0,
    }
    return bundle if cost["kept"] else start, cost


def _processor_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _rates(bundle: Path, utterances: Sequence[Utterance]) -> dict[str, Any]:
    """Return word error rates with the decoder that the bundle has, and greedy."""
    found: dict[str, Any] = {}
    for recognizer in (load_model(bundle), load_model(bundle, decoder="greedy")):
        name = "greedy" if found else "beam"
        pairs = recognise(recognizer, utterances, lambda _: None, lambda _: None).pairs
        scores = Scores.of(pairs)
        interval = rate_interval(scores.words)
        found[name] = {
            "wer": scores.totals.words.rate,
            "interval": [interval.low, interval.high],
            "cer": scores.totals.characters.rate,
        }
    return found


def _table(done: dict[str, Any]) -> Table:
    heads = ("speaker", "minutes", "WER", "95 %", "greedy", "other: WER", "greedy", "processor")
    table = Table(*heads)
    for key, row in done.items():
        rest, other = row["rest"], row["other"]
        low, high = rest["beam"]["interval"]
        rates = (rest["greedy"]["wer"], other["beam"]["wer"], other["greedy"]["wer"])
        table.add_row(
            *key.split(),
            f"{rest['beam']['wer']:.1%}",
            f"{low:.1%} to {high:.1%}",
            *(f"{rate:.1%}" for rate in rates),
            f"{row['processor_seconds']:.0f} s" if "seconds" in row else "",
        )
    return table


if __name__ == "__main__":
    typer.run(main)
