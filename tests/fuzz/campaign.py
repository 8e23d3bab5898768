"""Runs cases in child processes, and takes account of those that crash or do not end."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from entries import ENTRIES

CASE_SECONDS = 60.0
"""That a case may take on a busy machine; nearly all take milliseconds."""

_START_SECONDS = 600.0  # in which functions may have to be compiled
_POLL = 0.05  # seconds
_MOST_DEATHS = 20  # of children in a slice, of which nothing new is learnt
_HERE = Path(__file__).parent
_SOURCE = _HERE.parents[1] / "src"


@dataclass
class Finding:
    """A case that did not end well.

    Attributes:
        entry: its way in.
        seed: which makes the case again: ``scripts/fuzz --entry ENTRY --seed SEED --cases 1``.
        kind: ``crash``, ``hang`` or ``error``.
        text: the traceback, or what the process said last.
    """

    entry: str
    seed: int
    kind: str
    text: str


@dataclass
class Tally:
    """What the cases of an entry came to.

    Attributes:
        cases: that were run.
        peak: most memory of a child, in KiB.
        outcomes: of those that ended; errors of the package by their class.
        findings: the others.
    """

    cases: int = 0
    peak: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)

    def count(self, kind: str) -> int:
        """Return how many findings are of ``kind``."""
        return sum(finding.kind == kind for finding in self.findings)

    def add(self, other: Tally) -> None:
        """Add what later cases came to."""
        self.cases += other.cases
        self.peak = max(self.peak, other.peak)
        self.outcomes.update(other.outcomes)
        self.findings += other.findings

    def as_json(self) -> dict[str, Any]:
        """Return what `from_json` takes."""
        findings = [asdict(finding) for finding in self.findings]
        return {**vars(self), "outcomes": dict(self.outcomes), "findings": findings}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Tally:
        """Return the tally that `as_json` gave."""
        findings = [Finding(**finding) for finding in values["findings"]]
        return cls(values["cases"], values["peak"], Counter(values["outcomes"]), findings)


def run(entry: str, first: int, count: int, seconds: float = 1e9) -> Tally:
    """Run up to ``count`` cases of ``entry`` for up to ``seconds``; ``first`` seeds the first.

    A child that crashes or hangs is followed by another one, which begins after the case.
    """
    tally = Tally()
    until = time.monotonic() + seconds
    deaths = 0
    while tally.cases < count and deaths < _MOST_DEATHS:
        start = first + tally.cases
        part = _run_child(entry, start, count - tally.cases, until - time.monotonic())
        tally.add(part)
        deaths += part.count("crash") + part.count("hang")
        if not part.cases or time.monotonic() > until:
            break
    return tally


def _run_child(entry: str, first: int, count: int, seconds: float) -> Tally:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        progress = folder / "progress"
        progress.write_bytes(struct.pack("=q", -1))
        command = [sys.executable, str(_HERE / "child.py"), entry, str(first), str(count)]
        with (folder / "out").open("wb") as out, (folder / "errors").open("wb") as errors:
            child = subprocess.Popen(
                [*command, str(seconds), str(progress)],
                stdout=out,
                stderr=errors,
                env=_environment(entry),
            )
            hung, peak = _wait(child, progress)
        at = _seed(progress)
        said = (folder / "errors").read_text(errors="replace")[-2000:]
        tally = _told(entry, (folder / "out").read_text())
    tally.peak = peak
    tally.cases = max(0, at - first)
    if hung or child.returncode != 0:
        assert at >= 0, f"{entry}: did not begin: {said}"
        kind = "hang" if hung else "crash"
        tally.findings.append(Finding(entry, at, kind, f"status {child.returncode}: {said}"))
        tally.cases += 1
    return tally


def _environment(entry: str) -> dict[str, str]:
    paths = [_SOURCE, *(_HERE.parent / part for part in (".", "decoding", "lm", "serving"))]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
    environment |= {"OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0", "MALLOC_ARENA_MAX": "2"}
    environment.pop("NUMBA_BOUNDSCHECK", None)
    if ENTRIES[entry].bounds_checked:
        environment["NUMBA_BOUNDSCHECK"] = "1"
    return environment


def _wait(child: subprocess.Popen[bytes], progress: Path) -> tuple[bool, int]:
    """Return whether a case took too long, and the most memory of the child, in KiB."""
    at, since, hung = -1, time.monotonic(), False
    while True:
        pid, status, usage = os.wait4(child.pid, os.WNOHANG)
        if pid:
            child.returncode = os.waitstatus_to_exitcode(status)
            return hung, usage.ru_maxrss
        if _seed(progress) != at:
            at, since = _seed(progress), time.monotonic()
        elif time.monotonic() - since > (_START_SECONDS if at < 0 else CASE_SECONDS):
            hung = True
            child.kill()
        time.sleep(_POLL)


def _seed(progress: Path) -> int:
    return int(struct.unpack("=q", progress.read_bytes())[0])


def _told(entry: str, text: str) -> Tally:
    tally = Tally()
    for line in text.splitlines():
        try:
            values = json.loads(line)
        except ValueError:  # cut by a crash
            continue
        if "outcomes" in values:
            tally.outcomes.update(values["outcomes"])
        else:
            tally.findings.append(Finding(entry, values["seed"], "error", values["error"]))
    return tally
