"""Programs under measurement in processes of their own, which answer questions.

A question and an answer are a line of JSON each. Both sides are here: `Child` starts and asks a
process, `answer` and `peak_bytes` are for the process itself, which may run under any Python from
3.9 on without this package; so this module imports the standard library alone.
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]

FIRST_CORE = min(os.sched_getaffinity(0))
"""Of those that this process may use."""

_INSTRUCTIONS = ("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "asimddp")
"""What products of matrices use in float32, int8 and bfloat16, where a processor has it."""


class Child:
    """A process that answers questions.

    Args:
        python: its interpreter.
        module: that it runs, of this repository, such as ``benchmarks.decoder.systems``.
        arguments: of the module.
        cores: on which it runs.
        name: for the message where it ends.

    Attributes:
        greeting: what it answers when it is ready.
    """

    def __init__(
        self,
        python: str,
        module: str,
        arguments: Sequence[str],
        cores: Sequence[int] | range,
        name: str,
    ) -> None:
        self._name = name
        with pinned(cores):
            self._process = subprocess.Popen(
                [python, "-m", module, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd=ROOT,
                env=environment(len(cores)),
            )
        self.greeting = self._next()

    def ask(self, question: Any) -> dict[str, Any]:
        """Return the answer to ``question``, a JSON value."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return self._next()

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def _next(self) -> dict[str, Any]:
        assert self._process.stdout
        for line in self._process.stdout:
            if line.startswith("@"):
                found: dict[str, Any] = json.loads(line[1:])
                return found
        raise RuntimeError(f"{self._name}: its process has ended, for the reason above")


def answer(value: dict[str, Any]) -> None:
    """Write an answer to standard output, to which libraries print too: no other line has an @."""
    sys.stdout.write("\n@" + json.dumps(value) + "\n")
    sys.stdout.flush()


def peak_bytes() -> int:
    """Return the most memory that this process has had; rusage would count its parent's, too."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


@contextmanager
def pinned(cores: Sequence[int] | range) -> Iterator[None]:
    """Keep this thread on ``cores``, and the processes that it starts for good."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def environment(threads: int) -> dict[str, str]:
    """Return this environment, in which libraries that multiply matrices take so many threads."""
    return {**os.environ, "OMP_NUM_THREADS": str(threads)}


def machine() -> str:
    """Return processor, instructions and cores of this machine, for the head of a table."""
    text = Path("/proc/cpuinfo").read_text()
    names = re.findall(r"model name\s*: (.*)", text)
    flags = set(re.findall(r"\w+", next(iter(re.findall(r"flags\s*: (.*)", text)), "")))
    used = [name for name in _INSTRUCTIONS if name in flags]
    shown = f" with {', '.join(used)}" if used else ""
    return f"{names[0] if names else platform.machine()}{shown}, {os.cpu_count()} cores"
