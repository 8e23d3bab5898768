"""Measure the alignment of recordings that are joined from utterances, and of altered texts.

python -m benchmarks.alignment.measure corpus/dev-clean.jsonl

The utterances of each chapter (their ids without the last number) are joined as they are. Where
speech begins and ends in each is told by its level, without any model: the first and the last 10 ms
within 25 dB of its loud parts. Then texts are altered: of every fourth utterance the text is left
out, all of it or four words within it, or words of another chapter are put in, a whole utterance's
or four within one.
"""

from __future__ import annotations

import argparse
import random
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

import plainspeech
from plainspeech import audio
from plainspeech.alignment.aligned_text import Alignment
from plainspeech.data.manifest import Utterance, read_manifest

RATE = audio.SAMPLE_RATE
ALTERED = ("utterance left out", "words left out", "utterance put in", "words put in")
_WORDS = 4


@dataclass
class Chapter:
    """A recording that is joined from utterances."""

    texts: list[list[str]]
    starts: list[float]
    """Seconds at which each utterance begins, and at which the last ends."""
    onsets: list[float]
    offsets: list[float]
    waveform: npt.NDArray[np.float32] = field(repr=False)


def joined(utterances: Sequence[Utterance]) -> Chapter:
    """Return ``utterances`` as one recording."""
    waveforms = [audio.read(each.audio) for each in utterances]
    starts = np.cumsum([0, *map(len, waveforms)]) / RATE
    edges = [_speech(waveform) for waveform in waveforms]
    return Chapter(
        [each.text.split() for each in utterances],
        starts.tolist(),
        [start + edge[0] for start, edge in zip(starts, edges, strict=False)],
        [start + edge[1] for start, edge in zip(starts, edges, strict=False)],
        np.concatenate(waveforms),
    )


def _speech(waveform: npt.NDArray[np.float32]) -> tuple[float, float]:
    frames = waveform[: len(waveform) // 160 * 160].reshape(-1, 160).astype(np.float64)
    level = 10 * np.log10(np.square(frames).mean(axis=1) + 1e-12)
    loud = np.flatnonzero(level > np.percentile(level, 95) - 25)
    return float(loud[0]) / 100, float(loud[-1] + 1) / 100


def boundary_errors(chapter: Chapter, alignment: Alignment) -> list[tuple[float, float, float]]:
    """Return, of each utterance, start and end less the truth, and how far a join is in a word."""
    errors, place = [], 0
    words = alignment.words
    for number, text in enumerate(chapter.texts):
        first, last = words[place], words[place + len(text) - 1]
        place += len(text)
        if first.spoken and last.spoken:
            join = chapter.starts[number + 1]
            after = words[place].start if place < len(words) else join
            errors.append(
                (
                    first.start - chapter.onsets[number],
                    last.end - chapter.offsets[number],
                    max(0.0, last.end - join, join - after),
                )
            )
    return errors


def altered(chapter: Chapter, other: Chapter, draw: random.Random) -> tuple[list[str], list[Plant]]:
    """Return the text of ``chapter`` with alterations, and what they are."""
    words: list[str] = []
    plants = []
    for number, text in enumerate(chapter.texts):
        kind = ALTERED[number // 4 % 4] if number % 4 == 2 and len(text) >= 12 else None
        start, end = chapter.onsets[number], chapter.offsets[number]
        middle = len(text) // 2
        foreign = draw.choice(other.texts)
        if kind == "utterance left out":
            plants.append(Plant(kind, start, end))
        elif kind == "words left out":
            plants.append(Plant(kind, start, end))
            words += text[:middle] + text[middle + _WORDS :]
        elif kind == "utterance put in":
            words += text
            plants.append(Plant(kind, end, end, range(len(words), len(words) + len(foreign))))
            words += foreign
        elif kind == "words put in":
            begins = len(words) + middle
            plants.append(Plant(kind, start, end, range(begins, begins + len(foreign[:_WORDS]))))
            words += text[:middle] + foreign[:_WORDS] + text[middle:]
        else:
            words += text
    return words, plants


@dataclass
class Plant:
    """A planted alteration."""

    kind: str
    start: float
    end: float
    words: range = range(0)

    def found(self, alignment: Alignment) -> bool:
        """Return whether at least half of it is marked, or anything within the utterance is."""
        if self.words:
            unspoken = sum(not alignment.words[number].spoken for number in self.words)
            return unspoken * 2 >= len(self.words)
        marked = sum(
            max(0.0, min(each.end, self.end) - max(each.start, self.start))
            for each in alignment.disagreements
            if each.heard
        )
        return marked >= (0.5 * (self.end - self.start) if self.kind == ALTERED[0] else 0.3)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--model", type=Path)
    given = parser.parse_args()
    model = plainspeech.load_model(given.model, decoder="greedy")
    utterances = defaultdict(list)
    for each in read_manifest(given.manifest):
        utterances[each.id.rpartition("-")[0]].append(each)
    chapters = [joined(each) for each in utterances.values()]
    begun = time.perf_counter()
    texts = ["\n".join(map(" ".join, chapter.texts)) for chapter in chapters]
    plain = [
        plainspeech.align(chapter.waveform, text, model)
        for chapter, text in zip(chapters, texts, strict=True)
    ]
    seconds = time.perf_counter() - begun
    hours = sum(each.duration for each in plain) / 3600
    errors = np.array(
        [e for c, a in zip(chapters, plain, strict=True) for e in boundary_errors(c, a)]
    )
    print(f"{len(chapters)} recordings, {hours:.2f} h, aligned in {seconds:.0f} s")
    for name, column in zip(("start", "end"), errors.T, strict=False):
        away = 1000 * np.abs(column)
        print(
            f"{name} of {len(column)} utterances: median {1000 * np.median(column):+.0f} ms, "
            f"median of the absolute error {np.median(away):.0f} ms, 90 % within "
            f"{np.percentile(away, 90):.0f} ms"
        )
    print(f"joins within a word: {np.mean(errors[:, 2] > 0):.1%}")
    words = [word for each in plain for word in each.words]
    print(
        f"words of the right text that are marked: {np.mean([not w.spoken for w in words]):.2%} of "
        f"{len(words)}, in {sum(len(a.disagreements) for a in plain)} stretches"
    )
    _measure_plants(chapters, model)


def _measure_plants(chapters: Sequence[Chapter], model: plainspeech.Recognizer) -> None:
    draw = random.Random(0)  # noqa: S311  # no secret
    outcomes: dict[str, list[bool]] = {kind: [] for kind in ALTERED}
    others: list[bool] = []
    for number, chapter in enumerate(chapters):
        words, plants = altered(chapter, chapters[number - 1], draw)
        alignment = plainspeech.align(chapter.waveform, " ".join(words), model)
        planted = {word for plant in plants for word in plant.words}
        for plant in plants:
            outcomes[plant.kind].append(plant.found(alignment))
        others += [not word.spoken for n, word in enumerate(alignment.words) if n not in planted]
    for kind, found in outcomes.items():
        print(f"{kind}: {sum(found)} of {len(found)} found")
    print(f"other words marked in the altered texts: {np.mean(others):.2%} of {len(others)}")


if __name__ == "__main__":
    main()
