"""How much memory a server of several processes takes, and how much of it they share.

PSS counts a page that several processes have as a part of each, so that their sum is what all take;
what is private is what one more worker would add. Each has answered requests before.

    python -m benchmarks.serving.memory [--workers 1 --workers 4] [--requests 100]
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.processes import machine
from benchmarks.serving.load import SAMPLES, below, load, serving


def mebibytes(pids: Iterable[int], *names: str) -> list[float]:
    """Return the lines ``names`` of smaps_rollup, one number a process, in MiB."""
    found = []
    for pid in pids:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        values = dict(re.findall(r"^(\w+): +(\d+) kB", text, re.MULTILINE))
        found.append(sum(int(values[name]) for name in names) / 1024)
    return found


def main(
    workers: Annotated[list[int], typer.Option()] = [1, 2, 4, 8],  # noqa: B006
    requests: int = 100,
) -> None:
    """Measure and print a table."""
    clips = [path.read_bytes() for path in sorted(SAMPLES.glob("*.flac"))]
    print(f"{machine()}; {requests} requests by 16 clients\n")
    print("| | processes | PSS of all, MiB | RSS of a worker | private to a worker |")
    print("|---|--:|--:|--:|--:|")
    with ExitStack() as stack:
        targets = [stack.enter_context(serving(str(number))) for number in range(2)]
        for target in targets:
            asyncio.run(load(target, clips, 16, requests))
        pids = [target.process for target in targets]
        print(row("two servers of one process", pids, pids))
    for count in workers:
        with serving("workers", "--workers", str(count)) as target:
            asyncio.run(load(target, clips, 16, requests))
            pids = below(target.process)
            print(row(f"`--workers {count}`", pids, pids[2:]))


def row(name: str, every: list[int], workers: list[int]) -> str:
    """Return the line of the table for the processes ``every``, of which some are ``workers``."""
    total = sum(mebibytes(every, "Pss"))
    resident = sum(mebibytes(workers, "Rss")) / len(workers)
    private = sum(mebibytes(workers, "Private_Clean", "Private_Dirty")) / len(workers)
    return f"| {name} | {len(every)} | {total:.0f} | {resident:.0f} | {private:.0f} |"


if __name__ == "__main__":
    typer.run(main)
