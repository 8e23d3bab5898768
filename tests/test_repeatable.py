"""The gate finds the same at each run: its random numbers are the same whatever ran before."""

from __future__ import annotations

import importlib
import random
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

drawn: list[list[str]] = []


@given(st.lists(st.floats() | st.integers()))
@settings(max_examples=200)
def a_law(numbers: list[float]) -> None:
    drawn[-1].append(repr(numbers))


def examples() -> list[str]:
    drawn.append([])
    a_law()
    return drawn[-1]


def test_examples_do_not_depend_on_what_was_loaded_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hypothesis would draw constants of those modules of the project that are loaded by then."""
    if not settings().derandomize:
        pytest.skip("explores")
    before = examples()
    (tmp_path / "constants.py").write_text("\n".join(f"C{n} = {n}12345" for n in range(1, 500)))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "constants", importlib.import_module("constants"))
    assert examples() == before


@pytest.mark.parametrize("again", range(2))
def test_global_generators_are_seeded(again: int) -> None:
    assert random.random() == pytest.approx(0.8444218515250481)
    assert np.random.random() == pytest.approx(0.5488135039273248)  # noqa: NPY002
