from __future__ import annotations

import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
import typer
from rich.console import Console
from typer.testing import CliRunner

import plainspeech
from plainspeech.alphabet import find_alphabet
from plainspeech.arrays import Array
from plainspeech.cli.audio_sources import Playback, StandardInput
from plainspeech.cli.listen import Latency, end_of, listen, on_terminal
from plainspeech.errors import AudioError, ConfigurationError
from plainspeech.runtime.live import LiveTranscriber
from plainspeech.runtime.live_core import FinalResult, PartialResult
from plainspeech.runtime.vad import SpeechDetector
from plainspeech.transcript import Word

Speak = Callable[..., Array]

SOURCE = Path(plainspeech.__file__).parents[1]
SILENCE = np.zeros(16_000, np.float32)


class Clock:
    """Time that passes only where somebody sleeps, and Ctrl+C at given times."""

    def __init__(self) -> None:
        self.now = 100.0
        self.presses: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        while self.presses and self.now >= self.presses[0]:
            self.presses.pop(0)
            signal.raise_signal(signal.SIGINT)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in ("audio_sources", "listen"):
        monkeypatch.setattr(f"plainspeech.cli.{module}.time", clock)
    return clock


@pytest.fixture(autouse=True)
def hears_tones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silero's detector hears no speech in them."""

    def loud() -> SpeechDetector:
        return lambda windows: np.asarray(np.abs(windows).max(axis=1) > 0.1, np.float32)

    monkeypatch.setattr("plainspeech.runtime.vad.silero_detector", loud)


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    app.command()(listen)
    return app


@pytest.fixture
def talk(spoken: Speak) -> Array:
    return np.concatenate([SILENCE, spoken("good deed"), SILENCE, spoken("indeed"), SILENCE])


@pytest.fixture
def file(tmp_path: Path, talk: Array) -> str:
    soundfile.write(tmp_path / "talk.wav", talk, 16_000)
    return str(tmp_path / "talk.wav")


@pytest.fixture(params=["tone_bundle", "streaming_tone_bundle"])
def bundle(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(request.param))


# A recording


def test_what_was_said_is_a_line_each(app: typer.Typer, file: str, bundle: str) -> None:
    result = CliRunner().invoke(app, [file, "--model", bundle])
    assert (result.exit_code, result.stdout) == (0, "good deed\nindeed\n")
    first, last = result.stderr.splitlines()
    assert first == f"listening to {file}; press Ctrl+C to stop"
    assert last.startswith("latency: words appeared 0.")


def test_json_has_words_and_times(app: typer.Typer, file: str, bundle: str) -> None:
    result = CliRunner().invoke(app, [file, "--model", bundle, "-f", "json"])
    first, second = map(json.loads, result.stdout.splitlines())
    assert (first["type"], first["text"], second["text"]) == ("final", "good deed", "indeed")
    assert second["words"][0]["start"] == pytest.approx(2 + 9 * 0.18, abs=0.05)


def test_numbers_are_digits_in_final_results_where_that_is_asked_for(
    app: typer.Typer,
    make_tone_bundle: Callable[..., Path],
    spoken: Speak,
    tmp_path: Path,
    bundle: str,
) -> None:
    file = tmp_path / "years.wav"
    soundfile.write(file, np.concatenate([spoken("in nineteen eighty four"), SILENCE]), 16_000)
    run = [str(file), "--numbers", "digits", "--model"]
    result = CliRunner().invoke(app, [*run, bundle])
    assert (result.exit_code, result.stdout) == (0, "in 1984\n")
    assert "latency: words appeared" in result.stderr  # of the words that were spoken
    (final,) = CliRunner().invoke(app, [*run, bundle, "-f", "json"]).stdout.splitlines()
    assert [word["text"] for word in json.loads(final)["words"]] == ["in", "1984"]
    with pytest.raises(ConfigurationError, match="did you mean 'digits'"):
        CliRunner().invoke(app, [*run, bundle, "--numbers", "digit"], catch_exceptions=False)
    german = make_tone_bundle(tmp_path / "de", language="de")
    with pytest.raises(ConfigurationError, match=r"digits are for English, .* 'de'"):
        CliRunner().invoke(app, [*run, str(german)], catch_exceptions=False)


