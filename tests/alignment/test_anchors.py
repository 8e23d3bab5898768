from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from plainspeech.alignment.anchors import anchors


@given(st.integers(0, 2**32 - 1), st.integers(0, 3_000), st.floats(0, 0.5))
def test_anchors_are_common_strings_in_order(seed: int, length: int, noise: float) -> None:
    draw = np.random.default_rng(seed)
    written = draw.integers(0, 28, length).astype(np.int32)
    heard = written.copy()
    wrong = draw.random(length) < noise
    heard[wrong] = draw.integers(0, 28, int(wrong.sum()))
    heard = np.concatenate([heard[: length // 2], heard[length // 2 + 100 :]])
    found = anchors(heard, written)
    for mine, theirs, size in found:
        assert size >= 16
        assert (heard[mine : mine + size] == written[theirs : theirs + size]).all()
    for (i, j, _), (k, m, _) in pairwise(found):
        assert i < k
        assert j < m
    if noise == 0 and length > 300:
        assert sum(size for *_, size in found) >= length - 100 - 32


def test_what_is_there_twice_is_no_anchor() -> None:
    once = np.arange(40, dtype=np.int32)
    left, right = (np.concatenate([once, once[:9] + other, once]) for other in (100, 200))
    assert anchors(left, right) == []
    assert anchors(once, once) == [(0, 0, 40)]
    assert anchors(once[:3], once) == []
