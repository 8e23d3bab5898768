from __future__ import annotations

import gc
import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path, PurePath
from threading import Barrier
from time import sleep
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
import typer
from typer.testing import CliRunner

import plainspeech
from plainspeech.cli.transcribe import transcribe
from plainspeech.cli.transcript_files import InputFile, Line
from plainspeech.errors import ConfigurationError, PlainspeechError
from plainspeech.runtime.long_audio import TranscriptPart
from plainspeech.runtime.recognizer import Recognizer
from plainspeech.transcript import Segment, Word
from tones import TONES_ARE_SPEECH

Speak = Callable[..., npt.NDArray[np.float32]]
SOURCE = Path(plainspeech.__file__).parents[1]


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    app.command()(transcribe)
    return app


@pytest.fixture
def clips(tmp_path: Path, spoken: Speak) -> list[str]:
    paths = [str(tmp_path / name) for name in ("one.wav", "two.flac")]
    soundfile.write(paths[0], spoken("first one"), 16_000)
    soundfile.write(paths[1], spoken("second", 44_100), 44_100)
    return paths


def test_one_file_is_its_text_alone(app: typer.Typer, clips: list[str], tone_bundle: Path) -> None:
    result = CliRunner().invoke(app, [clips[0], "--model", str(tone_bundle)])
    assert (result.exit_code, result.stdout, result.stderr) == (0, "first one\n", "")