@pytest.mark.parametrize("windows", [False, True], ids=["whole", "streaming"])
def test_a_model_of_cyrillic_letters(
    app: typer.Typer,
    make_tone_bundle: Callable[..., Path],
    spoken: Speak,
    tmp_path: Path,
    windows: bool,
) -> None:
    russian = find_alphabet("ru")
    bundle = make_tone_bundle(tmp_path / "russian", windows=windows, alphabet=russian)
    file = tmp_path / "дом.wav"
    soundfile.write(
        file, np.concatenate([SILENCE, spoken("мой дом", alphabet=russian), SILENCE]), 16_000
    )
    run = [str(file), "--model", str(bundle), "--decoder", "beam", "--language-model", "none"]
    result = CliRunner().invoke(app, run)
    assert (result.exit_code, result.stdout_bytes) == (0, "мой дом\n".encode())
    result = CliRunner().invoke(app, [*run, "-f", "json", "--hot-word", "Мой Том:90"])
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["text"] == "мой том"
    assert "мой том" in result.stdout  # letters, no escapes


def test_ctrl_c_ends_it_with_what_was_said(
    app: typer.Typer, file: str, bundle: str, clock: Clock
) -> None:
    handler = signal.getsignal(signal.SIGINT)
    clock.presses = [clock.now + 1.85]
    result = CliRunner().invoke(app, [file, "--model", bundle])
    assert (result.exit_code, result.stdout) == (0, "good\n")
    assert clock.now == pytest.approx(101.85, abs=0.05)
    assert result.stderr.splitlines()[-1].startswith("latency: ")
    assert signal.getsignal(signal.SIGINT) is handler


def test_ctrl_c_twice_ends_it_at_once(
    app: typer.Typer, file: str, bundle: str, clock: Clock
) -> None:
    clock.presses = [clock.now + 1.85] * 2
    result = CliRunner().invoke(app, [file, "--model", bundle])
    assert (result.exit_code != 0, result.stdout) == (True, "")


def test_silence_has_no_latency(app: typer.Typer, tmp_path: Path, bundle: str) -> None:
    soundfile.write(tmp_path / "a.wav", SILENCE, 16_000)
    result = CliRunner().invoke(app, [str(tmp_path / "a.wav"), "--model", bundle])
    assert (result.exit_code, result.stdout) == (0, "")
    assert len(result.stderr.splitlines()) == 1


