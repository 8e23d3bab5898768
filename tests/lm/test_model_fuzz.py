"""Damaged language models: refused in one line or used safely, fuzzed with bounds checked."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import plainspeech

CASES = 400


def test_damaged_models_are_refused_or_safe() -> None:
    program = Path(__file__).with_name("model_fuzz.py")
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
    assert "'arpa used'" in done.stdout
    assert "'scorer used'" in done.stdout