@pytest.mark.parametrize("cores", [1, 2])
def test_garbage_is_collected_again_once_all_is_loaded(
    app: typer.Typer,
    clips: list[str],
    tone_bundle: Path,
    cores: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("plainspeech.cores.available_cores", lambda: cores)
    result = CliRunner().invoke(app, [clips[0], "--model", str(tone_bundle)])
    assert result.stdout == "first one\n"
    for _ in range(100):  # the loader does it, after its last use
        if gc.isenabled():
            break
        sleep(0.1)
    assert gc.isenabled()


def test_several_files_are_named(app: typer.Typer, clips: list[str], tone_bundle: Path) -> None:
    result = CliRunner().invoke(app, [*clips, "--model", str(tone_bundle)])
    assert result.exit_code == 0
    assert result.stdout == f"{clips[0]}: first one\n{clips[1]}: second\n"


def test_silence_is_an_empty_line(app: typer.Typer, tmp_path: Path, tone_bundle: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(16_000), 16_000)
    result = CliRunner().invoke(app, [str(tmp_path / "a.wav"), "--model", str(tone_bundle)])
    assert (result.exit_code, result.stdout) == (0, "\n")


def test_no_file_is_a_usage_error(app: typer.Typer) -> None:
    assert CliRunner().invoke(app, []).exit_code == 2


def run(arguments: list[str], piped: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run the verb in a process of its own, which tells on stderr what it has imported."""
    code = (
        "import atexit, json, sys, typer\n"
        "from plainspeech.cli.transcribe import transcribe\n"
        "atexit.register(lambda: print(json.dumps(sorted(sys.modules)), file=sys.stderr))\n"
        f"{TONES_ARE_SPEECH}"
        "typer.run(transcribe)\n"
    )
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        input=piped,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        check=False,
    )


def test_a_pipe_is_transcribed(clips: list[str], tone_bundle: Path) -> None:
    for clip, text in zip(clips, (b"first one\n", b"second\n"), strict=True):
        result = run(["-", "--model", str(tone_bundle)], Path(clip).read_bytes())
        assert (result.returncode, result.stdout) == (0, text)


def test_a_pipe_of_nothing_is_an_error(tone_bundle: Path) -> None:
    result = run(["-", "--model", str(tone_bundle)])
    assert result.returncode == 1
    assert result.stderr.splitlines()[0] == b"error: <stdin>: is empty"


def test_transcribing_imports_nothing_that_trains(clips: list[str], tone_bundle: Path) -> None:
    """Nor what evaluates: the core install has neither torch nor jiwer."""
    modules = json.loads(run([clips[0], "--model", str(tone_bundle)]).stderr.splitlines()[-1])
    assert {"onnxruntime", "plainspeech.runtime.recognizer"} <= set(modules)
    packages = ("torch", "onnx", "jiwer", "lhotse", "matplotlib", "tensorboard", "safetensors")
    ours = tuple(f"plainspeech.{part}" for part in ("training", "data", "model", "evaluation"))
    found = [
        m for m in modules for name in packages + ours if m == name or m.startswith(f"{name}.")
    ]
    assert found == []


SKIPPED = "skipped 1 hidden and 1 without the extension of a recording (.txt)"


@pytest.fixture
def folder(tmp_path: Path, spoken: Speak) -> Path:
    """A folder of recordings, with another in it and a file that is none."""
    folder = tmp_path / "in"
    (folder / "deep" / "er").mkdir(parents=True)
    soundfile.write(folder / "b.wav", spoken("a bee"), 16_000)
    soundfile.write(folder / "deep" / "er" / "a.v2.FLAC", spoken("an ace"), 16_000, format="FLAC")
    (folder / "notes.txt").write_text("no recording")
    (folder / ".b.wav").write_text("nor this")
    return folder


def test_a_folder_is_all_recordings_in_it(
    app: typer.Typer, folder: Path, tone_bundle: Path
) -> None:
    result = CliRunner().invoke(app, [str(folder), "--model", str(tone_bundle)])
    first, second = folder / "b.wav", folder / "deep" / "er" / "a.v2.FLAC"
    assert result.stdout == f"{first}: a bee\n{second}: an ace\n"
    assert (result.exit_code, result.stderr) == (0, f"{folder}: {SKIPPED}\n")


def test_a_folder_of_transcripts_mirrors_it_and_is_resumed(
    app: typer.Typer, folder: Path, tone_bundle: Path, tmp_path: Path
) -> None:
    output = tmp_path / "new" / "out"
    arguments = [str(folder), "-o", str(output), "-f", "txt,srt", "--model", str(tone_bundle)]
    result = CliRunner().invoke(app, arguments)
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == f"{folder}: {SKIPPED}\n"
    files = sorted(str(path.relative_to(output)) for path in output.rglob("*.*"))
    assert files == ["b.srt", "b.txt", "deep/er/a.v2.srt", "deep/er/a.v2.txt"]
    assert (output / "b.txt").read_text() == "a bee\n"
    assert (output / "b.srt").read_text().startswith("1\n00:00:00,")

    (output / "b.txt").write_text("corrected by hand\n")
    (output / "deep" / "er" / "a.v2.srt").unlink()
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0
    assert result.stderr.splitlines()[1:] == [f"{output}: 1 of 2 transcripts exist already"]
    assert (output / "b.txt").read_text() == "corrected by hand\n"
    assert (output / "deep" / "er" / "a.v2.srt").exists()

    later = (output / "b.srt").stat().st_mtime + 10
    os.utime(folder / "b.wav", (later, later))
    CliRunner().invoke(app, arguments)
    assert (output / "b.txt").read_text() == "a bee\n"


def test_one_recording_that_fails_leaves_no_file_and_the_others_are_done(
    app: typer.Typer, folder: Path, tone_bundle: Path, tmp_path: Path
) -> None:
    (folder / "a.wav").write_bytes((folder / "b.wav").read_bytes()[:9_000])
    arguments = [str(folder), "-o", str(tmp_path / "out"), "--model", str(tone_bundle)]
    result = CliRunner().invoke(app, arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines()[1].startswith(f"error: {folder / 'a.wav'}: truncated")
    names = {path.name for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert names == {"b.txt", "a.v2.txt"}


def test_a_transcript_that_cannot_be_written_is_one_line(
    app: typer.Typer, folder: Path, tone_bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "deep").write_text("in the way of a folder")
    arguments = [str(folder), "-o", str(tmp_path / "out"), "--model", str(tone_bundle)]
    result = CliRunner().invoke(app, arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    file = tmp_path / "out" / "deep" / "er" / "a.v2.txt"
    skipped, error = result.stderr.splitlines()
    assert (skipped, error) == (
        f"{folder}: {SKIPPED}",
        f"error: {file}: cannot be written: Not a directory",
    )
    assert (tmp_path / "out" / "b.txt").exists()


def test_a_folder_that_cannot_be_read_is_an_error_beside_the_others(
    app: typer.Typer, folder: Path, tone_bundle: Path, private: Callable[[Path], str]
) -> None:
    said = private(folder / "private")
    result = CliRunner().invoke(app, [str(folder), "--model", str(tone_bundle)])
    assert result.exit_code == 1
    assert result.stdout.count("\n") == 2
    assert f"error: {said}\n" in result.stderr


def test_a_link_that_leads_nowhere_is_an_error_beside_the_others(
    app: typer.Typer, folder: Path, tone_bundle: Path
) -> None:
    (folder / "lost.wav").symlink_to("nowhere.wav")
    result = CliRunner().invoke(app, [str(folder), "--model", str(tone_bundle)])
    assert (result.exit_code, result.stdout.count("\n")) == (1, 2)
    assert f"error: {folder / 'lost.wav'}: no such file\n" in result.stderr


def test_two_recordings_do_not_share_a_transcript(
    app: typer.Typer, folder: Path, tone_bundle: Path, tmp_path: Path
) -> None:
    soundfile.write(folder / "b.flac", np.zeros(16_000), 16_000)
    arguments = [str(folder), "-o", str(tmp_path / "out"), "--model", str(tone_bundle)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1
    assert result.stderr == (
        f"{folder}: {SKIPPED}\n"
        f"error: {folder / 'b.wav'}: its transcript would replace that of {folder / 'b.flac'}; "
        "use another output folder for it\n"
    )


def test_a_document_goes_to_standard_output(
    app: typer.Typer, clips: list[str], tone_bundle: Path
) -> None:
    result = CliRunner().invoke(app, [clips[0], "-f", "json", "--model", str(tone_bundle)])
    values = json.loads(result.stdout)
    assert values["text"] == "first one"
    assert [word["text"] for word in values["segments"][0]["words"]] == ["first", "one"]
    piped = run(["-", "-f", "vtt", "--model", str(tone_bundle)], Path(clips[0]).read_bytes())
    assert piped.stdout.startswith(b"WEBVTT\n\n00:00:00.")


@pytest.fixture
def call(tmp_path: Path, spoken: Speak) -> str:
    """A recording of two who speak at once, each on a channel of their own."""
    left, right = spoken("are we on"), spoken("we are")
    path = str(tmp_path / "call.wav")
    soundfile.write(path, np.stack([left, np.pad(right, (0, len(left) - len(right)))], 1), 16_000)
    return path


def test_channels_are_transcribed_separately(
    app: typer.Typer, call: str, clips: list[str], tone_bundle: Path, tmp_path: Path
) -> None:
    options = ["--channels", "separate", "--model", str(tone_bundle)]
    alone = CliRunner().invoke(app, [call, *options])
    assert (alone.exit_code, alone.stdout) == (0, "[1] are we on\n[2] we are\n")
    several = CliRunner().invoke(app, [call, clips[0], *options])
    assert several.stdout == f"{call}: [1] are we on [2] we are\n{clips[0]}: [1] first one\n"
    piped = run(["-", *options], Path(call).read_bytes())
    assert piped.stdout == b"[1] are we on\n[2] we are\n"
    for form in ("txt", "srt", "vtt", "tsv", "json"):
        document = CliRunner().invoke(app, [call, "-f", form, *options])
        assert document.exit_code == 0
        assert {"tsv": "we are\t", "json": '"channel": 2'}.get(
            form, "[2] we are"
        ) in document.stdout
    folder, output = tmp_path / "calls", tmp_path / "out"
    folder.mkdir()
    Path(call).rename(folder / "call.wav")
    written = CliRunner().invoke(
        app, [str(folder), "-o", str(output), "-f", "txt,srt,vtt,tsv,json", *options]
    )
    assert written.exit_code == 0
    assert len(list(output.iterdir())) == 5
    assert (output / "call.txt").read_text() == "[1] are we on\n[2] we are\n"
    values = json.loads((output / "call.json").read_text())
    assert [segment["channel"] for segment in values["segments"]] == [1, 2]


def test_segments_that_are_not_sure_are_left_out(
    app: typer.Typer, clips: list[str], tone_bundle: Path
) -> None:
    options = [clips[0], "-f", "json", "--model", str(tone_bundle)]
    values = json.loads(CliRunner().invoke(app, options).stdout)
    (segment,) = values["segments"]
    assert values["confidence"] == segment["confidence"]
    for least, count in ((segment["confidence"] - 1e-3, 1), (segment["confidence"] + 1e-3, 0)):
        found = CliRunner().invoke(app, [*options, "--min-confidence", str(least)])
        assert len(json.loads(found.stdout)["segments"]) == count
    assert CliRunner().invoke(app, [*options, "--min-confidence", "1.1"]).exit_code == 2


def test_a_pipe_to_a_folder(clips: list[str], tone_bundle: Path, tmp_path: Path) -> None:
    arguments = ["-", "-o", str(tmp_path / "out"), "--model", str(tone_bundle)]
    assert run(arguments, Path(clips[0]).read_bytes()).returncode == 0
    assert (tmp_path / "out" / "stdin.txt").read_text() == "first one\n"


def test_text_comes_as_it_is_heard_and_ends_where_it_breaks_off(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def heard() -> Iterator[TranscriptPart]:
        word = Word("good", 0.0, 0.5, 1.0)
        yield TranscriptPart((Segment((word,)), Segment((word, word))), 10.0)
        assert capsys.readouterr().out == "good good good"
        raise PlainspeechError("a.mp3: damaged")

    with pytest.raises(PlainspeechError):
        Line().write(InputFile("a.mp3", PurePath("a")), heard())
    assert capsys.readouterr().out == "\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["-f", "vvt"], "unknown format 'vvt'; did you mean 'vtt'?"),
        (["-f", "srt,"], "unknown format ''"),
        (["-f", "srt,vtt"], "add --output FOLDER"),
        (["two.wav", "-f", "srt"], "add --output FOLDER"),
        (["-o", "one.wav"], "one.wav: is a file; --output must be a folder"),
        (["-o", "one.wav/out"], "one.wav/out: cannot be written: Not a directory"),
        (["--hot-word", ":8"], "--hot-word: ':8' is not a phrase with a weight"),
        (["--hot-word", "deed:x"], "--hot-word: 'deed:x' is not a phrase with a weight"),
        (["--hot-word", "deed:8", "--decoder", "greedy"], "greedy decoding cannot use them"),
        (["--hot-word", "7:8", "--decoder", "beam"], "'7', which the alphabet does not"),
        (["--hot-words", "none.txt"], "none.txt: cannot be read"),
        (["--n-best", "3"], "written to JSON only; add --format json"),
        (["--n-best", "3", "-f", "json"], "n-best: greedy decoding gives one text"),
        (["--channels", "seperate"], "unknown channels 'seperate'; did you mean 'separate'?"),
        (["--precision", "int8"], "tones: has no network in int8, only in float32"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is(
    app: typer.Typer,
    clips: list[str],
    tone_bundle: Path,
    arguments: list[str],
    says: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(Path(clips[0]).parent)
    before = sorted(Path().rglob("*"))
    result = CliRunner().invoke(app, ["one.wav", *arguments, "--model", str(tone_bundle)])
    assert (result.exit_code, result.stdout) == (1, "")
    assert says in str(result.exception)
    assert "\n" not in str(result.exception)
    assert sorted(Path().rglob("*")) == before


def test_hot_words_are_heard(app: typer.Typer, clips: list[str], tone_bundle: Path) -> None:
    """With so much weight that they are heard where they have not been said."""
    listed = Path(clips[0]).with_name("hot.txt")
    listed.write_text("# wanted\nfirst fun: 90\n\nsecond:1\n")
    arguments = [clips[0], "--decoder", "beam", "--model", str(tone_bundle)]
    plain = CliRunner().invoke(app, arguments)
    hot = CliRunner().invoke(app, [*arguments, "--hot-words", str(listed)])
    overruled = [*arguments, "--hot-words", str(listed), "--hot-word", "first fun:0"]
    assert plain.stdout == "first one\n"
    assert hot.stdout == "first fun\n"
    assert CliRunner().invoke(app, overruled).stdout == "first one\n"


def test_progress_is_on_a_terminal_only(
    clips: list[str], tone_bundle: Path, tmp_path: Path
) -> None:
    shown, terminal = pty.openpty()
    code = f"{TONES_ARE_SPEECH}from plainspeech.cli import main; main()"
    arguments = ["transcribe", *clips, "--model", str(tone_bundle)]
    result = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=terminal,
        env={**os.environ, "PYTHONPATH": str(SOURCE), "TERM": "xterm", "COLUMNS": "200"},
        check=True,
    )
    assert result.stdout.decode() == f"{clips[0]}: first one\n{clips[1]}: second\n"
    seen = os.read(shown, 100_000).decode()
    os.close(terminal)
    os.close(shown)
    assert f"{clips[0]} (1 of 2)" in seen
    assert "(2 of 2)" in seen


def test_recordings_are_transcribed_side_by_side_and_printed_in_order(
    app: typer.Typer, clips: list[str], tone_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both_are_heard = Barrier(2, timeout=60)
    transcribe_parts = Recognizer.transcribe_parts

    def together(self: Recognizer, source: str, **options: Any) -> Iterator[TranscriptPart]:
        both_are_heard.wait()
        if source == clips[0]:
            sleep(0.2)
        return transcribe_parts(self, source, **options)

    monkeypatch.setattr("plainspeech.cores.available_cores", lambda: 2)
    monkeypatch.setattr(Recognizer, "transcribe_parts", together)
    result = CliRunner().invoke(app, [*clips, "--model", str(tone_bundle)])
    assert result.stdout == f"{clips[0]}: first one\n{clips[1]}: second\n"
    assert result.exit_code == 0


def test_what_ctrl_c_breaks_off_is_not_written(
    clips: list[str], tone_bundle: Path, tmp_path: Path
) -> None:
    """Three recordings, of which one is done; of two, the rest is still to come."""
    code = f"""
import os, signal, sys, time
{TONES_ARE_SPEECH}
from plainspeech.cli import main
from plainspeech.runtime.recognizer import Recognizer
transcribe_parts = Recognizer.transcribe_parts
signal.signal(signal.SIGINT, signal.default_int_handler)
def slowly(self, source, **options):
    for part in transcribe_parts(self, source, **options):
        yield part
        if source != {clips[0]!r}:
            os.kill(os.getpid(), signal.SIGINT)  # like Ctrl+C: to the process, not this thread
            time.sleep(1)
            yield part
Recognizer.transcribe_parts = slowly
sys.argv += ["--model", {str(tone_bundle)!r}]
main()
"""
    more = [tmp_path / "three.wav", tmp_path / "four.wav"]
    for path in more:
        path.write_bytes(Path(clips[1]).read_bytes())
    result = subprocess.run(
        [sys.executable, "-c", code, "transcribe", clips[0], *more, "-o", tmp_path / "out"],
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        timeout=60,
    )
    assert result.returncode != 0
    assert b"Traceback" not in result.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} <= {f"{Path(clips[0]).stem}.txt"}


def test_numbers_are_digits_where_that_is_asked_for(
    app: typer.Typer, tmp_path: Path, spoken: Speak, tone_bundle: Path
) -> None:
    path = str(tmp_path / "a.wav")
    soundfile.write(path, spoken("in nineteen eighty four"), 16_000)
    options = [path, "--model", str(tone_bundle)]
    assert CliRunner().invoke(app, options).stdout == "in nineteen eighty four\n"
    assert CliRunner().invoke(app, [*options, "--numbers", "digits"]).stdout == "in 1984\n"
    written = CliRunner().invoke(app, [*options, "--numbers", "digits", "-f", "json"]).stdout
    assert [word["text"] for word in json.loads(written)["segments"][0]["words"]] == ["in", "1984"]
    with pytest.raises(PlainspeechError, match="did you mean 'digits'"):
        CliRunner().invoke(app, [*options, "--numbers", "digit"], catch_exceptions=False)


def test_digits_are_for_english(
    app: typer.Typer, tmp_path: Path, spoken: Speak, make_tone_bundle: Callable[..., Path]
) -> None:
    soundfile.write(tmp_path / "a.wav", spoken("in nineteen"), 16_000)
    options = [str(tmp_path / "a.wav"), "--numbers", "digits", "--model"]
    german = str(make_tone_bundle(tmp_path / "de", language="de"))
    with pytest.raises(ConfigurationError, match=r"numbers: digits are for English, .* 'de'"):
        CliRunner().invoke(app, [*options, german], catch_exceptions=False)
    english = str(make_tone_bundle(tmp_path / "en", language="en-US"))
    assert CliRunner().invoke(app, [*options, english]).stdout == "in 19\n"
