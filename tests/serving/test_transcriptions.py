"""Every format, through HTTP and through OpenAI's own client."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import openai
import pytest
import soundfile
from servers import PATH, Blocked, Running, Speak, loud, running, wav

from plainspeech.runtime.recognizer import Recognizer, load_model
from plainspeech.serving import recordings
from plainspeech.serving.engine import Engine
from plainspeech.serving.recordings import UploadedRecording
from plainspeech.serving.server_settings import ServerSettings
from plainspeech.transcript import Segment, Transcript, Word


@pytest.fixture(scope="module")
def server(tone_bundle: Path) -> Iterator[Running]:
    with running(tone_bundle, token="sesame") as server:
        server.client.headers["Authorization"] = "Bearer sesame"
        yield server


@pytest.fixture(scope="module")
def client(server: Running) -> Iterator[openai.OpenAI]:
    url = f"http://{server.netloc}/v1"
    with openai.OpenAI(base_url=url, api_key="sesame", max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def clip(spoken: Speak) -> bytes:
    return wav(spoken("good deed"))


@pytest.fixture(scope="module")
def long(spoken: Speak) -> bytes:
    """Forty seconds, of which two utterances are speech."""
    pause = np.zeros(16_000 * 18, np.float32)
    samples = np.concatenate([spoken("good deed"), pause, spoken("indeed"), pause, pause[:9_999]])
    return wav(samples)


def test_json_and_text(client: openai.OpenAI, clip: bytes) -> None:
    create = client.audio.transcriptions.create
    assert create(model="whisper-1", file=("a.wav", clip)).text == "good deed"
    assert create(model="tones", file=clip, response_format="json").text == "good deed"
    text = create(model="tones", file=clip, response_format="text")
    assert text == "good deed\n"


def test_subtitles(client: openai.OpenAI, clip: bytes) -> None:
    srt = client.audio.transcriptions.create(model="tones", file=clip, response_format="srt")
    number, times, text = srt.splitlines()
    assert (number, text) == ("1", "good deed")
    assert times.startswith("00:00:00,000 --> 00:00:01,")
    vtt = client.audio.transcriptions.create(model="tones", file=clip, response_format="vtt")
    assert vtt.startswith("WEBVTT\n\n00:00:00.000 --> 00:00:01.")


@pytest.mark.parametrize("kind", ["json", "text", "srt", "vtt", "verbose_json"])
def test_formats_are_written_beside_the_loop(
    server: Running, clip: bytes, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Subtitles of four hours take seconds, in which nobody else would be served."""
    in_loop: list[bool] = []

    class Watched(Transcript):
        @property
        def segments(self) -> tuple[Segment, ...]:
            try:
                asyncio.get_running_loop()
            except RuntimeError:
                in_loop.append(False)
            else:
                in_loop.append(True)
            return (Segment((Word("good", 0.0, 0.5, 0.9),)),)

        def __init__(self) -> None:
            object.__setattr__(self, "duration", 1.0)

    monkeypatch.setattr(recordings, "join_parts", lambda _: Watched())
    assert "good" in server.transcribe(clip, response_format=kind).text
    assert in_loop
    assert not any(in_loop)


def test_the_times_of_segments(client: openai.OpenAI, long: bytes) -> None:
    found = client.audio.transcriptions.create(
        model="tones", file=long, response_format="verbose_json"
    )
    assert (found.text, found.words) == ("good deed indeed", None)
    assert float(found.duration) == pytest.approx(39.3, abs=0.1)
    assert found.segments is not None
    first, second = found.segments
    assert (first.id, first.text, second.id, second.text) == (0, "good deed", 1, "indeed")
    assert first.start == pytest.approx(0.0, abs=0.05)
    assert second.start == pytest.approx(19.62, abs=0.05)
    assert second.seek == round(100 * second.start)
    assert -1 < first.avg_logprob <= 0
    assert first.tokens == []
    for segment in found.segments:  # tones have pauses between them
        assert 0 < segment.no_speech_prob < 0.5
        assert 0 < segment.model_dump()["confidence"] <= 1
    probabilities = [segment.no_speech_prob for segment in found.segments]
    assert found.model_dump()["no_speech_prob"] == min(probabilities)
    assert 0 < found.model_dump()["confidence"] <= 1


