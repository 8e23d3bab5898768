"""Scores are those of KenLM itself."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import kenlm
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from lm_models import arbitrary, estimated, texts

import plainspeech
from plainspeech.errors import PlainspeechError
from plainspeech.lm.arpa import ArpaModel, write_arpa
from plainspeech.lm.scorer import Scorer

SENTENCES = st.lists(
    st.lists(st.sampled_from([f"w{index}" for index in range(9)]), max_size=10),
    min_size=1,
    max_size=8,
)


SOURCE = Path(plainspeech.__file__).parents[1]


def kenlm_scores(model: kenlm.Model, words: Sequence[str], bos: bool, eos: bool) -> list[float]:
    """Return natural logarithms."""
    found = model.full_scores(" ".join(words), bos=bos, eos=eos)
    return [log10 * math.log(10) for log10, _, _ in found]


def written(model: ArpaModel, folder: str) -> Path:
    path = Path(folder) / "model.arpa"
    write_arpa(path, model.vocabulary, model.levels)
    return path


@settings(max_examples=40)
@given(
    st.integers(0, 2**32),
    st.lists(st.integers(1, 40), min_size=1, max_size=3),
    SENTENCES,
    st.booleans(),
    st.booleans(),
)
def test_any_model(
    seed: int, sizes: list[int], sentences: list[list[str]], bos: bool, eos: bool
) -> None:
    # w7 and w8 are not in the vocabulary.
    model = arbitrary(np.random.default_rng(seed), 7, sizes)
    with tempfile.TemporaryDirectory() as folder:
        path = written(model, folder)
        theirs = kenlm.Model(str(path))
        scorers = [Scorer.from_arpa(path), Scorer.from_kenlm(path, model.vocabulary[3:])]
        for sentence in sentences:
            expected = kenlm_scores(theirs, sentence, bos, eos)
            for scorer in scorers:
                ours = scorer.log_probabilities(sentence, bos, eos)
                np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-4)


@settings(max_examples=25)
@given(texts, texts)
# A text that Chen and Goodman's formula gives a discount of zero.
@example([list("a"), list("aa"), list("ae"), list("bcb"), list("daabdd"), list("bbaacba")], [["a"]])
def test_estimated_models(text: list[list[str]], others: list[list[str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = written(estimated(text, Path(folder), (0, 0, 1, 1)), folder)
        scorer = Scorer.from_arpa(path)
        if scorer.order == 1:
            return  # which KenLM does not read
        theirs = kenlm.Model(str(path))
        for sentence in others:
            expected = kenlm_scores(theirs, sentence, True, True)
            np.testing.assert_allclose(
                scorer.log_probabilities(sentence), expected, rtol=1e-4, atol=1e-4
            )
            assert scorer.score(sentence) == pytest.approx(sum(expected), rel=1e-4, abs=1e-3)


def test_threads_share_what_kenlm_answered(tmp_path: Path) -> None:
    model = arbitrary(np.random.default_rng(5), 40, [400, 900])
    path = written(model, str(tmp_path))
    words = model.vocabulary[3:]
    flat, asking = Scorer.from_arpa(path), Scorer.from_kenlm(path, words)
    rng = np.random.default_rng(6)
    sentences = [[words[i] for i in rng.integers(0, 40, 30)] for _ in range(300)]
    with ThreadPoolExecutor(4) as pool:
        asked = list(pool.map(asking.score, sentences * 2))
    np.testing.assert_allclose(asked, [flat.score(s) for s in sentences * 2], rtol=1e-5)


def test_what_kenlm_cannot_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "m.binary").write_bytes(b"no model")
    with pytest.raises(PlainspeechError, match=r"m\.binary, line 2: the ARPA file ends here"):
        Scorer.from_kenlm(tmp_path / "m.binary", ["a"])


def test_a_process_may_begin_with_a_model_of_kenlms(tmp_path: Path) -> None:
    """In a process of its own: what other tests import makes numba know more types."""
    model = arbitrary(np.random.default_rng(7), 20, [100, 100])
    path, words = written(model, str(tmp_path)), model.vocabulary[3:]
    code = (
        "import sys; from plainspeech.lm.scorer import Scorer\n"
        "path, *words = sys.argv[1:]\n"
        "print(Scorer.from_kenlm(path, words).score(words[:5]))\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, str(path), *words],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=True,
    )
    expected = Scorer.from_arpa(path).score(words[:5])
    assert float(found.stdout) == pytest.approx(expected, rel=1e-4)


def test_a_probability_above_one_is_the_sum_that_the_file_says(tmp_path: Path) -> None:
    """KenLM keeps a flag in its sign and turns it; no model that sums to one has any."""
    (tmp_path / "m.arpa").write_text(
        "\\data\\\nngram 1=6\nngram 2=5\nngram 3=1\n\n\\1-grams:\n"
        "-1\t<unk>\n0\t<s>\t0\n-1\t</s>\n-1\ta\t0\n-1\tb\t0.3\n-0.2\tc\t0\n\n"
        "\\2-grams:\n-0.5\ta b\t0\n-1\ta a\n-1\tc a\n-1\tc b\n-1\tc c\n\n"
        "\\3-grams:\n-0.4\ta b c\n\n\\end\\\n"
    )
    ours = Scorer.load(tmp_path / "m.arpa").log_probabilities(["b", "c"], bos=False, eos=False)
    kenlms = Scorer.from_kenlm(tmp_path / "m.arpa", ["a", "b", "c"])
    theirs = kenlms.log_probabilities(["b", "c"], bos=False, eos=False)
    np.testing.assert_allclose(ours / np.log(10), [-1.0, 0.1], atol=1e-6)
    np.testing.assert_allclose(theirs / np.log(10), [-1.0, -0.1], atol=1e-6)
