"""The tree of errors: every leaf is raised where its docstring says, and the base is not raised."""

from __future__ import annotations

import ast
import io
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import plainspeech
from plainspeech import ENGLISH, Alphabet, Bundle, Scorer, Transcript, audio, errors, load_model
from plainspeech.errors import PlainspeechError
from plainspeech.features import FeatureSettings
from plainspeech.writers import render

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SOURCE = Path(plainspeech.__file__).parent
LEAVES = sorted(
    cls.__name__ for cls in PlainspeechError.__subclasses__() if cls.__module__ == errors.__name__
)
GREEDY = plainspeech.GreedyDecoder(ENGLISH, 0.02)
BEAM = plainspeech.BeamSearchDecoder(ENGLISH)
TEXT = io.BytesIO(b"Dear diary, this is no audio.")


def test_the_tree_is_as_it_is_drawn() -> None:
    for name in LEAVES:
        assert name in (errors.__doc__ or "")
        assert vars(errors)[name].__subclasses__() == []
        assert name in plainspeech.__all__


@pytest.mark.parametrize(
    ("leaf", "fault"),
    [
        ("AudioError", lambda folder: audio.read(folder / "none.wav")),
        ("AudioError", lambda folder: audio.read(TEXT)),
        ("AudioError", lambda folder: audio.from_array(np.zeros((2, 2, 2)), 16_000)),
        ("DataError", lambda folder: ENGLISH.encode("ü")),
        ("DecodingError", lambda folder: GREEDY.decode([["nothing"]])),
        ("DecodingError", lambda folder: GREEDY.decode(np.full((3, 29), np.nan))),
        ("DecodingError", lambda folder: BEAM.decode(np.zeros((3, 29)), {"": 1.0})),
        ("ConfigurationError", lambda folder: plainspeech.BeamSearchDecoder(ENGLISH, beam_width=0)),
        ("ConfigurationError", lambda folder: render(Transcript((), 0.0), "pdf")),
        ("ModelError", lambda folder: Bundle.load(folder / "none")),
        ("ModelError", lambda folder: load_model(folder)),
        ("LanguageModelError", lambda folder: Scorer.load(folder / "none")),
        ("ConfigurationError", lambda folder: Alphabet(("a", "a"))),
        ("ConfigurationError", lambda folder: FeatureSettings(bins=0)),
    ],
)
def test_each_leaf_is_raised_where_it_should_be(
    tmp_path: Path, leaf: str, fault: Callable[[Path], Any]
) -> None:
    with pytest.raises(PlainspeechError) as caught:
        fault(tmp_path)
    assert type(caught.value).__name__ == leaf
    assert "\n" not in str(caught.value)


def raised(tree: ast.Module) -> set[str]:
    return {
        node.exc.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Raise)
        and isinstance(node.exc, ast.Call)
        and isinstance(node.exc.func, ast.Name)
    }


@pytest.mark.parametrize(
    "file",
    sorted(SOURCE.rglob("*.py")),
    ids=lambda file: str(file.relative_to(SOURCE)),
)
def test_the_base_is_never_raised(file: Path) -> None:
    assert "PlainspeechError" not in raised(ast.parse(file.read_text(encoding="utf-8")))


@pytest.mark.parametrize("leaf", LEAVES)
def test_a_message_is_one_line_that_a_terminal_shows_as_it_is(leaf: str) -> None:
    """Also where a library quotes a damaged file in what it says."""
    kind = vars(errors)[leaf]
    assert str(kind("m.zip: a\nb\x1b[2J\r\u2028\ud800é ß")) == (
        "m.zip: a\\nb\\x1b[2J\\r\\u2028\\ud800é ß"
    )
    long = str(kind("m.zip: " + "x" * 100_000 + " choose another"))
    assert len(long) < 1000
    assert long.startswith("m.zip: x")
    assert long.endswith("x choose another")
    assert str(kind(kind("a"))) == "a"


def test_what_is_no_name_has_none_near() -> None:
    assert errors.nearest(None, ["beam", "greedy"]) == "choose one of: beam, greedy"


def test_what_is_advised_to_be_installed_is_there_to_be_installed() -> None:
    """Messages and pages name extras, all in the one way that works from a checkout."""
    root = SOURCE.parents[1]
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    code = "".join(file.read_text(encoding="utf-8") for file in SOURCE.rglob("*.py"))
    pages = [*root.glob("*.md"), *root.glob("docs/**/*.md"), *root.glob("deploy/*")]
    text = "".join(page.read_text(encoding="utf-8") for page in pages if page.name != "log.md")
    named = re.findall(r"\b(?:needs|how_to_install)\([\"'](\w+)[\"']\)", code)
    shown = re.findall(r"pip install [^\n`]*\.\[([\w,]+)\]", text)
    for extra in {*named, *",".join(shown).split(",")}:
        assert extra in project["optional-dependencies"]
    assert len(named) > 20
    assert len(shown) > 10
    assert "pip install 'plainspeech[" not in code + text
