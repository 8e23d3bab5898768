from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from plainspeech.errors import ConfigurationError, PlainspeechError
from plainspeech.runtime.bundle import LEXICON_FILE, bundled_model_path
from plainspeech.training.augmentation import Augmentation
from plainspeech.training.recipe import Data, Optimisation, Recipe, read_recipe

RECIPES = Path(__file__).parents[2] / "recipes"
LEAST = """\
name = "least"
preset = "small"
data = { train = ["train.jsonl"], dev = "dev.jsonl" }
optimisation = { epochs = 2 }
"""


def read(folder: Path, text: str) -> Recipe:
    path = folder / "recipe.toml"
    path.write_text(text)
    return read_recipe(path)


def test_what_is_not_said_has_a_default(tmp_path: Path) -> None:
    recipe = read(tmp_path, LEAST)
    assert (recipe.name, recipe.preset, recipe.seed, recipe.card) == ("least", "small", 1, {})
    assert recipe.optimisation == Optimisation(epochs=2)
    assert recipe.augmentation == Augmentation()


def test_paths_are_relative_to_the_recipe(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere" / "dev.jsonl"
    recipe = read(tmp_path, LEAST.replace('"dev.jsonl"', f'"{elsewhere}"'))
    assert recipe.data.train == (tmp_path / "train.jsonl",)
    assert recipe.data.dev == elsewhere


def test_initial_weights_are_relative_too(tmp_path: Path) -> None:
    recipe = read(tmp_path, f'initial = "runs/best.safetensors"\n{LEAST}')
    assert recipe.initial == tmp_path / "runs" / "best.safetensors"
    assert read(tmp_path, LEAST).initial is None


def test_the_model_that_ships_has_a_name(tmp_path: Path) -> None:
    recipe = read(tmp_path, f'initial = "bundled"\nteacher = "bundled"\n{LEAST}')
    assert recipe.initial == recipe.teacher == bundled_model_path()
    (tmp_path / "bundled").mkdir()
    assert read(tmp_path, f'initial = "bundled"\n{LEAST}').initial == tmp_path / "bundled"


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    recipe = read(tmp_path, LEAST.replace('"dev.jsonl"', '"~/dev.jsonl"'))
    assert recipe.data.dev == tmp_path / "home" / "dev.jsonl"
    recipe = read(tmp_path, LEAST.replace('"dev.jsonl"', '"~nobody here/dev.jsonl"'))
    assert recipe.data.dev == tmp_path / "~nobody here" / "dev.jsonl"


def test_a_byte_order_mark_is_no_part_of_a_recipe(tmp_path: Path) -> None:
    assert read(tmp_path, f"\ufeff{LEAST}") == read(tmp_path, LEAST)


def test_augmentation_can_be_switched_off_or_changed(tmp_path: Path) -> None:
    assert read(tmp_path, f"augmentation = false\n{LEAST}").augmentation is None
    recipe = read(tmp_path, f"augmentation = {{ speeds = [1, 1.1] }}\n{LEAST}")
    assert recipe.augmentation == Augmentation(speeds=(1.0, 1.1))


def test_whole_numbers_do_for_numbers_and_cards_hold_anything(tmp_path: Path) -> None:
    recipe = read(tmp_path, f"{LEAST}checkpoint_minutes = 3\n[card]\nyears = [2015, 'now']")
    assert recipe.checkpoint_minutes == 3.0
    assert isinstance(recipe.checkpoint_minutes, float)
    assert recipe.card == {"years": [2015, "now"]}


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("preset", "perset", r"there is no key 'perset'; did you mean 'preset'\?"),
        ("epochs", "epoch", r"optimisation: there is no key 'epoch'; did you mean 'epochs'\?"),
        (
            "dev =",
            "zzz =",
            "data: there is no key 'zzz'; choose one of: batch_seconds, cache_gb, dev",
        ),
        ('name = "least"', "", "the key 'name' is missing"),
        (', dev = "dev.jsonl"', "", "data: the key 'dev' is missing"),
        ('"small"', "7", "preset is 7, which is not of type string"),
        ("epochs = 2", "epochs = 2.5", r"optimisation: epochs is 2\.5, .* of type whole number"),
        ("epochs = 2", "epochs = true", "epochs is True, which is not of type whole number"),
        ("epochs = 2", 'epochs = "2"', "epochs is '2', which is not of type whole number"),
        ("{ epochs = 2 }", "2", "optimisation is 2, which is not of type table"),
        ('["train.jsonl"]', '"train.jsonl"', "train is 'train.jsonl', .* type list of path"),
        ('["train.jsonl"]', "[1]", "data: train is 1, which is not of type path"),
        ('["train.jsonl"]', "[]", r"data\.train names no manifest"),
        ("epochs = 2", "epochs = 0", r"optimisation\.epochs is 0; it must be above 0"),
        ("epochs = 2", "epochs = 2, clip_norm = nan", "clip_norm is nan; it must be above 0"),
        ("epochs = 2", "epochs = 2, learning_rate = inf", "learning_rate is inf"),
        ("epochs = 2", "epochs = 2, average_decay = 1", "average_decay is 1.0; .* below 1"),
        ("epochs = 2", "epochs = 2, intermediate_weight = 1.1", "must be from 0 to 1"),
        ("epochs = 2", "epochs = 2, warmup_epochs = -1", "warmup_epochs is -1.0; .* 0 or more"),
        (
            "epochs = 2",
            'epochs = 2, precision = "fp16"',
            "precision can be 'auto', 'bf16' or 'fp32'",
        ),
        ('name = "least"', 'name = "a"\nseed = -1', "seed is -1; it must be 0 or more"),
        ("least", 'a"\naugmentation = { speeds = [] }\n#', "augmentation.speeds must be numbers"),
        ("least", 'a"\naugmentation = { speeds = [0] }\n#', "augmentation.speeds must be numbers"),
        ("least", 'a"\naugmentation = true\n#', "augmentation is True, which is not of type table"),
        ("{ epochs = 2 }", "{ epochs = 2", r"not TOML: .*line 4"),
    ],
)
def test_a_fault_is_named(tmp_path: Path, old: str, new: str, says: str) -> None:
    assert old in LEAST
    with pytest.raises(PlainspeechError, match=says) as caught:
        read(tmp_path, LEAST.replace(old, new, 1))
    assert str(caught.value).startswith(f"{tmp_path / 'recipe.toml'}: ")
    assert "\n" not in str(caught.value)


