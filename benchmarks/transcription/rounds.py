"""Processes that transcribe the same utterances in turn, on the same cores; for `speed.py`."""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track

from benchmarks.processes import ROOT, Child, environment, pinned
from plainspeech import audio
from plainspeech.data.manifest import Utterance
from plainspeech.errors import PlainspeechError

SYSTEMS = "benchmarks.transcription.systems"


@dataclass(frozen=True)
class System:
    """What is measured.

    Attributes:
        label: for the tables.
        name: one of those of `benchmarks.transcription.systems`.
        options: that it takes there.
        python: the interpreter of an environment that has it.
        slow: it hears each utterance in one of the rounds, not in each of them.
        multiply_adds: of its network for a second of audio; 0 for none that is known.
    """

    label: str
    name: str
    options: dict[str, Any] = field(default_factory=dict, hash=False)
    python: str = sys.executable
    slow: bool = False
    multiply_adds: float = 0.0


@dataclass(frozen=True)
class Round:
    """What a system did in its turn.

    Attributes:
        audio: seconds that it heard.
        total: seconds that it took, by the wall and of its processor time.
        parts: the same for each part of the work, where they are measured.
        texts: what it heard, by the place of the utterance.
        peak: most bytes of memory that its process has had until then.
    """

    audio: float
    total: tuple[float, float]
    parts: dict[str, tuple[float, float]]
    texts: dict[int, str]
    peak: int


@dataclass(frozen=True)
class Results:
    """What a system did in all its turns.

    Attributes:
        system: that did it.
        rounds: in order; those of one number were taken one after the other by all systems.
        sizes: bytes of what it loads.
        versions: of the packages that do the work.
        cores: that it had.
    """

    system: System
    rounds: list[Round]
    sizes: dict[str, int]
    versions: dict[str, str]
    cores: int

    @property
    def peak(self) -> int:
        """Most bytes of memory."""
        return max(one.peak for one in self.rounds)

    @property
    def texts(self) -> dict[int, str]:
        """What was heard in all rounds together, by the place of the utterance."""
        return {place: text for one in self.rounds for place, text in one.texts.items()}

    @property
    def busy(self) -> float:
        """Processor time over time by the wall, the median: about 1 a core on a quiet machine."""
        return statistics.median(one.total[1] / one.total[0] for one in self.rounds)

    def costs(self, part: str | None = None) -> list[float]:
        """Return the seconds a second of audio, round by round.

        On one core they are of processor time, which is what the wall would show if nothing else
        ran there; on several, by the wall.

        Args:
            part: of the work; None takes all of it.
        """
        clock = self.cores == 1
        return [
            (one.total if part is None else one.parts[part])[clock] / one.audio
            for one in self.rounds
        ]


class Corpus:
    """The waveforms of utterances, in a folder from which every process reads them.

    Args:
        utterances: to be heard.
        folder: to write to.

    Raises:
        PlainspeechError: a recording cannot be read.
    """

    def __init__(self, utterances: Sequence[Utterance], folder: Path) -> None:
        self.utterances, self.folder = utterances, folder
        lengths = []
        with (folder / "samples.float32").open("wb") as file:
            for utterance in utterances:
                waveform = audio.read(utterance.audio)
                lengths.append(len(waveform))
                file.write(waveform.tobytes())
        np.save(folder / "ends.npy", np.cumsum(lengths))
        self.durations = [length / audio.SAMPLE_RATE for length in lengths]


class _Worker:
    """A system in a process of its own."""

    def __init__(self, system: System, corpus: Corpus, cores: Sequence[int]) -> None:
        options = json.dumps({"threads": len(cores), **system.options})
        arguments = ["serve", system.name, options, str(corpus.folder)]
        self._child = Child(system.python, SYSTEMS, arguments, cores, system.label)
        self._corpus = corpus
        self.sizes: dict[str, int] = self._child.greeting["sizes"]
        self.versions: dict[str, str] = self._child.greeting["versions"]

    def hear(self, places: Sequence[int]) -> Round:
        """Have the utterances at ``places`` heard."""
        answer = self._child.ask(list(places))
        return Round(
            audio=sum(self._corpus.durations[place] for place in places),
            total=answer["total"],
            parts=answer["parts"],
            texts=dict(zip(places, answer["texts"], strict=False)),
            peak=answer["peak"],
        )

    def close(self) -> None:
        """End the process."""
        self._child.close()


def take_turns(
    systems: Iterable[System], corpus: Corpus, cores: Sequence[int], repeat: int
) -> dict[str, Results]:
    """Have every system hear the corpus ``repeat`` times, one system at a time and in turn.

    Args:
        systems: that hear.
        corpus: to be heard.
        cores: on which all processes run.
        repeat: rounds.

    Returns:
        What came of each, by its label.
    """
    console = Console(stderr=True)
    everything = list(range(len(corpus.utterances)))
    with ExitStack() as stack:
        workers: dict[System, _Worker] = {}
        for system in systems:  # one after the other, so that one compiles for all
            workers[system] = _Worker(system, corpus, cores)
            stack.callback(workers[system].close)
        rounds: dict[System, list[Round]] = {system: [] for system in workers}
        title = f"rounds on {len(cores)} core{'s' * (len(cores) > 1)}"
        for turn in track(range(repeat), title, console=console):
            for system, worker in workers.items():
                places = everything[turn::repeat] if system.slow else everything
                rounds[system].append(worker.hear(places))
    return {
        system.label: Results(system, rounds[system], worker.sizes, worker.versions, len(cores))
        for system, worker in workers.items()
    }


@dataclass(frozen=True)
class Start:
    """One start of a program.

    Attributes:
        wall: seconds from the start of the process to the first of the text.
        processor: seconds of processor time, to the end of the process.
    """

    wall: float
    processor: float


def cold_starts(commands: dict[str, list[str]], core: int, repeat: int) -> dict[str, list[Start]]:
    """Start every program ``repeat`` times, in turn, after once that does not count.

    So what they read is in the disk's cache, and what numba compiles is compiled.
    """
    starts: dict[str, list[Start]] = {label: [] for label in commands}
    console = Console(stderr=True)
    for turn in track(range(repeat + 1), "cold starts", console=console):
        for label, command in commands.items():
            start = _start(command, core)
            if turn:
                starts[label].append(start)
    return starts


def _start(command: Sequence[str], core: int) -> Start:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with pinned([core]):
        begin = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, env=environment(1))
    assert process.stdout
    heard = process.stdout.read(1)
    wall = time.perf_counter() - begin
    process.communicate()
    if process.returncode or not heard:
        raise PlainspeechError(f"{' '.join(command)}: has failed, for the reason above")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Start(wall, processor)