def test_where_nothing_is_said_there_is_no_speech(server: Running) -> None:
    silent = wav(np.zeros(32_000, np.float32))
    data = {"model": "tones", "response_format": "verbose_json"}
    found = server.client.post(PATH, files={"file": silent}, data=data).json()
    assert (found["text"], found["segments"]) == ("", [])
    assert (found["no_speech_prob"], found["confidence"]) == (1.0, 0.0)


@pytest.fixture(scope="module")
def stereo(spoken: Speak) -> bytes:
    left, right = spoken("good deed"), spoken("indeed")
    channels = np.stack([left, np.pad(right, (0, len(left) - len(right)))], axis=1)
    return wav(channels)


def test_numbers_are_digits_where_that_is_asked_for(server: Running, spoken: Speak) -> None:
    content = wav(spoken("in nineteen eighty four"))
    assert server.transcribe(content).json() == {"text": "in nineteen eighty four"}
    assert server.transcribe(content, numbers="digits").json() == {"text": "in 1984"}
    fields = {"response_format": "verbose_json", "timestamp_granularities[]": "word"}
    verbose = server.transcribe(content, numbers="digits", **fields).json()
    assert [word["word"] for word in verbose["words"]] == ["in", "1984"]
    events = server.transcribe(content, numbers="digits", stream="true").text
    assert '"text": "in 1984"' in events
    refused = server.transcribe(content, numbers="digit")
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "numbers")
    assert "'words' or 'digits'" in refused.json()["error"]["message"]


def test_channels_that_are_transcribed_separately(server: Running, stereo: bytes) -> None:
    def post(form: str, **fields: str) -> httpx.Response:
        data = {"model": "tones", "response_format": form, "channels": "separate"} | fields
        return server.client.post(PATH, files={"file": stereo}, data=data)

    granularities = {"timestamp_granularities[]": ["word", "segment"]}
    found = post("verbose_json", **granularities).json()  # type: ignore[arg-type]
    texts = [(segment["channel"], segment["text"]) for segment in found["segments"]]
    assert texts == [(1, "good deed"), (2, "indeed")]
    words = [(word["channel"], word["word"]) for word in found["words"]]
    assert words == [(1, "good"), (1, "deed"), (2, "indeed")]
    assert post("text").text == "[1] good deed\n[2] indeed\n"
    assert post("srt").text.count("[2] indeed") == 1
    assert post("vtt").text.count("[1] good deed") == 1
    assert post("json").json()["text"] == "good deed indeed"
    events = [
        json.loads(line[6:]) for line in post("json", stream="true").text.split("\n\n") if line
    ]
    assert [event.get("channel") for event in events] == [1, 2, None]
    assert post("json", channels="both").status_code == 400


def test_separate_channels_count_together(tone_bundle: Path, stereo: bytes) -> None:
    fields = {"model": "tones", "channels": "separate"}
    with running(tone_bundle, audio_seconds=3.0) as server:
        files = {"file": stereo}
        assert server.client.post(PATH, files=files, data={"model": "tones"}).is_success
        refused = server.client.post(PATH, files=files, data=fields)
    assert refused.status_code == 413
    assert "its channels together" in refused.json()["error"]["message"]


def test_the_times_of_words(client: openai.OpenAI, long: bytes) -> None:
    found = client.audio.transcriptions.create(
        model="tones",
        file=long,
        response_format="verbose_json",
        timestamp_granularities=["word"],
        language="en",
    )
    assert (found.language, found.segments) == ("en", None)
    assert found.words is not None
    assert [word.word for word in found.words] == ["good", "deed", "indeed"]
    assert found.words[2].start == pytest.approx(19.62, abs=0.05)
    both = client.audio.transcriptions.create(
        model="tones",
        file=long,
        response_format="verbose_json",
        timestamp_granularities=["word", "segment"],
    )
    assert both.words == found.words
    assert both.segments is not None
    assert len(both.segments) == 2