def test_latency_is_measured_by_the_clock(
    app: typer.Typer,
    file: str,
    streaming_tone_bundle: Path,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    feed = LiveTranscriber.feed

    def slow(self: LiveTranscriber, waveform: Array) -> Any:
        clock.now += len(waveform) / 16_000 / 2 + 0.5
        return feed(self, waveform)

    def latencies() -> list[float]:
        result = CliRunner().invoke(app, [file, "--model", str(streaming_tone_bundle)])
        times = re.findall(r"(\d\.\d\d) s", result.stderr)
        assert len(times) == 4
        return [float(time) for time in times]

    usual = latencies()
    # A window has 300 ms, after a chunk of 240; a pause has 640.
    assert 0 < usual[0] <= usual[1] < 0.6
    assert usual[2] == pytest.approx(0.64, abs=0.05)
    monkeypatch.setattr(LiveTranscriber, "feed", slow)
    for quick, late in zip(usual, latencies(), strict=True):
        assert quick + 0.4 < late < quick + 2.5


def test_a_recording_keeps_pace_and_catches_up(file: str, talk: Array, clock: Clock) -> None:
    blocks = Playback(Path(file)).blocks(16_000)
    heard = [next(blocks) for _ in range(10)]
    assert clock.now == pytest.approx(100 + 10 * 0.032)
    assert [block.recorded for block in heard] == pytest.approx(
        [100 + 0.032 * n for n in range(1, 11)]
    )
    clock.now += 0.5
    late = next(blocks)
    assert len(late.waveform) == 8_000
    rest = [block.waveform for block in blocks]
    joined = np.concatenate([*(block.waveform for block in heard), late.waveform, *rest])
    np.testing.assert_allclose(joined, talk, atol=1e-4)
    assert clock.now == pytest.approx(100 + len(talk) / 16_000)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["-f", "jsn"], "unknown format 'jsn'; did you mean 'json'?"),
        (["--device", "1"], "--device: cannot be used with a recording"),
        (["--hot-word", "deed:8"], "greedy decoding cannot use them"),
        (["--hot-word", "deed:x"], "is not a phrase with a weight"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is(
    app: typer.Typer, file: str, bundle: str, arguments: list[str], says: str
) -> None:
    result = CliRunner().invoke(app, [file, "--model", bundle, *arguments])
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", "")
    assert says in str(result.exception)


def test_a_file_that_is_no_recording(app: typer.Typer, bundle: str, tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    result = CliRunner().invoke(app, [str(tmp_path / "a.wav"), "--model", bundle])
    assert result.exit_code == 1
    assert str(tmp_path / "a.wav") in str(result.exception)


def test_hot_words_are_heard(app: typer.Typer, tmp_path: Path, spoken: Speak, bundle: str) -> None:
    soundfile.write(tmp_path / "a.wav", spoken("first one"), 16_000)
    arguments = [str(tmp_path / "a.wav"), "--model", bundle, "--decoder", "beam"]
    assert CliRunner().invoke(app, arguments).stdout == "first one\n"
    hot = CliRunner().invoke(app, [*arguments, "--hot-word", "first fun:90"])
    assert hot.stdout == "first fun\n"


# A pipe


def arriving(content: bytes) -> StandardInput:
    return StandardInput(io.BufferedReader(io.BytesIO(content)))


def heard(content: bytes, rate: int = 16_000) -> Array:
    return np.concatenate([block.waveform for block in arriving(content).blocks(rate)])


def as_wav(samples: Array, rate: int, subtype: str = "PCM_16") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV", subtype=subtype)
    return file.getvalue()


def test_raw_samples_and_wav_are_heard_as_they_arrive(talk: Array) -> None:
    samples = np.round(talk * 32767).astype("<i2")
    expected = samples.astype(np.float32) / 32768
    np.testing.assert_array_equal(heard(samples.tobytes()), expected)
    np.testing.assert_array_equal(heard(samples.tobytes() + b"1"), expected)
    wav = as_wav(samples, 16_000)
    np.testing.assert_array_equal(heard(wav + b"LIST of what follows"), expected)
    for size in (0, 0x80000000, 0xFFFFFFFF):  # who records does not know it yet
        streamed = wav[:40] + size.to_bytes(4, "little") + wav[44:]
        np.testing.assert_array_equal(heard(streamed), expected)
    stereo = as_wav(np.stack([samples, samples], axis=1), 16_000)
    np.testing.assert_array_equal(heard(stereo), expected)
    slower = heard(as_wav(samples, 8_000))
    assert len(slower) == 2 * len(samples)  # with what the resampler held back to the end


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"fLaC....", "standard input: listening takes WAV or raw samples .* 'plainspeech trans"),
        (b"ID3\x04", "standard input: listening takes WAV"),
        (b"RIFFxxxxWAVE", "standard input: is no WAV of 16-bit samples"),
        (as_wav(SILENCE, 16_000, "PCM_24"), "standard input: has samples of 24 bits; send 16"),
        (as_wav(SILENCE, 16_000, "FLOAT"), "standard input: is no WAV of 16-bit samples"),
    ],
)
def test_what_cannot_be_heard_as_it_arrives(content: bytes, message: str) -> None:
    with pytest.raises(AudioError, match=message):
        heard(content)


def test_an_empty_pipe_is_silent() -> None:
    assert list(arriving(b"").blocks(16_000)) == []


@pytest.mark.parametrize("verb", ["listen", "transcribe"])
def test_standard_input_may_be_closed(
    verb: str,
    tone_bundle: Path,
    monkeypatch: pytest.MonkeyPatch,
    plainspeech: Callable[..., tuple[int, str]],
) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    status, said = plainspeech(verb, "-", "--model", tone_bundle)
    assert (status, said) == (1, "error: -: standard input is closed; name a recording\n")


def test_standard_input_is_a_dash(tone_bundle: Path, talk: Array) -> None:
    code = (
        "import numpy as np, plainspeech.runtime.vad as vad\n"
        "from plainspeech.cli import main\n"
        "vad.silero_detector = lambda: lambda w: (abs(w).max(axis=1) > 0.1).astype('float32')\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "listen", "-", "--model", str(tone_bundle)],
        input=np.round(talk * 32767).astype("<i2").tobytes(),
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        check=True,
    )
    assert done.stdout == b"good deed\nindeed\n"
    assert done.stderr.startswith(b"listening to standard input; press Ctrl+C to stop\n")


