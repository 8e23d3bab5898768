"""The web page in Chromium: recordings."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page
from servers import Blocked, Running, Speak, process, running, wav

import plainspeech
from browsers import chromium, needs_chromium, said, visit, wait_for, wait_until
from plainspeech.runtime.recognizer import load_model
from plainspeech.transcript import Segment, Transcript, Word
from plainspeech.writers import render

pytestmark = needs_chromium

SAMPLE = Path(__file__).parents[2] / "samples/2412-153954-0002.flac"
BUNDLED = Path(plainspeech.__file__).with_name("models") / "english-small"
SILENCE = np.zeros(16_000, np.float32)
THEMES = ("light", "dark")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def server(tone_bundle: Path) -> Iterator[Running]:
    with running(tone_bundle) as server:
        yield server


@pytest.fixture
def page(browser: Browser, server: Running) -> Iterator[Page]:
    with visit(browser, f"http://{server.netloc}/") as page:
        yield page


@pytest.fixture
def long(spoken: Speak) -> bytes:
    """Half a minute."""
    parts = [spoken("good deed"), *[SILENCE] * 14, spoken("indeed"), *[SILENCE] * 14, spoken("be")]
    return wav(np.concatenate(parts))


def upload(page: Page, content: bytes, name: str = "talk.wav") -> None:
    file: Any = {"name": name, "mimeType": "audio/wav", "buffer": content}
    page.set_input_files("#file", file)
    page.locator("#status", has_text="seconds of").wait_for()


def now(page: Page) -> float:
    return float(page.evaluate("document.querySelector('audio').currentTime"))


def wait_for_time(page: Page, low: float, high: float) -> None:
    """Wait until the player has paused between two times, seconds."""
    for _ in range(2_400):
        paused = page.evaluate("document.querySelector('audio').paused")
        if paused and low <= now(page) <= high:
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"{low} to {high} is awaited, it is at {now(page)}")


def test_a_recording_is_read_and_its_words_are_heard(browser: Browser) -> None:
    with process(BUNDLED) as (_, url), visit(browser, url + "/") as page:
        wait_for(page, "#model", "english-small")
        page.set_input_files("#file", SAMPLE)
        words = page.locator("#words button")
        words.first.wait_for()
        expected = load_model(BUNDLED).transcribe(str(SAMPLE))
        assert said(page) == expected.text
        assert words.all_text_contents() == expected.text.split()
        for place in (5, 2):
            word = expected.words[place]
            words.nth(place).click()
            wait_for_time(page, word.end, word.end + 0.6)
        assert "percent sure" in str(words.nth(2).get_attribute("aria-label"))


def test_words_stand_at_their_times_and_the_strip_scrolls(page: Page, long: bytes) -> None:
    upload(page, long)
    assert said(page) == "good deed indeed be"
    words = page.locator("#words button")
    assert page.evaluate("document.querySelector('#strip').scrollLeft") == 0
    start = float(words.nth(3).evaluate("word => parseFloat(word.style.left)"))
    page.locator("#zoom-in").click()
    zoomed = float(words.nth(3).evaluate("word => parseFloat(word.style.left)"))
    assert zoomed == pytest.approx(1.5 * start, abs=1)
    words.nth(3).click()
    assert page.evaluate("document.querySelector('#strip').scrollLeft") > 1_000
    page.locator("#zoom-fit").click()
    assert page.evaluate("document.querySelector('#strip').scrollLeft") < 50  # the last word's end
    wave = page.locator("#wave").bounding_box()
    assert wave is not None
    place = words.nth(2).bounding_box()
    assert place is not None
    page.locator("#wave").click(position={"x": place["x"] - wave["x"] + 2, "y": 30})
    seconds = 1.62 + 14 + 0.05
    wait_for_time(page, seconds - 0.2, seconds + 0.2)
    page.locator("#words button[aria-current=true]", has_text="indeed").wait_for()
    assert page.locator("#text .current").all_text_contents() == ["indeed"]


def test_enter_and_arrow_keys_reach_every_word(page: Page, spoken: Speak) -> None:
    upload(page, wav(np.concatenate([spoken("good deed indeed"), SILENCE])))
    page.locator("#zoom-fit").focus()
    page.keyboard.press("Tab")
    for key, word in [("ArrowRight", "deed"), ("End", "indeed"), ("Home", "good"), ("Tab", "")]:
        page.keyboard.press(key)
        focused = page.evaluate("document.activeElement.matches('#words button')")
        assert focused == (word != "")
        assert word in page.evaluate("document.activeElement.textContent")
    page.locator("#words button").nth(1).focus()
    page.keyboard.press("Enter")
    wait_for_time(page, 1.5, 2.0)


def test_doubtful_words_are_underlined_and_all_are_shaded(page: Page) -> None:
    script = """async () => {
      const { Timeline } = await import("/timeline.js");
      const timeline = new Timeline(document.querySelector("#strip"), {});
      document.querySelector("#result").hidden = false;
      const word = { text: "be", start: 1, end: 1.2 };
      const words = [0.49, 0.5, 0.9].map((confidence) => ({ ...word, confidence }));
      timeline.show(3, null, words);
      return [...document.querySelectorAll("#words button")].map((button) => {
        const { backgroundColor, textDecorationLine } = getComputedStyle(button);
        return [backgroundColor, textDecorationLine];
      });
    }"""
    colours, lines = zip(*page.evaluate(script), strict=True)
    assert lines == ("underline", "none", "none")
    assert len(set(colours)) == 3


def test_downloads_are_what_the_writers_write(page: Page, long: bytes, tmp_path: Path) -> None:
    upload(page, long, "my talk.wav")
    files = {}
    for form in ("txt", "srt", "vtt", "json"):
        with page.expect_download() as download:
            page.locator(f"[data-format={form}]").click()
        assert download.value.suggested_filename == f"my talk.{form}"
        download.value.save_as(tmp_path / form)
        files[form] = (tmp_path / form).read_text()
    values = json.loads(files["json"])
    segments = (Segment(tuple(Word(**word) for word in s["words"])) for s in values["segments"])
    transcript = Transcript(tuple(segments), values["duration"])
    assert transcript.text == "good deed indeed be"
    assert values == json.loads(render(transcript, "json"))
    for form in ("txt", "srt", "vtt"):
        assert files[form] == render(transcript, form)


@pytest.mark.parametrize("theme", THEMES)
def test_the_spectrogram_shows_a_tone_at_its_frequency(
    browser: Browser, server: Running, theme: Any
) -> None:
    tone = 0.5 * np.sin(2 * np.pi * 3_000 * np.arange(32_000) / 16_000)
    script = """async () => {
      const { heightOf } = await import("/spectrogram.js");
      const canvas = document.querySelector("#wave");
      const column = canvas.getContext("2d").getImageData(canvas.width / 4, 0, 1, canvas.height);
      const rows = [...Array(canvas.height - 4).keys()].map((y) => column.data[4 * y]);
      const distance = rows.map((value) => Math.abs(value - rows[0]));
      return [distance.indexOf(Math.max(...distance)), heightOf(3000) * canvas.height];
    }"""
    with visit(browser, f"http://{server.netloc}/", color_scheme=theme) as page:
        upload(page, wav(np.asarray(tone, np.float32)))
        button = page.locator("#spectral")
        assert page.locator("#wave").get_attribute("aria-label") == "Waveform"
        button.focus()
        page.keyboard.press("Enter")
        assert button.get_attribute("aria-pressed") == "true"
        assert "Spectrogram" in str(page.locator("#wave").get_attribute("aria-label"))
        found, expected = page.evaluate(script)
        assert found == pytest.approx(expected, abs=2)
        assert Axe().run(page).response["violations"] == []
        upload(page, wav(np.asarray(tone[:16_000], np.float32)), "next.wav")
        assert "Spectrogram" in str(page.locator("#wave").get_attribute("aria-label"))
        button.click()
        assert page.locator("#wave").get_attribute("aria-label") == "Waveform"


def test_each_channel_is_transcribed_by_itself(page: Page, spoken: Speak, tmp_path: Path) -> None:
    left = np.concatenate([spoken("good deed"), np.tile(SILENCE, 3)])
    right = np.concatenate([SILENCE[:8_000], spoken("indeed")])
    stereo = np.stack([left, np.pad(right, (0, len(left) - len(right)))], axis=1)
    page.locator("#separate").check()
    upload(page, wav(stereo))
    assert page.locator("#text .channel").all_text_contents() == ["Channel 1", "Channel 2"]
    assert said(page) == "good deed indeed"
    words = page.locator("#words button")
    starts = [
        float(str(title).split()[0]) for title in words.evaluate_all("w => w.map(x => x.title)")
    ]
    assert starts == sorted(starts)
    labels = words.evaluate_all("words => words.map((word) => word.ariaLabel)")
    assert sorted(label[-9:] for label in labels) == ["channel 1", "channel 1", "channel 2"]
    with page.expect_download() as download:
        page.locator("[data-format=txt]").click()
    download.value.save_as(tmp_path / "txt")
    assert (tmp_path / "txt").read_text() == "[1] good deed\n[2] indeed\n"
    words.filter(has_text="indeed").click()
    page.locator("#text .current", has_text="indeed").wait_for()
    assert Axe().run(page).response["violations"] == []


def test_the_text_is_copied(browser: Browser, server: Running, long: bytes) -> None:
    with visit(browser, f"http://{server.netloc}/") as page:
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        upload(page, long)
        page.locator("#copy").click()
        wait_for(page, "#status", "The text is on the clipboard.")
        read = "navigator.clipboard.readText()"
        assert page.evaluate(read).split() == ["good", "deed", "indeed", "be"]
        page.evaluate("navigator.clipboard.writeText('other')")
        # As on pages that are neither from https nor from localhost.
        old = (
            "Object.defineProperty(navigator, 'clipboard', {configurable: true, value: undefined})"
        )
        page.evaluate(old)
        page.locator("#status").evaluate("status => (status.textContent = '')")
        page.locator("#copy").click()
        wait_for(page, "#status", "The text is on the clipboard.")
        assert page.evaluate("document.activeElement.id") == "copy"
        page.evaluate("delete navigator.clipboard")
        assert page.evaluate(read).split() == ["good", "deed", "indeed", "be"]


@pytest.mark.parametrize(("width", "tall"), [(1280, 800), (390, 844)])
def test_the_transcript_is_in_view_and_empty_rows_take_no_room(
    browser: Browser, server: Running, spoken: Speak, width: int, tall: int
) -> None:
    size: Any = {"width": width, "height": tall}
    with visit(browser, f"http://{server.netloc}/", viewport=size) as page:

        def height(selector: str) -> float:
            box = page.locator(selector).bounding_box()
            assert box is not None
            return box["height"]

        upload(page, wav(np.concatenate([spoken("be"), SILENCE])))
        one = height("#words")
        upload(page, wav(spoken("a good deed is a good deed indeed")), "crowded.wav")
        page.locator("#zoom-fit").click()
        text = page.locator("#text p").last.bounding_box()
        assert text is not None
        assert text["y"] + 2 * text["height"] < tall
        page.set_viewport_size({"width": 390, "height": 800})
        page.locator("#zoom-fit").click()
        page.locator("#words:is([style*='--lanes: 2'], [style*='--lanes: 3'])").wait_for()
        assert one < 45
        lanes = page.locator("#words button").evaluate_all(
            "words => new Set(words.map((word) => word.style.getPropertyValue('--lane'))).size"
        )
        assert height("#words") == pytest.approx(6.4 + 32 * lanes, abs=1)


def test_numbers_become_digits_where_that_is_asked_for(page: Page, spoken: Speak) -> None:
    content = wav(spoken("in nineteen eighty four"))
    upload(page, content)
    assert said(page) == "in nineteen eighty four"
    page.locator("summary").click()
    page.locator("#digits").check()
    upload(page, content)
    assert said(page) == "in 1984"
    page.reload()
    page.locator("summary").click()
    assert page.locator("#digits").is_checked()


def test_nothing_was_heard(page: Page) -> None:
    upload(page, wav(np.tile(SILENCE, 2)), "quiet.wav")
    wait_for(page, "#status", "Nothing was heard in 2.0 seconds of quiet.wav.")
    assert page.locator("#nothing").is_visible()
    assert page.locator("#legend").is_hidden()
    assert page.locator("#words").evaluate("words => words.clientHeight") == 0
    assert Axe().run(page).response["violations"] == []


@pytest.mark.parametrize("theme", THEMES)
def test_no_rule_of_accessibility_is_broken(
    browser: Browser, server: Running, long: bytes, theme: Any
) -> None:
    with visit(browser, f"http://{server.netloc}/", color_scheme=theme) as page:
        upload(page, long)
        page.locator("summary").click()
        page.set_input_files("#file", Path(__file__))
        page.locator("#error").wait_for()
        upload(page, long)
        page.locator("#words button").nth(1).click()
        found = Axe().run(page).response["violations"]
        assert [(rule["id"], rule["nodes"][0]["html"]) for rule in found] == []


@pytest.mark.parametrize("theme", THEMES)
def test_every_shade_can_be_read(browser: Browser, server: Running, theme: Any) -> None:
    """The contrast of words at every confidence is 4.5 and more (WCAG 2.2, 1.4.3)."""
    script = """() => {
      document.querySelector("#result").hidden = false;
      const list = document.querySelector("#words");
      const context = document.createElement("canvas").getContext("2d");
      const luminance = (colour) => {
        context.fillStyle = colour;
        context.fillRect(0, 0, 1, 1);
        const [r, g, b] = [...context.getImageData(0, 0, 1, 1).data].map((value) =>
          value <= 10 ? value / 3294.6 : ((value / 255 + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
      };
      return [...Array(12).keys()].map((step) => {
        const button = document.createElement("button");
        if (step === 11) button.setAttribute("aria-current", "true");
        button.style.setProperty("--confidence", step / 10);
        list.replaceChildren(button);
        const { color, backgroundColor } = getComputedStyle(button);
        const [dark, light] = [luminance(color), luminance(backgroundColor)].sort((a, b) => a - b);
        return (light + 0.05) / (dark + 0.05);
      });
    }"""
    with visit(browser, f"http://{server.netloc}/", color_scheme=theme) as page:
        assert min(page.evaluate(script)) >= 4.5


def test_it_fits_a_telephone(browser: Browser, server: Running, long: bytes) -> None:
    size: Any = {"width": 360, "height": 740}
    with visit(browser, f"http://{server.netloc}/", viewport=size) as page:
        upload(page, long, "a_recording_with_a_name_that_is_much_too_long_for_a_telephone.wav")
        page.locator("summary").click()
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        assert page.locator("#wave").evaluate("canvas => canvas.clientWidth") <= 360


def test_the_message_of_the_server_is_shown(page: Page, spoken: Speak) -> None:
    page.set_input_files("#file", {"name": "a.mp3", "mimeType": "", "buffer": b"no audio"})
    page.locator("#error").wait_for()
    assert page.locator("#error").inner_text().startswith("a.mp3: ")
    assert "audio" in page.locator("#error").inner_text()
    assert "\n" not in page.locator("#error").inner_text()
    upload(page, wav(spoken("be")))
    assert page.locator("#error").is_hidden()


def test_a_file_is_dropped(page: Page, spoken: Speak) -> None:
    drop = """async bytes => {
      const data = new DataTransfer();
      data.items.add(new File([new Uint8Array(bytes)], "dropped.wav"));
      for (const type of ["dragover", "drop"]) {
        const options = { dataTransfer: data, bubbles: true, cancelable: true };
        document.querySelector("#drop").dispatchEvent(new DragEvent(type, options));
      }
    }"""
    page.evaluate(drop, list(wav(spoken("good deed"))))
    wait_for(page, "#status", "2 words in 1.6 seconds of dropped.wav.")


def test_text_streams_and_an_old_result_is_gone(
    browser: Browser, tone_bundle: Path, spoken: Speak
) -> None:
    """Two minutes of speech come in more than one part: a minute is three chunks, then it stops."""
    model = Blocked(tone_bundle)
    phrase = np.concatenate([spoken("a good deed is a good deed indeed "), SILENCE])
    served = running(model, batching=False)
    with served as server, visit(browser, f"http://{server.netloc}/") as page:
        upload(page, wav(spoken("fed")), "old.wav")
        assert said(page) == "fed"
        model.passes = 3  # chunks, until the gate is closed
        content = wav(np.tile(phrase, 22))
        page.set_input_files("#file", {"name": "a.wav", "mimeType": "", "buffer": content})
        page.locator("#text p").first.wait_for()
        assert "fed" not in said(page).split()
        assert said(page).startswith("a good deed is a good deed indeed")
        assert page.locator("#strip").is_hidden()
        assert page.locator("#copy").is_enabled()
        assert page.locator("#result-title").inner_text() == "a"
        percent = page.locator("#status", has_text=re.compile(r"Transcribing a.wav: \d+ %"))
        percent.wait_for()
        told = int(re.findall(r"(\d+) %", percent.inner_text())[0]) / 100
        assert 0.1 < told < 0.95
        wait_until(  # it glides there, and not beyond
            page, "told => Math.abs(document.querySelector('#progress').value - told) < 0.01", told
        )
        model.gate.set()
        wait_for(page, "#status", f"{22 * 8} words in")
        assert page.locator("#words button").count() == 22 * 8


def test_an_error_after_some_text_keeps_the_text(page: Page, spoken: Speak) -> None:
    noise = np.random.default_rng(1).normal(0, 0.05, 16_000 * 20)
    samples = np.concatenate([spoken("good deed"), np.zeros(16_000 * 20), *[noise] * 20])
    file = io.BytesIO()
    soundfile.write(file, samples, 16_000, format="FLAC")
    content = file.getvalue()[: len(file.getvalue()) // 2]
    page.set_input_files("#file", {"name": "a.flac", "mimeType": "", "buffer": content})
    wait_for(page, "#error", "damaged or truncated")
    assert said(page).startswith("good deed")
    assert page.locator("#play").is_disabled()


def test_an_upload_is_cancelled(browser: Browser, tone_bundle: Path, spoken: Speak) -> None:
    model = Blocked(tone_bundle)
    with running(model) as server, visit(browser, f"http://{server.netloc}/") as page:
        model.gate.clear()
        content = wav(spoken("be"))
        page.set_input_files("#file", {"name": "a.wav", "mimeType": "", "buffer": content})
        wait_for(page, "#status", "Transcribing a.wav")
        assert page.locator("#talk").is_disabled()
        page.locator("#cancel").click()
        page.locator("#work").wait_for(state="hidden")
        assert page.locator("#error").is_hidden()
        model.gate.set()
        assert server.is_at_rest()
        upload(page, content)
        assert said(page) == "be"


def test_a_token_is_asked_for_where_there_is_one(
    browser: Browser, tone_bundle: Path, page: Page, spoken: Speak
) -> None:
    wait_for(page, "#model", "tones")
    assert page.locator("#token-form").is_hidden()
    with (
        running(tone_bundle, token="secret") as server,
        visit(browser, f"http://{server.netloc}/") as guarded,
    ):
        guarded.locator("#token-form").wait_for()
        guarded.locator("#token").fill("wrong")
        guarded.keyboard.press("Enter")
        wait_for(guarded, "#error", "token is missing or wrong")
        guarded.locator("#token").fill("secret")
        guarded.keyboard.press("Enter")
        guarded.locator("#token-form").wait_for(state="hidden")
        upload(guarded, wav(spoken("be")))
        assert said(guarded) == "be"


def test_hot_words_are_sent_and_remembered(
    browser: Browser, tone_bundle: Path, spoken: Speak
) -> None:
    model = Blocked(
        tone_bundle,
        load_model(tone_bundle, threads=1, decoder="beam", language_model="none").decoder,
    )
    with running(model) as server, visit(browser, f"http://{server.netloc}/") as page:
        page.locator("summary").click()
        page.locator("#hot-words").fill("Lake Baikal:6.5\n\nbeech\nbeach: -2")
        assert page.locator("#hot-unused").is_hidden()
        upload(page, wav(spoken("be")))
        assert model.hot_words == {"lake baikal": 6.5, "beech": 5.0, "beach": -2.0}
        page.reload()
        wait_for(page, "#hot-count", "(3)")
        page.locator("summary").click()
        page.locator("#hot-words").fill("beech:much")
        page.set_input_files("#file", SAMPLE)
        wait_for(page, "#error", "hot_words: line 1: 'beech:much' is not a phrase")


def test_greedy_decoding_says_that_it_has_no_use_for_hot_words(page: Page) -> None:
    page.locator("summary").click()
    page.locator("#hot-unused").wait_for()
    page.fill("#hot-words", "beech:8")
    upload(page, SAMPLE.read_bytes())
    assert page.locator("#error").is_hidden()


def test_a_server_that_is_gone_is_named(browser: Browser, tone_bundle: Path) -> None:
    with ExitStack() as open_pages:
        with running(tone_bundle) as server:
            page = open_pages.enter_context(visit(browser, f"http://{server.netloc}/"))
        page.set_input_files("#file", SAMPLE)
        wait_for(page, "#error", "The server cannot be reached")
