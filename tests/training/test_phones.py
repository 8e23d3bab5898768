"""Runs that learn how words sound, and in which texts compete."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from tiny import TEXTS, ignore, trainer_of, without_times, write_corpus, write_recipe
from typer.testing import CliRunner

from plainspeech.alphabet import ENGLISH
from plainspeech.cli import app
from plainspeech.errors import ConfigurationError, ModelError
from plainspeech.g2p import converter
from plainspeech.lm.package import read_scorer_files
from plainspeech.model.filter_bank import FilterBank
from plainspeech.runtime.bundle import LEXICON_FILE, Bundle
from plainspeech.runtime.recognizer import load_model
from plainspeech.training.checkpoint import Checkpoint
from plainspeech.training.combination import combine
from plainspeech.training.export import export_bundle
from plainspeech.training.loop import BEST, CHECKPOINT, TrainingStopped
from plainspeech.training.recipe import read_recipe
from plainspeech.training.session import prepare_run
from plainspeech.training.step import distillation
from plainspeech.training.teacher import Teacher

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


def build_scorer(folder: Path) -> None:
    """Write ``scorer`` of ``text.txt``."""
    options = ["--order", "2", "--estimator", "builtin", "-o", str(folder / "scorer")]
    result = CliRunner().invoke(app, ["lm", "build", str(folder / "text.txt"), *options])
    assert result.exit_code == 0, result.output


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


def test_a_bundle_without_a_lexicon_has_letters_alone(corpus: Path) -> None:
    trainer_of(learn_phones(write_recipe(corpus)), corpus / "run").fit(ignore, ignore)

    export_bundle(corpus / "run" / BEST, corpus / "bundle")

    bundle = Bundle.load(corpus / "bundle")
    assert (bundle.phones, bundle.pronunciations()) == ((), None)
    rows = load_model(corpus / "bundle").log_probabilities([tiny.speak("a cab")])[0]
    assert rows.shape[1] == bundle.outputs == bundle.alphabet.size


@pytest.fixture(scope="module")
def phone_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of letters and phones, with a language model of its words."""
    folder = tmp_path_factory.mktemp("phones")
    write_corpus(folder)
    write_lexicon(folder)
    trainer_of(learn_phones(write_recipe(folder)), folder / "run").fit(ignore, ignore)
    export_bundle(folder / "run" / BEST, folder / "b", pronunciations=folder / "lexicon.txt")
    (folder / "text.txt").write_text("\n".join(TEXTS))
    build_scorer(folder)
    files = read_scorer_files(folder / "scorer")
    replace(Bundle.load(folder / "b"), scorer_files=files).write(folder / "b")
    return folder / "b"


def test_a_bundle_with_a_lexicon_is_searched_over_phones(phone_bundle: Path) -> None:
    bundle = Bundle.load(phone_bundle)
    words = {word for text in TEXTS for word in text.split()}
    assert bundle.phones == tuple(sorted(SOUNDS.values()))
    model = load_model(phone_bundle)

    found = model.transcribe_waveforms([tiny.speak("a cab")])[0]

    assert model.decoder.description == "beam 100 over phones, 2-gram"
    assert set(found.text.split()) <= words
    rows = model.log_probabilities([tiny.speak("a cab")])[0]
    both = np.exp(rows[:, : bundle.alphabet.size]), np.exp(rows[:, bundle.alphabet.size :])
    for part in both:
        np.testing.assert_allclose(part.sum(1), np.ones(len(rows)), atol=1e-4)


@pytest.mark.parametrize(
    ("options", "description"),
    [
        ({"decoder": "greedy"}, "greedy"),
        ({"language_model": "none"}, "beam 100, no language model"),
    ],
)
def test_letters_are_decoded_as_ever(
    phone_bundle: Path, options: dict[str, str], description: str
) -> None:
    model = load_model(phone_bundle, **options)  # type: ignore[arg-type]
    assert model.decoder.description == description
    model.transcribe_waveforms([tiny.speak("a cab")])


def test_a_language_model_whose_words_have_no_pronunciations_is_searched_over_letters(
    phone_bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / "text.txt").write_text("nobody says these words\n" * 3)
    build_scorer(tmp_path)
    model = load_model(phone_bundle, language_model=tmp_path / "scorer")
    assert model.decoder.description == "beam 100, 2-gram"
    model.transcribe_waveforms([tiny.speak("a cab")])


def test_hot_words_that_the_lexicon_lacks_are_searched_over_letters(phone_bundle: Path) -> None:
    model = load_model(phone_bundle)
    waveform = tiny.speak("a cab")
    with_known = model.transcribe_waveforms([waveform], {"cab": 5.0})[0]
    assert set(with_known.text.split()) <= {word for text in TEXTS for word in text.split()}
    model.transcribe_waveforms([waveform], {"zebra": 5.0})


