from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from plainspeech.training.augmentation import (
    Augmentation,
    Augmenter,
    band_limited,
    covered,
    delay,
    fast_size,
    mu_law,
    perturb_speed,
    warp_frequency,
)

RATE, HOP = 16_000, 0.01
CPU = torch.device("cpu")
NONE = Augmentation((1.0,), frequency_warp=0, frequency_masks=0, time_masks_per_second=0)
ALL = Augmentation(
    silence_share=0.5,
    room_share=0.5,
    noise_share=0.5,
    babble_share=0.5,
    telephone_share=0.5,
    band_share=0.5,
)


def tone(hz: float, samples: int = 32_000) -> Tensor:
    return torch.sin(2 * torch.pi * hz * torch.arange(samples) / RATE)


def padded(lengths: Sequence[int], seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return noise of these lengths, zero in the padding."""
    waveforms = torch.zeros(len(lengths), max(lengths))
    generator = torch.Generator().manual_seed(seed)
    for row, length in zip(waveforms, lengths, strict=True):
        row[:length] = 0.1 * torch.randn(length, generator=generator)
    return waveforms, torch.tensor(lengths)


def augmenter(augmentation: Augmentation, seed: int = 0, strength: float = 1.0) -> Augmenter:
    return Augmenter(augmentation, RATE, seed, CPU, strength)


def masked(frames: Sequence[int], augmentation: Augmentation, seed: int, bins: int = 80) -> Tensor:
    """Return which features are blanked, ``(batch, frames, bins)``."""
    ones = torch.ones(len(frames), max(frames), bins)
    return augmenter(augmentation, seed).mask(ones, torch.tensor(frames), HOP) == 0


def runs(blank: Tensor) -> list[int]:
    """Return the lengths of the runs of true."""
    edges = np.flatnonzero(np.diff(blank.numpy().astype(int), prepend=0, append=0))
    return [int(n) for n in edges[1::2] - edges[::2]]


@given(
    lengths=st.lists(st.integers(400, 9_000), min_size=1, max_size=5),
    speeds=st.lists(st.sampled_from([0.8, 0.9, 1.0, 1.1, 1.25]), min_size=5, max_size=5),
)
@settings(max_examples=30)
def test_speed_divides_the_duration(lengths: list[int], speeds: list[float]) -> None:
    waveforms, before = padded(lengths)
    played, after = perturb_speed(waveforms, before, speeds[: len(lengths)])
    for length, speed, row, count in zip(lengths, speeds, played, after.tolist(), strict=False):
        assert count == pytest.approx(length / speed, abs=1.001)
        assert not row[count:].any()


def test_rows_of_a_batch_do_not_meet() -> None:
    waveforms, lengths = padded([5_000, 3_000, 4_000])
    speeds = [0.9, 1.1, 0.9]
    together, after = perturb_speed(waveforms, lengths, speeds)
    for row in range(3):
        alone, count = perturb_speed(
            waveforms[row : row + 1, : lengths[row]], lengths[row : row + 1], speeds[row : row + 1]
        )
        assert int(count) == int(after[row])
        torch.testing.assert_close(together[row, : int(count)], alone[0])


@pytest.mark.parametrize("speed", [0.8, 0.9, 1.0, 1.1, 1.22])
@pytest.mark.parametrize("hz", [300.0, 1_000.0, 5_000.0])
def test_speed_multiplies_the_pitch(speed: float, hz: float) -> None:
    played, _ = perturb_speed(tone(hz)[None], torch.tensor([32_000]), [speed])
    spectrum = torch.fft.rfft(played[0] * torch.hann_window(played.shape[1])).abs()
    found = int(spectrum.argmax()) * RATE / played.shape[1]
    if hz * speed < 0.47 * RATE:  # beyond, it is filtered out
        assert found == pytest.approx(hz * speed, rel=0.004, abs=1)
        assert float(played[0, 2_000:-2_000].abs().max()) == pytest.approx(1, abs=0.03)


def test_what_would_alias_is_filtered_out() -> None:
    played, _ = perturb_speed(tone(7_500.0)[None], torch.tensor([32_000]), [1.22])
    assert float(played[0, 2_000:-2_000].abs().max()) < 0.05


def test_speed_one_changes_no_bit() -> None:
    waveforms, lengths = padded([800, 1_000])
    assert torch.equal(perturb_speed(waveforms, lengths, [1.0, 1.0])[0], waveforms)


def test_silence_comes_before_and_after_and_nothing_is_lost() -> None:
    waveforms, lengths = padded([3_000, 2_000, 1_000])
    settings = replace(NONE, silence_share=1.0, silence_seconds=0.1)
    moved, after = augmenter(settings).shape(waveforms, lengths)
    assert (after - lengths).max() > 0
    for row, before, length, count in zip(
        moved, waveforms, lengths.tolist(), after.tolist(), strict=True
    ):
        start = int(row.ne(0).nonzero()[0, 0])
        torch.testing.assert_close(row[start : start + length], before[:length])
        assert not row[start + length :].any()
        assert start <= 1_600
        assert count - length - start <= 1_600


@given(st.integers(0, 50))
@settings(max_examples=20)
def test_delay_moves_each_row_by_its_own(seed: int) -> None:
    waveforms, _ = padded([50, 50], seed)
    before = torch.tensor([seed, 3])
    moved = delay(waveforms, before, 120)
    for row, count, own in zip(moved, before.tolist(), waveforms, strict=True):
        assert torch.equal(row[count : count + 50], own)
        assert int(row.ne(0).sum()) == int(own.ne(0).sum())


LOUD = replace(NONE, snr_db=(10.0, 10.0))


@pytest.mark.parametrize("settings", [replace(LOUD, noise_share=1), replace(LOUD, babble_share=1)])
def test_noise_has_the_ratio_that_was_asked_for(settings: Augmentation) -> None:
    waveforms, lengths = padded([16_000] * 6)
    noise = augmenter(settings).corrupt(waveforms, lengths) - waveforms
    ratios = 10 * torch.log10(waveforms.square().mean(1) / noise.square().mean(1))
    torch.testing.assert_close(ratios, torch.full((6,), 10.0), atol=0.1, rtol=0)


def test_a_room_lengthens_a_click_and_keeps_its_place() -> None:
    waveforms = torch.zeros(8, 8_000)
    waveforms[:, 1_000] = 1.0
    heard = augmenter(replace(NONE, room_share=1.0)).corrupt(waveforms, torch.tensor([8_000] * 8))
    assert not heard[:, :1_000].abs().gt(1e-5).any()
    torch.testing.assert_close(heard[:, 1_000], torch.ones(8), atol=1e-4, rtol=0)
    tails = heard[:, 1_001:].square().sum(1)
    assert (tails > 1e-3).all()
    assert (tails < 4.1).all()


def test_a_telephone_passes_its_band_alone() -> None:
    rows = torch.stack([tone(100.0), tone(1_000.0), tone(6_000.0)])
    settings = replace(NONE, telephone_share=1.0)
    heard = augmenter(settings).corrupt(rows, torch.tensor([32_000] * 3))
    power = heard[:, 2_000:-2_000].square().mean(1)
    assert float(power[1]) == pytest.approx(0.5, rel=0.05)
    assert float(power[0]) < 0.005
    assert float(power[2]) < 0.005


def test_mu_law_has_255_values_and_little_error() -> None:
    waveform = torch.linspace(-1, 1, 5_001)[None]
    coded = mu_law(waveform)
    assert len(set(coded[0].tolist())) <= 255
    assert float((coded - waveform).abs().max()) < 0.025


@given(st.integers(1, 500_000))
def test_fast_sizes_are_even_products_of_small_primes_not_far_above(samples: int) -> None:
    size = fast_size(samples)
    assert samples <= size <= 1.15 * samples + 2
    assert size % 2 == 0
    for prime in (2, 3, 5):
        while size % prime == 0:
            size //= prime
    assert size == 1


@given(st.integers(0, 20))
@settings(max_examples=10)
def test_padding_stays_silent_and_rows_draw_apart(seed: int) -> None:
    waveforms, lengths = padded([6_000, 4_000, 5_000, 3_000], seed)
    moved, after = augmenter(ALL, seed).shape(waveforms, lengths)
    heard = augmenter(ALL, seed).corrupt(moved, after)
    assert heard.shape == moved.shape
    assert torch.isfinite(heard).all()
    for row, count in zip(heard, after.tolist(), strict=True):
        assert not row[count:].any()


def test_strength_zero_corrupts_and_masks_nothing() -> None:
    waveforms, lengths = padded([6_000, 4_000])
    quiet = augmenter(ALL, strength=0.0)
    torch.testing.assert_close(quiet.corrupt(waveforms, lengths), waveforms)
    features = torch.randn(2, 30, 20)
    still = augmenter(replace(ALL, frequency_warp=0.0), strength=0.0)
    assert torch.equal(still.mask(features, torch.tensor([30, 20]), HOP), features)


def test_draws_are_settled_by_the_seed() -> None:
    waveforms, lengths = padded([6_000, 4_000, 5_000])

    def views(seed: int) -> list[Tensor]:
        source = augmenter(ALL, seed)
        moved, after = source.shape(waveforms, lengths)
        return [source.corrupt(moved, after), source.corrupt(moved, after)]

    first, again, other = views(1), views(1), views(2)
    assert all(map(torch.equal, first, again))
    assert first[0].shape != other[0].shape or not torch.equal(first[0], other[0])
    assert not torch.equal(*first)  # two views of one utterance differ


@given(st.integers(2, 80), st.floats(0.8, 1.25))
def test_warping_moves_a_slope_along_the_bins(bins: int, factor: float) -> None:
    slope = torch.stack([torch.arange(bins).float(), torch.ones(bins)])[None]
    found = warp_frequency(slope, torch.tensor([[factor]]))[0]
    # What lies at bin b * factor comes to bin b; the last bin is repeated.
    expected = (torch.arange(bins) * factor).clamp_max(bins - 1)
    torch.testing.assert_close(found[0], expected.float(), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found[1], torch.ones(bins))


def test_warping_by_one_changes_nothing() -> None:
    features = torch.randn(2, 30, 20)
    torch.testing.assert_close(warp_frequency(features, torch.ones(2, 1)), features)


@given(st.integers(1, 300), st.integers(0, 999))
@settings(max_examples=40)
def test_bands_of_bins_are_blanked_no_wider_than_asked_for(frames: int, seed: int) -> None:
    settings = replace(NONE, frequency_masks=1, frequency_mask_bins=10)
    blank = masked([frames], settings, seed)[0]
    assert (blank == blank[0]).all()  # at all times alike
    widths = runs(blank[0])
    assert len(widths) <= 1
    assert sum(widths) <= 10


@given(st.integers(1, 30), st.integers(0, 999))
@settings(max_examples=40)
def test_spans_of_time_are_blanked_no_longer_than_asked_for(seconds: int, seed: int) -> None:
    settings = replace(NONE, time_masks_per_second=1e-4, time_mask_seconds=0.2)
    many = replace(settings, time_masks_per_second=0.5)
    for augmentation in (settings, many):
        blank = masked([100 * seconds], augmentation, seed)[0]
        assert (blank == blank[:, :1]).all()  # in all bins alike
    spans = runs(masked([100 * seconds], settings, seed)[0, :, 0])
    assert all(width <= 20 for width in spans)


def test_every_width_and_place_is_drawn() -> None:
    settings = replace(NONE, frequency_masks=1, frequency_mask_bins=3)
    blanks = [masked([1], settings, seed, bins=5)[0, 0] for seed in range(400)]
    assert {int(blank.sum()) for blank in blanks} == {0, 1, 2, 3}
    assert torch.stack(blanks).any(0).all()


def test_spans_of_time_grow_with_the_duration() -> None:
    settings = replace(NONE, time_masks_per_second=0.4, time_mask_seconds=0.1)
    for seconds in (5, 50):
        blank = masked([100 * seconds] * 200, settings, seconds, bins=2)
        counts = [len(runs(row[:, 0])) for row in blank]
        # One width of eleven is zero, and some spans run into one another.
        assert np.mean(counts) == pytest.approx(0.4 * seconds * 10 / 11, rel=0.15)


def test_spans_lie_within_each_utterance() -> None:
    settings = replace(NONE, time_masks_per_second=40, time_mask_seconds=0.3)
    blank = masked([400, 60], settings, 1)
    assert blank[1, :60].any()
    assert not blank[1, 60:].any()


def test_what_is_not_blanked_is_unchanged() -> None:
    features = torch.randn(3, 200, 20)
    settings = replace(NONE, frequency_masks=2, time_masks_per_second=2)
    found = augmenter(settings).mask(features, torch.tensor([200, 150, 90]), HOP)
    assert torch.equal(found[found != 0], features[found != 0])
    assert (found == 0).any()


def test_spans_cover_what_lies_between_their_ends() -> None:
    starts, ends = torch.tensor([[1.0, 4.0], [0.0, 2.0]]), torch.tensor([[3.0, 5.0], [0.0, 2.0]])
    assert covered(starts, ends, 6).tolist() == [
        [False, True, True, False, True, False],
        [False] * 6,
    ]


def test_a_band_limit_keeps_what_is_below_it() -> None:
    rows = torch.stack([tone(1_000.0), tone(5_000.0)])
    edges = torch.tensor([[3_000.0], [3_000.0]])
    power = band_limited(rows, RATE, torch.zeros(2, 1), edges)[:, 1_000:-1_000].square().mean(1)
    assert float(power[0]) == pytest.approx(0.5, rel=0.02)
    assert float(power[1]) < 1e-3
