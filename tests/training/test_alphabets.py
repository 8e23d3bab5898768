"""A model of another alphabet: from its recipe to its text; from random weights, from English."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny
import torch
from tiny import ignore, write_corpus, write_recipe

from plainspeech.alphabet import ENGLISH, Alphabet, find_alphabet
from plainspeech.errors import ConfigurationError, DataError, ModelError
from plainspeech.runtime.bundle import Bundle
from plainspeech.runtime.recognizer import load_model
from plainspeech.training.checkpoint import Checkpoint
from plainspeech.training.combination import combine
from plainspeech.training.export import export_bundle
from plainspeech.training.loop import BEST, Trainer
from plainspeech.training.recipe import read_recipe
from plainspeech.training.session import prepare_run
from plainspeech.training.transfer import with_alphabet

pytestmark = pytest.mark.usefixtures("tiny_preset")

RUSSIAN = find_alphabet("ru")
TEXTS = ("где баба", "еда", "веда баг", "гад", "беда", "ага", "два бега", "вода")


@pytest.fixture(scope="module")
def english(tmp_path_factory: pytest.TempPathFactory, tiny_preset: None) -> Path:
    """Weights of a run in English."""
    folder = tmp_path_factory.mktemp("english")
    write_corpus(folder)
    prepare(write_recipe(folder, epochs="1"), folder / "run")[0].fit(ignore, ignore)
    return folder / "run" / BEST


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    write_corpus(tmp_path, TEXTS)
    return tmp_path


def prepare(recipe: Path, folder: Path) -> tuple[Trainer, list[str]]:
    return prepare_run(read_recipe(recipe), folder, torch.device("cpu"))


def russian_recipe(corpus: Path, first_lines: str = "", **changes: str) -> Path:
    recipe = write_recipe(corpus, **changes)
    recipe.write_text(f'alphabet = "ru"\n{first_lines}{recipe.read_text()}', encoding="utf-8")
    return recipe


def test_a_recipe_names_its_alphabet(corpus: Path) -> None:
    recipe = read_recipe(russian_recipe(corpus))
    assert recipe.symbols == RUSSIAN
    assert recipe.card == {"language": "ru"}
    (corpus / "letters.txt").write_text("а\nб\n", encoding="utf-8")
    path = write_recipe(corpus)
    path.write_text(f'alphabet = "letters.txt"\n{path.read_text()}')
    assert read_recipe(path).alphabet == " аб"
    path.write_text(path.read_text().replace("letters.txt", "xx"))
    with pytest.raises(
        ConfigurationError, match=r"recipe.toml: alphabet: there is no language 'xx'"
    ):
        read_recipe(path)


def test_russian_is_learned_exported_and_written(corpus: Path) -> None:
    recipe = russian_recipe(corpus, epochs="12")
    trainer, _ = prepare(recipe, corpus / "run")
    trainer.fit(ignore, ignore)
    export_bundle(corpus / "run" / BEST, corpus / "bundle")
    bundle = Bundle.load(corpus / "bundle")
    assert bundle.alphabet == RUSSIAN
    assert bundle.card["language"] == "ru"
    first, *_, last = (row["train_loss"] for row in trainer.state.progress.history)
    assert last < 0.8 * first
    recognizer = load_model(corpus / "bundle")
    found = [recognizer.transcribe(corpus / f"{n}.wav").text for n in range(len(TEXTS))]
    assert set("".join(found)) <= set(RUSSIAN.symbols)


def test_outputs_of_shared_symbols_are_kept(english: Path, corpus: Path) -> None:
    recipe = russian_recipe(corpus, f'initial = "{english}"\n')
    trainer, lines = prepare(recipe, corpus / "run")
    assert lines == [
        f"{english} writes another alphabet: the outputs of ' ' and the blank are kept, those of "
        f"'{RUSSIAN.text[1:]}' begin at random"
    ]
    start, now = Checkpoint.load(english).part("average"), trainer.state.model.state_dict()
    for name, weight in now.items():
        if not name.startswith(("intermediate.linear", "output.linear")):
            assert torch.equal(weight, start[name])
            continue
        assert torch.equal(weight[0], start[name][0])
        assert torch.equal(weight[-1], start[name][-1])
        assert not torch.isin(weight[1:-1], start[name]).any()
    trainer.fit(ignore, ignore)
    resumed, _ = prepare(recipe, corpus / "run")
    assert resumed.resume()


@pytest.mark.parametrize("name", tiny.SHAPES)
def test_every_kind_of_model_takes_another_alphabet(name: str, english: Path) -> None:
    model = tiny.SHAPES[name]()
    heads = model.heads(torch.zeros(1, 30, 20), torch.tensor([30]))
    assert len(model.classifiers()) == len((*heads.inner, heads.output))
    weights = {f"average.{key}": torch.randn_like(w) for key, w in model.state_dict().items()}
    begun = Checkpoint.load(english)
    checkpoint = Checkpoint(weights, begun.progress, begun.run)
    # As many symbols as English has, in another order.
    other = Alphabet(tuple(reversed(ENGLISH.symbols)))
    fitted = with_alphabet(checkpoint, other, model)
    fitted.give_average(model, english)
    for layer in model.classifiers():
        key = next(k for k, module in model.named_modules() if module is layer)
        old = checkpoint.part("average")[f"{key}.weight"]
        assert torch.equal(layer.weight[:-1], old[:-1].flip(0))
        assert torch.equal(layer.weight[-1], old[-1])


def test_models_of_two_alphabets_are_not_combined(english: Path, corpus: Path) -> None:
    trainer, _ = prepare(russian_recipe(corpus, epochs="1"), corpus / "run")
    trainer.fit(ignore, ignore)
    with pytest.raises(ModelError, match="writes another alphabet"):
        combine([english, corpus / "run" / BEST])


def test_text_of_another_alphabet_is_refused_before_training(corpus: Path) -> None:
    with pytest.raises(DataError, match="not in the alphabet"):
        prepare(write_recipe(corpus), corpus / "run")
