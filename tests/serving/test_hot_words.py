"""Hot words of requests: those of every other door, and none that ends or stalls the server."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock
from urllib.parse import quote

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from servers import PATIENCE, Blocked, Running, Speak, process, running, wav
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from plainspeech.alphabet import Alphabet
from plainspeech.decoding.hot_words import DEFAULT_WEIGHT, LONGEST_PHRASE, HotWords
from plainspeech.pronunciations import Pronunciations, WordsOnDemand, parse_pronunciations
from plainspeech.runtime.bundle import Bundle, bundled_model_path
from plainspeech.runtime.decoders import DecoderStream
from plainspeech.runtime.recognizer import Recognizer, load_model
from plainspeech.runtime.vad import silero_detector
from plainspeech.serving.api_errors import ApiError
from plainspeech.serving.engine import MOST_CONVERTED, Engine
from plainspeech.serving.server_settings import ServerSettings

SAMPLE = Path(__file__).parents[2] / "samples/2803-154328-0001.flac"


@pytest.fixture(scope="module")
def model(tone_bundle: Path) -> Blocked:
    decoder = load_model(tone_bundle, threads=1, decoder="beam", language_model="none").decoder
    return Blocked(tone_bundle, decoder)


@pytest.fixture(scope="module")
def server(model: Blocked) -> Iterator[Running]:
    with running(model) as server:
        yield server


def test_lines_are_phrases_with_and_without_weights(server: Running) -> None:
    text = "Lake Baikal:6.5\n\n  café \r\nbeach : -2\n# a remark\nGood\u2019s: 1"
    expected = {"lake baikal": 6.5, "cafe": DEFAULT_WEIGHT, "beach": -2.0, "good's": 1.0}
    assert server.engine.hot_words(lines=text) == expected
    assert server.engine.hot_words(lines=" \n") is None


def test_how_words_sound_is_parsed_before_the_first_request(tone_bundle: Path) -> None:
    letters = load_model(tone_bundle, threads=1).decoder
    words, converter = Mock(return_value={"a": ("x",)}), Mock()
    decoder = Mock(wraps=letters)
    decoder.spoken = Mock(pronunciations=Pronunciations((), WordsOnDemand("", words), converter))
    recognizer = Recognizer(Bundle.load(tone_bundle), 1, decoder)
    Engine.build(recognizer, ServerSettings(), silero_detector).warm_up()
    words.assert_called_once()
    converter.convert.assert_called_once_with(["a"])


@given(text=st.text(max_size=60))
def test_any_text_is_hot_words_or_refused(server: Running, text: str) -> None:
    try:
        found = server.engine.hot_words(lines=text) or {}
    except ApiError:
        return
    alphabet = server.engine.recognizer.bundle.alphabet
    assert all(phrase == alphabet.normalise(phrase) != "" for phrase in found)
    assert all(abs(weight) <= 100 for weight in found.values())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("good\ndeed:much", "hot_words: line 2: 'deed:much' is not a phrase with a weight"),
        ("good:", "hot_words: line 1: 'good:' is not a phrase"),
        ("good:nan", "hot_words: line 1: 'good:nan' is not a phrase"),
        ("good:101", "from -100 to 100"),
        (":3", "hot_words: line 1: ':3' is not a phrase"),
        ("¿?", "hot_words: '¿\\?' has no character of the alphabet"),
        ("a" * 60_000, "at most 200"),
    ],
)
def test_what_is_neither_is_refused(server: Running, spoken: Speak, text: str, says: str) -> None:
    with pytest.raises(ApiError, match=says) as caught:
        server.engine.hot_words(lines=text)
    assert caught.value.error["param"] == "hot_words"
    response = server.transcribe(wav(spoken("be")), hot_words=text)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "invalid_hot_words")
    assert len(response.text) < 400  # no more than a line of what was sent
    url = f"ws://{server.netloc}/v1/stream?hot_words={quote(text[:8_000])}"
    with connect(url) as client:
        assert json.loads(client.recv())["error"]["code"] == "invalid_hot_words"


def test_lines_count_more_than_the_prompt(server: Running, model: Blocked, spoken: Speak) -> None:
    content = wav(spoken("good deed"))
    prompt = f"good morning {'x' * (LONGEST_PHRASE + 1)}"  # a hint: no word of it is an error
    answer = server.transcribe(content, prompt=prompt, hot_words="Good:2\ndeed: 1")
    assert answer.json() == {"text": "good deed"}
    assert model.hot_words == {"good": 2.0, "morning": DEFAULT_WEIGHT, "deed": 1.0}


def test_a_prompt_is_normalised_in_pieces(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of thousands of combining marks in a row Unicode's order takes time with their square."""
    lengths: list[int] = []
    usual = Alphabet.normalise

    def noted(self: Alphabet, text: str) -> str:
        lengths.append(len(text))
        return usual(self, text)

    monkeypatch.setattr(Alphabet, "normalise", noted)
    prompt = f"Good a{2 * LONGEST_PHRASE * chr(0x316)} morning\u2014evening, night!"
    found = server.engine.hot_words(prompt)
    assert found == dict.fromkeys(["good", "morning", "evening", "night"], DEFAULT_WEIGHT)
    assert max(lengths) <= LONGEST_PHRASE


