"""Runs a program of seeded cases under numba's bounds check, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import plainspeech


def run_bounds_checked(program: Path, cases: int) -> str:
    """Return what ``program`` prints of its first ``cases``; it must end well."""
    environment = {
        **os.environ,
        "NUMBA_BOUNDSCHECK": "1",
        "PYTHONPATH": str(Path(plainspeech.__file__).parents[1]),
    }
    done = subprocess.run(
        [sys.executable, str(program), "0", str(cases)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout
