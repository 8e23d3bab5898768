from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from plainspeech.alphabet import ctc_frames_needed
from plainspeech.data.loading import Batch
from plainspeech.data.manifest import Utterance
from plainspeech.errors import PlainspeechError
from plainspeech.features import FeatureSettings
from plainspeech.model.base import AcousticModel, Heads
from plainspeech.training.augmentation import Augmentation
from plainspeech.training.crf import Competition, estimate_symbol_model, log_partition
from plainspeech.training.device import FeatureExtractor
from plainspeech.training.recipe import Optimisation
from plainspeech.training.state import make_optimiser
from plainspeech.training.step import (
    TensorBatch,
    batch_loss,
    consistency,
    distillation,
    refuse_infinite_gradient,
    refuse_infinite_loss,
)

SYMBOLS, BLANK = 3, 2


class Given(AcousticModel):
    """Gives the log-probabilities it was given, whatever it hears."""

    subsampling = 1

    def __init__(self, *heads: Tensor, phones: Tensor | None = None) -> None:
        super().__init__()
        self._heads = Heads(heads[-1], heads[:-1], phones)

    def heads(self, features: Tensor, lengths: Tensor) -> Heads:
        return self._heads

    def classifiers(self) -> list[nn.Linear]:
        return []

    def stages(self) -> list[tuple[str, nn.Module]]:
        return []


def enumerated(log_probabilities: Tensor, target: Sequence[int]) -> float:
    """Return the CTC loss by adding up every path that writes ``target``."""
    total = 0.0
    for path in itertools.product(range(SYMBOLS), repeat=len(log_probabilities)):
        written = [symbol for symbol, _ in itertools.groupby(path) if symbol != BLANK]
        if written == list(target):
            total += math.exp(sum(float(log_probabilities[t, s]) for t, s in enumerate(path)))
    return -math.log(total)


def batch_of(frames: Sequence[int], targets: Sequence[Sequence[int]]) -> TensorBatch:
    padded = [[*target, *[0] * (9 - len(target))] for target in targets]
    return TensorBatch(
        torch.zeros(len(frames), max(frames), 1),
        torch.tensor(frames),
        torch.tensor(padded),
        torch.tensor([len(target) for target in targets]),
        torch.zeros(len(targets), 0, dtype=torch.int64),
        torch.zeros(len(targets), dtype=torch.int64),
    )