LEXICON = parse_pronunciations(b"".join(b"x%d X\n" % n for n in range(9)), Path("lexicon"))


class Converter:
    """Says whatever it is asked when its gate is open, in the thread that it notes."""

    name = "all alike"

    def __init__(self) -> None:
        self.threads: dict[str, str] = {}
        self.gate = threading.Event()
        self.gate.set()

    def convert(self, words: Sequence[str], wide: bool = False) -> list[Sequence[str]]:
        assert self.gate.wait(PATIENCE)
        self.threads |= {word: threading.current_thread().name for word in words}
        return [LEXICON.words["x1"]] * len(words)


@pytest.fixture(scope="module")
def converting(tone_bundle: Path) -> Iterator[tuple[Running, Converter]]:
    """A server whose lexicon lacks the words of its hot words, by what it seems."""
    converter = Converter()
    letters = load_model(tone_bundle, threads=1, decoder="beam", language_model="none").decoder
    decoder = Mock(wraps=letters)
    decoder.spoken = Mock(pronunciations=replace(LEXICON, converter=converter))

    def stream(hot_words: HotWords | None = None) -> DecoderStream:
        for word in hot_words or ():
            decoder.spoken.pronunciations.of(word, wide=True)
        return letters.stream(hot_words)

    decoder.stream = stream
    with running(Blocked(tone_bundle, decoder)) as server:
        yield server, converter


def test_what_has_to_be_converted_to_phones_has_a_limit(
    converting: tuple[Running, Converter], spoken: Speak
) -> None:
    """64 KiB of letters, the most that a form has room for, took 20 seconds of a core."""
    server, _ = converting
    lines = "\n".join(
        f"{'a' * (MOST_CONVERTED // 50)}{chr(97 + n % 26) * (1 + n)}" for n in range(51)
    )
    response = server.transcribe(wav(spoken("be")), hot_words=lines)
    assert response.status_code == 413
    error = response.json()["error"]
    assert (error["code"], error["param"]) == ("too_many_hot_words", "hot_words")
    assert f"at most {MOST_CONVERTED:,}" in error["message"]
    with connect(f"ws://{server.netloc}/v1/stream?hot_words={quote(lines)}") as client:
        assert json.loads(client.recv())["error"] == error
    assert server.is_at_rest()


def test_a_prompt_gives_as_many_hot_words_as_can_be_converted(
    converting: tuple[Running, Converter],
) -> None:
    server, _ = converting
    own = {f"{'b' * 99}{letter}": 5.0 for letter in "abcdefghijklmnopqrstuvwxyz"}
    words = [f"{'a' * 98}{first}{last}" for first in "abc" for last in "abcdefghijklmnopqrstuvwxyz"]
    room = MOST_CONVERTED // 100 - len(own)
    found = server.engine.hot_words(" ".join(words), "\n".join(own))
    assert found == dict.fromkeys([*words[:room], *own], 5.0)


def test_converting_delays_neither_the_recogniser_nor_the_loop(
    converting: tuple[Running, Converter], spoken: Speak
) -> None:
    server, converter = converting
    assert server.transcribe(wav(spoken("be")), hot_words="abc").status_code == 200
    with connect(f"ws://{server.netloc}/v1/stream?hot_words=abd") as client:
        assert json.loads(client.recv()) == {"type": "ready"}
    assert {word: converter.threads[word][:12] for word in ("abc", "abd")} == {
        "abc": "AnyIO worker",
        "abd": "AnyIO worker",
    }


def test_a_session_may_end_before_its_hot_words_are_ready(
    converting: tuple[Running, Converter], caplog: pytest.LogCaptureFixture
) -> None:
    server, converter = converting
    logging.getLogger("uvicorn").addHandler(caplog.handler)
    converter.gate.clear()
    with connect(f"ws://{server.netloc}/v1/stream?hot_words=abe") as client:
        client.send(bytes(2**20 + 1))
        with pytest.raises(ConnectionClosed, match="1009"):
            client.recv(PATIENCE)
    converter.gate.set()
    assert server.is_at_rest()
    assert server.client.get("/health").status_code == 200  # what it logs is there by now
    logging.getLogger("uvicorn").removeHandler(caplog.handler)
    assert caplog.records == []


def test_phrases_within_phrases_at_the_largest_weight_do_not_end_the_server() -> None:
    """Eight such lines wrote beyond the buffers of the search; one request ended the process."""
    content = SAMPLE.read_bytes()
    with (
        process(bundled_model_path()) as (child, url),
        httpx.Client(base_url=url, timeout=PATIENCE) as client,
    ):
        for count in (8, 20):
            hot = "\n".join(" ".join(["a"] * (i + 1)) + ":100" for i in range(count))
            files, data = {"file": content}, {"model": "whisper-1", "hot_words": hot}
            response = client.post("/v1/audio/transcriptions", files=files, data=data)
            assert (response.status_code, response.json()["error"]["param"]) == (400, "hot_words")
            stream = f"{url.replace('http', 'ws')}/v1/stream?hot_words={quote(hot)}"
            with connect(stream) as socket:
                assert json.loads(socket.recv())["error"]["code"] == "invalid_hot_words"
                assert socket.close_code is None or socket.close_code == 1008
        assert client.get("/health").status_code == 200
        assert child.poll() is None