def test_a_recipe_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        PlainspeechError, match=r"gone.toml: cannot read the recipe: No such file or directory$"
    ):
        read_recipe(tmp_path / "gone.toml")
    (tmp_path / "latin.toml").write_bytes(b'name = "\xfc"')
    with pytest.raises(PlainspeechError, match=r"latin.toml: cannot read the recipe"):
        read_recipe(tmp_path / "latin.toml")


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.stem)
def test_the_recipes_that_come_with_the_package_are_sound(path: Path) -> None:
    assert read_recipe(path).name == path.stem


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a = " + "[" * 5_000, "not a recipe: nested too deeply"),
        ("seed = " + "9" * 5_000, "not a recipe: a number of thousands of digits"),
        (f"seed = {'9' * 400}\n{LEAST}", "seed is beyond 1e\\+15"),
        (
            LEAST.replace('"dev.jsonl"', '"d\\u0000v.jsonl"'),
            "data: dev is .*, which is not of type",
        ),
        (f"initial = '{'y' * 300}'\n{LEAST}", "initial is '.*': File name too long"),
        (
            LEAST.replace("dev =", f"pronunciations = '{'y' * 300}', dev ="),
            "pronunciations is '.*': File name too long",
        ),
        (f"{'x' * 9_000} = 1\n{LEAST}", "there is no key 'xxxxxxxxxxxx"),
        (f"seed = '{'y' * 9_000}'\n{LEAST}", "seed is 'yyyyyyyyyyyy"),
    ],
    ids=[
        "nested",
        "5000 digits",
        "400 digits",
        "NUL",
        "long initial",
        "long lexicon",
        "long key",
        "long value",
    ],
)
def test_hostile_recipes_are_one_short_line(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says) as caught:
        read(tmp_path, text)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 400 + len(str(tmp_path))


def test_the_guide_has_every_key_with_its_default() -> None:
    guide = (RECIPES.parent / "docs" / "training.md").read_text(encoding="utf-8")
    table = guide.split("## All keys of a recipe")[1].split("\n## ")[0]
    rows = [line.split("|")[1:3] for line in table.splitlines() if line.startswith("| `")]
    told: dict[str, str] = {}
    for names, default in rows:
        keys = [name.split()[-1].strip("[]") for name in re.findall(r"`([^`]+)`", names)]
        values = [value.strip(' `"') for value in default.split(",")]
        told |= (
            dict.fromkeys(keys, default.strip())
            if len(values) != len(keys)
            else dict(zip(keys, values, strict=True))
        )
    sections = [*fields(Recipe), *fields(Data), *fields(Optimisation), *fields(Augmentation)]
    own = {field.name: field.default for field in sections}
    nested = {"data", "optimisation", "augmentation"}
    assert told.keys() == own.keys() - nested
    numbers = {key: value for key, value in own.items() if isinstance(value, int | float)}
    assert {key: float(told[key]) for key in numbers} == pytest.approx(numbers)
    pairs = {key: list(value) for key, value in own.items() if isinstance(value, tuple)}
    assert {key: [float(one) for one in told[key].split(",")] for key in pairs} == pairs


def test_a_lexicon_may_be_a_bundles(tmp_path: Path) -> None:
    named = LEAST.replace('dev = "dev.jsonl"', 'dev = "dev.jsonl", pronunciations = "bundled"')
    lexicon = bundled_model_path() / LEXICON_FILE
    assert read(tmp_path, named).data.pronunciations == lexicon
    other = named.replace('"bundled"', f'"{bundled_model_path()}"')
    assert read(tmp_path, other).data.pronunciations == lexicon
    (tmp_path / "bundled").write_text("a AH\n")
    assert read(tmp_path, named).data.pronunciations == tmp_path / "bundled"
