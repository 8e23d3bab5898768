from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from plainspeech.model.windows import WindowedBidirectional, Windows

cuts = st.builds(Windows, st.integers(1, 5), st.integers(1, 4))


@given(cuts, st.lists(st.integers(0, 23), min_size=1, max_size=4))
def test_every_frame_is_owned_once(windows: Windows, lengths: list[int]) -> None:
    count = windows.count(max(lengths))
    inside = windows.lengths(torch.tensor(lengths), count)
    assert inside.clamp(max=windows.chunk).sum(1).tolist() == lengths
    assert all(0 <= frames <= windows.size for frames in inside.flatten().tolist())


@given(cuts, st.integers(1, 20), st.integers(1, 3), st.integers(0, 4))
@settings(max_examples=60)
def test_windows_are_slices(windows: Windows, frames: int, rate: int, context: int) -> None:
    x = 1.0 + torch.arange(rate * frames)[None, :, None]
    before = -1.0 - torch.arange(context)[None, :, None]
    count = windows.count(frames)
    cut = windows.cut(x, before, rate, count)[0, :, :, 0].tolist()
    padded = [*before[0, :, 0].tolist(), *x[0, :, 0].tolist(), *[0.0] * 100]
    for index in range(count):
        start = index * windows.chunk * rate
        assert cut[index] == padded[start : start + context + windows.size * rate]


@given(cuts, st.integers(1, 4), st.data())
def test_what_comes_before_a_window_is_the_end_of_the_chunk_before(
    windows: Windows, count: int, data: st.DataObject
) -> None:
    context = data.draw(st.integers(1, windows.chunk))
    x = torch.randn(2, count, windows.size, 3)
    before = torch.randn(2, context, 3)
    extended, after = windows.with_context(x, before)
    chunks = torch.cat([before, x[:, :, : windows.chunk].flatten(1, 2)], 1)
    for index in range(count):
        start = index * windows.chunk
        assert torch.equal(extended[:, index, :context], chunks[:, start : start + context])
    assert torch.equal(extended[:, :, context:], x)
    assert torch.equal(after, chunks[:, -context:])


def test_forwards_it_is_one_recurrence_and_backwards_one_a_window() -> None:
    torch.manual_seed(0)
    windows, layer = Windows(4, 2), WindowedBidirectional(3, 5)
    x = torch.randn(2, 13, 3)
    lengths, count = torch.tensor([13, 6]), windows.count(13)
    inside = windows.lengths(lengths, count)
    cut = windows.cut(x, x[:, :0], 1, count)
    with torch.no_grad():
        found, _ = layer(cut, inside, windows.chunk, torch.zeros(2, 2, 5))
        ahead = layer.forwards(x)[0]
        for row, length in enumerate(lengths.tolist()):
            for index in range(count):
                start, there = index * windows.chunk, int(inside[row, index])
                wanted = ahead[row, start : start + there]
                torch.testing.assert_close(found[row, index, :there, :5], wanted)
                if there:
                    window = x[row : row + 1, start : min(start + windows.size, length)]
                    back = layer.backwards(window.flip(1))[0].flip(1)[0]
                    torch.testing.assert_close(found[row, index, :there, 5:], back)


def test_the_state_is_that_after_the_last_chunk() -> None:
    torch.manual_seed(0)
    layer, state = WindowedBidirectional(3, 5), torch.randn(1, 2, 5)
    x = torch.randn(1, 3, 6, 3)
    inside = torch.tensor([[6, 6, 6]])
    with torch.no_grad():
        whole, after = layer(x, inside, 4, state)
        first, between = layer(x[:, :1], inside[:, :1], 4, state)
        rest, last = layer(x[:, 1:], inside[:, 1:], 4, between)
    torch.testing.assert_close(torch.cat([first, rest], 1), whole)
    torch.testing.assert_close(last, after)
