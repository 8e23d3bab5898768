"""The web page in Chromium: live speech, from a microphone that plays a file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from playwright.sync_api import Browser, Page
from servers import Blocked, Running, Speak, process, running
from test_page import BUNDLED, SAMPLE, SILENCE, wait_for_time

from browsers import chromium, needs_chromium, said, visit, wait_for, wait_until
from plainspeech.arrays import Array
from plainspeech.runtime.live import LiveModel, LiveTranscriber
from plainspeech.runtime.live_core import FinalResult
from plainspeech.runtime.recognizer import load_model

pytestmark = needs_chromium


def recording(folder: Path, *parts: Array) -> Path:
    """Return a WAV file of ``parts`` for the microphone."""
    path = folder / "heard.wav"
    soundfile.write(path, np.concatenate(parts), 16_000, subtype="PCM_16")
    return path


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory, spoken: Speak) -> Iterator[Browser]:
    # Again and again: on a busy machine Chromium may leave out all that is said once.
    parts = [SILENCE, spoken("good deed indeed"), *[SILENCE] * 6] * 10
    with chromium(recording(tmp_path_factory.mktemp("microphone"), *parts)) as browser:
        yield browser


@pytest.fixture(scope="module")
def server(tone_bundle: Path) -> Iterator[Running]:
    with running(tone_bundle) as server:
        yield server


@pytest.fixture
def page(browser: Browser, server: Running) -> Iterator[Page]:
    with visit(browser, f"http://{server.netloc}/") as page:
        wait_for(page, "#model", "tones")
        yield page
    assert server.is_at_rest()


def hold(page: Page) -> None:
    page.locator("#talk").hover()
    page.mouse.down()


def is_pressed(page: Page) -> bool:
    return page.locator("#talk").get_attribute("aria-pressed") == "true"


def test_speech_becomes_text_while_the_button_is_held(tmp_path_factory: Any) -> None:
    """The page shows of a real recording what the bundled model reads of it live."""
    folder = tmp_path_factory.mktemp("microphone")
    samples = soundfile.read(SAMPLE, dtype="float32")[0]
    heard = recording(folder, SILENCE, samples, *[SILENCE] * 30)
    with (
        process(BUNDLED) as (_, url),
        chromium(heard) as browser,
        visit(browser, f"{url}/") as page,
    ):
        hold(page)
        page.locator("#partial", has_text=re.compile("[a-z]{2}")).wait_for()
        assert is_pressed(page)
        page.locator("#text p").wait_for()
        page.mouse.up()
        wait_for(page, "#status", "Done.")
        kept, rate = download(page)
        assert len(kept) / rate > len(samples) / 16_000 / 2  # see `read_live`
        assert said(page) == read_live(page, LiveModel(load_model(BUNDLED)).begin())
        assert page.locator("#announced").inner_text() == said(page)


def read_live(page: Page, live: LiveTranscriber) -> str:
    """Return what ``live`` reads of what the page keeps of the microphone.

    On a busy machine that is less than the microphone's file has: Chromium leaves samples out.
    """
    events = [*live.feed(download(page)[0]), *live.finish()]
    return " ".join(event.text for event in events if isinstance(event, FinalResult))


def download(page: Page) -> tuple[Array, int]:
    """Return what the page keeps of the microphone, and its rate in Hz."""
    with page.expect_download() as saved:
        page.locator("[data-format=wav]").click()
    waveform, rate = soundfile.read(saved.value.path(), dtype="float32")
    return waveform, rate


def test_what_was_said_is_heard_again_word_by_word(page: Page, server: Running) -> None:
    hold(page)
    page.locator("#text p").wait_for()
    page.mouse.up()
    wait_for(page, "#status", "Done.")
    assert said(page) == read_live(page, server.engine.live.begin(None))
    assert not is_pressed(page)
    words = page.locator("#words button")
    start = float(words.nth(1).evaluate("word => parseFloat(word.title)"))
    words.nth(1).click()
    wait_for_time(page, start + 0.5, start + 1.2)
    duration = float(page.evaluate("document.querySelector('audio').duration"))
    sound, rate = download(page)
    assert rate == 16_000
    assert len(sound) / rate == pytest.approx(duration, abs=0.01)
    tone = sound[round((start + 0.02) * rate) : round((start + 0.08) * rate)]
    assert np.abs(tone).max() > 0.3


@pytest.mark.parametrize("key", ["Space", "Enter"])
def test_a_key_is_held(page: Page, server: Running, key: str) -> None:
    page.locator("#talk").focus()
    page.keyboard.down(key)
    wait_for(page, "#status", "Listening")
    assert is_pressed(page)
    page.keyboard.down(key)  # repeats
    page.locator("#text p").wait_for()
    page.keyboard.up(key)
    wait_for(page, "#status", "Done.")
    assert said(page) == read_live(page, server.engine.live.begin(None))


def test_those_who_cannot_hold_press_twice(page: Page, server: Running) -> None:
    page.locator("#latch").check()
    assert page.locator("#talk").inner_text().strip() == "Press to speak"
    page.locator("#talk").click()
    page.locator("#text p").wait_for()
    assert is_pressed(page)
    page.locator("#talk").click()
    wait_for(page, "#status", "Done.")
    assert said(page) == read_live(page, server.engine.live.begin(None))


def test_the_click_of_a_screen_reader_starts_and_stops(page: Page) -> None:
    page.locator("#talk").evaluate("button => button.click()")
    wait_for(page, "#status", "Listening")
    assert is_pressed(page)
    page.locator("#talk").evaluate("button => button.click()")
    page.locator("#talk[aria-pressed=false]").wait_for()


def test_a_finger_holds(browser: Browser, server: Running) -> None:
    with visit(browser, f"http://{server.netloc}/", has_touch=True) as page:
        box = page.locator("#talk").bounding_box()
        assert box is not None
        touch = page.context.new_cdp_session(page)
        point = {"x": box["x"] + 20, "y": box["y"] + 20}
        touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [point]})
        page.locator("#text p").wait_for()
        assert is_pressed(page)
        touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        wait_for(page, "#status", "Done.")
        assert said(page) == read_live(page, server.engine.live.begin(None))


def test_a_tap_is_told_to_hold(page: Page) -> None:
    page.locator("#talk").click()
    page.locator("#talk[aria-pressed=false]").wait_for()
    wait_for(page, "#status", "Hold the button while you speak")
    page.locator("#file:not([disabled])").wait_for(state="attached")


def test_that_nothing_was_heard_is_said(page: Page) -> None:
    page.evaluate("""() => {
      navigator.mediaDevices.getUserMedia = async () =>
        new AudioContext().createMediaStreamDestination().stream;
    }""")
    hold(page)
    wait_for(page, "#status", "Listening")
    page.wait_for_timeout(500)
    page.mouse.up()
    wait_for(page, "#status", "Done. Nothing was heard. Speak again to continue.")
    assert page.locator("#nothing").is_visible()
    assert page.locator("#spectral").is_visible()


def test_a_second_hold_goes_on_where_the_first_ended(page: Page) -> None:
    durations = [0.0]
    for _ in range(2):
        hold(page)
        wait_for(page, "#status", "Listening")
        page.wait_for_timeout(1_000)
        page.mouse.up()
        wait_for(page, "#status", "Done.")
        durations.append(float(page.evaluate("document.querySelector('audio').duration")))
    assert durations[0] < durations[1] < durations[2]
    page.locator("#clear").click()
    assert page.locator("#result").is_hidden()


def test_a_lost_connection_keeps_what_was_heard(browser: Browser, tone_bundle: Path) -> None:
    with ExitStack() as open_pages:
        with running(tone_bundle) as server:
            page = open_pages.enter_context(visit(browser, f"http://{server.netloc}/"))
            hold(page)
            page.locator("#text p").wait_for()
            server.engine.capacity.draining.set()
            page.locator("#error").wait_for()
            page.mouse.up()
        assert "is stopping" in page.locator("#error").inner_text()
        assert not is_pressed(page)
        assert said(page)
        page.locator("#play:enabled").wait_for()
        assert read_live(page, server.engine.live.begin(None)).startswith(said(page))
        page.locator("#play").click()
        wait_until(page, "document.querySelector('audio').currentTime > 0")


def test_live_sessions_have_token_and_hot_words(browser: Browser, tone_bundle: Path) -> None:
    model = Blocked(
        tone_bundle,
        load_model(tone_bundle, threads=1, decoder="beam", language_model="none").decoder,
    )
    with running(model, token="a&b") as server, visit(browser, f"http://{server.netloc}/") as page:
        page.locator("#token").fill("a&b")
        page.keyboard.press("Enter")
        wait_for(page, "#model", "tones")
        page.locator("summary").click()
        page.locator("#hot-words").fill("good & deed: 7")
        hold(page)
        page.locator("#text p").wait_for()
        page.mouse.up()
        wait_for(page, "#status", "Done.")
        assert model.hot_words == {"good deed": 7.0}


def test_a_microphone_that_is_refused(browser: Browser, server: Running) -> None:
    script = """() => {
      navigator.mediaDevices.getUserMedia = () =>
        Promise.reject(new DOMException("no", "NotAllowedError"));
    }"""
    with visit(browser, f"http://{server.netloc}/") as page:
        page.evaluate(script)
        hold(page)
        wait_for(page, "#error", "was not allowed to use the microphone")
        page.mouse.up()
        assert page.locator("#result").is_hidden()
        assert page.locator("#file").is_enabled()
    assert server.is_at_rest()
