from __future__ import annotations

import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

import plainspeech

SOURCE = Path(plainspeech.__file__).parents[1]


@pytest.mark.parametrize("name", plainspeech.__all__)
def test_every_name_is_there_and_documented(name: str) -> None:
    found = getattr(plainspeech, name)
    if name == "__version__":
        assert isinstance(found, str)
        assert found
    else:
        assert inspect.isclass(found) or inspect.isfunction(found)
        # Its own: a class without one inherits its parent's.
        assert vars(found).get("__doc__") if inspect.isclass(found) else found.__doc__
        assert found.__module__.startswith("plainspeech.")


def test_names_are_sorted_and_there_once() -> None:
    assert list(plainspeech.__all__) == sorted(set(plainspeech.__all__))


def test_nothing_else_is_public() -> None:
    """In a process of its own: here, other tests have imported modules into the package."""
    code = (
        "import plainspeech, types\n"
        "print(*(n for n, v in vars(plainspeech).items()\n"
        "        if not n.startswith('_') and not isinstance(v, types.ModuleType)))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert set(found.stdout.split()) == set(plainspeech.__all__) - {"__version__"}


@pytest.mark.parametrize("name", sorted(set(plainspeech.__all__) - {"__version__"}))
def test_public_methods_are_documented(name: str) -> None:
    members = inspect.getmembers(getattr(plainspeech, name), inspect.isfunction)
    assert [m for m, value in members if not m.startswith("_") and not value.__doc__] == []