def test_a_stream_of_segments(client: openai.OpenAI, long: bytes) -> None:
    events = list(client.audio.transcriptions.create(model="tones", file=long, stream=True))
    deltas = [event.delta for event in events if event.type == "transcript.text.delta"]
    assert deltas == ["good deed", " indeed"]
    assert events[-1].type == "transcript.text.done"
    assert events[-1].text == "good deed indeed"
    last = events[1].model_dump()  # with what OpenAI's has not: times, words and the progress
    assert (last["start"], last["end"]) == pytest.approx((19.62, 20.64), abs=0.05)
    assert [word["word"] for word in last["words"]] == ["indeed"]
    assert last["transcribed"] == last["duration"] == pytest.approx(39.3, abs=0.1)
    assert events[-1].model_dump()["duration"] == last["duration"]


def test_a_stream_that_ends_early_leaves_nothing_behind(tone_bundle: Path, spoken: Speak) -> None:
    """A client that reads no more ends it in the loop, where chunks still wait in the queue."""
    recognizer = Blocked(tone_bundle)
    engine = Engine.build(recognizer, ServerSettings(batching=False), loud)
    utterance = np.append(spoken("good deed"), np.zeros(16_000 * 4, np.float32))
    file = io.BytesIO(wav(np.tile(utterance, 3)))

    async def main() -> None:
        async with engine.running():
            recognizer.passes = 2  # of three chunks; the first is passed on after the second
            recording = UploadedRecording(engine, file, "a.wav", None, "mixed", "words")
            parts = recording.parts()
            part = await anext(parts)
            assert [segment.text for segment in part.segments] == ["good deed"]
            await parts.aclose()
            recognizer.gate.set()

    asyncio.run(main())
    assert file.closed


def test_an_error_in_a_stream(client: openai.OpenAI, spoken: Speak, server: Running) -> None:
    """FLAC that is damaged in the middle, where some has been sent already."""
    noise = np.random.default_rng(1).normal(0, 0.05, 16_000 * 20)
    samples = np.concatenate([spoken("good deed"), np.zeros(16_000 * 20), *[noise] * 20])
    file = io.BytesIO()
    soundfile.write(file, samples, 16_000, format="FLAC")
    content = file.getvalue()
    with pytest.raises(openai.APIError, match="damaged or truncated"):
        list(
            client.audio.transcriptions.create(
                model="tones", file=content[: len(content) // 2], stream=True
            )
        )
    with pytest.raises(openai.BadRequestError):
        client.audio.transcriptions.create(model="tones", file=b"nothing", stream=True)
    assert server.is_at_rest()


def test_a_stream_that_takes_too_long(tone_bundle: Path, spoken: Speak) -> None:
    """Some of it has been sent, so that 504 cannot be: the last event says why it ends."""
    utterance = np.append(spoken("good deed"), np.zeros(16_000 * 4, np.float32))
    recognizer = Blocked(tone_bundle)
    with running(recognizer, request_seconds=3.0, batching=False) as server:
        recognizer.passes = 2  # of three chunks; the first is passed on after the second
        response = server.transcribe(wav(np.tile(utterance, 3)), stream="true")
        recognizer.gate.set()
        *deltas, last, end = response.text.split("\n\n")
        assert (len(deltas), end) == (1, "")
        kind, _, data = last.partition("\n")
        assert kind == "event: error"
        assert json.loads(data.removeprefix("data: "))["error"]["code"] == "timeout"
        assert server.is_at_rest()


def test_a_failure_of_ours_in_a_stream(
    tone_bundle: Path, spoken: Speak, caplog: pytest.LogCaptureFixture
) -> None:
    utterance = np.append(spoken("good deed"), np.zeros(16_000 * 4, np.float32))
    recognizer = Blocked(tone_bundle)
    with running(recognizer, batching=False) as server:
        recognizer.passes = 2  # of three chunks; the first is passed on after the second
        files = {"file": ("a.wav", wav(np.tile(utterance, 3)))}
        data = {"model": "whisper-1", "stream": "true"}
        lines: list[str] = []
        with server.client.stream("POST", PATH, files=files, data=data) as response:
            for line in response.iter_lines():
                lines.append(line)
                recognizer.error = RuntimeError("secret")
                recognizer.gate.set()
        assert response.status_code == 200
        assert lines[2] == "event: error"
        error = json.loads(lines[3].removeprefix("data: "))["error"]
        assert (error["type"], error["code"]) == ("server_error", "internal_error")
        assert "secret" not in error["message"]
        assert "RuntimeError: secret" in caplog.text
        assert server.is_at_rest()


def test_the_models(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["tones"]


def test_errors_are_those_of_the_client(client: openai.OpenAI, clip: bytes) -> None:
    create = client.audio.transcriptions.create
    with pytest.raises(openai.NotFoundError, match="'tones' or 'whisper-1'"):
        create(model="gpt-4o-transcribe", file=clip)
    with pytest.raises(openai.BadRequestError, match="not audio"):
        create(model="tones", file=b"Dear diary")
    with pytest.raises(openai.AuthenticationError, match="Bearer"):
        client.with_options(api_key="wrong").audio.transcriptions.create(model="tones", file=clip)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("response_format", "docx"),
        ("temperature", "warm"),
        ("temperature", "nan"),
        ("timestamp_granularities[]", "letter"),
        ("timestamp_granularities[]", "word"),
        ("stream", "perhaps"),
    ],
)
def test_fields_that_are_not_valid(server: Running, clip: bytes, field: str, value: str) -> None:
    response = server.transcribe(clip, **{field: value})
    assert response.status_code == 400
    error = response.json()["error"]
    assert error["param"] == field
    assert field in error["message"]


