from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lm_models import arbitrary

from plainspeech.errors import PlainspeechError
from plainspeech.lm.packing import QUANTUM, pack, unpack


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.integers(1, 300), st.lists(st.integers(1, 200), max_size=2))
def test_ngrams_come_back_and_logarithms_nearly(seed: int, words: int, sizes: list[int]) -> None:
    model = arbitrary(np.random.default_rng(seed), words, sizes)
    content = pack(model.levels)
    levels = unpack(content, len(model.vocabulary), len(model.levels))
    for level, expected in zip(levels, model.levels, strict=True):
        np.testing.assert_array_equal(level.contexts, expected.contexts)
        np.testing.assert_array_equal(level.words, expected.words)
        half = QUANTUM / 2 + 1e-6
        np.testing.assert_allclose(level.probabilities, expected.probabilities, atol=half, rtol=0)
        np.testing.assert_allclose(level.backoffs, expected.backoffs, atol=half, rtol=0)
        # What was rounded once stays as it is, and so do states without anything to say.
        assert (level.probabilities <= 0).all()
        assert not level.backoffs[expected.backoffs == 0].any()
    assert pack(levels) == content


def damaged(**changes: object) -> bytes:
    levels = arbitrary(np.random.default_rng(1), 20, [50]).levels
    with np.load(io.BytesIO(pack(levels))) as stored:
        arrays = dict(stored)
    for name, change in changes.items():
        name = name.replace("_", ".", 1).removeprefix("order")
        arrays[name] = change(arrays[name])  # type: ignore[operator]
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    return content.getvalue()


@pytest.mark.parametrize(
    "changes",
    [
        {"order1_probabilities": lambda planes: planes[:, 1:]},
        {"order2_probabilities": lambda planes: planes[:, 1:]},
        {"order1_backoffs": lambda planes: planes[:, 1:]},
        {"order2_children": lambda planes: planes[:, 1:]},
        {"order2_children": lambda planes: planes + 1},
        {"order2_words": lambda planes: planes + 10},
        {"order2_words": lambda planes: planes.astype(np.int64)},
        {"order2_words": lambda planes: planes[0]},
    ],
)
def test_arrays_that_do_not_fit_are_refused(changes: dict[str, object]) -> None:
    assert len(unpack(damaged(), 23, 2)) == 2
    with pytest.raises(PlainspeechError, match="the n-grams are damaged: "):
        unpack(damaged(**changes), 23, 2)


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04 cut", damaged()[:-30]])
def test_what_is_no_model_is_refused(content: bytes) -> None:
    with pytest.raises(PlainspeechError, match="the n-grams are damaged: "):
        unpack(content, 23, 2)


def test_another_order_or_vocabulary_is_refused() -> None:
    for vocabulary, order in ((22, 2), (24, 2), (23, 3)):
        with pytest.raises(PlainspeechError, match="the n-grams are damaged: "):
            unpack(damaged(), vocabulary, order)
