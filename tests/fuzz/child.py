"""Runs cases of one entry in this process, which may die of them, and tells which it is at.

    python child.py ENTRY FIRST COUNT SECONDS PROGRESS

A case is settled by its seed. It ends well with a result or with an error of the package in one
line; any other exception is printed with its seed, as JSON. PROGRESS is a file of one number, the
seed of the case under way, or -1 before the first.
"""

from __future__ import annotations

import faulthandler
import json
import mmap
import os
import random
import resource
import struct
import sys
import tempfile
import time
import traceback
from collections import Counter
from importlib import import_module
from pathlib import Path

MEMORY = 2 << 30
"""Bytes of addresses that the cases may take beyond what the entry takes before the first."""

_LONGEST_MESSAGE = 1000  # characters


def _one_line(message: str) -> None:
    assert message.strip(), "an error without a message"
    assert len(message.splitlines()) == 1, f"several lines: {message[:300]!r}"
    assert len(message) <= _LONGEST_MESSAGE, f"{len(message)} characters: {message[:300]!r}"


def _bound_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def main(entry: str, first: int, count: int, seconds: float, progress: Path) -> None:
    """Run up to ``count`` cases from ``first`` on, for up to ``seconds``."""
    faulthandler.enable()
    from entries import ENTRIES

    from plainspeech.errors import PlainspeechError

    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder, progress.open("r+b") as file:
        place = mmap.mmap(file.fileno(), 8)
        run = import_module(ENTRIES[entry].module).CASES[entry](Path(folder))
        _bound_memory()
        outcomes: Counter[str] = Counter()
        until = time.monotonic() + seconds
        for seed in range(first, first + count):
            place[:] = struct.pack("=q", seed)
            try:
                outcomes[run(random.Random(seed))] += 1
            except PlainspeechError as error:
                outcomes[type(error).__name__] += 1
                try:
                    _one_line(str(error))
                except AssertionError:
                    _tell(seed)
            except Exception:
                outcomes["unexpected error"] += 1
                _tell(seed)
            if time.monotonic() > until:
                break
    place[:] = struct.pack("=q", seed + 1)
    print(json.dumps({"outcomes": outcomes}), flush=True)  # noqa: T201


def _tell(seed: int) -> None:
    text = traceback.format_exc(limit=-8)[-3000:]
    print(json.dumps({"seed": seed, "error": text}), flush=True)  # noqa: T201


if __name__ == "__main__":
    entry, first, count, seconds, progress = sys.argv[1:]
    main(entry, int(first), int(count), float(seconds), Path(progress))
    os._exit(0)  # threads of servers do not matter any more
