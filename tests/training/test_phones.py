"""Runs that learn how words sound, and in which texts compete."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny import TEXTS, ignore, trainer_of, without_times, write_corpus, write_recipe

from plainspeech.runtime.recognizer import load_model
from plainspeech.training.checkpoint import Checkpoint
from plainspeech.training.export import export_bundle
from plainspeech.training.loop import BEST, CHECKPOINT, TrainingStopped
from plainspeech.training.recipe import read_recipe
from plainspeech.training.session import prepare_run

pytestmark = pytest.mark.usefixtures("tiny_preset")

SOUNDS = {"a": "AH", "b": "B", "c": "K", "d": "D", "e": "EH", "f": "F", "g": "G"}


def write_lexicon(folder: Path, *, without: str = "", more: str = "") -> None:
    words = sorted({word for text in TEXTS for word in text.split()} - {without})
    lines = [f"{word} {' '.join(SOUNDS[letter] for letter in word)}" for word in words]
    (folder / "lexicon.txt").write_text("\n".join([*lines, more]), encoding="utf-8")


def learn_phones(recipe: Path, initial: str = "") -> Path:
    text = recipe.read_text()
    text = text.replace("[optimisation]", 'pronunciations = "lexicon.txt"\n[optimisation]')
    text += "\ncrf_weight = 0.5\npronunciation_weight = 0.4\n"
    recipe.write_text(f'initial = "{initial}"\n{text}' if initial else text)
    return recipe


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    write_corpus(tmp_path)
    write_lexicon(tmp_path)
    return tmp_path


def weights(path: Path) -> dict[str, torch.Tensor]:
    return Checkpoint.load(path).part("average")


def test_a_stopped_run_goes_on_as_if_it_never_had(corpus: Path) -> None:
    recipe = learn_phones(write_recipe(corpus))
    trainer_of(recipe, corpus / "whole").fit(ignore, ignore)
    trainer = trainer_of(recipe, corpus / "stopped")

    with pytest.raises(TrainingStopped):
        trainer.fit(lambda report: trainer.stop() if report.progress.step == 2 else None, ignore)
    again = trainer_of(recipe, corpus / "stopped")
    assert again.resume()
    again.fit(ignore, ignore)

    for name in (CHECKPOINT, BEST):
        assert without_times(corpus / "whole" / name) == without_times(corpus / "stopped" / name)
    assert any(name.startswith("phones.") for name in weights(corpus / "whole" / BEST))


def test_a_bundle_has_the_letters_alone(corpus: Path) -> None:
    trainer_of(learn_phones(write_recipe(corpus)), corpus / "run").fit(ignore, ignore)

    export_bundle(corpus / "run" / BEST, corpus / "bundle")

    assert not any(
        name.startswith("phones.") for name in weights(corpus / "bundle" / "weights.safetensors")
    )
    load_model(corpus / "bundle").transcribe(corpus / "0.wav")


@pytest.mark.parametrize("same", [True, False])
def test_a_run_goes_on_from_the_phones_of_another_if_they_are_the_same(
    corpus: Path, same: bool
) -> None:
    trainer_of(learn_phones(write_recipe(corpus)), corpus / "first").fit(ignore, ignore)
    before = weights(corpus / "first" / BEST)
    write_lexicon(corpus, more="zoo Z UW" if not same else "")

    recipe = learn_phones(write_recipe(corpus), initial="first/best.safetensors")
    model = trainer_of(recipe, corpus / "second").state.model.state_dict()

    name = "phones.linear.weight"
    assert (model[name].shape == before[name].shape) == same
    assert torch.equal(model["frontend.first.weight"], before["frontend.first.weight"])
    if same:
        assert torch.equal(model[name], before[name])


def test_a_run_without_phones_goes_on_from_one_with_them(corpus: Path) -> None:
    trainer_of(learn_phones(write_recipe(corpus)), corpus / "first").fit(ignore, ignore)
    recipe = write_recipe(corpus)
    recipe.write_text(f'initial = "first/best.safetensors"\n{recipe.read_text()}')

    model = trainer_of(recipe, corpus / "second").state.model.state_dict()

    name = "output.linear.weight"
    assert torch.equal(model[name], weights(corpus / "first" / BEST)[name])


def test_utterances_with_words_that_the_lexicon_lacks_are_counted(corpus: Path) -> None:
    write_lexicon(corpus, without="cafe")
    recipe = read_recipe(learn_phones(write_recipe(corpus)))

    trainer, lines = prepare_run(recipe, corpus / "run", torch.device("cpu"))

    count = sum("cafe" in text.split() for text in TEXTS)
    assert f"{count} of {len(TEXTS)} utterances have words without a pronunciation" in lines[-1]
    assert "'cafe'" in lines[-1]
    trainer.fit(ignore, ignore)
