"""Damaged language models: refused in one line or used safely, fuzzed with bounds checked."""

from __future__ import annotations

from pathlib import Path

from bounds_checked import run_bounds_checked

CASES = 400


def test_damaged_models_are_refused_or_safe() -> None:
    printed = run_bounds_checked(Path(__file__).with_name("model_fuzz.py"), CASES)
    assert "'arpa used'" in printed
    assert "'scorer used'" in printed
