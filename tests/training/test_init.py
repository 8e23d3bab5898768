"""``plainspeech init`` writes a recipe that ``plainspeech train`` reads."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny import write_corpus

from conftest import Plainspeech
from plainspeech.errors import ConfigurationError
from plainspeech.runtime.bundle import LEXICON_FILE, Bundle, bundled_model_path
from plainspeech.training.recipe import read_recipe
from plainspeech.training.session import prepare_run


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
    assert recipe.data.pronunciations is None
    assert recipe.data.batch_seconds == 12


def test_in_english_the_phones_of_the_model_that_ships_are_kept(
    plainspeech: Plainspeech, tmp_path: Path
) -> None:
    write_corpus(tmp_path)
    corpus, recipe = tmp_path / "corpus.jsonl", tmp_path / "own.toml"

    assert plainspeech("init", recipe, "--train", corpus, "--dev", corpus)[0] == 0

    read = read_recipe(recipe)
    assert read.data.pronunciations == bundled_model_path() / LEXICON_FILE
    assert read.optimisation.crf_weight == 0.9
    trainer, lines = prepare_run(read, tmp_path / "run", torch.device("cpu"))
    assert trainer.run["phones"] == list(Bundle.load(bundled_model_path()).phones)
    assert lines == []
    recipe.write_text(recipe.read_text().replace("pronunciations =", "# pronunciations ="))
    _, lines = prepare_run(read_recipe(recipe), tmp_path / "run", torch.device("cpu"))
    assert "without data.pronunciations the model hears letters alone" in lines[0]
    recipe.write_text(recipe.read_text().replace('preset = "small"', 'preset = "base"'))
    with pytest.raises(ConfigurationError, match="has weights of the preset 'small', with which"):
        prepare_run(read_recipe(recipe), tmp_path / "run", torch.device("cpu"))


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
