"""A slice of the campaign of ``scripts/fuzz``, with the same seeds every time."""

from __future__ import annotations

import random
import shutil
import sys
from pathlib import Path

import campaign
import pytest
from entries import ENTRIES, Entry
from mutations import mutated_bytes, mutated_json, mutated_text

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="bounds memory as Linux does")


@pytest.mark.parametrize("entry", ENTRIES)
def test_no_input_crashes_stalls_or_surprises(entry: str) -> None:
    tally = campaign.run(entry, 0, ENTRIES[entry].slice)
    assert tally.findings == []
    assert tally.cases == ENTRIES[entry].slice
    assert len(tally.outcomes) > 1  # some are taken, some are refused


DYING = """
import os, random, time
def make(folder):
    def run(draw):
        number = draw.randrange(1000)
        if number % 5 == 0:
            os.abort()
        if number % 5 == 1:
            raise KeyError(number)
        if number % 5 == 2:
            return str(bytearray(1 << 40))
        return "fine"
    return run
CASES = {"dying": make}
"""


def test_a_case_that_crashes_is_found_and_the_others_are_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(Path(campaign.__file__).parent / "child.py", tmp_path)
    (tmp_path / "entries.py").write_text(
        "from types import SimpleNamespace\n"
        "ENTRIES = {'dying': SimpleNamespace(module='dying_cases')}\n"
    )
    (tmp_path / "dying_cases.py").write_text(DYING)
    monkeypatch.setattr(campaign, "_HERE", tmp_path)
    monkeypatch.setitem(ENTRIES, "dying", Entry("dying_cases"))
    tally = campaign.run("dying", 0, 20)
    draws = [random.Random(seed).randrange(1000) % 5 for seed in range(20)]
    assert tally.cases == 20
    assert [f.seed for f in tally.findings if f.kind == "crash"] == [
        seed for seed, draw in enumerate(draws) if draw == 0
    ]
    assert [f.seed for f in tally.findings if f.kind == "error"] == [
        seed for seed, draw in enumerate(draws) if draw in (1, 2)
    ]


def test_a_draw_settles_a_mutant() -> None:
    value = {"a": [1, 2, {"b": None}], "c": "text"}
    for seed in range(50):
        mutants = [
            (
                mutated_bytes(b"some bytes", random.Random(seed)),
                mutated_text("a few words of text", random.Random(seed)),
                repr(mutated_json(value, random.Random(seed))),
            )
            for _ in range(2)
        ]
        assert mutants[0] == mutants[1]
    assert value == {"a": [1, 2, {"b": None}], "c": "text"}