# The microphone


class Stream:
    """A microphone that gives its blocks at once, and then waits until Ctrl+C is pressed."""

    def __init__(self, blocks: list[Array], overflows: int, there: bool, **options: Any) -> None:
        self.blocks, self.overflows, self.there, self.options = blocks, overflows, there, options

    def __enter__(self) -> Stream:
        for place, block in enumerate(self.blocks):
            status = SimpleNamespace(input_overflow=place < self.overflows)
            self.options["callback"](block[:, None], len(block), None, status)
            block[:] = np.nan  # PortAudio uses its buffers again
        return self

    def __exit__(self, *_: object) -> None:
        self.blocks.clear()

    @property
    def active(self) -> bool:
        signal.raise_signal(signal.SIGINT)
        return self.there


class Sounddevice(SimpleNamespace):
    """In place of the library."""

    class PortAudioError(Exception):
        pass

    devices = (
        {"name": "loud speaker", "max_input_channels": 0},
        {"name": "built in", "max_input_channels": 2, "default_samplerate": 48_000.0},
    )

    blocks: list[Array]
    overflows = 0
    there = True
    options: dict[str, Any]

    def query_devices(self, device: str | int | None = None, kind: str | None = None) -> Any:
        if kind is None:
            return self.devices
        assert kind == "input"
        if device is None and len(self.devices) < 2:
            raise self.PortAudioError("Error querying device -1")
        if device in (None, 1, "built"):
            return self.devices[1]
        raise ValueError(f"No input device matching {device!r}")

    def InputStream(self, **options: Any) -> Stream:
        self.options = options
        if not self.blocks:
            raise self.PortAudioError("Error opening InputStream: Device unavailable")
        return Stream(self.blocks, self.overflows, self.there, **options)


