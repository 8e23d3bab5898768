"""A model of another script behind every door of the server: Russian, in Cyrillic letters."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
import soundfile
from servers import Running, Speak, running, wav
from test_page_speech import read_live
from websockets.sync.client import connect

from browsers import chromium, needs_chromium, said, visit, wait_for
from plainspeech.alphabet import find_alphabet
from plainspeech.arrays import Array
from plainspeech.runtime.recognizer import load_model

RUSSIAN = find_alphabet("ru")
TEXT = "мой дом"
HEARD_FOR = "мой том"
"""What is heard for it with the hot word of the tests."""

HOT = "Мой Том: 90"
SILENCE = np.zeros(16_000, np.float32)


@pytest.fixture(scope="module")
def talk(spoken: Speak) -> Array:
    return np.concatenate([SILENCE, spoken(TEXT, alphabet=RUSSIAN), SILENCE])


@pytest.fixture(scope="module", params=[False, True], ids=["whole", "streaming"])
def server(
    request: pytest.FixtureRequest,
    make_tone_bundle: Callable[..., Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("bundles") / "russian"
    bundle = make_tone_bundle(folder, windows=request.param, alphabet=RUSSIAN, language="ru")
    with running(load_model(bundle, threads=1, decoder="beam", language_model="none")) as server:
        yield server


def finals(server: Running, audio: Array, query: str = "") -> list[dict[str, Any]]:
    with connect(f"ws://{server.netloc}/v1/stream{query}") as client:
        client.send(np.round(audio * 32767).astype("<i2").tobytes())
        client.send(json.dumps({"type": "end"}))
        messages = [json.loads(message) for message in client]
    assert messages[-1]["type"] == "done"
    return [message for message in messages if message["type"] == "final"]


def test_live_speech(server: Running, talk: Array) -> None:
    (final,) = finals(server, talk)
    assert final["text"] == TEXT
    assert [word["text"] for word in final["words"]] == TEXT.split()


def test_hot_words_of_live_speech(server: Running, talk: Array) -> None:
    (final,) = finals(server, talk, f"?hot_words={quote(HOT)}")
    assert final["text"] == HEARD_FOR


@pytest.mark.parametrize("form", ["json", "text", "srt", "verbose_json"])
def test_recordings(server: Running, talk: Array, form: str) -> None:
    for fields, text in (({}, TEXT), ({"hot_words": HOT}, HEARD_FOR)):
        response = server.transcribe(wav(talk), response_format=form, **fields)
        assert response.status_code == 200
        content = response.content.decode("utf-8")
        if form.endswith("json"):
            assert json.loads(content)["text"] == text
        else:
            assert text in content


def test_hot_words_in_another_script_are_refused(server: Running, talk: Array) -> None:
    response = server.transcribe(wav(talk), hot_words="дом\nhouse")
    assert response.status_code == 400
    assert "'house'" in response.json()["error"]["message"]


def test_digits_are_for_english(server: Running, talk: Array) -> None:
    response = server.transcribe(wav(talk), numbers="digits")
    error = response.json()["error"]
    assert (response.status_code, error["param"]) == (400, "numbers")
    assert "digits are for English, and the language of the model is 'ru'" in error["message"]
    assert server.transcribe(wav(talk), numbers="words").json() == {"text": TEXT}
    with connect(f"ws://{server.netloc}/v1/stream?numbers=digits") as client:
        refused = json.loads(client.recv())["error"]
    assert (refused["param"], refused["message"]) == ("numbers", error["message"])
    assert server.client.get("/v1/models").json()["data"][0]["digits"] is False


@needs_chromium
def test_the_page(server: Running, talk: Array, tmp_path: Path) -> None:
    heard = tmp_path / "heard.wav"
    soundfile.write(heard, np.concatenate([talk, *[SILENCE] * 60]), 16_000, subtype="PCM_16")
    with chromium(heard) as browser, visit(browser, f"http://{server.netloc}/") as page:
        wait_for(page, "#model", "tones")
        file: Any = {"name": "дом.wav", "mimeType": "audio/wav", "buffer": wav(talk)}
        page.set_input_files("#file", file)
        wait_for(page, "#status", "seconds of")
        assert said(page) == TEXT
        assert page.locator("#words button").all_text_contents() == TEXT.split()
        page.locator("summary").click()
        assert page.locator("#digits").is_hidden()  # which are for English
        page.locator("#hot-words").fill(HOT)
        page.locator("#talk").hover()
        page.mouse.down()
        page.locator("#text p").wait_for()
        page.mouse.up()
        wait_for(page, "#status", "Done.")
        assert said(page) == read_live(page, server.engine.live.begin({HEARD_FOR: 90.0}))
        assert set(said(page)) & set(RUSSIAN.text) - {" "}
    assert server.is_at_rest()
