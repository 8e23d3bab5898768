"""The compiled search stays within its arrays, whatever goes in: fuzzed with bounds checked."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import plainspeech

CASES = 600


def test_the_search_stays_within_its_arrays() -> None:
    program = Path(__file__).with_name("search_fuzz.py")
    environment = {
        **os.environ,
        "NUMBA_BOUNDSCHECK": "1",
        "PYTHONPATH": str(Path(plainspeech.__file__).parents[1]),
    }
    done = subprocess.run(
        [sys.executable, str(program), "0", str(CASES)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "'decoded'" in done.stdout