@pytest.mark.parametrize("field", ["file", "model"])
def test_fields_that_are_missing(server: Running, clip: bytes, field: str) -> None:
    parts: dict[str, tuple[str | None, bytes]] = {
        "file": ("a.wav", clip),
        "model": (None, b"tones"),
    }
    del parts[field]
    response = server.client.post(PATH, files=parts)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == field


def test_what_is_no_form(server: Running, clip: bytes) -> None:
    for kind in ("application/json", "multipart/form-data", "audio/wav"):
        response = server.client.post(PATH, content=clip, headers={"Content-Type": kind})
        assert response.status_code == 400
        assert response.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    "parameter", ["charset=punycode", "charset=IDNA", "charset=hex", "charset=x"]
)
def test_a_form_in_an_encoding_that_takes_long_to_read_is_refused(
    server: Running, clip: bytes, parameter: str
) -> None:
    """Punycode takes time with the square of a field's length, and nobody else is served then."""
    response = server.client.post(PATH, content=form(clip), headers=in_encoding(parameter))
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "bad_request"
    assert "charset" in response.json()["error"]["message"]


@pytest.mark.parametrize(
    "parameter",
    ["charset=utf-8", "charset=UTF8", "charset=ISO-8859-1", "charset=us-ascii", "version=1"],
)
def test_a_form_may_say_its_encoding(server: Running, clip: bytes, parameter: str) -> None:
    response = server.client.post(PATH, content=form(clip), headers=in_encoding(parameter))
    assert response.json() == {"text": "good deed"}


def form(clip: bytes) -> bytes:
    """Return a form by hand."""
    head = '--x\r\nContent-Disposition: form-data; name="{}"\r\n\r\n'
    model, file = (head.format(name).encode() for name in ("model", "file"))
    return model + b"tones\r\n" + file + clip + b"\r\n--x--\r\n"


def in_encoding(parameter: str) -> dict[str, str]:
    """Return the header of such a form with another parameter."""
    return {"Content-Type": f"multipart/form-data; boundary=x; {parameter}"}


def test_a_text_in_the_place_of_the_file(server: Running) -> None:
    response = server.client.post(PATH, data={"model": "tones", "file": "a.wav"})
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "file"


def test_the_prompt_makes_no_difference_to_greedy_decoding(server: Running, clip: bytes) -> None:
    assert server.transcribe(clip, prompt="good Morning, Vietnam!").json() == {"text": "good deed"}


