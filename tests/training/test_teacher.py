"""A student hears what its teacher says of every frame."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from tiny import ignore, trainer_of, write_corpus, write_recipe

from plainspeech import audio
from plainspeech.alphabet import ENGLISH, Alphabet
from plainspeech.errors import ConfigurationError, ModelError, PlainspeechError
from plainspeech.model.filter_bank import FilterBank
from plainspeech.runtime.bundle import Bundle
from plainspeech.runtime.recognizer import load_model
from plainspeech.training.checkpoint import Checkpoint
from plainspeech.training.export import export_bundle
from plainspeech.training.loop import BEST
from plainspeech.training.teacher import Teacher

pytestmark = pytest.mark.usefixtures("tiny_preset")

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder)
    return folder


@pytest.fixture(scope="module")
def bundle(corpus: Path) -> Path:
    """The model of a run with this corpus."""
    trainer_of(write_recipe(corpus, epochs="10"), corpus / "run").fit(ignore, ignore)
    folder = corpus / "teacher"
    export_bundle(corpus / "run" / BEST, folder)
    return folder


def taught_recipe(corpus: Path, **changes: str) -> Path:
    recipe = write_recipe(corpus, **changes)
    recipe.write_text(f'teacher = "teacher"\n{recipe.read_text()}\ndistillation_weight = 20\n')
    return recipe


def test_a_teacher_says_of_a_batch_what_it_says_of_each_recording(
    corpus: Path, bundle: Path
) -> None:
    waveforms = [audio.read(corpus / f"{n}.wav", 16_000) for n in (0, 1, 8)]
    lengths = torch.tensor([len(waveform) for waveform in waveforms])
    batch = torch.nn.utils.rnn.pad_sequence(
        [torch.from_numpy(waveform) for waveform in waveforms], batch_first=True
    )
    (taught,) = Teacher(bundle, tiny.PRESET, ENGLISH, CPU)(batch, lengths)
    model = load_model(bundle, precision="float32")
    for rows, expected in zip(taught.numpy(), model.log_probabilities(waveforms), strict=True):
        np.testing.assert_allclose(rows[: len(expected)], expected, atol=2e-3)
        assert not rows[len(expected) :].any()


def test_a_student_comes_nearer_to_its_teacher_than_without(corpus: Path, bundle: Path) -> None:
    def divergence(recipe: Path, folder: Path) -> float:
        trainer = trainer_of(recipe, folder)
        trainer.fit(ignore, ignore)
        teacher = Teacher(bundle, tiny.PRESET, ENGLISH, CPU)
        model = trainer.state.model.eval()
        total = 0.0
        for n in range(len(tiny.TEXTS)):
            waveform = torch.from_numpy(audio.read(corpus / f"{n}.wav", 16_000))[None]
            lengths = torch.tensor([waveform.shape[1]])
            features, frames = FilterBank(tiny.PRESET.features)(waveform, lengths)
            (taught,) = teacher(waveform, lengths)
            with torch.no_grad():
                heard = model.heads(features, frames).output
            total += float((taught.exp() * (taught - heard)).sum())
        return total

    alone = divergence(write_recipe(corpus, seed="8", epochs="15"), corpus / "alone")
    assert divergence(taught_recipe(corpus, seed="8", epochs="15"), corpus / "taught") < 0.8 * alone


def test_a_run_does_not_resume_with_another_teacher_of_that_name(
    corpus: Path, bundle: Path, tmp_path: Path
) -> None:
    trainer = trainer_of(taught_recipe(corpus, epochs="1"), tmp_path / "run")
    trainer.fit(ignore, ignore)
    taught_by = Bundle.load(bundle).card["name"]
    assert Checkpoint.load(tmp_path / "run" / BEST).provenance()["teacher"] == taught_by
    write_corpus(tmp_path)
    export_bundle(tmp_path / "run" / BEST, tmp_path / "teacher")
    with pytest.raises(PlainspeechError, match="begun with another teacher; give another --output"):
        trainer_of(taught_recipe(tmp_path, epochs="1"), tmp_path / "run").resume()


def test_a_teacher_of_another_frame_rate_or_alphabet_is_refused(bundle: Path) -> None:
    features = replace(tiny.PRESET.features, hop_ms=5.0)
    with pytest.raises(
        ConfigurationError, match=r"^teacher: .* has a frame every 0\.03 s, the preset every 0"
    ):
        Teacher(bundle, replace(tiny.PRESET, features=features), ENGLISH, CPU)
    with pytest.raises(ConfigurationError, match=r"^teacher: .* another alphabet"):
        Teacher(bundle, tiny.PRESET, Alphabet(tuple("abc")), CPU)


def test_a_teacher_that_is_no_bundle_is_named_before_training(corpus: Path, bundle: Path) -> None:
    recipe = write_recipe(corpus)
    recipe.write_text(f'teacher = "corpus.jsonl"\n{recipe.read_text()}')
    with pytest.raises(ModelError, match=r"corpus\.jsonl"):
        trainer_of(recipe, corpus / "refused")
