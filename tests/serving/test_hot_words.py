from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from servers import Blocked, Speak, running, wav

from plainspeech.alphabet import ENGLISH
from plainspeech.runtime.recognizer import load_model
from plainspeech.serving.errors import ApiError
from plainspeech.serving.hot_words import MOST, USUAL_WEIGHT, parse


def test_lines_are_phrases_with_and_without_weights() -> None:
    text = "Lake Baikal:6.5\n\n  café \r\nbeach : -2\nat 10:30: 1"
    expected = {"lake baikal": 6.5, "cafe": USUAL_WEIGHT, "beach": -2.0, "at": 1.0}
    assert parse(text, ENGLISH) == expected
    assert parse(" \n", ENGLISH) == {}


@given(st.text(max_size=60))
def test_any_text_is_hot_words_or_refused(text: str) -> None:
    try:
        found = parse(text, ENGLISH)
    except ApiError:
        return
    assert all(phrase == ENGLISH.normalise(phrase) != "" for phrase in found)
    assert all(abs(weight) <= 100 for weight in found.values())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("good\ndeed:much", "line 2: 'much' is not a weight"),
        ("good:", "line 1: '' is not a weight"),
        ("good:nan", "line 1: 'nan' is not a weight"),
        ("good:101", "from -100 to 100"),
        (":3", "line 1 has no letters"),
        ("¿?", "line 1 has no letters"),
        ("a\n" * (MOST + 1), "at most 500"),
    ],
)
def test_what_is_neither_is_refused(text: str, message: str) -> None:
    with pytest.raises(ApiError, match=message) as caught:
        parse(text, ENGLISH)
    assert caught.value.error["param"] == "hot_words"


def test_lines_count_more_than_the_prompt(tone_bundle: Path, spoken: Speak) -> None:
    model = Blocked(
        tone_bundle,
        load_model(tone_bundle, threads=1, decoder="beam", language_model="none").decoder,
    )
    with running(model) as server:
        content = wav(spoken("good deed"))
        answer = server.transcribe(content, prompt="good morning", hot_words="Good:2\ndeed: 1")
        assert answer.json() == {"text": "good deed"}
        assert model.hot_words == {"good": 2.0, "morning": USUAL_WEIGHT, "deed": 1.0}
        refused = server.transcribe(content, hot_words="good:x")
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "hot_words")
        assert server.client.get("/v1/models").json()["data"][0]["hot_words"] is True


def test_words_have_confidences(tone_bundle: Path, spoken: Speak) -> None:
    with running(tone_bundle) as server:
        fields = {"response_format": "verbose_json", "timestamp_granularities[]": "word"}
        (word,) = server.transcribe(wav(spoken("be")), **fields).json()["words"]
        assert word["word"] == "be"
        assert 0 < word["confidence"] <= 1
        assert server.client.get("/v1/models").json()["data"][0]["hot_words"] is False