def test_greedy_decoding_refuses_hot_words(server: Running, clip: bytes) -> None:
    response = server.transcribe(clip, hot_words="good:8")
    assert response.status_code == 400
    error = response.json()["error"]
    assert error["code"] == "invalid_hot_words"
    assert error["message"].startswith("hot_words: this server decodes greedily")


def test_the_prompt_is_hot_words_of_the_beam_search(tone_bundle: Path, clip: bytes) -> None:
    model = Blocked(
        tone_bundle,
        load_model(tone_bundle, threads=1, decoder="beam", language_model="none").decoder,
    )
    with running(model) as server:
        assert server.transcribe(clip, prompt="Good MORNING to you, good café").status_code == 200
        assert model.hot_words == dict.fromkeys(["good", "morning", "cafe"], 5.0)
        assert server.transcribe(clip, prompt="¿?").status_code == 200
        assert model.hot_words is None


def test_the_language_of_the_model_is_the_only_one(
    tone_bundle: Path, clip: bytes, server: Running
) -> None:
    bundle = load_model(tone_bundle).bundle
    bundle = replace(bundle, card={**bundle.card, "language": "en"})
    with running(Recognizer(bundle, 1)) as english:
        assert english.transcribe(clip, language="en").status_code == 200
        response = english.transcribe(clip, language="de")
        assert response.status_code == 400
        assert response.json()["error"]["param"] == "language"
        verbose = english.transcribe(clip, response_format="verbose_json").json()
        assert verbose["language"] == "en"
    assert server.transcribe(clip, language="de").status_code == 200


@pytest.mark.parametrize("language", ["en", "EN", " en ", "en-US", "en_GB", "", " "])
@pytest.mark.parametrize("known", ["en", "en-US"])
def test_a_language_with_or_without_its_region(
    tone_bundle: Path, clip: bytes, language: str, known: str
) -> None:
    bundle = load_model(tone_bundle).bundle
    model = Recognizer(replace(bundle, card={**bundle.card, "language": known}), 1)
    with running(model) as server:
        answer = server.transcribe(clip, language=language, response_format="verbose_json")
        assert answer.json()["language"] == known
        assert server.transcribe(clip, language="eng-lish").status_code == 400


@pytest.mark.parametrize("field", ["timestamp_granularities", "timestamp_granularities[]"])
def test_granularities_with_and_without_brackets(server: Running, clip: bytes, field: str) -> None:
    values = {"response_format": "verbose_json", field: ["word"]}
    found = server.transcribe(clip, **values).json()
    assert [word["word"] for word in found["words"]] == ["good", "deed"]
    assert "segments" not in found


@pytest.mark.parametrize("form", ["verbose_json", "srt", "vtt"])
def test_a_stream_of_another_format_is_refused(server: Running, clip: bytes, form: str) -> None:
    response = server.transcribe(clip, stream="true", response_format=form)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "stream"


def test_a_stream_of_text_is_events_too(server: Running, clip: bytes) -> None:
    response = server.transcribe(clip, stream="true", response_format="text")
    assert response.headers["Content-Type"].startswith("text/event-stream")
    # nginx would keep events back until there are several kilobytes, or the end.
    assert response.headers["X-Accel-Buffering"] == "no"
    assert response.headers["Cache-Control"] == "no-cache"


def test_a_file_without_a_name(server: Running, clip: bytes) -> None:
    """As ``curl --form 'file=<a.wav'`` sends it."""
    parts: list[bytes] = []
    for name, value in (("model", b"tones"), ("file", clip), ("response_format", b"json")):
        head = f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'
        parts += [head.encode(), value, b"\r\n"]
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    response = server.client.post(PATH, content=b"".join([*parts, b"--x--\r\n"]), headers=headers)
    assert response.json() == {"text": "good deed"}


def test_the_schema_tells_of_the_fields(server: Running) -> None:
    schema = server.client.get("/openapi.json").json()
    assert "timestamp_granularities[]" in json.dumps(schema)