@pytest.fixture
def converted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Learn to convert letters to phones of any lexicon, however small."""
    monkeypatch.setattr(converter, "FEWEST", 1)


@pytest.mark.usefixtures("converted")
def test_words_that_the_lexicon_lacks_are_searched_over_phones(
    phone_bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / "text.txt").write_text("a fed cab\nadd a bad bee\n" * 3)
    build_scorer(tmp_path)
    model = load_model(phone_bundle, language_model=tmp_path / "scorer")
    assert model.decoder.description == "beam 100 over phones, 2-gram"
    model.transcribe_waveforms([tiny.speak("a cab")], {"gab": 5.0, "bad dad": 5.0})
    (tmp_path / "text.txt").write_text("nobody says these words\n" * 3)
    build_scorer(tmp_path)
    model = load_model(phone_bundle, language_model=tmp_path / "scorer")
    assert model.decoder.description == "beam 100, 2-gram"


@pytest.mark.usefixtures("converted")
def test_pronunciations_are_printed_as_lines_of_a_lexicon(phone_bundle: Path) -> None:
    command = ["model", "pronounce", "--model", str(phone_bundle)]
    result = CliRunner().invoke(app, [*command, "Cafe", "babe"])
    assert result.exit_code == 0, result.output
    known, new = result.stdout.splitlines()[0], result.stdout.splitlines()[1]
    assert known == "cafe K AH F EH"
    assert new.split()[0] == "babe"
    assert set(new.split()[1:]) <= set(SOUNDS.values())
    refused = CliRunner().invoke(app, [*command, "zoo"])
    assert isinstance(refused.exception, ConfigurationError)
    assert "'zoo' has letters that no word of the lexicon has" in str(refused.exception)


@pytest.mark.usefixtures("converted")
def test_training_converts_words_that_the_lexicon_lacks(corpus: Path) -> None:
    write_lexicon(corpus, without="cafe")
    recipe = read_recipe(learn_phones(write_recipe(corpus)))

    trainer, lines = prepare_run(recipe, corpus / "run", torch.device("cpu"))

    assert not [line for line in lines if "without a pronunciation" in line]
    trainer.fit(ignore, ignore)


def test_it_is_tuned_over_phones(phone_bundle: Path, tmp_path: Path) -> None:
    corpus = phone_bundle.parent / "corpus.jsonl"
    arguments = ["tune", str(phone_bundle), str(corpus), "--output", str(tmp_path / "tuned")]
    more = ["--trials", "3", "--cache", str(tmp_path / "cache")]
    result = CliRunner().invoke(app, [*arguments, *more])
    assert result.exit_code == 0, result.output
    tuned = Bundle.load(tmp_path / "tuned")
    assert tuned.decoding.log_priors is not None
    assert len(tuned.decoding.log_priors) == tuned.outputs - tuned.alphabet.size
    assert "over phones" in load_model(tmp_path / "tuned").decoder.description
    load_model(tmp_path / "tuned").transcribe_waveforms([tiny.speak("a cab")], {"zebra": 5.0})


def test_it_is_adapted_without_its_phones_where_the_bundle_has_letters_alone(
    phone_bundle: Path, tmp_path: Path
) -> None:
    corpus, output = phone_bundle.parent / "corpus.jsonl", tmp_path / "adapted"
    export_bundle(phone_bundle.parent / "run" / BEST, tmp_path / "letters")
    arguments = ["adapt", str(corpus), "--model", str(tmp_path / "letters"), "-o", str(output)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0 or "the adapted model has" in result.output, result.output
    letters = combine([phone_bundle.parent / "run" / BEST, tmp_path / "letters"])
    assert letters.phones
    assert any(name.startswith("average.phones.") for name in letters.tensors)


def test_it_is_adapted_with_its_phones(phone_bundle: Path, tmp_path: Path) -> None:
    corpus, output = phone_bundle.parent / "corpus.jsonl", tmp_path / "adapted"
    arguments = ["adapt", str(corpus), "--model", str(phone_bundle), "--output", str(output)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0 or "the adapted model has" in result.output, result.output


def test_a_teacher_of_the_same_phones_teaches_them(corpus: Path, phone_bundle: Path) -> None:
    phones = Bundle.load(phone_bundle).phones
    waveform = torch.from_numpy(tiny.speak("a cab"))[None]
    lengths = torch.tensor([waveform.shape[1]])

    def taught(phones: tuple[str, ...]) -> list[int]:
        teacher = Teacher(phone_bundle, tiny.PRESET, ENGLISH, torch.device("cpu"), phones)
        return [rows.shape[2] for rows in teacher(waveform, lengths)]

    assert taught(phones) == list(Bundle.load(phone_bundle).output_sizes)
    assert taught(()) == taught(("AH", "OY")) == [ENGLISH.size]

    def divergence(name: str, recipe: Path) -> float:
        trainer = trainer_of(recipe, corpus / name)
        trainer.fit(ignore, ignore)
        features, frames = FilterBank(tiny.PRESET.features)(waveform, lengths)
        teacher = Teacher(phone_bundle, tiny.PRESET, ENGLISH, torch.device("cpu"), phones)
        with torch.no_grad():
            heard = trainer.state.model.eval().heads(features, frames).phones
        assert heard is not None
        return float(distillation(heard, teacher(waveform, lengths)[1], frames))

    alone = divergence("alone", learn_phones(write_recipe(corpus, seed="8", epochs="15")))
    recipe = learn_phones(write_recipe(corpus, seed="8", epochs="15"))
    named = f'teacher = "{phone_bundle}"\n{recipe.read_text()}\ndistillation_weight = 20\n'
    recipe.write_text(named)
    assert divergence("taught", recipe) < 0.8 * alone


def test_a_lexicon_of_other_phones_is_refused(corpus: Path) -> None:
    trainer_of(learn_phones(write_recipe(corpus)), corpus / "run").fit(ignore, ignore)
    (corpus / "other.txt").write_text("zoo Z UW\n")
    with pytest.raises(ModelError, match=r"other\.txt: has other phones"):
        export_bundle(corpus / "run" / BEST, corpus / "bundle", pronunciations=corpus / "other.txt")


def test_a_bundle_whose_lexicon_is_gone_or_of_other_phones_is_refused(
    phone_bundle: Path, tmp_path: Path
) -> None:
    whole = Bundle.load(phone_bundle)
    without, other = tmp_path / "without", tmp_path / "other"
    replace(whole, lexicon={}).write(without)
    replace(whole, lexicon={LEXICON_FILE: b"zoo Z UW\n"}).write(other)
    with pytest.raises(ModelError, match="is missing"):
        load_model(without)
    with pytest.raises(ModelError, match="has other phones"):
        load_model(other)


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
