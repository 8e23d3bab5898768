"""The recurrent language model, against one word at a time by its formulas."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lm_models import TEXT, estimated
from typer.testing import CliRunner

from plainspeech.artifact.listed_files import checksums
from plainspeech.artifact.record import Record
from plainspeech.artifact.writing import write_folder
from plainspeech.cli.lm import app as lm
from plainspeech.errors import LanguageModelError
from plainspeech.lm.neural import (
    END,
    OTHER,
    NeuralModel,
    SentenceScorer,
    pack_neural,
    unpack_neural,
)
from plainspeech.lm.package import (
    SCORER,
    read_scorer_files,
    with_neural,
    with_weights,
    write_scorer,
)
from plainspeech.lm.scorer import Scorer
from plainspeech.lm.tables import EOS_ID, SPECIAL_WORDS, UNKNOWN_ID

ROWS, WIDTH, HIDDEN, VOCABULARY = 6, 3, 4, 9

sentences = st.lists(
    st.lists(st.integers(OTHER, ROWS - 1), max_size=6).map(lambda each: np.array(each, np.int32)),
    min_size=1,
    max_size=8,
)


def random_model(seed: int = 0, vocabulary: int = VOCABULARY, rows: int = ROWS) -> NeuralModel:
    draw = np.random.default_rng(seed)

    def weights(*shape: int) -> Any:
        return draw.normal(size=shape).astype(np.float32)

    others = draw.permutation(np.arange(len(SPECIAL_WORDS), vocabulary))[: rows - 2]
    return NeuralModel(
        words=np.array([EOS_ID, UNKNOWN_ID, *others], np.int32),
        embeddings=weights(rows, WIDTH),
        biases=weights(rows),
        input_weights=weights(4 * HIDDEN, WIDTH),
        state_weights=weights(4 * HIDDEN, HIDDEN),
        gate_biases=weights(4 * HIDDEN),
        projection=weights(WIDTH, HIDDEN),
    )


def by_the_formulas(model: NeuralModel, sentence: Sequence[int]) -> float:
    """Return the score of ``sentence``, number by number."""

    def sigmoid(value: float) -> float:
        return 1 / (1 + math.exp(-value))

    hidden, cell, total = [0.0] * HIDDEN, [0.0] * HIDDEN, 0.0
    for before, word in zip([END, *sentence], [*sentence, END], strict=True):
        gates = [
            float(model.input_weights[row] @ model.embeddings[before])
            + float(model.state_weights[row] @ np.array(hidden))
            + float(model.gate_biases[row])
            for row in range(4 * HIDDEN)
        ]
        for unit in range(HIDDEN):
            taken, kept, new, shown = gates[unit::HIDDEN]
            cell[unit] = sigmoid(kept) * cell[unit] + sigmoid(taken) * math.tanh(new)
            hidden[unit] = sigmoid(shown) * math.tanh(cell[unit])
        output = model.projection @ np.array(hidden)
        total += float(output @ model.embeddings[word]) + float(model.biases[word])
    return total


@given(st.integers(0, 1000), sentences)
def test_sentences_together_have_the_scores_of_each_alone(seed: int, each: list[Any]) -> None:
    model = random_model(seed)
    found = model.sentence_log_probabilities(each)
    expected = [by_the_formulas(model, sentence.tolist()) for sentence in each]
    np.testing.assert_allclose(found, expected, atol=2e-4)


@given(st.integers(0, 1000), sentences, st.integers(0, 4))
def test_sentences_go_on_from_what_they_begin_with(seed: int, each: list[Any], size: int) -> None:
    model = random_model(seed)
    start = each[0][:size]
    begun = model.after(model.after(model.begin(), start[:1]), start[1:])
    (before,) = model.sentence_log_probabilities([start], ended=False)

    for ended in (False, True):
        whole = [np.concatenate([start, rest]) for rest in each]
        expected = np.array(model.sentence_log_probabilities(whole, ended=ended))
        found = model.sentence_log_probabilities(each, begun, ended)
        np.testing.assert_allclose(before + np.array(found), expected, atol=2e-4)


def test_what_has_no_words_and_does_not_end_is_certain() -> None:
    none = np.empty(0, np.int32)
    assert random_model().sentence_log_probabilities([none, none], ended=False) == [0.0, 0.0]


def test_no_sentence_has_no_score() -> None:
    assert random_model().sentence_log_probabilities([]) == []


def test_what_all_other_words_have_is_divided_as_their_unigrams_are() -> None:
    model = random_model()
    unigrams = np.log(np.arange(1, VOCABULARY + 1) / 45).astype(np.float32)
    scorer = SentenceScorer(model, unigrams)
    other = [index for index in range(VOCABULARY) if index not in model.words] + [UNKNOWN_ID]

    single = np.array(scorer.log_probabilities([[index] for index in other]))
    (together,) = model.sentence_log_probabilities([np.array([OTHER], np.int32)])

    assert np.logaddexp.reduce(single) == pytest.approx(together, abs=1e-5)
    np.testing.assert_allclose(np.diff(single), np.diff(unigrams[other]), atol=1e-5)
    known = int(model.words[3])
    assert scorer.log_probabilities([[known]]) == pytest.approx(
        model.sentence_log_probabilities([np.array([3], np.int32)])
    )


def test_packed_weights_are_near_those_before() -> None:
    model = random_model(3)
    again = unpack_neural(pack_neural(model), model.shape, VOCABULARY)
    np.testing.assert_array_equal(again.words, model.words)
    steps = np.abs(model.embeddings).max(axis=1, keepdims=True) / 127
    assert (np.abs(again.embeddings - model.embeddings) <= 0.501 * steps).all()
    for name in ("input_weights", "state_weights", "projection"):
        np.testing.assert_allclose(getattr(again, name), getattr(model, name), rtol=1e-3, atol=1e-6)
    np.testing.assert_array_equal(again.biases, model.biases)
    np.testing.assert_array_equal(again.gate_biases, model.gate_biases)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A scorer with a recurrent model."""
    estimate = estimated([line.split() for line in TEXT.splitlines()], tmp_path)
    write_scorer(tmp_path / "s", estimate.vocabulary, estimate.levels, {"words": 49}, 0.5, 1.25)
    model = random_model(vocabulary=len(estimate.vocabulary))
    files = with_neural(read_scorer_files(tmp_path / "s"), model, 0.4, {"words": 7})
    write_folder(tmp_path / "s", files, SCORER)
    return tmp_path / "s"


