"""``plainspeech init`` writes a recipe that ``plainspeech train`` reads."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny import write_corpus

from conftest import Plainspeech
from plainspeech.runtime.bundle import bundled_model_path
from plainspeech.training.recipe import read_recipe


def test_a_recipe_for_ones_own_recordings(plainspeech: Plainspeech, tmp_path: Path) -> None:
    write_corpus(tmp_path)
    corpus, target = tmp_path / "corpus.jsonl", tmp_path / "recipes"
    target.mkdir()
    (tmp_path / "letters.txt").write_text("\n".join("abcdefg"))
    status, told = plainspeech(
        "init", target / "own.toml", "--train", corpus, "--dev", corpus,
        "--alphabet", tmp_path / "letters.txt",
    )  # fmt: skip
    assert status == 0
    assert f"plainspeech train {target / 'own.toml'}" in told
    recipe = read_recipe(target / "own.toml")
    assert recipe.name == "own"
    assert [Path(path).resolve() for path in (*recipe.data.train, recipe.data.dev)] == [corpus] * 2
    assert recipe.alphabet == " abcdefg"
    assert recipe.initial == bundled_model_path()
    assert recipe.data.batch_seconds == 12


@pytest.mark.parametrize(
    ("missing", "says"),
    [
        ("recipe", "is there already"),
        ("alphabet", "no language 'xx'"),
        ("letter", "corpus.jsonl: its texts have 'fg', which the alphabet does not: name the one"),
    ],
)
def test_what_cannot_be_is_refused(
    plainspeech: Plainspeech, tmp_path: Path, missing: str, says: str
) -> None:
    write_corpus(tmp_path)
    corpus, recipe = tmp_path / "corpus.jsonl", tmp_path / "own.toml"
    if missing == "recipe":
        recipe.write_text("")
    letters = {"alphabet": "xx", "letter": "abcde"}.get(missing, "en")
    status, told = plainspeech(
        "init", recipe, "--train", corpus, "--dev", corpus, "--alphabet", letters
    )
    assert (status, says in told) == (1, True)
    assert not recipe.exists() or recipe.read_text() == ""
