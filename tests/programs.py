"""Programs in processes of their own, for what an import does and what a second run finds."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import plainspeech


def started(*arguments: str | Path, **options: Any) -> subprocess.Popen[str]:
    """Start the command line.

    Args:
        arguments: of it.
        options: of `subprocess.Popen`.
    """
    return subprocess.Popen(
        [sys.executable, "-m", "plainspeech", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(Path(plainspeech.__file__).parents[1])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def output_of(program: Path, environment: Mapping[str, str | None]) -> str:
    """Return what a program that imports this package prints; it ends well, without a complaint.

    Args:
        program: in Python.
        environment: variables in place of those that there are; None for none.
    """
    source = str(Path(plainspeech.__file__).parents[1])
    variables = {**os.environ, "PYTHONPATH": source, **environment}
    done = subprocess.run(
        [sys.executable, str(program)],
        env={name: value for name, value in variables.items() if value is not None},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


@dataclass(frozen=True)
class KeptScript:
    """A script with one compiled function, whose machine code is kept from run to run.

    Attributes:
        path: of the script.
        folder: where the machine code is kept.
        ending: of its file.
        environment: variables of every run, as in `output_of`.
    """

    path: Path
    folder: Path
    ending: str
    environment: Mapping[str, str | None]

    def run(self, **more: str) -> str:
        """Return what it prints, with ``more`` variables."""
        return output_of(self.path, {**self.environment, **more})

    @property
    def file(self) -> Path:
        """The machine code."""
        (file,) = self.folder.glob(f"*.{self.ending}")
        return file
