"""What conditions other than a quiet room's cost in errors, and what is heard where nobody speaks.

Utterances of a manifest are transcribed as they are and under each condition of
`benchmarks.conditions.conditions`, made anew by fixed seeds; then ten minutes of each kind of sound
without speech. Results are kept after each condition, and the same command goes on where it was
interrupted. The table tells error rates and their differences to the clean recordings, of the same
utterances, with the interval of `plainspeech.evaluation.error_rates.difference_interval`.

    python -m benchmarks.conditions.measure corpus/dev-clean.jsonl docs/conditions.json \
        --every 4 --kitchen doing_the_dishes.opus --kitchen running_tap.opus \
        --page docs/conditions.md
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import zlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import track

from benchmarks.conditions.conditions import (
    CLEAN,
    Condition,
    Heard,
    Material,
    conditions,
    no_speech,
)
from benchmarks.conditions.sounds import RATE
from plainspeech import audio
from plainspeech.arrays import Array
from plainspeech.data.manifest import Utterance, read_manifest
from plainspeech.errors import ConfigurationError
from plainspeech.evaluation.error_rates import (
    ErrorCounts,
    Pair,
    difference_interval,
    rate_interval,
    word_counts,
)
from plainspeech.files import write_atomically
from plainspeech.runtime.recognizer import Recognizer, load_model

MINUTES = 10
"""Of each kind of sound without speech."""

Results = dict[str, Any]
"""JSON: ``about``, ``conditions`` (counts of each utterance by condition), ``no_speech``."""

_TABLES = re.compile(r"(<!-- tables -->\n).*(<!-- end of tables -->\n)", re.DOTALL)


def main(
    manifest: Annotated[Path, typer.Argument(help="Recordings, JSONL.")],
    results: Annotated[Path, typer.Argument(help="JSON; what is there already is kept.")],
    every: Annotated[int, typer.Option(help="Take each so-manieth utterance.")] = 1,
    kitchen: Annotated[list[Path] | None, typer.Option(help="Recordings of noise.")] = None,
    model: Annotated[Path | None, typer.Option(help="Bundle; the English model if none.")] = None,
    threads: Annotated[int | None, typer.Option(help="That compute; one a core if none.")] = None,
    page: Annotated[Path | None, typer.Option(help="Write the tables into this page.")] = None,
) -> None:
    """Measure, and print or write the tables."""
    recognizer = load_model(model, threads=threads)
    found = _begun(results, _about(recognizer, manifest, every))
    utterances = read_manifest(manifest)
    _measure(recognizer, utterances, every, material_of(utterances, kitchen or []), found, results)
    tables = render_tables(found)
    if page:
        text, changed = _TABLES.subn(lambda m: m[1] + tables + m[2], page.read_text("utf-8"))
        if not changed:
            raise ConfigurationError(f"{page}: has no line '<!-- tables -->'")
        write_atomically(page, text.encode())
    else:
        Console().print(tables, markup=False)


def _about(recognizer: Recognizer, manifest: Path, every: int) -> dict[str, Any]:
    """Return what the results are of; results of something else are not added to."""
    return {
        "model": recognizer.bundle.card.get("name"),
        "network": recognizer.bundle.network_description,
        "network_sha256": hashlib.sha256(recognizer.bundle.network).hexdigest(),
        "decoder": recognizer.decoder.description,
        "manifest": manifest.name,
        "every": every,
    }


def _begun(file: Path, about: dict[str, Any]) -> Results:
    if not file.exists():
        return {"about": about, "conditions": {}, "no_speech": {}}
    found: Results = json.loads(file.read_text("utf-8"))
    if found["about"] != about:
        raise ConfigurationError(f"{file}: are results of another model or corpus; delete it")
    return found


def material_of(utterances: Sequence[Utterance], kitchen: Sequence[Path]) -> Material:
    """Return two utterances of each speaker, for babble, and the recordings of noise."""
    voices: dict[str, list[Array]] = {}
    for utterance in utterances:
        mine = voices.setdefault(utterance.speaker, [])
        if len(mine) < 2:
            mine.append(audio.read(utterance.audio, RATE))
    return Material(voices, [audio.read(path, RATE) for path in kitchen])


def _measure(
    recognizer: Recognizer,
    utterances: Sequence[Utterance],
    every: int,
    material: Material,
    found: Results,
    file: Path,
) -> None:
    chosen = utterances[::every]
    waveforms = [audio.read(utterance.audio, RATE) for utterance in chosen]
    every_condition = conditions(material)
    for condition in every_condition:
        if condition.key not in found["conditions"]:
            counts = _counts(recognizer, chosen, waveforms, condition)
            done = found["conditions"]
            done[condition.key] = [list(asdict(one).values()) for one in counts]
            order = (one.key for one in every_condition)
            found["conditions"] = {key: done[key] for key in order if key in done}
            _keep(file, found)
    samples = round(MINUTES * 60 * RATE)
    for kind, make in no_speech(material).items():
        if kind not in found["no_speech"]:
            sound = make(samples, np.random.default_rng(zlib.crc32(kind.encode())))
            parts = track(recognizer.transcribe_parts(sound), kind, transient=True)
            words = sum(len(segment.words) for part in parts for segment in part.segments)
            found["no_speech"][kind] = words
            _keep(file, found)


def _counts(
    recognizer: Recognizer,
    utterances: Sequence[Utterance],
    waveforms: Sequence[Array],
    condition: Condition,
) -> list[ErrorCounts]:
    """Return the word errors of each utterance."""
    pairs = []
    together = list(zip(utterances, waveforms, strict=True))
    for utterance, waveform in track(together, condition.key, transient=True):
        chance = np.random.default_rng(zlib.crc32(f"{condition.key} {utterance.id}".encode()))
        heard = condition.make(waveform, utterance.speaker, chance)
        said = recognizer.bundle.alphabet.normalise(utterance.text)
        pairs.append(Pair(utterance.id, utterance.speaker, said, _text(recognizer, heard)))
    return word_counts(pairs)


def _text(recognizer: Recognizer, heard: Heard) -> str:
    if isinstance(heard, bytes):
        return recognizer.transcribe(io.BytesIO(heard)).text
    return recognizer.transcribe(heard, RATE).text


def _keep(file: Path, found: Results) -> None:
    write_atomically(file, (json.dumps(found, separators=(",", ":")) + "\n").encode())


def render_tables(found: Results) -> str:
    """Return the tables of ``found`` in Markdown."""
    about = found["about"]
    counts = {key: [ErrorCounts(*one) for one in each] for key, each in found["conditions"].items()}
    clean = counts[CLEAN.key]
    lines = [
        f"`{about['model']}` in {about['network']}, {about['decoder']}: {len(clean)} utterances of "
        f"`{about['manifest']}`{_share(about['every'])}, "
        f"{sum(one.reference_length for one in clean):,} words. WER in percent, and its difference "
        "to that of the clean recordings in points, with the 95 % interval of a paired bootstrap.",
        "",
        "| condition | WER | difference | 95 % |",
        "|---|--:|--:|--:|",
    ]
    group = ""
    for key, mine in counts.items():
        heading, _, name = key.partition(": ")
        if heading != group:
            lines.append(f"| **{heading}** | | | |")
        group = heading
        lines.append(_row(name, clean, mine))
    lines += ["", f"Words a minute where nobody speaks, of {MINUTES} minutes of each:", ""]
    lines += ["| sound | words a minute |", "|---|--:|"]
    lines += [f"| {kind} | {words / MINUTES:g} |" for kind, words in found["no_speech"].items()]
    return "\n".join(lines) + "\n"


def _share(every: int) -> str:
    return f", one in {every}" if every > 1 else ""


def _row(name: str, clean: Sequence[ErrorCounts], mine: Sequence[ErrorCounts]) -> str:
    rate = sum(mine, ErrorCounts()).rate
    if mine is clean:
        interval = rate_interval(clean)
        ends = f"{100 * interval.low:.2f} to {100 * interval.high:.2f}"
        return f"| {name} | {100 * rate:.2f} | | {ends} |"
    difference = rate - sum(clean, ErrorCounts()).rate
    interval = difference_interval(clean, mine)
    ends = f"{100 * interval.low:+.2f} to {100 * interval.high:+.2f}"
    return f"| {name} | {100 * rate:.2f} | {100 * difference:+.2f} | {ends} |"


if __name__ == "__main__":
    typer.run(main)
