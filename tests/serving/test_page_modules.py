"""Modules of the web page by themselves, in Chromium."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page
from servers import running

from browsers import chromium, needs_chromium, visit
from plainspeech.transcript import Segment, Transcript, Word
from plainspeech.writers import render

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def page(tone_bundle: Path) -> Iterator[Page]:
    with (
        running(tone_bundle) as server,
        chromium() as browser,
        visit(browser, f"http://{server.netloc}/") as page,
    ):
        yield page


def invented(draw: random.Random) -> Transcript:
    """Return a transcript of up to 60 words of all lengths, with pauses of all lengths.

    Half of them have two channels.
    """
    time, segments = draw.random(), []
    channels: list[int | None] = draw.choice([[None], [1, 2]])
    for _ in range(draw.randint(0, 6)):
        words = []
        for _ in range(draw.randint(1, 10)):
            text = "".join(draw.choices("abc<&>-é", k=draw.choice([1, 2, 3, 5, 8, 13, 50])))
            start, end = round(time, 3), round(time + draw.uniform(0.02, 0.9), 3)
            words.append(Word(text, start, end, round(draw.random(), 4)))
            time = end + draw.choice([0, 0.06, 0.3, 1, 4]) * draw.random()
        segments.append(Segment(tuple(words), channel=draw.choice(channels)))
    return Transcript(tuple(segments), round(time + draw.random(), 3))


def test_subtitles_are_those_of_the_writers(page: Page) -> None:
    draw = random.Random(5)
    transcripts = [invented(draw) for _ in range(150)]
    script = """async (transcripts) => {
      const { render } = await import("/subtitles.js");
      return transcripts.map((transcript) =>
        ["txt", "srt", "vtt", "json"].map((format) => render(transcript, format)));
    }"""
    found = page.evaluate(script, [json.loads(render(each, "json")) for each in transcripts])
    for transcript, (*texts, values) in zip(transcripts, found, strict=True):
        assert texts == [render(transcript, form) for form in ("txt", "srt", "vtt")]
        assert json.loads(values) == json.loads(render(transcript, "json"))


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000, 96_000])
def test_tones_survive_resampling_and_what_cannot_be_told_is_gone(page: Page, rate: int) -> None:
    script = """async ([rate, tone]) => {
      const { Resampler } = await import("/resampler.js");
      const resampler = new Resampler(rate, 16000);
      const samples = Float32Array.from({ length: rate }, (_, i) =>
        0.5 * Math.sin((2 * Math.PI * tone * i) / rate));
      const outputs = [];
      for (let i = 0; i < rate; i += 128) {
        outputs.push(...resampler.feed(samples.slice(i, i + 128)));
      }
      return [...outputs, ...resampler.finish()];
    }"""
    for tone in (300, 3_000):
        found = np.array(page.evaluate(script, [rate, tone]))
        time = np.arange(len(found)) / 16_000
        assert abs(len(found) - 16_000) <= 1
        middle = slice(100, -100)
        expected = 0.5 * np.sin(2 * np.pi * tone * time)
        assert np.abs(found - expected)[middle].max() < 0.002
    for tone in (9_000, 12_500):
        if 2 * tone < rate:
            found = np.array(page.evaluate(script, [rate, tone]))
            assert np.abs(found[100:-100]).max() < 0.002


def test_words_share_no_room(page: Page) -> None:
    script = """async ([words, scale, widths]) =>
      (await import("/lanes.js")).placed(words, scale, widths)"""
    draw = random.Random(6)
    starts = sorted(draw.uniform(0, 30) for _ in range(100))
    for scale in (5, 40, 300):
        widths = [draw.uniform(10, 120) for _ in starts]
        arguments = [[{"start": start} for start in starts], scale, widths]
        places = page.evaluate(script, arguments)
        for start, width, place in zip(starts, widths, places, strict=True):
            assert place["x"] == pytest.approx(start * scale)
            assert 6 <= place["room"] <= width
        for lane in range(3):
            own = [place for place in places if place["lane"] == lane]
            for one, other in pairwise(own):
                assert one["x"] + one["room"] <= other["x"] or one["room"] == 6


def test_spectra_are_those_of_numpy(page: Page) -> None:
    samples = np.random.default_rng(7).integers(-30_000, 30_000, 2_000)
    script = """async ([samples, centres]) => {
      const { powersAt } = await import("/spectrogram.js");
      return centres.map((centre) => [...powersAt(Int16Array.from(samples), centre)]);
    }"""
    padded = np.pad(samples, 256)
    window = np.hanning(513)[:-1]
    for centre, found in zip(
        (0, 700, 1_990), page.evaluate(script, [samples.tolist(), [0, 700, 1_990]]), strict=True
    ):
        expected = np.abs(np.fft.rfft(window * padded[centre : centre + 512])) ** 2
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-6 * expected.max())
