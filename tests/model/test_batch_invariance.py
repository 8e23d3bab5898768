"""The same utterance alone and in any batch: the same output, the same gradient."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from plainspeech.model.base import AcousticModel
from plainspeech.model.crnn import Crnn
from plainspeech.model.recurrence import Bidirectional
from plainspeech.model.reference import Reference
from plainspeech.model.streaming import Streaming
from plainspeech.model.windows import Windows
from plainspeech.training.step import ctc_loss

BINS, SYMBOLS, LONGEST = 12, 5, 24
Model = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def shaken(model: AcousticModel) -> AcousticModel:
    """Return ``model`` as if trained: no bias at zero and no normalisation at one."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn(weight.shape, generator=generator))
    return model.eval()


# Narrow, so that hundreds of batches take seconds; depth and kernels are mostly the presets' own.
MODELS = {
    "reference": shaken(Reference(BINS, SYMBOLS, channels=3, hidden=8)),
    "small": shaken(Crnn(BINS, SYMBOLS, channels=3, width=8, hidden=8)),
    "base": shaken(Crnn(BINS, SYMBOLS, channels=3, width=8, hidden=8, residual=True)),
    # 24 features are eight frames: windows as short as that, so that there are several.
    "streaming": shaken(
        Streaming(BINS, SYMBOLS, channels=3, width=8, hidden=8, kernel=5, windows=Windows(3, 2))
    ),
}
PADDINGS = {"zeros": 0.0, "loud": 1e4, "infinite": float("inf"), "nan": float("nan")}
of_models = pytest.mark.parametrize("name", sorted(MODELS))
batches = st.lists(st.integers(1, LONGEST), min_size=2, max_size=5)
paddings = st.sampled_from(sorted(PADDINGS))


def utterance(frames: int, seed: int) -> Tensor:
    return torch.randn(frames, BINS, generator=torch.Generator().manual_seed(seed))


def padded(utterances: list[Tensor], padding: str, extra: int = 0) -> tuple[Tensor, Tensor]:
    lengths = torch.tensor([len(u) for u in utterances])
    batch = torch.full((len(utterances), int(lengths.max()) + extra, BINS), PADDINGS[padding])
    for place, frames in zip(batch, utterances, strict=True):
        place[: len(frames)] = frames
    return batch, lengths


def assert_invariant(model: Model, lengths: list[int], padding: str, extra: int) -> None:
    utterances = [utterance(frames, seed) for seed, frames in enumerate(lengths)]
    with torch.no_grad():
        together, together_lengths = model(*padded(utterances, padding, extra))
        for index, frames in enumerate(utterances):
            alone, alone_length = model(frames[None], torch.tensor([len(frames)]))
            assert alone.shape[1] == alone_length == together_lengths[index]
            torch.testing.assert_close(
                together[index, : alone.shape[1]], alone[0], atol=2e-5, rtol=1e-4
            )


@of_models
@settings(max_examples=40)
@given(lengths=batches, padding=paddings, extra=st.integers(0, 7))
def test_output_depends_on_neither_neighbours_nor_padding(
    name: str, lengths: list[int], padding: str, extra: int
) -> None:
    assert_invariant(MODELS[name], lengths, padding, extra)


@pytest.mark.parametrize("preset", [Reference, Crnn, Streaming])
def test_output_at_full_size(preset: type[AcousticModel]) -> None:
    model = shaken(preset(BINS, SYMBOLS))
    assert_invariant(model, [7, 24, 13], "loud", extra=3)


def gradients(model: AcousticModel, batch: Tensor, lengths: Tensor) -> dict[str, Tensor]:
    """Return the gradients of the CTC loss of every head for the first utterance of a batch."""
    targets, target_lengths = torch.tensor([[0, 1, 2]]), torch.tensor([3])
    output_length = model.output_lengths(lengths[:1])
    heads = model.heads(batch, lengths)
    loss = sum(
        ctc_loss(h[:1], output_length, targets, target_lengths)
        for h in (*heads.inner, heads.output)
    )
    assert isinstance(loss, Tensor)
    named = dict(model.named_parameters())
    return dict(zip(named, torch.autograd.grad(loss.sum(), list(named.values())), strict=True))


@of_models
@settings(max_examples=15)
@given(frames=st.integers(10, LONGEST), others=batches, padding=paddings)
def test_gradient_depends_on_neither_neighbours_nor_padding(
    name: str, frames: int, others: list[int], padding: str
) -> None:
    utterances = [utterance(n, seed) for seed, n in enumerate([frames, *others])]
    together = gradients(MODELS[name], *padded(utterances, padding))
    alone = gradients(MODELS[name], utterances[0][None], torch.tensor([frames]))
    for weight, gradient in alone.items():
        scale = float(gradient.abs().max()) + 1.0
        torch.testing.assert_close(
            together[weight] / scale, gradient / scale, atol=2e-5, rtol=1e-3, msg=weight
        )


class Published(nn.Module):
    """The fault: a GRU that takes ``(frames, batch, channels)``, fed ``(batch, frames, ...)``."""

    def __init__(self, batch_first: bool) -> None:
        super().__init__()
        self.gru = nn.GRU(BINS, 4, batch_first=batch_first)

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        return self.gru(features)[0], lengths


def test_recurrence_over_the_batch_is_caught() -> None:
    assert_invariant(Published(batch_first=True), [9, 9], "zeros", extra=0)
    with pytest.raises(AssertionError, match="not close"):
        assert_invariant(Published(batch_first=False), [9, 9], "zeros", extra=0)


def test_a_direction_that_starts_in_the_padding_is_caught() -> None:
    gru = nn.GRU(BINS, 4, batch_first=True, bidirectional=True)
    with pytest.raises(AssertionError, match="not close"):
        assert_invariant(lambda x, lengths: (gru(x)[0], lengths), [9, 4], "zeros", extra=0)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
@given(lengths=st.lists(st.integers(1, 12), min_size=1, max_size=5), extra=st.integers(0, 3))
@settings(max_examples=25)
def test_packed_sequences_give_the_same_function_and_gradient(
    kind: type[nn.LSTM] | type[nn.GRU], lengths: list[int], extra: int
) -> None:
    """What a GPU computes, computed here."""
    torch.manual_seed(1)
    layer = Bidirectional(kind, 6, 4)
    x = torch.randn(len(lengths), max(lengths) + extra, 6)
    found, gradients = [], []
    for function in (layer.forward, layer.packed):
        own = x.clone().requires_grad_()
        out = function(own, torch.tensor(lengths))
        torch.autograd.backward(out.square().sum())
        assert own.grad is not None
        found.append(out)
        gradients.append([own.grad, *(weight.grad for weight in layer.parameters())])
        layer.zero_grad()
    torch.testing.assert_close(*found)
    torch.testing.assert_close(*gradients)
