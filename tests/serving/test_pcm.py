from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plainspeech import audio
from plainspeech.serving.live_driver import PcmReader

TONE = np.round(10_000 * np.sin(np.arange(4_000) / 9)).astype("<i2")


@given(st.lists(st.integers(1, 700), max_size=40), st.sampled_from([16_000, 8_000, 44_100]))
def test_how_the_bytes_are_portioned_makes_no_difference(cuts: list[int], rate: int) -> None:
    content, reader = TONE.tobytes(), PcmReader(rate, 16_000, 64)
    ends = [0, *np.minimum(np.cumsum(cuts, dtype=int), len(content)).tolist(), len(content)]
    parts = []
    for start, end in pairwise(ends):
        if reader.feed(content[start:end]):
            parts.append(reader.take())
    parts.append(reader.take(last=True))
    whole = audio.from_array(TONE, rate, 16_000)
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-5)


def test_half_a_sample_at_the_end_is_none() -> None:
    reader = PcmReader(16_000, 16_000, 1)
    reader.feed(b"\x00\x40\x01")
    assert reader.take(last=True).tolist() == [0.5]


@pytest.mark.parametrize("rate", [16_000, 8_000])
def test_little_is_kept_back(rate: int) -> None:
    reader = PcmReader(rate, 16_000, 512)
    assert not reader.feed(bytes(512 * rate // 16_000 * 2 - 1))
    assert reader.feed(b"\x00")
