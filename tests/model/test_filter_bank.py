"""The batched filter bank against the one that transcription uses, which is Kaldi's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from plainspeech.arrays import Array
from plainspeech.features import FeatureSettings, LogMel
from plainspeech.model.filter_bank import FilterBank
from plainspeech.model.presets import PRESETS

SETTINGS = {
    **{name: preset.features for name, preset in PRESETS.items() if name in ("small", "reference")},
    "running": FeatureSettings(normalise="running"),
    "running-speech": FeatureSettings(normalise="running-speech"),
    "none": FeatureSettings(normalise="none"),
}


def speech_like(samples: int, seed: int) -> Array:
    """Return noise whose loudness and colour change, with a pause of zeros."""
    random = np.random.default_rng(seed)
    noise = random.standard_normal(samples)
    envelope = np.exp(3 * np.sin(np.arange(samples) / random.uniform(500, 3000)))
    waveform = np.convolve(noise * envelope, random.standard_normal(8), "same") * 1e-2
    waveform[samples // 3 : samples // 2] = 0
    return waveform.astype(np.float32)


@pytest.mark.parametrize("name", SETTINGS)
@given(
    lengths=st.lists(st.integers(4_000, 24_000), min_size=1, max_size=4),
    seed=st.integers(0, 99),
)
@settings(max_examples=15)
def test_it_gives_what_transcription_computes(name: str, lengths: list[int], seed: int) -> None:
    waveforms = [speech_like(length, seed + i) for i, length in enumerate(lengths)]
    padded = torch.full((len(lengths), max(lengths)), torch.nan)
    for row, waveform in zip(padded, waveforms, strict=True):
        row[: len(waveform)] = torch.from_numpy(waveform)
    features, frames = FilterBank(SETTINGS[name])(padded, torch.tensor(lengths))
    reference = LogMel(SETTINGS[name])
    for row, count, waveform in zip(features, frames.tolist(), waveforms, strict=True):
        expected = reference(waveform)
        assert count == len(expected)
        difference = np.abs(row[:count].numpy() - expected)
        assert difference.mean() < 1e-4
        # Where a pause of zeros leaves hardly any energy, its log magnifies float32's rounding.
        assert np.quantile(difference, 0.99) < 1e-3
        assert difference.max() < 0.1
        assert not row[count:].any()
