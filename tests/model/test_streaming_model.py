from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from plainspeech.model.crnn import Crnn, LockedDropout
from plainspeech.model.presets import PRESETS
from plainspeech.model.streaming import Streaming
from plainspeech.model.windows import Windows

BINS, SYMBOLS = 12, 5
SIZES: dict[str, Any] = {"channels": 2, "width": 8, "blocks": 3, "kernel": 7, "hidden": 6}
either = pytest.mark.parametrize("residual", [False, True])


def model_of(windows: Windows, residual: bool = False) -> Streaming:
    """Return a narrow model, as if trained: no bias at zero and no normalisation at one."""
    torch.manual_seed(3)
    model = Streaming(BINS, SYMBOLS, windows=windows, residual=residual, **SIZES).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.2 * torch.randn_like(weight))
    return model


def step_by_step(model: Streaming, features: Tensor, lengths: Tensor) -> list[Tensor]:
    """Return what `Streaming.step` gives for each utterance."""
    chunk, window = 3 * model.windows.chunk, 3 * model.windows.size
    padded = torch.nn.functional.pad(features, (0, 0, 0, window + chunk), value=torch.nan)
    state = model.start(len(features))
    parts: list[list[Tensor]] = [[] for _ in features]
    for start in range(0, features.shape[1], chunk):
        there = (lengths - start).clamp(0, window)
        outputs, owned, state = model.step(padded[:, start : start + window], there, state)
        for part, rows, count in zip(parts, outputs, owned.tolist(), strict=True):
            part.append(rows[:count])
    return [torch.cat(part) for part in parts]


@given(
    windows=st.builds(Windows, st.integers(3, 6), st.integers(1, 7)),
    lengths=st.lists(st.integers(1, 70), min_size=1, max_size=4),
)
@either
@settings(max_examples=40)
def test_windows_one_by_one_are_the_whole(
    windows: Windows, lengths: list[int], residual: bool
) -> None:
    model = model_of(windows, residual)
    features = torch.randn(len(lengths), max(lengths), BINS)
    with torch.no_grad():
        whole, output_lengths = model(features, torch.tensor(lengths))
        parts = step_by_step(model, features, torch.tensor(lengths))
    assert output_lengths.tolist() == [-(-length // 3) for length in lengths]
    assert whole.shape[1] == max(output_lengths)
    for found, wanted, length in zip(parts, whole, output_lengths.tolist(), strict=True):
        torch.testing.assert_close(found, wanted[:length], atol=1e-5, rtol=1e-4)


def test_a_chunk_depends_on_its_look_ahead_and_on_nothing_after_it() -> None:
    model, features = model_of(Windows(4, 3)), torch.randn(1, 60, BINS)
    lengths = torch.tensor([60])
    with torch.no_grad():
        before = model(features, lengths)[0][0]
        for changed, first_different in ((20, 0), (21, 4), (32, 4), (33, 8), (59, 16)):
            other = features.clone()
            other[0, changed] += 1.0
            different = (model(other, lengths)[0][0] - before).abs().amax(1) > 1e-6
            assert int(different.nonzero()[0]) // 4 * 4 == first_different


def test_what_was_heard_before_is_remembered() -> None:
    model, features = model_of(Windows(4, 3)), torch.randn(1, 90, BINS)
    louder = features.clone()
    louder[0, 0] += 3.0
    with torch.no_grad():
        last, other = (model(f, torch.tensor([90]))[0][0, -1] for f in (features, louder))
    assert not torch.equal(last, other)


@either
def test_its_weights_are_smalls(residual: bool) -> None:
    small = Crnn(BINS, SYMBOLS, residual=residual, **SIZES)
    streaming = model_of(Windows(4, 3), residual)
    streaming.load_state_dict(small.state_dict())
    small.load_state_dict(streaming.state_dict())


@either
def test_with_one_window_for_all_it_is_small_but_for_the_first_frames(residual: bool) -> None:
    # Before an utterance, small knows of nothing; here, there are features of zero.
    torch.manual_seed(3)
    small, windows = Crnn(BINS, SYMBOLS, residual=residual, **SIZES).eval(), Windows(40, 3)
    streaming = Streaming(BINS, SYMBOLS, windows=windows, residual=residual, **SIZES).eval()
    streaming.load_state_dict(small.state_dict())
    with torch.no_grad():
        for model in (small, streaming):
            model.get_submodule("frontend.first").get_parameter("bias").zero_()
    features, lengths = torch.randn(2, 100, BINS), torch.tensor([100, 61])
    with torch.no_grad():
        found, wanted = streaming(features, lengths)[0], small(features, lengths)[0]
    for row, length in ((0, 34), (1, 21)):
        torch.testing.assert_close(found[row, :length], wanted[row, :length])


def test_dropout_takes_a_channel_from_all_windows() -> None:
    x = LockedDropout(0.5)(torch.ones(2, 5, 7, 64))
    assert torch.equal(x, x[:, :1, :1].expand_as(x))
    assert 0 < int((x[:, 0, 0] == 0).sum()) < 128


def test_a_chunk_is_480_ms_and_a_window_840() -> None:
    preset = PRESETS["small-streaming"]
    model = preset.build(SYMBOLS)
    assert isinstance(model, Streaming)
    assert model.windows.chunk * preset.frame_seconds == pytest.approx(0.48)
    assert model.windows.size * preset.frame_seconds == pytest.approx(0.84)
    assert preset.features.normalise == "running"
