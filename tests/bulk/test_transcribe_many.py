"""``plainspeech transcribe-many``, with the bundled model on the samples."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import plainspeech as package
from plainspeech.bulk.transcription import Settings, Transcriber, may_pass
from plainspeech.bulk.work import Item, Outcome
from plainspeech.errors import AudioError, PlainspeechError
from plainspeech.runtime.recognizer import load_model
from plainspeech.writers import render

SOURCE = Path(package.__file__).parents[1]
SAMPLES = Path(__file__).parents[2] / "samples"
GREEDY = ("--decoder", "greedy")
Plainspeech = Callable[..., tuple[int, str]]


def rows(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the rows by their ids, of which none may be there twice."""
    lines = [line for part in folder.glob("jsonl/*") for line in part.read_text().splitlines()]
    found = {row["id"]: row for row in map(json.loads, lines)}
    assert len(found) == len(lines)
    return found


def as_json(row: dict[str, Any]) -> str:
    """Return a row as ``transcribe`` writes it."""
    values = {k: row[k] for k in ("text", "duration", "confidence", "segments")}
    return json.dumps(values, ensure_ascii=False, indent=1) + "\n"


def test_rows_are_what_transcribe_writes(
    tmp_path: Path, plainspeech: Plainspeech, private: Callable[[Path], str]
) -> None:
    folder, out = tmp_path / "clips", tmp_path / "out"
    shutil.copytree(SAMPLES, folder, ignore=shutil.ignore_patterns("*.md", "*.jsonl"))
    (folder / "broken.wav").write_bytes(b"not audio")
    options = ("--numbers", "digits", "--hot-word", "king:3")
    command = ("transcribe-many", folder, "-o", out, "--workers", "2", *options)
    status, said = plainspeech(*command)
    assert status == 1
    assert "4 of 5 transcribed, 0:00:15 of audio in 0:" in said
    assert "1 failed" in said
    reason = json.loads((out / "failed.jsonl").read_text())
    assert reason["id"] == "broken.wav"
    assert "broken.wav: is not audio" in reason["error"]

    single = load_model(threads=1)
    found = rows(out)
    assert sorted(found) == sorted(path.name for path in folder.glob("*.flac"))
    status, _ = plainspeech(
        "transcribe", *folder.glob("*.flac"), "-f", "json", "-o", tmp_path / "single", *options
    )
    assert status == 0
    for name, row in found.items():
        assert as_json(row) == (tmp_path / "single" / f"{Path(name).stem}.json").read_text()
        assert row["model"].startswith(f"{single.bundle.card['name']} ")

    shutil.copy(folder / "2803-154328-0001.flac", folder / "broken.wav")  # mended
    status, said = plainspeech(*command)
    assert (status, "4 of 5 rows exist already" in said) == (0, True)
    assert rows(out)["broken.wav"]["text"] == found["2803-154328-0001.flac"]["text"]
    assert not (out / "failed.jsonl").exists()

    unread = private(folder / "private")
    status, said = plainspeech(*command)
    assert (status, f"error: {unread}\n" in said) == (1, True)
    (folder / "private").rmdir()

    status, said = plainspeech(*command[:-1], "king:4")
    assert status == 1
    assert "has transcripts with other settings: hot words is" in said
    assert said.count("\n") == 1


def test_no_audio_has_no_cost(tmp_path: Path, plainspeech: Plainspeech) -> None:
    (tmp_path / "a.wav").write_bytes(b"not audio")
    status, said = plainspeech("transcribe-many", tmp_path, "-o", tmp_path / "out", *GREEDY)
    assert status == 1
    assert "0 of 1 transcribed, 0:00:00 of audio in" in said
    assert "for an hour of audio" not in said


def test_an_id_of_another_recording_is_refused(tmp_path: Path, plainspeech: Plainspeech) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        shutil.copy(SAMPLES / "2803-154328-0001.flac", tmp_path / name / "c.flac")
    arguments = ("-o", tmp_path / "out", "--workers", "1", *GREEDY)
    assert plainspeech("transcribe-many", tmp_path / "a", *arguments)[0] == 0
    status, said = plainspeech("transcribe-many", tmp_path / "b", *arguments)
    assert status == 1
    assert f"c.flac: the output has it from {tmp_path / 'a' / 'c.flac'}" in said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--engine", "loca"), "--engine: unknown 'loca'; did you mean 'local'?"),
        (("--channels", "both"), "unknown channels 'both'"),
        (
            ("--decoder", "greedy", "--hot-word", "king:4"),
            "hot_words: greedy decoding cannot use them",
        ),
        (("--model", "nowhere"), "nowhere: no such model bundle"),
        (("--language-model", "nowhere"), "nowhere: no such scorer"),
    ],
)
def test_wrong_options_are_one_line(
    tmp_path: Path, plainspeech: Plainspeech, options: tuple[str, ...], message: str
) -> None:
    manifest = str(SAMPLES / "manifest.jsonl")
    status, said = plainspeech(
        "transcribe-many", manifest, "-o", tmp_path / "out", "--workers", "1", *options
    )
    assert status == 1
    assert message in said
    assert said.count("\n") == 1


