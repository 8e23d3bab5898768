"""Frequency warps: the mean of what the network computes for vocal tracts of several lengths."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from plainspeech.errors import ConfigurationError
from plainspeech.runtime.bundle import Bundle
from plainspeech.runtime.frequency_warps import UNWARPED, FrequencyWarps
from plainspeech.runtime.network import open_network
from plainspeech.runtime.recognizer import load_model
from plainspeech.runtime.streaming_model import StreamingModel

Array = npt.NDArray[np.float32]
Plainspeech = Callable[..., tuple[int, str]]
WARPS = (0.9, 1.05)

factors = st.lists(st.floats(0.5, 2), min_size=1, max_size=8, unique=True).map(tuple)


def random_features(frames: int = 75, bins: int = 80) -> Array:
    return np.random.default_rng(0).standard_normal((frames, bins), np.float32)


@given(factors, st.integers(2, 80))
def test_features_are_warped_as_in_training(chosen: tuple[float, ...], bins: int) -> None:
    torch = pytest.importorskip("torch")
    from plainspeech.training.augmentation import warp_frequency

    features = random_features(3, bins)
    for factor, found in zip(chosen, FrequencyWarps(chosen).warped(features), strict=True):
        wanted = warp_frequency(
            torch.from_numpy(features[None]).double(), torch.tensor([[factor]], dtype=torch.float64)
        )
        np.testing.assert_allclose(found, wanted[0].numpy(), atol=1e-5)


def test_a_factor_of_one_takes_no_time() -> None:
    features = random_features()
    assert FrequencyWarps((1.0,)).warped(features)[0] is features
    assert UNWARPED.mean([features], ()) is features


@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=3), st.integers(1, 4), st.integers(0, 2**32)
)
def test_a_mean_is_of_distributions_again(sizes: list[int], number: int, seed: int) -> None:
    scores = 9 * np.random.default_rng(seed).standard_normal((number, 5, sum(sizes)), np.float32)
    ends = np.cumsum(sizes)
    outputs = np.concatenate(
        [
            part - np.log(np.exp(part).sum(axis=-1, keepdims=True))
            for part in np.split(scores, ends[:-1], axis=-1)
        ],
        axis=-1,
    )
    warps = FrequencyWarps(tuple(1 + 0.1 * place for place in range(number)))
    mean = warps.mean(list(outputs), sizes)
    assert mean.dtype == np.float32
    for part, own in zip(
        np.split(mean, ends[:-1], axis=-1), np.split(outputs, ends[:-1], axis=-1), strict=True
    ):
        np.testing.assert_allclose(np.exp(part).sum(axis=-1), 1, rtol=1e-4)
        # The mean of logarithms, but for what makes it a distribution.
        offset = part - own.mean(axis=0)
        np.testing.assert_allclose(offset, offset[:, :1].repeat(part.shape[1], 1), atol=1e-4)
    np.testing.assert_allclose(warps.mean([outputs[0]] * number, sizes), outputs[0], atol=1e-4)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ((), "has 0 factors; give 1 to 8"),
        ([0.9] * 9, "has 9 factors"),
        ([0.9, 0.9], "a factor is there twice"),
        ([0.4], "0.4 is not from 0.5 to 2"),
        ([float("nan")], "nan is not from"),
        ([10**400], "1000000.* is not from"),
        (["0.9"], "is of type str; pass numbers"),
        ([True], "is of type bool"),
        ("0.9", "is of type str"),
        (0.9, "is of type float"),
    ],
)
def test_factors_that_cannot_be_are_named(wrong: object, says: str) -> None:
    with pytest.raises(ConfigurationError, match=f"frequency_warps: .*{says}"):
        FrequencyWarps.of(wrong)


@pytest.mark.parametrize("streams", [False, True])
def test_a_network_gives_the_mean_over_its_warps(
    tone_bundle: Path, streaming_tone_bundle: Path, streams: bool
) -> None:
    bundle = Bundle.load(streaming_tone_bundle if streams else tone_bundle)
    features = [random_features(), random_features(20)]
    single = [
        open_network(bundle.with_frequency_warps((factor,))).run(features) for factor in WARPS
    ]
    found = open_network(bundle.with_frequency_warps(WARPS)).run(features)
    warps = FrequencyWarps(WARPS)
    for rows, *own in zip(found, *single, strict=True):
        assert len(own[0]) == len(rows)
        assert np.abs(own[0] - own[1]).max() > 0.1
        np.testing.assert_allclose(rows, warps.mean(own, bundle.output_sizes), atol=1e-5)


def test_the_shipped_networks_hear_the_same_live_as_at_once() -> None:
    """The streaming network keeps a state for each warp."""
    loaded = load_model(streaming=True, decoder="greedy", frequency_warps=WARPS, threads=1)
    waveform = np.random.default_rng(0).standard_normal(32_000, np.float32) / np.float32(20)
    at_once = loaded.log_probabilities([waveform])[0]
    stream = StreamingModel(loaded.bundle).stream()
    parts = [stream.feed(part) for part in np.array_split(waveform, 7)]
    np.testing.assert_allclose(np.concatenate([*parts, stream.finish()]), at_once, atol=1e-4)
    once = load_model(streaming=True, decoder="greedy", frequency_warps=[1], threads=1)
    assert np.abs(once.log_probabilities([waveform])[0] - at_once).max() > 0.1


def test_a_bundle_keeps_its_warps(tone_bundle: Path, tmp_path: Path) -> None:
    bundle = Bundle.load(tone_bundle)
    assert bundle.frequency_warps == UNWARPED
    results = replace(bundle, card={**bundle.card, "results": [{"wer": 0.1}]})
    assert results.with_frequency_warps([1.0]) == results
    warped = results.with_frequency_warps(list(WARPS))
    assert "results" not in warped.card  # they are of the other warps
    warped.write(tmp_path / "b")
    assert Bundle.load(tmp_path / "b").frequency_warps == FrequencyWarps(WARPS)
    assert load_model(tmp_path / "b").bundle.frequency_warps.factors == WARPS
    assert load_model(tmp_path / "b", frequency_warps=[1]).bundle.frequency_warps == UNWARPED


def test_the_command_line_takes_warps_and_tells_them(
    tone_bundle: Path, tmp_path: Path, spoken: Callable[..., Array], plainspeech: Plainspeech
) -> None:
    soundfile.write(tmp_path / "0.wav", spoken("a bad bed"), 16_000)
    row = {"id": "u", "audio": "0.wav", "text": "a bad bed", "duration": 1.0}
    (tmp_path / "dev.jsonl").write_text(json.dumps(row))
    command = ("evaluate", tone_bundle, tmp_path / "dev.jsonl", "--json", tmp_path / "r.json")
    assert plainspeech(*command)[0] == 0
    assert json.loads((tmp_path / "r.json").read_text())["network"] == "float32"
    assert plainspeech(*command, "--frequency-warps", "0.9,1.05")[0] == 0
    network = json.loads((tmp_path / "r.json").read_text())["network"]
    assert network == "float32, frequencies warped by 0.9 and 1.05"
    for wrong in ("0.9;1", "", "0.9,"):
        status, said = plainspeech(*command, "--frequency-warps", wrong)
        assert status == 1
        assert f"--frequency-warps is {wrong!r}; it must be numbers such as 0.9,1.05" in said
    status, said = plainspeech("transcribe", tmp_path / "0.wav", "--frequency-warps", "3")
    assert (status, said) == (1, "error: frequency_warps: 3.0 is not from 0.5 to 2\n")
