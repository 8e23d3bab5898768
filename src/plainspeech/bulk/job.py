"""A bulk transcription: what is left of it, by an engine, into an output folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Protocol

from plainspeech.bulk.output import Output
from plainspeech.bulk.work import Item, Outcome
from plainspeech.errors import ConfigurationError
from plainspeech.files import shown


class Engine(Protocol):
    """Processes that transcribe."""

    def run(self, items: Iterable[Item]) -> Generator[Outcome, None, None]:
        """Yield one outcome for each of ``items``, in any order."""


@dataclass
class Progress:
    """How far a run is, and what it has cost.

    Attributes:
        items: to be transcribed by this run.
        done: of them.
        failed: of those.
        share: of the work that is done, 0 to 1.
        audio_seconds: transcribed.
        processor_seconds: of all workers.
        seconds: since the run began.
    """

    items: int
    done: int = 0
    failed: int = 0
    share: float = 0.0
    audio_seconds: float = 0.0
    processor_seconds: float = 0.0
    seconds: float = 0.0

    @property
    def speed(self) -> float:
        """Hours of audio an hour."""
        return self.audio_seconds / max(self.seconds, 1e-9)

    @property
    def remaining_seconds(self) -> float | None:
        """By the share of the work that is done; None as long as nothing is."""
        return self.seconds * (1 - self.share) / self.share if self.share else None


def remaining(items: Sequence[Item], done: Mapping[str, str]) -> list[Item]:
    """Return those of ``items`` that are not ``done``.

    Raises:
        ConfigurationError: what is done by an id was another recording.
    """
    for item in items:
        audio = shown(item.audio)
        if done.get(item.id, audio) != audio:
            raise ConfigurationError(
                f"{item.id}: the output has it from {done[item.id]}, here it is {audio}; "
                f"choose another --output"
            )
    return [item for item in items if item.id not in done]


def transcribe_items(
    items: Sequence[Item],
    engine: Engine,
    output: Output,
    report: Callable[[Progress], object],
) -> Progress:
    """Transcribe ``items`` into ``output``.

    Args:
        items: none of them done.
        engine: transcribes them.
        output: takes the outcomes.
        report: is called after each.

    Raises:
        PlainspeechError: an error of the engine, or of the output. What was done before is kept.
    """
    sizes = {item.id: item.size for item in items}
    total = sum(sizes.values())
    progress, began = Progress(len(items)), time.monotonic()
    with closing(engine.run(items)) as outcomes:
        for outcome in outcomes:
            output.add(outcome)
            progress.done += 1
            progress.failed += outcome.row is None
            # A size that is not known makes the sum NaN.
            part = sizes[outcome.id] / total if total > 0 else 1 / len(items)
            progress.share = min(1.0, progress.share + part)
            progress.audio_seconds += outcome.seconds
            progress.processor_seconds += outcome.processor_seconds
            progress.seconds = time.monotonic() - began
            report(progress)
    return progress
