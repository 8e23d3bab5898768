"""Verbs that are killed at any moment lose nothing; see `killed_verbs`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import killed_verbs
import plainspeech

KILLS = 2
"""Of each verb here; ``python tests/killed_verbs.py VERB FOLDER`` kills it at every event."""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills processes that it forks")
@pytest.mark.parametrize("verb", killed_verbs.VERBS)
def test_a_killed_verb_loses_nothing(tmp_path: Path, verb: str) -> None:
    found = subprocess.run(
        [sys.executable, killed_verbs.__file__, verb, str(tmp_path / "k"), str(KILLS)],
        env={**os.environ, "PYTHONPATH": str(Path(plainspeech.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr[-3000:]
    assert f"{KILLS} kills" in found.stdout