def test_a_scorer_keeps_its_recurrent_model(folder: Path) -> None:
    scorer = Scorer.load(folder)
    assert scorer.neural is not None
    assert scorer.neural_weight == 0.4
    assert (scorer.alpha, scorer.beta) == (0.5, 1.25)
    model = random_model(vocabulary=len(scorer.vocabulary))
    sentence = [np.array([3, 2, 5], np.int32)]
    assert scorer.neural.sentence_log_probabilities(sentence) == pytest.approx(
        model.sentence_log_probabilities(sentence), abs=0.2
    )


def test_a_mixture_has_the_recurrent_model_of_what_is_mixed_in(folder: Path) -> None:
    text, mixed = folder.parent / "own.txt", folder.parent / "mixed"
    text.write_text("zebras sat on the aardvark\n" * 30)
    options = ["-o", str(mixed), "--mix", str(folder), "--weight", "0.5", "--order", "2"]
    result = CliRunner().invoke(lm, ["build", str(text), *options], catch_exceptions=False)
    assert result.exit_code == 0
    assert "recurrent model" in result.stdout + result.stderr

    own, both = Scorer.load(folder), Scorer.load(mixed)

    assert both.neural is not None
    assert own.neural is not None
    assert both.neural_weight == 0.4
    assert {"zebras", "aardvark"} <= set(both.words) - set(own.words)
    words = [own.vocabulary[index] for index in own.neural.words]
    assert [both.vocabulary[index] for index in both.neural.words] == words
    sentence = [np.array([3, 2, 5], np.int32)]
    expected = own.neural.sentence_log_probabilities(sentence)
    assert both.neural.sentence_log_probabilities(sentence) == pytest.approx(expected, abs=1e-5)
    record = json.loads((mixed / "scorer.json").read_text())
    assert record["neural"]["source"] == {"words": 7}


