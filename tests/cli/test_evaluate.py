"""``plainspeech evaluate`` with a recognizer that knows its answers by the length of the audio."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from plainspeech import cli
from plainspeech.alphabet import ENGLISH
from plainspeech.cli import terminal
from plainspeech.decoding.greedy import GreedyDecoder
from plainspeech.features import FeatureSettings
from plainspeech.runtime import recognizer
from plainspeech.runtime.bundle import Bundle
from plainspeech.transcript import Transcript, Word

CORPUS = [  # speaker, said, heard
    ("7", "The cat sat.", "the hat sat"),
    ("7", "go on", "go on"),
    ("9", "it’s a long way", "its a long long way"),
    ("9", "stop", ""),
] * 10
"""Its totals: 100 words, 20 of them substituted, 10 deleted, 10 inserted."""


class Listener:
    """Answers what was heard in the recording that has as many samples."""

    bundle = Bundle(
        Path("fake"), ENGLISH, FeatureSettings(), 0.02, {"name": "listener"}, {"float32": b""}
    )
    decoder = GreedyDecoder(bundle.alphabet, bundle.frame_seconds)

    def __init__(self) -> None:
        self.batches: list[list[int]] = []

    def transcribe_recordings(
        self, waveforms: Sequence[npt.NDArray[np.float32]]
    ) -> list[Transcript]:
        self.batches.append([len(waveform) for waveform in waveforms])
        texts = (CORPUS[place(len(waveform))][2].split() for waveform in waveforms)
        return [Transcript.of_words([Word(w, 0, 1, 1) for w in text], 1.0) for text in texts]


def samples(index: int) -> int:
    """Return a length by which the recording is known; neighbours are not alike in length."""
    return 1_600 + 10 * (index * 7 % len(CORPUS))


def place(length: int) -> int:
    return next(index for index in range(len(CORPUS)) if samples(index) == length)


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> Listener:
    fake = Listener()
    monkeypatch.setattr(recognizer, "load_model", lambda *_, **__: fake)
    return fake


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    rows = []
    for index, (speaker, said, _) in enumerate(CORPUS):
        name, length = f"{index}.wav", samples(index)
        soundfile.write(tmp_path / name, np.zeros(length, np.float32), 16_000)
        row = {"id": f"{speaker}-{index}", "audio": name, "text": said, "speaker": speaker}
        rows.append({**row, "duration": length / 16_000})
    return write(tmp_path / "test.jsonl", rows)


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, listener: Listener) -> Callable[..., int]:
    """Run the command line; returns its exit status."""
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.delenv("FORCE_COLOR", raising=False)

    def command(*arguments: str | Path) -> int:
        monkeypatch.setattr(sys, "argv", ["plainspeech", "evaluate", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        return int(stop.value.code or 0)

    return command


def rows_of(output: str) -> dict[str, list[str]]:
    """Return the words of each line of ``output`` by the first of them."""
    return {words[0]: words[1:] for line in output.splitlines() if (words := line.split())}


def test_the_report(
    run: Callable[..., int], manifest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("model", manifest, "--listing", 2) == 0
    output, errors = capsys.readouterr()
    rows = rows_of(output)
    # 10 x (cat -> hat, it's -> its), 10 x stop deleted, 10 x long inserted.
    assert rows["words"][:3] == ["(WER)", "40.00", "%"]
    assert rows["words"][-4:] == ["20", "10", "10", "100"]
    assert rows["characters"][0] == "(CER)"
    assert rows["sentences"] == ["wrong", "75.00", "%", "40"]
    assert rows["7"] == ["20", "50", "20.00", "%", "6.25", "%", "10", "0", "0"]
    assert rows["9"][:4] == ["20", "50", "60.00", "%"]
    assert "real-time factor" in output
    assert "listener, float32, greedy decoding, on" in output
    assert [line for line in output.splitlines() if ": words" in line] == [
        "7-0: words 3, errors 1",
        "7-20: words 3, errors 1",
    ]
    assert "missing" not in output
    assert "error:" not in errors


def test_without_a_terminal_a_line_tells_now_and_then_how_far_it_is(
    run: Callable[..., int],
    manifest: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(terminal, "_SECONDS_BETWEEN_LINES", 0.0)
    assert run("model", manifest) == 0
    assert "evaluating: 40 of 40" in capsys.readouterr().err.splitlines()


def test_no_column_is_cut_where_the_terminal_is_narrow(
    run: Callable[..., int],
    manifest: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    run("model", manifest)
    assert "…" not in capsys.readouterr().out


def test_batches_are_of_similar_length_and_every_text_finds_its_utterance(
    run: Callable[..., int], manifest: Path, listener: Listener, tmp_path: Path
) -> None:
    run("model", manifest, "--json", tmp_path / "out.json")
    lengths = [length for batch in listener.batches for length in batch]
    assert lengths == sorted(lengths, reverse=True)
    assert len(listener.batches) > 1
    found = json.loads((tmp_path / "out.json").read_text())["utterances"]
    assert [row["id"] for row in found] == [f"{who}-{n}" for n, (who, _, _) in enumerate(CORPUS)]
    assert [row["hypothesis"] for row in found] == [heard for _, _, heard in CORPUS]
    assert [row["reference"] for row in found[:3]] == ["the cat sat", "go on", "it's a long way"]


def test_the_json_holds_all_that_was_counted(
    run: Callable[..., int], manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("some model", manifest, "--json", tmp_path / "deep/out.json")
    record = json.loads((tmp_path / "deep/out.json").read_text())
    words = record["words"]
    assert record["model"] == {"path": "some model", "name": "listener"}
    assert record["command"].startswith("plainspeech evaluate 'some model' ")
    assert record["date"].endswith("+00:00")
    assert (words["rate"], words["reference_length"]) == (0.4, 100)
    assert (words["substitutions"], words["deletions"], words["insertions"]) == (20, 10, 10)
    assert words["interval"]["low"] < 0.4 < words["interval"]["high"]
    shown = f"{100 * words['interval']['low']:.2f} to {100 * words['interval']['high']:.2f} %"
    assert shown in capsys.readouterr().out
    assert record["sentences"] == {"all": 40, "wrong": 30}
    assert record["missing"] == []
    for part in ("words", "characters"):
        for kind in ("hits", "substitutions", "deletions", "insertions"):
            of_utterances = sum(row[part][kind] for row in record["utterances"])
            of_speakers = sum(row[part][kind] for row in record["speakers"].values())
            assert of_utterances == of_speakers == record[part][kind]
    assert record["audio_seconds"] == pytest.approx(sum(map(samples, range(40))) / 16_000)
    assert record["real_time_factor"] > 0


def test_a_wrong_path_on_line_7_is_one_line_and_the_rest_is_scored(
    run: Callable[..., int], manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]
    rows[6]["audio"] = "gone.wav"
    write(manifest, rows)
    assert run("model", manifest, "--json", tmp_path / "out.json") == 1
    output, errors = capsys.readouterr()
    reason = f"{manifest}, line 7: {tmp_path / 'gone.wav'}: no such file"
    assert [line for line in errors.splitlines() if "error" in line] == [f"error: {reason}"]
    assert "missing from all figures because unreadable: 1\n" in output
    assert rows_of(output)["words"][-1] == "96"
    record = json.loads((tmp_path / "out.json").read_text())
    assert record["missing"] == [{"id": "9-6", "reason": reason}]
    assert len(record["utterances"]) == 39


def test_what_was_said_and_does_not_count_is_told(
    run: Callable[..., int], manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]
    rows[6]["text"] += " 99"
    write(manifest, rows)
    assert run("model", manifest) == 0
    told = " ".join(capsys.readouterr().err.split())
    assert (
        f"{manifest}: 1 of 40 texts have characters that the model's alphabet lacks ('9')" in told
    )
    (tmp_path / "v.txt").write_text("99 ninety nine\n")
    assert run("model", manifest, "--variants", tmp_path / "v.txt") == 0
    assert "alphabet lacks" not in capsys.readouterr().err


def test_a_batch_without_one_readable_recording(
    run: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {"id": "1-1", "audio": "gone.wav", "text": "a", "duration": 1.0}
    assert run("model", write(tmp_path / "m.jsonl", [row]), "--json", tmp_path / "out.json") == 1
    output, errors = capsys.readouterr()
    assert output == ""
    assert errors.splitlines()[-1].endswith("m.jsonl: none of its recordings can be read")
    assert not (tmp_path / "out.json").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
def test_figures_are_printed_although_the_disk_is_full(
    run: Callable[..., int], manifest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("model", manifest, "--json", "/dev/full") == 1
    output, errors = capsys.readouterr()
    assert rows_of(output)["words"][1] == "40.00"
    assert "error: /dev/full: cannot be written: No space left on device" in errors


def test_files_for_sclite(run: Callable[..., int], manifest: Path, tmp_path: Path) -> None:
    run("model", manifest, "--sclite", tmp_path / "trn")
    references = (tmp_path / "trn/ref.trn").read_text().splitlines()
    hypotheses = (tmp_path / "trn/hyp.trn").read_text().splitlines()
    assert len(references) == len(hypotheses) == len(CORPUS)
    assert references[2] == "it's a long way (9-2)"
    assert hypotheses[2] == "its a long long way (9-2)"


def test_the_bundled_model_has_a_name(
    run: Callable[..., int], manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[Path] = []

    def load(path: Path, *_: object, **__: object) -> Listener:
        loaded.append(path)
        return Listener()

    inside = tmp_path / "inside"
    monkeypatch.setattr("plainspeech.runtime.bundle.bundled_model_path", lambda: inside)
    monkeypatch.setattr(recognizer, "load_model", load)
    run("bundled", manifest)
    run("other", manifest)
    assert loaded == [inside, Path("other")]


def test_a_negative_listing_is_refused(
    run: Callable[..., int], manifest: Path, listener: Listener
) -> None:
    assert run("model", manifest, "--listing", "-1") == 2
    assert listener.batches == []


def test_without_jiwer_the_extra_is_named(
    run: Callable[..., int],
    manifest: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "jiwer", None)
    for module in ("error_rates", "listing", "recognition", "report"):
        monkeypatch.delitem(sys.modules, f"plainspeech.evaluation.{module}", raising=False)
    assert run("model", manifest) == 1
    assert "pip install -c constraints.txt '.[evaluate]'" in capsys.readouterr().err


def test_a_real_model_that_reads_tones(
    monkeypatch: pytest.MonkeyPatch,
    tone_bundle: Path,
    spoken: Callable[..., npt.NDArray[np.float32]],
    tmp_path: Path,
) -> None:
    rows = []
    for number, (said, sung) in enumerate([("a bad cab", "a bad cab"), ("feed me", "feed us")]):
        soundfile.write(tmp_path / f"{number}.wav", spoken(sung), 16_000)
        rows.append({"id": f"1-{number}", "audio": f"{number}.wav", "text": said, "duration": 1.0})
    manifest, out = write(tmp_path / "m.jsonl", rows), tmp_path / "out.json"
    arguments = ["plainspeech", "evaluate", str(tone_bundle), str(manifest), "--json", str(out)]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert not stop.value.code
    found = json.loads(out.read_text())
    assert found["model"]["name"] == "tones"
    assert [row["hypothesis"] for row in found["utterances"]] == ["a bad cab", "feed us"]
    assert (found["words"]["substitutions"], found["words"]["rate"]) == (1, 0.2)
