"""How the server does under load, by kinds of it and numbers of clients, on this machine alone.

Servers of all kinds run; clients measure them in turn, so that whatever else the machine does falls
on all alike. A client sends its next request when the last has been answered. Clients and servers
share the cores. Answers are held against what the first answer to the same clip was; whatever else
comes back is an error, and what never comes back is lost. Beside the wall clock stands the
processor time of the server, by itself and over that of calling the library with the same files,
measured between the others: both mean the same on a machine with other work. Beside a lone client,
the library is called from one thread and computes on all cores, as the server does; beside more, it
is called from a thread for each core, for two cores that share their units are slower together.

    python -m benchmarks.serving.load [--clients 32] [--kind "--workers 2"] [--memory-requests 2000]
"""

from __future__ import annotations

import asyncio
import io
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import httpx
import numpy as np
import typer
from rich.console import Console

from benchmarks.processes import machine
from plainspeech.cores import available_cores

if TYPE_CHECKING:
    from plainspeech.runtime.recognizer import Recognizer

PATH = "/v1/audio/transcriptions"
SAMPLES = Path(__file__).parents[2] / "samples"
KINDS = ["", "--no-batching", "--workers 2"]
LONGEST_WAIT = 120.0  # seconds; a request without an answer by then is lost
_COMPILING = 600.0  # seconds, what a server may take that is the first with a new search


@dataclass
class Outcome:
    """What came of a number of requests.

    Attributes:
        seconds: of each answer.
        wall: seconds that all took together.
        processor: seconds that the server computed.
        errors: answers that were not the transcript.
        lost: requests without an answer.
    """

    seconds: list[float] = field(default_factory=list)
    wall: float = 0.0
    processor: float = 0.0
    errors: int = 0
    lost: int = 0


