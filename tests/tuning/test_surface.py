"""The picture: there, of any trials, and of a surface that goes near them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from plainspeech.decoding.settings import BeamSettings
from plainspeech.errors import PlainspeechError
from plainspeech.tuning.optimisation import Trial
from plainspeech.tuning.surface import _smooth, draw_surface


def trials(count: int, penalty: float | None = None) -> list[Trial]:
    draw = np.random.default_rng(0)
    found = []
    for _ in range(count):
        alpha, beta = draw.uniform(0, 2), draw.uniform(-2, 4)
        chosen = draw.uniform(2, 30) if penalty is None else penalty
        settings = BeamSettings(alpha=alpha, beta=beta, unknown_word_penalty=chosen)
        found.append(Trial(settings, 0.3 + 0.1 * (alpha - 1) ** 2 + 0.01 * (beta - 1) ** 2, 1.0))
    return found


@pytest.mark.parametrize("count", [1, 2, 3, 60])
@pytest.mark.parametrize("penalty", [None, 0.0])
def test_there_is_a_picture_of_any_number_of_trials(
    tmp_path: Path, count: int, penalty: float | None
) -> None:
    found = trials(count, penalty)
    draw_surface(tmp_path / "s.png", found, found[0].settings, "title")
    picture = imread(tmp_path / "s.png")
    assert picture.shape[:2] == (810, 1080)
    colours = picture[..., :3].max(axis=-1) - picture[..., :3].min(axis=-1)
    assert ((colours > 0.2).mean() > 0.1) == (count >= 3)


def test_the_surface_is_near_the_values_and_linear_between() -> None:
    draw = np.random.default_rng(1)
    places = draw.uniform([0, -2, 2, 0], [2, 4, 30, 1], size=(60, 4))
    values = 40 + 5 * places[:, 0] - 2 * places[:, 1] + 0.1 * places[:, 2] + places[:, 3]
    wanted = np.array([[[1.0, 1.0, 20.0, 0.0]], [[0.5, 0.0, 10.0, 1.0]]])
    np.testing.assert_allclose(_smooth(places, values, wanted), [[45.0], [44.5]], atol=1e-6)
    bent = values + (places[:, 0] - 1) ** 2
    assert np.abs(_smooth(places, bent, places) - bent).max() < 0.2


def test_a_path_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PlainspeechError, match="cannot be written"):
        draw_surface(tmp_path / "file" / "s.png", trials(1), BeamSettings(), "title")
