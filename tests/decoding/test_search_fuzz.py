"""The compiled search stays within its arrays, whatever goes in: fuzzed with bounds checked."""

from __future__ import annotations

from pathlib import Path

from bounds_checked import run_bounds_checked

CASES = 600


def test_the_search_stays_within_its_arrays() -> None:
    printed = run_bounds_checked(Path(__file__).with_name("search_fuzz.py"), CASES)
    assert "'decoded'" in printed
