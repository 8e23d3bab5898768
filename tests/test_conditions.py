"""The benchmark of conditions makes what it says, and goes on where it was interrupted."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from benchmarks.conditions import degrading, measure, sounds
from benchmarks.conditions.conditions import Condition, Material, conditions, no_speech
from benchmarks.conditions.sounds import RATE

from plainspeech import audio
from plainspeech.arrays import Array
from plainspeech.errors import ConfigurationError

DOCS = Path(__file__).resolve().parents[1] / "docs"
Speak = Callable[..., Array]


def swelling(seconds: float, seed: int = 0) -> Array:
    """Return noise that comes and goes as syllables do."""
    samples = round(seconds * RATE)
    swell = np.maximum(0, np.sin(2 * np.pi * 4 * np.arange(samples) / RATE))
    noise = np.random.default_rng(seed).standard_normal(samples)
    return (0.1 * noise * swell).astype(np.float32)


MATERIAL = Material({str(n): [swelling(1.0, n)] for n in range(8)}, [swelling(2.0, 9)])
CLIP = swelling(2.0)
LONGER = {"0.5 s": 1.0, "5 s": 10.0, "20 s": 40.0}


@pytest.mark.parametrize("condition", conditions(MATERIAL), ids=lambda each: each.key)
def test_each_condition_can_be_heard(condition: Condition) -> None:
    if condition.group == "room":
        pytest.importorskip("pyroomacoustics")
    made = [condition.make(CLIP, "0", np.random.default_rng(1)) for _ in range(2)]
    # Files have serial numbers.
    one, samples = (
        audio.read(io.BytesIO(heard)) if isinstance(heard, bytes) else heard for heard in made
    )
    assert np.array_equal(one, samples)  # the same seed, the same sound
    assert np.abs(samples).max() > 1e-5
    expected = 2.0
    if condition.group == "before and after":
        expected += LONGER[condition.name.rpartition(", ")[2]]
    elif condition.group == "pace":
        expected /= float(condition.name.split()[0])
    allowed = 1.5 if condition.group == "room" else 0.1
    assert len(samples) / RATE == pytest.approx(expected, abs=allowed)


@pytest.mark.parametrize(
    ("container", "codec", "rate"),
    [("mp3", "libmp3lame", RATE), ("ogg", "libopus", 48_000), ("ipod", "aac", 44_100)],
)
@pytest.mark.parametrize("samples", [72_080, 72_090, 72_100])
def test_recordings_of_any_length_can_be_encoded(
    container: str, codec: str, rate: int, samples: int
) -> None:
    """FFmpeg had refused m4a whose last packet was short."""
    made = degrading.encoded(swelling(samples / RATE), container, codec, 64, rate)
    assert len(audio.read(io.BytesIO(made))) == pytest.approx(samples, abs=0.1 * RATE)


def test_no_two_conditions_have_a_name() -> None:
    keys = [condition.key for condition in conditions(MATERIAL)]
    assert len(keys) == len(set(keys)) > 50


@pytest.mark.parametrize("kind", no_speech(MATERIAL))
def test_what_nobody_says_is_as_loud_as_speech(kind: str) -> None:
    sound = no_speech(MATERIAL)[kind](RATE, np.random.default_rng(0))
    assert sound.shape == (RATE,)
    assert sound.dtype == np.float32
    expected = {"zeros": 0.0, "dither": 2.5e-5, "clicks": np.std(sound)}.get(kind, sounds.LEVEL)
    assert np.std(sound) == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("snr", [20.0, 5.0, 0.0])
def test_noise_is_as_loud_as_it_is_said_to_be(snr: float) -> None:
    noise = sounds.coloured(len(CLIP), np.random.default_rng(0), 0.5)
    added = degrading.with_noise(CLIP, noise, snr) - CLIP
    assert 20 * np.log10(np.std(CLIP) / np.std(added)) == pytest.approx(snr, abs=0.1)


def test_what_is_measured_is_kept_and_not_measured_again(
    tmp_path: Path, spoken: Speak, tone_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = conditions(MATERIAL)[:1] + [c for c in conditions(MATERIAL) if c.group == "channels"]
    monkeypatch.setattr(measure, "conditions", lambda material: few)
    monkeypatch.setattr(measure, "MINUTES", 0.01)
    lines = []
    for number in range(4):
        path = tmp_path / f"{number}.wav"
        soundfile.write(path, spoken("good deed"), RATE)
        values = {"id": str(number), "audio": str(path), "text": "good deeds"}
        lines.append(json.dumps({**values, "duration": 1.6, "speaker": str(number)}))
    manifest, results, page = tmp_path / "m.jsonl", tmp_path / "r.json", tmp_path / "p.md"
    manifest.write_text("\n".join(lines) + "\n")
    page.write_text("before\n<!-- tables -->\nold\n<!-- end of tables -->\nafter\n")

    def run(every: int = 2) -> None:
        measure.main(manifest, results, every, [], tone_bundle, 1, page)

    run()
    first = json.loads(results.read_text())
    assert first["conditions"]["clean: as it is"] == [[1, 1, 0, 0]] * 2
    assert first["conditions"]["channels: one inverted"] == [[1, 1, 0, 0]] * 2
    text = page.read_text()
    assert text.startswith("before\n<!-- tables -->\n`tones`")
    assert text.endswith("<!-- end of tables -->\nafter\n")
    assert "| as it is | 50.00 |" in text
    assert "| one silent | 50.00 | +0.00 | +0.00 to +0.00 |" in text
    assert text.count("|---") == 2
    del first["conditions"]["channels: one silent"]
    first["conditions"]["channels: one inverted"] = [[2, 0, 0, 0]] * 2  # is kept as it is
    results.write_text(json.dumps(first))
    run()
    again = json.loads(results.read_text())
    assert again["conditions"]["channels: one silent"] == [[1, 1, 0, 0]] * 2
    assert again["conditions"]["channels: one inverted"] == [[2, 0, 0, 0]] * 2
    with pytest.raises(ConfigurationError, match="another model or corpus"):
        run(every=1)


def test_the_page_has_the_tables_of_the_results() -> None:
    found = json.loads((DOCS / "conditions.json").read_text())
    assert measure.render_tables(found) in (DOCS / "conditions.md").read_text()