@dataclass
class Target:
    """A server that runs.

    Attributes:
        name: what is special about it.
        url: where it is.
        process: its number.
        expected: the answer to each clip, when it is known.
    """

    name: str
    url: str
    process: int
    expected: dict[int, str] = field(default_factory=dict)

    def processor_seconds(self) -> float:
        """Return how long it and its workers have computed."""
        stats = (Path(f"/proc/{pid}/stat").read_text() for pid in below(self.process))
        ticks = (map(int, stat.rpartition(")")[2].split()[11:13]) for stat in stats)
        return sum(map(sum, ticks)) / os.sysconf("SC_CLK_TCK")

    def resident(self) -> float:
        """Return its resident memory in MiB."""
        status = Path(f"/proc/{self.process}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) / 1024


def below(pid: int) -> list[int]:
    """Return ``pid`` and all processes below it."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(found for child in children for found in below(int(child)))]


@contextmanager
def serving(name: str, *options: str) -> Iterator[Target]:
    """Run ``plainspeech serve`` on a free port until the block ends."""
    command = [sys.executable, "-m", "plainspeech", "serve"]
    with subprocess.Popen(
        [*command, "--port", "0", *options], stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stderr is not None
            line = next(line for line in process.stderr if " at http" in line)
            url = line.split(" at ")[1].split(";")[0]
            httpx.get(f"{url}/health", timeout=_COMPILING).raise_for_status()
            yield Target(name, url, process.pid)
        finally:
            process.terminate()


async def load(target: Target, clips: Sequence[bytes], clients: int, requests: int) -> Outcome:
    """Send ``requests`` requests by ``clients`` clients at a time."""
    outcome, numbers = Outcome(), iter(range(requests))
    limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients)
    async with httpx.AsyncClient(
        base_url=target.url, timeout=LONGEST_WAIT, limits=limits
    ) as client:

        async def one_client() -> None:
            for number in numbers:
                await request(client, target, clips, number % len(clips), outcome)

        started, computed = time.perf_counter(), target.processor_seconds()
        await asyncio.gather(*(one_client() for _ in range(clients)))
        outcome.wall = time.perf_counter() - started
        outcome.processor = target.processor_seconds() - computed
    return outcome


async def request(
    client: httpx.AsyncClient, target: Target, clips: Sequence[bytes], clip: int, outcome: Outcome
) -> None:
    """Send one request, and note what comes of it."""
    started = time.perf_counter()
    try:
        response = await client.post(
            PATH, files={"file": ("clip.flac", clips[clip])}, data={"model": "whisper-1"}
        )
    except httpx.TransportError:
        outcome.lost += 1
        return
    outcome.seconds.append(time.perf_counter() - started)
    text = response.text if response.status_code == 200 else None
    if text is None or target.expected.setdefault(clip, text) != text:
        outcome.errors += 1


def call_library(recognizer: Recognizer, clips: Sequence[bytes], requests: int) -> Outcome:
    """Transcribe as many clips in this process, on all cores.

    Args:
        recognizer: called from as many threads as there are cores for one of its own each.
        clips: files.
        requests: how often one is transcribed.
    """
    outcome = Outcome()

    def one(number: int) -> None:
        started = time.perf_counter()
        recognizer.transcribe(io.BytesIO(clips[number % len(clips)]))
        outcome.seconds.append(time.perf_counter() - started)

    started, computed = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(available_cores() // recognizer.threads) as pool:
        list(pool.map(one, range(requests)))
    outcome.wall = time.perf_counter() - started
    outcome.processor = time.process_time() - computed
    return outcome


def row(
    name: str, clients: int, outcomes: Sequence[Outcome], audio: float, library: Sequence[Outcome]
) -> str:
    """Return the line of the table for ``outcomes``, whose clips last ``audio`` seconds each."""
    seconds = [s for outcome in outcomes for s in outcome.seconds]
    p50, p95 = (1000 * p for p in np.percentile(seconds, (50, 95)))
    rates = [len(outcome.seconds) / outcome.wall for outcome in outcomes]
    rate = float(np.median(rates))
    computed, called = (
        [outcome.processor / len(outcome.seconds) for outcome in each]
        for each in (outcomes, library)
    )
    over = float(np.median(np.divide(computed, called)))
    return (
        f"| {clients} | {name} | {rate:.1f} ({min(rates):.1f} to {max(rates):.1f}) "
        f"| {rate * audio:.0f} | {p50:.0f} | {p95:.0f} | {1000 * max(seconds) / p50:.1f} "
        f"| {1000 * float(np.median(computed)) / audio:.2f} | {over:.2f} "
        f"| {sum(o.errors for o in outcomes)} | {sum(o.lost for o in outcomes)} |"
    )


def main(
    requests: Annotated[int, typer.Option(help="In each cell and round, one a client.")] = 200,
    rounds: int = 3,
    clients: Annotated[list[int], typer.Option(help="At a time.")] = [1, 8, 64, 256],  # noqa: B006
    kind: Annotated[list[str], typer.Option(help="Options of a server.")] = KINDS,
    memory_requests: Annotated[int, typer.Option(help="0 leaves memory out.")] = 2000,
    clips: Annotated[list[Path] | None, typer.Option(help="The samples by default.")] = None,
) -> None:
    """Measure and print two tables."""
    import soundfile

    from plainspeech.runtime.recognizer import load_model

    console = Console(stderr=True)
    paths = clips or sorted(SAMPLES.glob("*.flac"))
    audio = float(np.mean([soundfile.info(path).duration for path in paths]))
    contents = [path.read_bytes() for path in paths]
    alone, many = load_model(), load_model(threads=1)
    for recognizer in (alone, many):
        call_library(recognizer, contents, 2 * len(contents))
    print(f"{machine()}; clips of {audio:.1f} s on average\n")
    print(
        "| clients | server | requests/s (least to most) | audio s/s | p50 ms | p95 ms "
        "| longest / p50 | processor ms a second of audio | / library | errors | lost |\n"
        "|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
    )
    with ExitStack() as stack:
        targets = [stack.enter_context(serving(each, *each.split())) for each in kind]
        for number in clients:
            found: dict[str, list[Outcome]] = {each: [] for each in kind}
            library: list[Outcome] = []
            sent = max(requests, 2 * number)
            for round_ in range(rounds):
                library.append(call_library(alone if number == 1 else many, contents, requests))
                for target in targets if round_ % 2 else targets[::-1]:
                    console.print(f"{number} clients, round {round_ + 1}, {target.name}")
                    outcome = asyncio.run(load(target, contents, number, sent))
                    found[target.name].append(outcome)
            print(row("the library", number, library, audio, library))
            for name, outcomes in found.items():
                print(row(name or "one process", number, outcomes, audio, library), flush=True)
    if memory_requests:
        measure_memory(contents, memory_requests)


def measure_memory(contents: Sequence[bytes], requests: int) -> None:
    """Print the resident memory of a fresh server while it answers."""
    print("\n| requests answered | resident MiB |\n|--:|--:|")
    with serving("on") as target:
        print(f"| 0 | {target.resident():.0f} |")
        for done in range(4):
            asyncio.run(load(target, contents, 8, requests // 4))
            print(f"| {(done + 1) * (requests // 4)} | {target.resident():.0f} |")


if __name__ == "__main__":
    typer.run(main)