@pytest.fixture
def library(spoken: Speak, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sounddevice]:
    silence = np.zeros(48_000, np.float32)
    talk = np.concatenate([silence, spoken("good deed", 48_000), silence])
    library = Sounddevice(blocks=list(np.array_split(talk, len(talk) // 1_536)))
    monkeypatch.setitem(sys.modules, "sounddevice", library)
    yield library
    assert library.blocks == []  # it was closed


def test_the_microphone_is_heard_until_ctrl_c(
    app: typer.Typer, library: Sounddevice, bundle: str
) -> None:
    result = CliRunner().invoke(app, ["--model", bundle])
    assert (result.exit_code, result.stdout) == (0, "good deed\n")
    assert result.stderr.splitlines()[0] == "listening to built in; press Ctrl+C to stop"
    assert len(result.stderr.splitlines()) == 2
    assert (library.options["samplerate"], library.options["channels"]) == (48_000, 1)
    assert library.options["device"] is None


@pytest.mark.parametrize(("device", "asked"), [("1", 1), ("built", "built")])
def test_a_microphone_has_a_number_and_a_name(
    app: typer.Typer, library: Sounddevice, bundle: str, device: str, asked: object
) -> None:
    result = CliRunner().invoke(app, ["--model", bundle, "--device", device])
    assert (result.exit_code, result.stdout) == (0, "good deed\n")
    assert library.options["device"] == asked


@pytest.mark.parametrize("by", ["the system", "us"])
def test_lost_sound_is_told_once(
    app: typer.Typer, library: Sounddevice, bundle: str, by: str
) -> None:
    if by == "the system":
        library.overflows = 3
    else:
        library.blocks += [np.zeros(1_536, np.float32) for _ in range(400)]
    result = CliRunner().invoke(app, ["--model", bundle])
    assert (result.exit_code, result.stdout) == (0, "good deed\n")
    assert result.stderr.count("warning: audio was lost") == 1


def test_a_microphone_that_is_pulled_out(
    app: typer.Typer, library: Sounddevice, bundle: str
) -> None:
    library.there = False
    result = CliRunner().invoke(app, ["--model", bundle])
    assert (result.exit_code, result.stdout) == (1, "good deed\n")
    assert str(result.exception) == "built in: was disconnected"


@pytest.mark.parametrize(
    ("devices", "arguments", "says"),
    [
        (2, ["--device", "x"], "--device: 'x' is not one of the microphones 1 'built in'"),
        (2, ["--device", "0"], "--device: 0 is not one of the microphones 1 'built in'"),
        (1, [], "no microphone was found"),
        (2, [], "built in: cannot be opened: Error opening InputStream: Device unavailable"),
    ],
)
def test_a_microphone_that_cannot_be_had(
    app: typer.Typer,
    library: Sounddevice,
    bundle: str,
    devices: int,
    arguments: list[str],
    says: str,
) -> None:
    library.blocks.clear()
    library.devices = library.devices[:devices]  # type: ignore[assignment]
    result = CliRunner().invoke(app, ["--model", bundle, *arguments])
    assert (result.exit_code, result.stdout) == (1, "")
    assert str(result.exception) == says


def test_the_extra_is_named_where_it_is_missing(
    app: typer.Typer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    result = CliRunner().invoke(app, [])
    assert "this needs the listen extra: " in str(result.exception)
    assert "pip install -c constraints.txt '.[listen]'" in str(result.exception)


def test_portaudio_is_named_where_it_is_missing(
    app: typer.Typer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "sounddevice.py").write_text("raise OSError('PortAudio library not found')")
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    result = CliRunner().invoke(app, [])
    says = "PortAudio library not found; on Debian and Ubuntu: apt install libportaudio2"
    assert str(result.exception) == says


# What is shown


def test_the_terminal_shows_what_is_being_said_and_what_was() -> None:
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=40, color_system="standard")
    with on_terminal(console) as show:
        show(PartialResult("good de", "good", 1.2))
        assert file.getvalue().endswith("good\x1b[2m de\x1b[0m")
        show(FinalResult("[good] deed", 3_661.2, 3_662.0, ()))
        assert file.getvalue().split("\x1b[2K")[-1] == "\x1b[2m1:01:01\x1b[0m [good] deed\n"
        show(FinalResult("", 3_670.0, 3_671.0, ()))
    assert file.getvalue().count("\n") == 2  # one is Live's, which it takes back


def test_long_text_shows_its_end() -> None:
    text = end_of(PartialResult("one two three four", "one two three", 0.0), 12)
    assert text.plain == "… three four"
    assert [(s.start, s.end) for s in text.spans if s.style == "dim"][-1] == (7, 12)
    assert end_of(PartialResult("one two", "one", 0.0), 7).plain == "one two"


def test_a_word_is_shown_when_it_stands_at_its_place() -> None:
    latency = Latency()
    latency.spoken(4.0, 104.5)
    latency.shown(PartialResult("a god", "", 0.0), 101.0)
    latency.shown(PartialResult("a good", "a", 0.0), 102.0)
    words = Word("a", 0.0, 0.1, 1.0), Word("good", 0.2, 0.5, 1.0), Word("deed", 0.6, 1.0, 1.0)
    latency.shown(FinalResult("a good deed", 0.0, 1.2, words), 103.0)
    assert latency.summary() == (
        "latency: words appeared 1.00 s (95th percentile 1.50 s) after they were spoken, final "
        "results 1.50 s (95th percentile 1.50 s) after the last word of an utterance"
    )
    assert Latency().summary() is None


def test_a_terminal_and_ctrl_c_as_users_have_them(streaming_tone_bundle: Path) -> None:
    """With real speech, of which the tones make what they can, and in real time."""
    clip = Path(__file__).resolve().parents[2] / "samples" / "1272-135031-0004.flac"
    seen, terminal = pty.openpty()
    code = "from plainspeech.cli import main; main()"
    arguments = ["listen", str(clip), "--model", str(streaming_tone_bundle)]
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=terminal,
        stderr=terminal,
        env={**os.environ, "PYTHONPATH": str(SOURCE), "TERM": "xterm", "COLUMNS": "200"},
    ) as child:
        shown = b""
        while b"\x1b[2m" not in shown:  # something that may change yet
            shown += os.read(seen, 100_000)
        child.send_signal(signal.SIGINT)
        assert child.wait(60) == 0
    shown += os.read(seen, 100_000)
    os.close(terminal)
    os.close(seen)
    assert b"\x1b[2m0:00:00\x1b[0m " in shown
    assert b"latency: words appeared " in shown