def test_without_pyarrow_there_is_advice(
    tmp_path: Path, plainspeech: Plainspeech, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    status, said = plainspeech("transcribe-many", tmp_path, "-o", tmp_path / "out")
    assert (status, "pip install -c constraints.txt '.[bulk]'" in said) == (1, True)


def children(process: int) -> list[int]:
    """Return the processes that ``process`` has started and that transcribe."""
    found = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    lines = {int(each): Path(f"/proc/{each}/cmdline").read_bytes() for each in found}
    return [each for each, line in lines.items() if b"spawn_main" in line]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds processes in /proc")
@pytest.mark.parametrize("victim", ["run", "workers"])
def test_killed_processes_lose_and_double_nothing(tmp_path: Path, victim: str) -> None:
    clips, out = tmp_path / "clips", tmp_path / "out"
    clips.mkdir()
    for number in range(12):
        shutil.copy(sorted(SAMPLES.glob("*.flac"))[number % 4], clips / f"{number}.flac")
    program = (
        "from plainspeech.bulk import output; output._PART_ROWS = 2; "
        "from plainspeech.cli import main; main()"
    )
    verb = ["transcribe-many", str(clips), "-o", str(out), "--workers", "2", *GREEDY]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    command = [sys.executable, "-c", program, *verb]

    running = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    while not list(out.glob("parquet/*")):
        assert running.poll() is None
        time.sleep(0.02)
    workers = children(running.pid)
    for process in workers if victim == "workers" else [running.pid]:
        os.kill(process, signal.SIGKILL)
    status = running.wait()
    if victim == "run":
        assert status == -signal.SIGKILL
        while any(Path(f"/proc/{worker}").exists() for worker in workers):
            time.sleep(0.05)  # they end by themselves
        assert subprocess.run(command, env=environment, check=False).returncode == 0
    else:
        assert status == 0
    assert sorted(rows(out)) == sorted(path.name for path in clips.iterdir())
    single = load_model(threads=1, decoder="greedy")
    for row in rows(out).values():
        assert as_json(row) == render(single.transcribe(row["audio"]), "json")


@pytest.fixture
def transcriber(tone_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Transcriber:
    monkeypatch.setattr("plainspeech.bulk.transcription._PAUSES", (0.0, 0.0))
    return Transcriber(Settings(tone_bundle))


def failing(errors: list[Exception]) -> Callable[..., Any]:
    def transcribe_parts(*_: object, **__: object) -> Any:
        raise errors.pop(0)

    return transcribe_parts


def caused_by(cause: Exception) -> AudioError:
    error = AudioError("a.wav: cannot be read")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("errors", "tried", "reason"),
    [
        ([AudioError("a.wav: is not audio")], 1, "a.wav: is not audio"),
        ([caused_by(FileNotFoundError())], 1, "a.wav: cannot be read"),
        ([ValueError("two\nlines")], 1, "ValueError: two\\nlines"),
        ([caused_by(OSError(5, "I/O")), MemoryError(), TimeoutError("slow")], 3, "TimeoutError"),
        ([caused_by(OSError(5, "I/O")), AudioError("a.wav: is damaged")], 2, "a.wav: is damaged"),
    ],
)
def test_only_what_may_pass_is_tried_again(
    transcriber: Transcriber,
    monkeypatch: pytest.MonkeyPatch,
    errors: list[Exception],
    tried: int,
    reason: str,
) -> None:
    left = list(errors)
    monkeypatch.setattr("plainspeech.runtime.recognizer.Recognizer.transcribe_parts", failing(left))
    outcome = transcriber(Item("a", "a.wav", 1.0))
    assert isinstance(outcome, Outcome)
    assert outcome.row is None
    assert reason in str(outcome.error)
    assert len(errors) - len(left) == tried


def test_what_never_passes() -> None:
    assert not may_pass(None)
    assert not may_pass(PlainspeechError("a"))
    assert may_pass(caused_by(ConnectionResetError()))
