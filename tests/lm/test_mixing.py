"""Mixtures against their definition."""

from __future__ import annotations

import math
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lm_models import TEXT, after_everything, estimated, texts
from typer.testing import CliRunner

from plainspeech.cli.lm import app
from plainspeech.errors import ConfigurationError, LanguageModelError
from plainspeech.lm.arpa import ArpaModel
from plainspeech.lm.levels import word_ids
from plainspeech.lm.mixing import mix, split_held_out, tuned_weight
from plainspeech.lm.scorer import Scorer
from plainspeech.lm.tables import EOS_ID

OTHER = [["a", "b", "f"], ["g", "a"], ["f", "f", "g", "a", "b"]]


def model_of(text: Sequence[Sequence[str]], order: int) -> ArpaModel:
    with tempfile.TemporaryDirectory() as folder:
        return estimated(text, Path(folder), prune=(0,) * order)


def probability(scorer: Scorer, words: Sequence[str]) -> float:
    """Return p of the last word after the others; 0 where it is unknown."""
    if words[-1] not in scorer.vocabulary:
        return 0.0
    return math.exp(scorer.log_probabilities(words, bos=False, eos=False)[-1])


@given(texts, st.integers(1, 3), st.integers(1, 3), st.floats(0.05, 0.95))
@settings(max_examples=10)
def test_an_ngram_of_either_has_the_weighted_mean(
    text: list[list[str]], mine: int, theirs: int, weight: float
) -> None:
    first, second = model_of(text, mine), model_of(OTHER, theirs)
    mixed = mix(first, second, weight)
    assert len(mixed.levels) == max(mine, theirs)
    assert set(mixed.vocabulary) == {*first.vocabulary, *second.vocabulary}
    scorers = [Scorer.from_model(model) for model in (first, second, mixed)]
    for level in word_ids(mixed.levels):
        for ngram in level:
            words = [mixed.vocabulary[word] for word in ngram]
            if words[-1] == "<s>":
                continue
            p, q, found = (probability(scorer, words) for scorer in scorers)
            assert found == pytest.approx(weight * p + (1 - weight) * q, rel=1e-3, abs=1e-7)


@given(texts, st.floats(0.05, 0.95))
@settings(max_examples=10)
def test_a_mixture_is_a_distribution(text: list[list[str]], weight: float) -> None:
    mixed = mix(model_of(text, 3), model_of(OTHER, 2), weight)
    for probabilities in after_everything(mixed.tables):
        # Words that only one model has leave it a little in the unknown word of the other.
        assert probabilities.sum() == pytest.approx(1.0, abs=1e-3)


def test_no_other_weight_is_better() -> None:
    first, second = model_of([line.split() for line in TEXT.splitlines()], 3), model_of(OTHER, 2)
    held = [["the", "cat", "sat"], ["a", "b", "f"], ["the", "dog", "is", "here"]]
    tuned = tuned_weight(first, second, held)
    parts = []
    for words in held:
        known = [[word in m.vocabulary for word in [*words, "</s>"]] for m in (first, second)]
        logs = [Scorer.from_model(model).log_probabilities(words) for model in (first, second)]
        parts.append(np.where(known, np.exp(logs), 0.0))
    p, q = np.concatenate(parts, axis=1)
    p, q = p[p + q > 0], q[p + q > 0]
    assert tuned.words == len(p) == 12
    best = np.log(tuned.weight * p + (1 - tuned.weight) * q).sum()
    for weight in np.linspace(0.01, 0.99, 99):
        assert np.log(weight * p + (1 - weight) * q).sum() <= best + 1e-6
    assert second.vocabulary[EOS_ID] == "</s>"


def test_a_tenth_is_held_out() -> None:
    sentences = [[str(number)] for number in range(205)]
    kept, held = split_held_out(sentences)
    assert sorted([*kept, *held], key=lambda s: int(s[0])) == sentences
    assert len(held) == pytest.approx(20, abs=2)
    with pytest.raises(LanguageModelError, match="has 19 sentences"):
        split_held_out(sentences[:19])


def test_the_command_mixes(tmp_path: Path) -> None:
    base, mine = tmp_path / "base.txt", tmp_path / "mine.txt"
    base.write_text("\n".join(" ".join(words) for words in OTHER), encoding="utf-8")
    mine.write_text(TEXT * 5, encoding="utf-8")

    def run(*arguments: object) -> str:
        given_arguments = ["build", *map(str, arguments), "--order", "2", "--prune", "0"]
        result = CliRunner().invoke(app, given_arguments, catch_exceptions=False)
        assert result.exit_code == 0
        return result.stderr

    run(base, "-o", tmp_path / "base", "--entropy", "1e-12")
    said = run(mine, "-o", tmp_path / "mixed", "--mix", tmp_path / "base", "--held-out", mine)
    assert said.count("perplexity") == 2
    mixed = Scorer.load(tmp_path / "mixed")
    assert {"sofa", "f", "g", "cat"} - set(mixed.words) == {"sofa"}
    mixture = mixed.source["mixture"]
    assert mixture["weight"] > 0.9
    assert mixture["tuned_on_words"] > 0
    shown = CliRunner().invoke(app, ["info", str(tmp_path / "mixed")]).stdout
    assert re.search(r"^ +mixture weight +0\.\d+$", shown, re.MULTILINE)
    assert re.search(r"^ +mixture with texts +base.txt [0-9a-f]{64}$", shown, re.MULTILINE)
    run(mine, "-o", tmp_path / "given", "--mix", tmp_path / "base", "--weight", "0.25")
    assert Scorer.load(tmp_path / "given").source["mixture"]["weight"] == 0.25
    for wrong in (["--weight", "0.5"], ["--mix", "bundled", "--weight", "1"]):
        with pytest.raises(ConfigurationError, match="must be above 0 and below 1"):
            run(mine, "-o", tmp_path / "wrong", *wrong)
