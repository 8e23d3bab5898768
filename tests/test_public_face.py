"""What ``import plainspeech`` offers, and ``plainspeech`` on the command line before its verbs."""

from __future__ import annotations

import ast
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import plainspeech

SOURCE = Path(plainspeech.__file__).parents[1]
CONSTANTS = {"ENGLISH", "HotWords", "__version__"}
CLASSES_AND_FUNCTIONS = sorted(set(plainspeech.__all__) - CONSTANTS)


def python(*arguments: str) -> str:
    """Return what a Python process prints; in this one, tests have imported more."""
    found = subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=True,
    )
    return found.stdout


@pytest.mark.parametrize("name", CLASSES_AND_FUNCTIONS)
def test_every_name_is_there_and_documented(name: str) -> None:
    found = getattr(plainspeech, name)
    assert inspect.isclass(found) or inspect.isfunction(found)
    # Its own: a class without one inherits its parent's.
    assert vars(found).get("__doc__") if inspect.isclass(found) else found.__doc__
    assert found.__module__.startswith("plainspeech.")


def test_the_other_names() -> None:
    assert plainspeech.__version__
    assert plainspeech.ENGLISH.size == 29
    assert plainspeech.HotWords == Mapping[str, float]


def test_names_are_there_once() -> None:
    assert len(plainspeech.__all__) == len(set(plainspeech.__all__))


def test_type_checkers_see_the_same_names_of_the_same_modules() -> None:
    """The lazy table and the stub are two lists of the same."""
    tree = ast.parse((SOURCE / "plainspeech" / "__init__.pyi").read_text())
    stub = {
        alias.asname: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    lazy = {name: f"plainspeech.{module}" for name, module in plainspeech._MODULES.items()}  # type: ignore[attr-defined]
    assert stub == lazy
    assert set(plainspeech.__all__) == {*lazy, "__version__"}


def test_nothing_else_is_public() -> None:
    code = (
        "import plainspeech, types\n"
        "for name in plainspeech.__all__: getattr(plainspeech, name)\n"
        "print(*(n for n in dir(plainspeech) if n == '__version__' or not n.startswith('_')\n"
        "        and not isinstance(getattr(plainspeech, n), types.ModuleType)))"
    )
    assert set(python("-c", code).split()) == set(plainspeech.__all__)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'plainspeech' has no attribute 'nothing'"):
        plainspeech.nothing  # type: ignore[attr-defined]  # noqa: B018


def test_importing_the_package_imports_nothing_that_takes_long() -> None:
    """Neither NumPy nor `importlib.metadata`: beside itself, what Python has loaded anyway."""
    code = (
        "import sys; before = set(sys.modules); import plainspeech\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    assert set(python("-c", code).split()) <= {
        "_frozen_importlib_external",
        "importlib",
        "importlib._bootstrap",
        "importlib._bootstrap_external",
        "plainspeech",
        "warnings",
    }


@pytest.mark.parametrize("name", CLASSES_AND_FUNCTIONS)
def test_public_methods_are_documented(name: str) -> None:
    members = inspect.getmembers(getattr(plainspeech, name), inspect.isfunction)
    assert [m for m, value in members if not m.startswith("_") and not value.__doc__] == []


def test_everything_but_the_path_of_a_model_is_given_by_name() -> None:
    parameters = inspect.signature(plainspeech.load_model).parameters.values()
    assert [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY] == ["path"]


def test_the_module_runs_and_tells_its_version() -> None:
    assert python("-m", "plainspeech", "--version") == f"plainspeech {plainspeech.__version__}\n"
    assert "transcribe" in python("-m", "plainspeech", "--help")


def test_the_reference_tells_of_every_name() -> None:
    text = (SOURCE.parent / "docs" / "reference.md").read_text(encoding="utf-8")
    told = re.findall(r"^::: plainspeech\.(\w+)$", text, re.MULTILINE)
    assert sorted(told) == sorted(set(plainspeech.__all__) - {"__version__"})


_WRONG = (5, 2.5, True, object(), b"x", ["x"], {"x": 1}, (1, 2))


@pytest.mark.parametrize("wrong", _WRONG, ids=lambda wrong: type(wrong).__name__)
def test_arguments_of_another_type_are_refused_by_name(wrong: Any) -> None:
    silence = np.zeros(16_000, np.float32)
    greedy = plainspeech.load_model(decoder="greedy")
    calls: dict[str, Callable[[], object]] = {
        "loader": lambda: plainspeech.load_model(loader=wrong),
        "precision": lambda: plainspeech.load_model(precision=wrong),
        "decoder": lambda: plainspeech.load_model(decoder=wrong),
        "device": lambda: plainspeech.load_model(device=wrong),
        "bundle": lambda: plainspeech.Recognizer(wrong),
        "recognizer": lambda: plainspeech.LiveModel(wrong),
        "bundle: ": lambda: plainspeech.StreamingModel(wrong),
        "path": lambda: plainspeech.Bundle.load(wrong),
        "path: ": lambda: plainspeech.Scorer.load(wrong),
        "model": lambda: plainspeech.align(silence, "hello", wrong),
        "text": lambda: plainspeech.align(silence, wrong, greedy),
        "scorer": lambda: plainspeech.BeamSearchDecoder(plainspeech.ENGLISH, wrong),
        "hot_words": lambda: greedy.transcribe(silence, hot_words=wrong),
        "channels": lambda: greedy.transcribe(silence, channels=wrong),
    }
    for argument, call in calls.items():
        with pytest.raises(plainspeech.PlainspeechError, match=argument):
            call()


@pytest.mark.parametrize("wrong", [5, None, b"ab", {"a"}, ["ab"], [1], np.zeros(2)], ids=str)
def test_an_alphabet_is_characters(wrong: Any) -> None:
    with pytest.raises(plainspeech.ConfigurationError, match="alphabet: "):
        plainspeech.Alphabet(wrong)
