from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plainspeech.arrays import Array
from plainspeech.data.augment import Augmentation, perturb_speed, spec_augment, warp_frequency

HOP = 0.01
NONE = Augmentation(frequency_masks=0, time_masks_per_second=0)


def ones(frames: int, bins: int = 80) -> Array:
    return np.ones((frames, bins), np.float32)


def augmented(features: Array, settings: Augmentation, seed: int) -> Array:
    return spec_augment(features, settings, HOP, np.random.default_rng(seed))


def runs(blank: npt.NDArray[np.bool_]) -> list[int]:
    """Return the lengths of the runs of true."""
    edges = np.flatnonzero(np.diff(blank.astype(int), prepend=0, append=0))
    return [int(n) for n in edges[1::2] - edges[::2]]


@given(st.integers(1_000, 40_000), st.sampled_from([0.8, 0.9, 1.0, 1.1, 1.25]))
def test_speed_divides_the_duration(samples: int, speed: float) -> None:
    played = perturb_speed(np.zeros(samples, np.float32), speed)
    assert len(played) == pytest.approx(samples / speed, abs=2)
    assert played.dtype == np.float32


@pytest.mark.parametrize("speed", [0.9, 1.0, 1.1])
@pytest.mark.parametrize("hz", [300.0, 1_000.0, 5_000.0])
def test_speed_multiplies_the_pitch(speed: float, hz: float) -> None:
    tone = np.sin(2 * np.pi * hz * np.arange(32_000) / 16_000).astype(np.float32)
    played = perturb_speed(tone, speed)
    spectrum = np.abs(np.fft.rfft(played * np.hanning(len(played))))
    assert spectrum.argmax() * 16_000 / len(played) == pytest.approx(hz * speed, abs=1)
    middle = played[2_000:-2_000]
    assert np.abs(middle).max() == pytest.approx(1, abs=0.02)


def test_speed_leaves_the_waveform_as_it_was() -> None:
    waveform = np.random.default_rng(1).standard_normal(4_000).astype(np.float32)
    before = waveform.copy()
    perturb_speed(waveform, 1.1)
    np.testing.assert_array_equal(waveform, before)


@given(st.integers(2, 80), st.floats(0.8, 1.25))
def test_warping_moves_a_slope_along_the_bins(bins: int, factor: float) -> None:
    slope = np.stack([np.arange(bins, dtype=np.float32), np.ones(bins, np.float32)])
    found = warp_frequency(slope, factor)
    # What lies at bin b * factor comes to bin b; the last bin is repeated.
    expected = np.minimum(np.arange(bins) * factor, bins - 1)
    np.testing.assert_allclose(found[0], expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found[1], 1, rtol=1e-6)
    assert found.dtype == np.float32


@given(st.integers(1, 50), st.integers(0, 999))
def test_warping_by_one_changes_no_bit_and_by_another_not_what_went_in(
    frames: int, seed: int
) -> None:
    features = np.random.default_rng(seed).standard_normal((frames, 20)).astype(np.float32)
    before = features.copy()
    np.testing.assert_array_equal(warp_frequency(features, 1.0), features)
    warp_frequency(features, 1.07)
    np.testing.assert_array_equal(features, before)


@given(st.integers(1, 500), st.integers(0, 999))
def test_bands_of_bins_are_blanked_no_wider_than_asked_for(frames: int, seed: int) -> None:
    settings = replace(NONE, frequency_masks=1, frequency_mask_bins=10)
    blank = augmented(ones(frames), settings, seed) == 0
    assert (blank == blank[0]).all()  # at all times alike
    widths = runs(blank[0])
    assert len(widths) <= 1
    assert sum(widths) <= 10


@given(st.integers(1, 40), st.integers(0, 999))
def test_spans_of_time_are_blanked_no_longer_than_asked_for(seconds: int, seed: int) -> None:
    settings = replace(NONE, time_masks_per_second=0.05, time_mask_seconds=0.2)
    blank = augmented(ones(100 * seconds), settings, seed) == 0
    assert (blank == blank[:, :1]).all()  # in all bins alike
    # Masks may touch; drawn alone, none is longer than 20 frames.
    draws = np.random.default_rng(seed).poisson(seconds * 0.05)
    assert len(runs(blank[:, 0])) <= draws
    assert blank[:, 0].sum() <= 20 * draws


def test_every_width_and_place_is_drawn() -> None:
    settings = replace(NONE, frequency_masks=1, frequency_mask_bins=3)
    blanks = [(augmented(ones(1, 5), settings, seed) == 0)[0] for seed in range(400)]
    assert {int(blank.sum()) for blank in blanks} == {0, 1, 2, 3}
    assert np.any(blanks, axis=0).all()


def test_spans_of_time_grow_with_the_duration() -> None:
    settings = replace(NONE, time_masks_per_second=0.4, time_mask_seconds=0.1)
    for seconds in (5, 50):
        counts = [
            len(runs((augmented(ones(100 * seconds, 1), settings, seed) == 0)[:, 0]))
            for seed in range(100)
        ]
        # One width of eleven is zero, and some spans run into one another.
        assert np.mean(counts) == pytest.approx(0.4 * seconds * 10 / 11, rel=0.15)


@given(st.integers(1, 300), st.integers(0, 999))
def test_what_is_not_blanked_and_what_went_in_are_unchanged(frames: int, seed: int) -> None:
    features = np.random.default_rng(seed).standard_normal((frames, 20)).astype(np.float32)
    before = features.copy()
    found = augmented(features, Augmentation(time_masks_per_second=2), seed)
    np.testing.assert_array_equal(features, before)
    assert found.shape == features.shape
    np.testing.assert_array_equal(found[found != 0], features[found != 0])


def test_the_draws_are_settled_by_their_source() -> None:
    features, settings = ones(300), Augmentation()
    np.testing.assert_array_equal(
        augmented(features, settings, 1), augmented(features, settings, 1)
    )
    assert (augmented(features, settings, 1) != augmented(features, settings, 2)).any()
