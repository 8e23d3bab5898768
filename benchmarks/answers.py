"""What child processes of benchmarks answer: lines of JSON after an ``@``, among whatever else."""

from __future__ import annotations

import json
import subprocess
from typing import Any


def next_answer(process: subprocess.Popen[str]) -> dict[str, Any] | None:
    """Return the next answer of ``process``; None where it has ended."""
    assert process.stdout
    for line in process.stdout:
        if line.startswith("@"):
            answer: dict[str, Any] = json.loads(line[1:])
            return answer
    return None