def random_head(size: int, frames: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(size, frames, SYMBOLS, generator=generator).mul(2).log_softmax(-1)


utterances = st.tuples(st.integers(1, 5), st.lists(st.integers(0, 1), min_size=1, max_size=3))
alignable = utterances.filter(lambda pair: ctc_frames_needed(pair[1]) <= pair[0])


@settings(max_examples=60)
@given(st.lists(alignable, min_size=1, max_size=3), st.integers(0, 1000), st.floats(0, 1))
def test_the_loss_is_every_path_added_up(
    pairs: list[tuple[int, list[int]]], seed: int, weight: float
) -> None:
    frames, targets = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    inner, output = (random_head(len(pairs), max(frames), seed + head) for head in (0, 1))
    batch = batch_of(frames, targets)
    loss, losses = batch_loss(Given(inner, output), batch, weight)
    expected = {
        name: [enumerated(h[i, :n], t) for i, (n, t) in enumerate(pairs)]
        for name, h in (("inner", inner), ("output", output))
    }
    assert losses.tolist() == pytest.approx(expected["output"], rel=1e-4)
    symbols = sum(map(len, targets))
    both = weight * sum(expected["inner"]) + (1 - weight) * sum(expected["output"])
    assert float(loss) == pytest.approx(both / symbols, rel=1e-4)


def test_without_an_inner_head_the_weight_has_no_part() -> None:
    output = random_head(2, 4, seed=0)
    batch = batch_of([4, 3], [[0, 1], [1]])
    loss, losses = batch_loss(Given(output), batch, 0.9)
    assert float(loss) == pytest.approx(float(losses.sum()) / 3)


def test_several_inner_heads_count_as_their_mean() -> None:
    heads = [random_head(1, 4, seed) for seed in range(3)]
    batch = batch_of([4], [[0, 1]])
    first, second, output = (enumerated(head[0], [0, 1]) for head in heads)
    loss, _ = batch_loss(Given(*heads), batch, 0.5)
    assert float(loss) == pytest.approx((0.5 * output + 0.25 * (first + second)) / 2, rel=1e-4)


def test_the_losses_to_report_hold_no_graph() -> None:
    output = random_head(1, 3, seed=0).requires_grad_()
    loss, losses = batch_loss(Given(output), batch_of([3], [[0]]), 0.3)
    assert loss.requires_grad
    assert not losses.requires_grad


def test_views_that_agree_cost_nothing_and_others_their_divergence() -> None:
    first, second = random_head(1, 4, seed=0), random_head(1, 4, seed=1)
    lengths = torch.tensor([3, 3])
    assert float(consistency(torch.cat([first, first]), lengths)) == 0
    p, q = first[0, :3], second[0, :3]  # the fourth frame is padding
    expected = 0.5 * ((p.exp() * (p - q)).sum() + (q.exp() * (q - p)).sum())
    found = consistency(torch.cat([first, second]), lengths)
    assert float(found) == pytest.approx(float(expected), rel=1e-5)


def test_each_view_learns_from_the_other_as_it_is() -> None:
    logits = torch.randn(2, 1, SYMBOLS).requires_grad_()
    torch.autograd.backward(consistency(logits.log_softmax(-1), torch.tensor([1, 1])))
    p = logits.detach().softmax(-1)
    # The gradient of cross entropy with a fixed target, half of it for each direction.
    torch.testing.assert_close(logits.grad, 0.5 * (p - p.flip(0)))


def test_consistency_is_added_for_each_symbol() -> None:
    views = torch.cat([random_head(1, 4, seed=0), random_head(1, 4, seed=1)])
    batch = replace(batch_of([4, 4], [[0, 1], [0, 1]]), views=2)
    without, _ = batch_loss(Given(views), batch, 0.0)
    loss, _ = batch_loss(Given(views), batch, 0.0, consistency_weight=0.2)
    expected = 0.2 * float(consistency(views, torch.tensor([4, 4]))) / 2
    assert float(loss - without) == pytest.approx(expected, rel=1e-4)


def test_a_teacher_is_learnt_from_in_every_view() -> None:
    first, second, taught = (random_head(1, 4, seed) for seed in range(3))
    lengths = torch.tensor([3, 3])  # the fourth frame is padding
    t = taught[0, :3]
    expected = sum(float((t.exp() * (t - view[0, :3])).sum()) for view in (first, second))
    found = distillation(torch.cat([first, second]), taught, lengths)
    assert float(found) == pytest.approx(expected, rel=1e-5)
    assert float(distillation(torch.cat([taught, taught]), taught, lengths)) == 0


def test_distillation_is_added_for_each_symbol() -> None:
    output, taught = random_head(1, 4, seed=0), random_head(1, 4, seed=1)
    batch = batch_of([4], [[0, 1]])
    without, _ = batch_loss(Given(output), batch, 0.0)
    loss, _ = batch_loss(
        Given(output), replace(batch, taught=(taught,)), 0.0, distillation_weight=0.5
    )
    expected = 0.5 * float(distillation(output, taught, torch.tensor([4]))) / 2
    assert float(loss - without) == pytest.approx(expected, rel=1e-4)


def test_a_teacher_of_phones_teaches_them_with_their_share() -> None:
    output, phones, *taught = (random_head(1, 4, seed) for seed in range(4))
    batch = with_phones(batch_of([4], [[0, 1]]), [1])

    def loss(taught: tuple[Tensor, ...], weight: float) -> float:
        found, _ = batch_loss(
            Given(output, phones=phones),
            replace(batch, taught=taught),
            0.0,
            distillation_weight=weight,
            pronunciation_weight=0.25,
        )
        return float(found)

    lengths = torch.tensor([4])
    letters = float(distillation(output, taught[0], lengths)) / 2
    sounds = float(distillation(phones, taught[1], lengths)) / 2
    without = loss((), 0.5)
    both = loss((taught[0], taught[1]), 0.5) - without
    assert both == pytest.approx(0.5 * (0.75 * letters + 0.25 * sounds), rel=1e-4)
    assert loss((taught[0],), 0.5) - without == pytest.approx(0.5 * letters, rel=1e-4)


def numpy_batch(ids: Sequence[str]) -> Batch:
    utterances = tuple(Utterance(name, Path(name), "a", 1.0) for name in ids)
    ones = np.ones(len(ids), np.int64)
    return Batch(
        utterances,
        np.ones((len(ids), 400), np.int16),
        400 * ones,
        ones[:, None],
        ones,
        np.zeros((len(ids), 0), np.int64),
        0 * ones,
    )


def test_a_batch_becomes_tensors_of_the_types_that_ctc_wants() -> None:
    augmented = FeatureExtractor(FeatureSettings(), torch.device("cpu"), Augmentation(), views=2)
    batch = augmented(numpy_batch(["a", "b"]))
    assert batch.features.shape[0] == len(batch.lengths) == len(batch.targets) == 4
    assert batch.features.dtype is torch.float32
    for tensor in (batch.lengths, batch.targets, batch.target_lengths):
        assert tensor.dtype is torch.int64


def test_what_is_not_finite_is_named() -> None:
    batch = numpy_batch(["one", "two", "three"]).utterances
    refuse_infinite_loss(torch.tensor([1.0, 2.0, 3e30]), batch)
    says = r"^the loss is not finite for one \(nan\), three \(inf\); the batch was one, two, three;"
    with pytest.raises(PlainspeechError, match=says):
        refuse_infinite_loss(torch.tensor([math.nan, 2.0, math.inf]), batch)
    in_two_views = torch.tensor([math.nan, 2.0, 1.0, 1.0, 2.0, math.inf])
    with pytest.raises(PlainspeechError, match=says):
        refuse_infinite_loss(in_two_views, batch)
    refuse_infinite_gradient(torch.tensor(1e30), batch)
    with pytest.raises(
        PlainspeechError, match=r"^the gradient is not finite; the batch was one, two"
    ):
        refuse_infinite_gradient(torch.tensor(math.nan), batch)


def test_matrices_and_kernels_alone_decay() -> None:
    model = nn.Sequential(nn.Conv1d(2, 3, 5), nn.LayerNorm(4), nn.GRU(4, 4), nn.Linear(4, 4))
    optimiser = make_optimiser(model, Optimisation(epochs=1, weight_decay=0.25))
    decay = {id(w): g["weight_decay"] for g in optimiser.param_groups for w in g["params"]}
    assert len(decay) == sum(len(g["params"]) for g in optimiser.param_groups)
    expected = {id(w): 0.25 if w.ndim > 1 else 0.0 for w in model.parameters()}
    assert decay == expected
    assert set(decay.values()) == {0.25, 0.0}


def test_the_competition_of_all_texts_is_added_for_each_symbol() -> None:
    model = estimate_symbol_model([[0, 1], [1]], BLANK)
    output, batch = random_head(2, 5, seed=0), batch_of([5, 4], [[0, 1], [1]])
    without, alone = batch_loss(Given(output), batch, 0.0)
    loss, losses = batch_loss(Given(output), batch, 0.0, competition=Competition(0.9, model))
    every = log_partition(output, torch.tensor([5, 4]), model)
    assert float(loss - without) == pytest.approx(0.9 * float(every.sum()) / 3, rel=1e-4)
    torch.testing.assert_close(losses, alone)  # what is shown stays CTC


def with_phones(batch: TensorBatch, *phones: list[int]) -> TensorBatch:
    longest = max(map(len, phones))
    rows = [[*row, *[0] * (longest - len(row))] for row in phones]
    return replace(
        batch,
        phones=torch.tensor(rows).reshape(len(phones), longest),
        phone_lengths=torch.tensor([len(row) for row in phones]),
    )


def test_phones_have_their_share_of_the_loss() -> None:
    output, phones = random_head(1, 4, seed=0), random_head(1, 4, seed=1)
    batch = with_phones(batch_of([4], [[0, 1]]), [1])
    loss, losses = batch_loss(Given(output, phones=phones), batch, 0.0, pronunciation_weight=0.25)
    letters, sounds = enumerated(output[0], [0, 1]), enumerated(phones[0], [1])
    assert float(loss) == pytest.approx((0.75 * letters + 0.25 * sounds) / 2, rel=1e-4)
    assert float(losses) == pytest.approx(letters, rel=1e-4)


def test_where_phones_are_learnt_it_is_they_that_compete() -> None:
    sounds = estimate_symbol_model([[1], [1, 0]], BLANK)
    output, phones = random_head(1, 4, seed=0), random_head(1, 4, seed=1)
    batch, given = with_phones(batch_of([4], [[0, 1]]), [1]), Given(output, phones=phones)
    without, _ = batch_loss(given, batch, 0.0, pronunciation_weight=0.4)
    competition = Competition(0.5, sounds)
    loss, _ = batch_loss(given, batch, 0.0, competition=competition, pronunciation_weight=0.4)
    every = log_partition(phones, torch.tensor([4]), sounds)
    assert float(loss - without) == pytest.approx(0.4 * 0.5 * float(every) / 2, rel=1e-4)


@pytest.mark.parametrize("unusable", [[], [1, 1, 1]])
def test_phones_that_are_unknown_or_too_many_teach_nothing(unusable: list[int]) -> None:
    sounds = estimate_symbol_model([[1], [1, 0]], BLANK)
    logits = torch.randn(2, 4, SYMBOLS, generator=torch.Generator().manual_seed(3)).requires_grad_()
    output, phones = random_head(2, 4, seed=0), logits.log_softmax(-1)
    batch = with_phones(batch_of([4, 4], [[0], [0]]), [1], unusable)
    competition = Competition(0.5, sounds)
    loss, _ = batch_loss(
        Given(output, phones=phones), batch, 0.0, competition=competition, pronunciation_weight=1.0
    )
    torch.autograd.backward(loss)
    assert torch.isfinite(loss)
    assert logits.grad is not None
    assert logits.grad[0].any()
    assert not logits.grad[1].any()
