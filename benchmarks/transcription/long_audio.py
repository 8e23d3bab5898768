"""What cutting long audio costs in accuracy and time.

Utterances of a manifest are joined to chapters, recordings of minutes, and transcribed: each
utterance alone, as the corpus cut it by its text; each chapter, cut where its speaker pauses; each
chapter, cut as if its speaker never paused, so that all is left to the joining of overlaps. The
error rates are of the same words.

    python -m benchmarks.transcription.long_audio corpus/dev-clean.jsonl --repeat 3
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import groupby
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from plainspeech import audio
from plainspeech.arrays import Array
from plainspeech.cores import available_cores
from plainspeech.data.manifest import Utterance, read_manifest
from plainspeech.evaluation.error_rates import Pair, error_rates
from plainspeech.runtime.long_audio import join_parts, transcribe_sections
from plainspeech.runtime.recognizer import Recognizer, load_model
from plainspeech.runtime.vad import SpeechDetector, silero_detector
from plainspeech.transcript import Transcript


class Chapters:
    """A corpus as utterances and as chapters, in memory."""

    def __init__(self, utterances: Sequence[Utterance], rate: int) -> None:
        ordered = sorted(utterances, key=lambda utterance: utterance.id)
        groups = groupby(ordered, key=lambda utterance: utterance.id.rpartition("-")[0])
        self.chapters = {name: list(members) for name, members in groups}
        self.waveforms = {u.id: audio.read(u.audio, rate) for u in ordered}
        self.rate = rate
        self.seconds = sum(map(len, self.waveforms.values())) / rate

    def spoken(self, chapter: str) -> Array:
        """Return the audio of a chapter."""
        return np.concatenate([self.waveforms[u.id] for u in self.chapters[chapter]])

    def pairs(self, texts: dict[str, str]) -> list[Pair]:
        """Return what was said in each chapter and what was heard."""
        return [
            Pair(name, "", " ".join(u.text for u in members), texts[name])
            for name, members in self.chapters.items()
        ]


def utterance_by_utterance(recognizer: Recognizer, corpus: Chapters) -> dict[str, str]:
    """Transcribe utterances as they are; return the text of each chapter."""
    heard = recognizer.transcribe_waveforms(list(corpus.waveforms.values()))
    texts = {name: t.text for name, t in zip(corpus.waveforms, heard, strict=True)}
    return {
        name: " ".join(texts[u.id] for u in members if texts[u.id])
        for name, members in corpus.chapters.items()
    }


def chapter_by_chapter(
    recognizer: Recognizer, corpus: Chapters, detector: Callable[[], SpeechDetector]
) -> dict[str, str]:
    """Transcribe chapters as long audio; return the text of each."""
    texts = {}
    with ThreadPoolExecutor(available_cores()) as pool:

        def begin(waveform: Array) -> Future[Transcript]:
            return pool.submit(lambda: recognizer.transcribe_waveforms([waveform])[0])

        for name in corpus.chapters:
            blocks = [corpus.spoken(name)]
            parts = transcribe_sections([blocks], corpus.rate, begin, detector)
            texts[name] = join_parts(parts).text
    return texts


def never_silent() -> SpeechDetector:
    """Return a detector that hears a voice everywhere."""
    return lambda windows: np.ones(len(windows), np.float32)


def main(
    manifest: Annotated[Path, typer.Argument(help="JSONL; ids end in the utterance's number.")],
    model: Annotated[Path | None, typer.Option(help="Bundle; the English model if none.")] = None,
    language_model: Annotated[str | None, typer.Option(help="A scorer, or none.")] = None,
    repeat: Annotated[int, typer.Option(help="Times to measure the speed of each, in turn.")] = 3,
) -> None:
    """Print word error rates and speeds."""
    recognizer = load_model(model, language_model=language_model)
    corpus = Chapters(read_manifest(manifest), recognizer.bundle.features.sample_rate)
    ways: dict[str, Callable[[], dict[str, str]]] = {
        "utterances": lambda: utterance_by_utterance(recognizer, corpus),
        "chapters, cut at pauses": lambda: chapter_by_chapter(recognizer, corpus, silero_detector),
        "chapters, overlapping cuts": lambda: chapter_by_chapter(recognizer, corpus, never_silent),
    }
    taken: dict[str, list[float]] = {way: [] for way in ways}
    texts: dict[str, dict[str, str]] = {}
    for _ in range(repeat):
        for way, run in ways.items():
            begin = time.perf_counter()
            texts[way] = run()
            taken[way].append(time.perf_counter() - begin)
    table = Table(
        title=f"{len(corpus.waveforms)} utterances in {len(corpus.chapters)} chapters, "
        f"{corpus.seconds / 3600:.2f} h, {recognizer.decoder.description}"
    )
    for column in ("", "WER", "deletions", "insertions", "times real time"):
        table.add_column(column, justify="right" if column else "left")
    for way in ways:
        words = error_rates(corpus.pairs(texts[way])).words
        table.add_row(
            way,
            f"{words.rate:.2%}",
            f"{words.deletions / words.reference_length:.2%}",
            f"{words.insertions / words.reference_length:.2%}",
            f"{corpus.seconds / float(np.median(taken[way])):.0f}",
        )
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
