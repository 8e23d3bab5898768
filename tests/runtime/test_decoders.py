"""Which decoder a model gets, and with which language model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from plainspeech.decoding.settings import BeamSettings
from plainspeech.errors import PlainspeechError
from plainspeech.lm.build import BuildSettings, build_model
from plainspeech.lm.package import write_scorer
from plainspeech.runtime.bundle import Bundle
from plainspeech.runtime.decoders import choose_decoder
from plainspeech.runtime.recognizer import load_model

Speak = Callable[..., npt.NDArray[np.float32]]

SENTENCES = ["a good deed", "a bad bed", "feed a cab"]


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lm")
    (folder / "text").write_text("\n".join(SENTENCES))
    model, source = build_model(
        [folder / "text"], BuildSettings(order=2, prune=(0,), estimator="builtin")
    )
    write_scorer(folder / "scorer", model.vocabulary, model.levels, source, 0.3, 0.7)
    return folder / "scorer"


@pytest.fixture(scope="module")
def bundle(tone_bundle: Path, scorer: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tone model with a scorer, and settings that are its own."""
    files = {path.name: path.read_bytes() for path in scorer.iterdir()}
    settings = BeamSettings(alpha=0.9, beta=0.1, beam_width=17, unknown_word_penalty=0.0)
    folder = tmp_path_factory.mktemp("bundle") / "b"
    replace(Bundle.load(tone_bundle), decoding=settings, scorer_files=files).write(folder)
    return folder


def test_a_model_with_a_scorer_is_searched_with_it(bundle: Path, spoken: Speak) -> None:
    model = load_model(bundle)
    assert model.decoder.description == "beam 17, 2-gram"
    assert model.transcribe(spoken("good deed")).text == "good deed"
    # Not a word of the lexicon: the nearest is.
    assert model.transcribe(spoken("feex")).text == "feed"
    assert load_model(bundle, decoder="greedy").transcribe(spoken("feex")).text == "feex"


def test_a_model_without_is_read_greedily_unless_told_otherwise(tone_bundle: Path) -> None:
    bundle = Bundle.load(tone_bundle)
    assert choose_decoder(bundle).description == "greedy"
    assert choose_decoder(bundle, "beam").description == "beam 100, no language model"


def test_settings_are_the_bundles_with_its_scorer_and_the_scorers_with_another(
    bundle: Path, scorer: Path
) -> None:
    loaded = Bundle.load(bundle)
    weights = []
    for language_model in (None, scorer, "none"):
        settings = choose_decoder(loaded, "beam", language_model).settings  # type: ignore[attr-defined]
        weights.append((settings.alpha, settings.beta, settings.beam_width))
    assert weights == [(0.9, 0.1, 17), (0.3, 0.7, 17), (0.0, 0.0, 17)]


def test_hot_words_reach_the_search(bundle: Path, spoken: Speak) -> None:
    model = load_model(bundle)
    assert model.transcribe(spoken("feex"), hot_words={"feex": 5.0}).text == "feex"
    for heard in (spoken("a"), np.zeros(16_000, np.float32)):
        with pytest.raises(PlainspeechError, match="hot_words: greedy"):
            load_model(bundle, decoder="greedy").transcribe(heard, hot_words={"caa": 5.0})


def test_too_little_to_hear_is_no_word_in_a_batch_either(bundle: Path, spoken: Speak) -> None:
    waveforms = [np.zeros(10, np.float32), spoken("a bed"), np.zeros(0, np.float32)]
    found = load_model(bundle).transcribe_waveforms(waveforms)
    assert [transcript.text for transcript in found] == ["", "a bed", ""]


@pytest.mark.parametrize(
    ("decoder", "language_model", "says"),
    [
        ("gredy", None, "unknown decoder 'gredy'; did you mean 'greedy'?"),
        ("greedy", "none", "language model: greedy decoding does not use one"),
        (None, "nowhere", "nowhere: no such scorer"),
    ],
)
def test_what_cannot_be_is_said(
    tone_bundle: Path, decoder: Any, language_model: str | None, says: str
) -> None:
    with pytest.raises(PlainspeechError, match=says):
        load_model(tone_bundle, decoder=decoder, language_model=language_model)


def test_a_damaged_scorer_is_named(bundle: Path, tmp_path: Path) -> None:
    files = dict(Bundle.load(bundle).scorer_files)
    files["ngrams.npz"] = files["ngrams.npz"][:-1]
    replace(Bundle.load(bundle), scorer_files=files).write(tmp_path / "b")
    with pytest.raises(PlainspeechError, match=r"scorer: ngrams\.npz is damaged"):
        load_model(tmp_path / "b")


def test_n_best_readings_come_with_every_segment(bundle: Path, spoken: Speak) -> None:
    model = load_model(bundle, n_best=3)
    assert model.decoder.description == "beam 17, 2-gram, 3-best"
    transcript = model.transcribe(spoken("a good deed"))
    (segment,) = transcript.segments
    assert segment.n_best[0].text == transcript.text == "a good deed"
    assert len({reading.text for reading in segment.n_best}) == 3
    scores = [reading.score for reading in segment.n_best]
    assert scores == sorted(scores, reverse=True)
    # Not asked for, they are not there.
    assert load_model(bundle).transcribe(spoken("a good deed")).segments[0].n_best == ()


def test_n_best_readings_leave_the_text_as_it_is(bundle: Path) -> None:
    """Also where a search that keeps texts apart, as lists need, finds something worse."""
    noise = np.random.default_rng(5).normal(size=(30, 40, 29)).astype(np.float32) * 3
    rows = list(noise - np.log(np.exp(noise).sum(axis=-1, keepdims=True)))
    usual = choose_decoder(Bundle.load(bundle))
    apart = usual.with_settings(merge="prefix")  # type: ignore[attr-defined]
    texts = [transcript.text for transcript in usual.decode_batch(rows)]
    assert texts != [transcript.text for transcript in apart.decode_batch(rows)]
    found = choose_decoder(Bundle.load(bundle), n_best=4).decode_batch(rows)
    assert [transcript.text for transcript in found] == texts
    assert max(len(transcript.segments[0].n_best) for transcript in found) == 4
    for transcript in found:
        first, *others = transcript.segments[0].n_best
        assert first.text == transcript.text
        assert len({first.text, *(one.text for one in others)}) == 1 + len(others)
        scores = [reading.score for reading in others]
        assert scores == sorted(scores, reverse=True)


def test_n_best_readings_need_the_beam_search(bundle: Path) -> None:
    with pytest.raises(PlainspeechError, match="n-best: greedy decoding gives one text"):
        load_model(bundle, decoder="greedy", n_best=2)
    with pytest.raises(PlainspeechError, match="n-best is 0; it must be a whole number, 1 or"):
        load_model(bundle, n_best=0)


@pytest.mark.parametrize("n_best", [None, 2])
def test_bad_hot_words_are_refused_without_any_audio(bundle: Path, n_best: int | None) -> None:
    model = load_model(bundle, n_best=n_best)
    with pytest.raises(PlainspeechError, match="7"):
        model.transcribe_waveforms([], {"route 7": 3.0})