def test_scorers_over_characters_have_none(tmp_path: Path) -> None:
    estimate = estimated([list(line) for line in TEXT.replace(" ", "|").splitlines()], tmp_path)
    write_scorer(tmp_path / "s", estimate.vocabulary, estimate.levels, {})
    model = random_model(vocabulary=len(estimate.vocabulary))
    files = read_scorer_files(tmp_path / "s")
    says = "is over characters, and a recurrent language model is over words; name a scorer over"
    with pytest.raises(LanguageModelError, match=f"^scorer: {says}"):
        with_neural(files, model, 0.4, {})
    with pytest.raises(LanguageModelError, match=f"^scorer: {says}"):
        replace(Scorer.load(tmp_path / "s"), neural=model)
    # Made by hand.
    values = json.loads(files["scorer.json"])
    values["neural"] = {**model.shape, "weight": 0.4}
    values["files"]["neural.bin"] = {}
    (tmp_path / "s" / "scorer.json").write_text(json.dumps(values))
    damaged(tmp_path / "s", pack_neural(model))
    with pytest.raises(LanguageModelError, match=f"^{re.escape(str(tmp_path / 's'))}: {says}"):
        Scorer.load(tmp_path / "s")


def test_scorers_that_query_kenlm_have_none(folder: Path) -> None:
    kenlm: Any = object()
    with pytest.raises(LanguageModelError, match=r"^scorer: queries KenLM; .* flattened n-grams"):
        replace(Scorer.load(folder), tables=kenlm)


def test_its_weight_can_be_changed(folder: Path) -> None:
    changed = with_weights(read_scorer_files(folder), 2.0, -1.0, 0.75)
    scorer = Scorer.from_files(folder, changed)
    assert (scorer.alpha, scorer.beta, scorer.neural_weight) == (2.0, -1.0, 0.75)


def test_who_has_none_has_no_weight(folder: Path) -> None:
    files = read_scorer_files(folder)
    record = json.loads(files["scorer.json"])
    del record["neural"], record["files"]["neural.bin"], record["sha256"]
    whole = {name: files[name] for name in ("words.txt", "ngrams.npz")}
    whole["scorer.json"] = Record(folder, SCORER, record).serialise()
    scorer = Scorer.from_files(folder, with_weights(whole, 1.0, 0.0, 0.5))
    assert scorer.neural is None
    assert scorer.neural_weight == 0.0


def damaged(folder: Path, content: bytes | None = None, **changes: Any) -> None:
    """Write another recurrent model, with the right hashes."""
    values = json.loads((folder / "scorer.json").read_text())
    del values["sha256"]
    values["neural"] |= changes
    if content is not None:
        (folder / "neural.bin").write_bytes(content)
    values["files"] = checksums({name: (folder / name).read_bytes() for name in values["files"]})
    (folder / "scorer.json").write_bytes(Record(folder, SCORER, values).serialise())


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"hidden": 0}, "'hidden' is 0; it must be 1 to"),
        ({"width": 10**12}, "'width' is 1000000000000; it must be 1 to"),
        ({"words": -1}, "'words' is -1"),
        ({"hidden": 5}, "another size than its record says"),
        ({"weight": 1.5}, "'weight' is 1.5; it must be from 0 to 1"),
        ({"weight": "much"}, "'weight' is missing or not a number"),
    ],
)
def test_hostile_records_are_refused(folder: Path, changes: dict[str, Any], says: str) -> None:
    damaged(folder, **changes)
    with pytest.raises(LanguageModelError, match=says) as error:
        Scorer.load(folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("place", "value", "says"),
    [
        (0, 1, "lacks the end of the sentence"),
        (1, EOS_ID, "words that the scorer has not"),
        (3, 10**6, "words that the scorer has not"),
        (3, -1, "words that the scorer has not"),
        (ROWS, 0x7FC00000, "weights that are not finite"),  # a scale that is not a number
    ],
)
def test_hostile_weights_are_refused(folder: Path, place: int, value: int, says: str) -> None:
    content = np.frombuffer((folder / "neural.bin").read_bytes(), np.uint8).copy()
    content[4 * place : 4 * place + 4] = np.frombuffer(
        (value & 0xFFFFFFFF).to_bytes(4, "little"), np.uint8
    )
    damaged(folder, content.tobytes())
    with pytest.raises(LanguageModelError, match=says):
        Scorer.load(folder)


def test_a_missing_or_changed_file_is_named(folder: Path) -> None:
    content = (folder / "neural.bin").read_bytes()
    (folder / "neural.bin").write_bytes(content[:-1])
    with pytest.raises(LanguageModelError, match=r"neural\.bin"):
        Scorer.load(folder)
    (folder / "neural.bin").unlink()
    with pytest.raises(LanguageModelError, match=r"neural\.bin"):
        Scorer.load(folder)
