from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lm_models import TEXT, after_everything, estimated, texts

from plainspeech.errors import PlainspeechError
from plainspeech.lm import build
from plainspeech.lm.build import BuildSettings, build_model, find_lmplz
from plainspeech.lm.scorer import Scorer

PRUNINGS = [(0,), (0, 0), (0, 0, 0), (0, 0, 1), (0, 1, 1), (0, 2, 2), (0, 0, 1, 2)]

needs_lmplz = pytest.mark.skipif(
    find_lmplz() is None, reason="KenLM's lmplz is not on the PATH (docs/language-models.md)"
)


@settings(max_examples=60)
@given(texts, st.sampled_from(PRUNINGS), st.integers(1, 6))
def test_probabilities_sum_to_one_after_everything(
    tmp_path_factory: pytest.TempPathFactory,
    text: list[list[str]],
    prune: tuple[int, ...],
    words: int,
) -> None:
    model = estimated(text, tmp_path_factory.mktemp("text"), prune, words + 3)
    for probabilities in after_everything(model.tables):
        assert probabilities.sum() == pytest.approx(1, abs=1e-5)


def test_an_example_computed_by_hand(tmp_path: Path) -> None:
    # Bigrams, each once: <s> a, a b, b </s>, <s> b. Of them, a and </s> end one each, b two.
    # With these few, the discounts are 0.5, 1 and 1.5.
    # Unigrams: 4 in all, discounted by 0.5 + 1 + 0.5; the rest goes evenly to a, b, </s>, <unk>.
    model = estimated([["a", "b"], ["b"]], tmp_path, (0, 0))
    scorer = Scorer.from_model(model)
    unigram_a, unigram_b = (1 - 0.5) / 4 + 0.5 / 4, (2 - 1) / 4 + 0.5 / 4
    after_start = (0.5 + 0.5) / 2  # the weight of the unigrams after <s>
    assert scorer.score(["a"], bos=False, eos=False) == pytest.approx(math.log(unigram_a))
    assert scorer.score(["x"], bos=False, eos=False) == pytest.approx(math.log(0.5 / 4))
    assert scorer.score(["a"], eos=False) == pytest.approx(
        math.log(0.5 / 2 + after_start * unigram_a)
    )
    assert scorer.score(["b"], eos=False) == pytest.approx(
        math.log(0.5 / 2 + after_start * unigram_b)
    )


def test_pruned_ngrams_are_not_there(tmp_path: Path) -> None:
    text = [line.split() for line in TEXT.splitlines()]
    whole = estimated(text, tmp_path, (0, 0, 0))
    pruned = estimated(text, tmp_path, (0, 1, 2))
    sizes = [len(level.words) for level in pruned.levels]
    assert sizes[0] == len(whole.levels[0].words)
    assert sizes[1] < len(whole.levels[1].words)
    assert sizes[2:] == [2]  # "on the mat" and "the mat </s>"
    limited = estimated(text, tmp_path, (0, 0, 0), words=3 + 2)
    assert limited.vocabulary == ["<unk>", "<s>", "</s>", "the", "cat"]


@needs_lmplz
@pytest.mark.parametrize("words", [None, 8])
@pytest.mark.parametrize("prune", [(0, 0), (0, 0, 0), (0, 0, 1), (0, 1, 1), (0, 0, 1, 2)])
def test_lmplz_gives_the_same(tmp_path: Path, prune: tuple[int, ...], words: int | None) -> None:
    rng = np.random.default_rng(1)
    vocabulary = ["the", "of", "and", "a", "to", "cat", "dog", "mat", "sat", "ran", "saw", "lay"]
    chances = 1 / np.arange(1, 13)
    lines = (
        " ".join(rng.choice(vocabulary, rng.integers(1, 9), p=chances / chances.sum()))
        for _ in range(400)
    )
    (tmp_path / "text").write_text("\n".join(lines))
    ours, theirs = (
        build_model([tmp_path / "text"], BuildSettings(len(prune), prune, 0.0, words, estimator))[0]
        for estimator in ("builtin", "lmplz")
    )
    assert ours.vocabulary == theirs.vocabulary
    for level, expected in zip(ours.levels, theirs.levels, strict=True):
        np.testing.assert_array_equal(level.contexts, expected.contexts)
        np.testing.assert_array_equal(level.words, expected.words)
        np.testing.assert_allclose(level.probabilities, expected.probabilities, atol=2e-5)
        np.testing.assert_allclose(level.backoffs, expected.backoffs, atol=2e-5)


def test_a_failing_lmplz_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "text").write_text(TEXT)
    (tmp_path / "lmplz").write_text("#!/bin/sh\necho no memory >&2\necho left >&2\nexit 3\n")
    (tmp_path / "lmplz").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PlainspeechError, match="lmplz: failed: left"):
        build_model([tmp_path / "text"], BuildSettings(estimator="lmplz"))


def test_lmplz_is_for_what_memory_does_not_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the slower one, as long as the text is not large."""
    (tmp_path / "text").write_text(TEXT)
    (tmp_path / "lmplz").write_text("#!/bin/sh\nexit 3\n")
    (tmp_path / "lmplz").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    _, source = build_model([tmp_path / "text"], BuildSettings())
    assert source["estimator"] == "builtin"
    monkeypatch.setattr(build, "_memory", lambda: 0)
    with pytest.raises(PlainspeechError, match="lmplz: failed"):
        build_model([tmp_path / "text"], BuildSettings())


def test_the_machine_has_memory() -> None:
    assert build._memory() > 1 << 20


def test_lmplz_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "text").write_text(TEXT)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PlainspeechError, match="estimator: lmplz is not on the PATH"):
        build_model([tmp_path / "text"], BuildSettings(estimator="lmplz"))
    _, source = build_model([tmp_path / "text"], BuildSettings())
    assert source["estimator"] == "builtin"


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"order": 0}, "order is 0; it must be from 1 to 6"),
        ({"order": 7}, "order is 7; it must"),
        ({"order": 2, "prune": (0, 0, 1)}, "prune has 3 counts; there must be 1 to 2"),
        ({"prune": ()}, "prune has 0 counts; there must be 1 to 4"),
        ({"prune": (0, 2, 1)}, "prune: counts must not decrease"),
        ({"prune": (1, 1)}, "prune: the first count must be 0"),
        ({"prune": (-1, 0)}, "prune: the first count must be 0"),
        ({"entropy": -1e-9}, "entropy is -1e-09; it must be finite"),
        ({"entropy": float("nan")}, "entropy is nan; it must be finite and not below 0"),
        ({"words": 0}, "words is 0; it must be 1 or above"),
        ({"estimator": "lmpls"}, "unknown estimator 'lmpls'; did you mean 'lmplz'"),
    ],
)
def test_settings_that_cannot_be_are_named(values: dict[str, Any], says: str) -> None:
    with pytest.raises(PlainspeechError, match=says):
        BuildSettings(**values)
