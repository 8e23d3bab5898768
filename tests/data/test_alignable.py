"""The check before training and training itself agree on what CTC can align."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from plainspeech.features import output_frames
from plainspeech.model.presets import PRESETS


@given(st.sampled_from(sorted(PRESETS)), st.integers(160, 400_000))
def test_output_frames_are_those_that_the_model_gives(name: str, samples: int) -> None:
    preset = PRESETS[name]
    frames = preset.features.frames(samples)
    model = preset.model
    given = model.output_lengths(model.__new__(model), torch.tensor(frames))
    assert output_frames(samples, preset.features, model.subsampling) == int(given)
