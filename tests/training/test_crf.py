"""The partition function of CTC-CRF, against the sum over every alignment."""

from __future__ import annotations

import itertools
import math

import numpy as np
import numpy.typing as npt
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from plainspeech.training.crf import SymbolModel, estimate_symbol_model, log_partition
from plainspeech.training.step import ctc_loss

SYMBOLS = 3
TEXTS = [[0, 1, 2], [1, 1, 0], [2], [0, 0, 0, 2, 1], []]

seeds = st.integers(0, 2**32 - 1)
frame_counts = st.integers(1, 5)


def outputs(seed: int, *lengths: int) -> Tensor:
    """Return log-probabilities, ``(batch, frames, symbols + 1)`` float32, padded with anything."""
    random = np.random.default_rng(seed)
    logits = random.normal(size=(len(lengths), max(lengths), SYMBOLS + 1), scale=2)
    return torch.log_softmax(torch.from_numpy(logits).float(), dim=-1)


def log_prior(text: tuple[int, ...], model: SymbolModel) -> float:
    """Return the log-probability of ``text`` in the trigram model."""
    total, before, last = 0.0, SYMBOLS, SYMBOLS
    for symbol in text:
        total += math.log(model.following[last, before, symbol])
        before, last = last, symbol
    return total + math.log(model.ends[last, before])


def summed_over_alignments(rows: npt.NDArray[np.float64], model: SymbolModel) -> float:
    """Return ln Z by its definition."""
    scores = []
    for alignment in itertools.product(range(SYMBOLS + 1), repeat=len(rows)):
        text = tuple(symbol for symbol, _ in itertools.groupby(alignment) if symbol != SYMBOLS)
        acoustic = sum(rows[frame, symbol] for frame, symbol in enumerate(alignment))
        scores.append(acoustic + log_prior(text, model))
    return float(np.logaddexp.reduce(scores))


@given(seeds, frame_counts)
def test_the_partition_function_sums_over_all_alignments(seed: int, frames: int) -> None:
    model = estimate_symbol_model(TEXTS, SYMBOLS)
    rows = outputs(seed, frames)

    found = log_partition(rows, torch.tensor([frames]), model)

    expected = summed_over_alignments(rows[0].double().numpy(), model)
    np.testing.assert_allclose(found[0], expected, rtol=1e-4, atol=1e-5)


@given(seeds, frame_counts, st.data())
def test_its_gradient_is_that_of_the_sum(seed: int, frames: int, data: st.DataObject) -> None:
    model = estimate_symbol_model(TEXTS, SYMBOLS)
    rows = outputs(seed, frames).requires_grad_()
    frame = data.draw(st.integers(0, frames - 1))
    symbol = data.draw(st.integers(0, SYMBOLS))

    torch.autograd.backward(log_partition(rows, torch.tensor([frames]), model).sum())

    step = np.zeros((frames, SYMBOLS + 1))
    step[frame, symbol] = 1e-4
    middle = rows.detach()[0].double().numpy()
    rise = summed_over_alignments(middle + step, model)
    fall = summed_over_alignments(middle - step, model)
    assert rows.grad is not None
    np.testing.assert_allclose(rows.grad[0, frame, symbol], (rise - fall) / 2e-4, atol=1e-4)


@given(seeds, st.lists(st.integers(1, 30), min_size=1, max_size=4))
def test_padding_and_neighbours_change_nothing(seed: int, lengths: list[int]) -> None:
    model = estimate_symbol_model(TEXTS, SYMBOLS)
    rows = outputs(seed, *lengths).requires_grad_()

    together = log_partition(rows, torch.tensor(lengths), model)
    torch.autograd.backward(together.sum())

    assert rows.grad is not None
    for index, length in enumerate(lengths):
        own = rows.detach()[index : index + 1, :length].clone().requires_grad_()
        alone = log_partition(own, torch.tensor([length]), model)
        torch.autograd.backward(alone.sum())
        np.testing.assert_allclose(together[index].item(), alone[0].item(), rtol=1e-5, atol=1e-5)
        assert own.grad is not None
        np.testing.assert_allclose(rows.grad[index, :length], own.grad[0], atol=1e-5)
        assert not rows.grad[index, length:].any()


@given(seeds, st.integers(1, 30))
def test_a_frame_belongs_to_one_symbol(seed: int, frames: int) -> None:
    rows = outputs(seed, frames).requires_grad_()

    model = estimate_symbol_model(TEXTS, SYMBOLS)
    torch.autograd.backward(log_partition(rows, torch.tensor([frames]), model).sum())

    assert rows.grad is not None
    np.testing.assert_allclose(rows.grad.sum(-1), np.ones((1, frames)), atol=1e-5)


@given(seeds, st.integers(6, 20), st.sampled_from([text for text in TEXTS if text]))
def test_no_text_is_more_probable_than_all(seed: int, frames: int, text: list[int]) -> None:
    model = estimate_symbol_model(TEXTS, SYMBOLS)
    rows, lengths = outputs(seed, frames), torch.tensor([frames])

    one = ctc_loss(rows, lengths, torch.tensor([text]), torch.tensor([len(text)]))

    every = log_partition(rows, lengths, model)
    assert -one[0].item() + log_prior(tuple(text), model) <= every[0].item() + 1e-4


def test_an_impossible_symbol_does_not_spoil_the_sum() -> None:
    model = estimate_symbol_model(TEXTS, SYMBOLS)
    rows = outputs(1, 5)
    rows[0, 2, :SYMBOLS] = -200.0
    rows = rows.requires_grad_()

    torch.autograd.backward(log_partition(rows, torch.tensor([5]), model).sum())

    assert rows.grad is not None
    np.testing.assert_allclose(rows.grad[0, 2], [0, 0, 0, 1], atol=1e-6)


@given(st.lists(st.lists(st.integers(0, SYMBOLS - 1), max_size=6), max_size=6))
def test_the_probabilities_of_what_follows_sum_to_one(texts: list[list[int]]) -> None:
    model = estimate_symbol_model(texts, SYMBOLS)

    sums = model.following.sum(-1) + model.ends

    np.testing.assert_allclose(sums, np.ones((SYMBOLS + 1, SYMBOLS + 1)), rtol=1e-5)
    assert (model.following > 0).all()
    assert (model.ends > 0).all()


def test_what_was_seen_is_likely() -> None:
    model = estimate_symbol_model([[0, 1, 2]] * 20, SYMBOLS)

    assert model.following[1, 0, 2] > 0.9
    assert model.ends[2, 1] > 0.9
