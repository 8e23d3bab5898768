from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from plainspeech.model.padding import mask, reverse

lengths_and_extra = st.tuples(
    st.lists(st.integers(0, 12), min_size=1, max_size=5), st.integers(0, 4)
)


def batch(lengths: list[int], extra: int) -> tuple[Tensor, Tensor]:
    """Return a batch in which every number is another, and its lengths."""
    shape = (len(lengths), max(lengths) + extra, 2)
    return torch.arange(float(torch.Size(shape).numel())).reshape(shape), torch.tensor(lengths)


@given(lengths_and_extra)
def test_reverse_undoes_itself(case: tuple[list[int], int]) -> None:
    x, lengths = batch(*case)
    assert torch.equal(reverse(reverse(x, lengths), lengths), x)


@given(lengths_and_extra)
def test_reverse_turns_the_utterance_and_leaves_the_padding(case: tuple[list[int], int]) -> None:
    x, lengths = batch(*case)
    for row, before, length in zip(reverse(x, lengths), x, case[0], strict=True):
        assert torch.equal(row[:length], before[:length].flip(0))
        assert torch.equal(row[length:], before[length:])


@given(lengths_and_extra)
def test_the_mask_is_true_in_utterances_alone(case: tuple[list[int], int]) -> None:
    lengths, extra = case
    found = mask(torch.tensor(lengths), max(lengths) + extra)
    frames = range(max(lengths) + extra)
    assert found.tolist() == [[frame < length for frame in frames] for length in lengths]
