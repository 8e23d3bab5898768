"""``plainspeech data`` as it is typed."""

from __future__ import annotations

import functools
import hashlib
import io
import json
import tarfile
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from conftest import Plainspeech
from plainspeech.cli.data import app
from plainspeech.data import download
from plainspeech.data.manifest import read_manifest
from plainspeech.errors import PlainspeechError

SAMPLES = Path(__file__).parents[2] / "samples"


def run(*words: object) -> str:
    """Return the standard output; errors are raised as the command raises them."""
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Two good utterances of one chapter."""
    chapter = tmp_path / "corpus" / "19" / "198"
    chapter.mkdir(parents=True)
    for name in ("19-198-0000", "19-198-0001"):
        waveform = np.random.default_rng(int(name[-1])).uniform(-0.3, 0.3, 16_000)
        soundfile.write(chapter / f"{name}.flac", waveform, 16_000)
    (chapter / "19-198.trans.txt").write_text("19-198-0000 ONE\n19-198-0001 TWO\n")
    return tmp_path / "corpus"


def test_prepare_and_check(corpus: Path) -> None:
    run("prepare", corpus, "-o", corpus / "m.jsonl")
    assert [u.text for u in read_manifest(corpus / "m.jsonl")] == ["one", "two"]
    assert run("check", corpus / "m.jsonl") == ""


def test_prepare_and_check_in_another_language(corpus: Path) -> None:
    texts = "19-198-0000 Ещё РАЗ\n19-198-0001 Кто-то\n"
    (corpus / "19" / "198" / "19-198.trans.txt").write_text(texts, encoding="utf-8")
    with pytest.raises(PlainspeechError):
        run("prepare", corpus, "-o", corpus / "m.jsonl")
    run("prepare", corpus, "-o", corpus / "m.jsonl", "--alphabet", "ru")
    assert [u.text for u in read_manifest(corpus / "m.jsonl")] == ["еще раз", "кто то"]
    assert run("check", corpus / "m.jsonl", "--alphabet", "ru") == ""
    with pytest.raises(PlainspeechError):
        run("check", corpus / "m.jsonl")


def test_check_tells_how_much_there_is(corpus: Path) -> None:
    run("prepare", corpus, "-o", corpus / "m.jsonl")
    found = CliRunner().invoke(app, ["check", str(corpus / "m.jsonl")])
    assert f"{corpus / 'm.jsonl'}: 0.0 min in 2 recordings of 1 speaker" in found.stderr
    assert "is too little to learn from" in found.stderr


def test_split_writes_both_parts(corpus: Path) -> None:
    run("prepare", corpus, "-o", corpus / "m.jsonl")
    done = CliRunner().invoke(app, ["split", str(corpus / "m.jsonl"), "-o", str(corpus / "parts")])
    assert done.exit_code == 0
    assert "split by sentence" in done.stderr
    parts = [read_manifest(corpus / "parts" / f"{name}.jsonl") for name in ("train", "dev")]
    assert [len(part) for part in parts] == [1, 1]
    assert all(u.audio.is_file() for part in parts for u in part)


def test_split_tells_of_sentences_that_several_speakers_read(corpus: Path) -> None:
    recording = next(corpus.rglob("*.flac"))
    lines = [
        {"id": f"{speaker}{n}", "audio": str(recording), "text": f"text {n}", "speaker": speaker}
        for speaker in "abc"
        for n in range(2)
    ]
    (corpus / "m.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    done = CliRunner().invoke(app, ["split", str(corpus / "m.jsonl"), "-o", str(corpus / "parts")])
    told = " ".join(done.stderr.split())
    assert "dev has 2 recordings of sentences that are in the training data, too" in told


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("page 19", "'19', which the alphabet does not: spell it out as it was said"),
        ("да", "'ад', which the alphabet does not: spell it out, or name the language"),
    ],
)
def test_prepare_says_what_to_do_with_what_it_cannot_write(
    corpus: Path, text: str, hint: str
) -> None:
    texts = f"19-198-0000 {text}\n19-198-0001 TWO\n"
    (corpus / "19" / "198" / "19-198.trans.txt").write_text(texts, encoding="utf-8")
    result = CliRunner().invoke(app, ["prepare", str(corpus), "-o", str(corpus / "m.jsonl")])
    assert hint in result.stderr


def test_check_prints_each_finding_and_fails(corpus: Path) -> None:
    run("prepare", corpus, "-o", corpus / "m.jsonl")
    soundfile.write(corpus / "19" / "198" / "19-198-0001.flac", np.zeros(16_000), 16_000)
    command = ["check", str(corpus / "m.jsonl")]
    result = CliRunner().invoke(app, command)
    assert isinstance(result.exception, PlainspeechError)
    assert str(result.exception) == "data check: 1 error (above)"
    (line,) = result.stdout.splitlines()
    assert line.startswith(f"{corpus / 'm.jsonl'}, line 2: 19-198-0001: silent")


def test_a_warning_does_not_fail(corpus: Path) -> None:
    run("prepare", corpus, "-o", corpus / "m.jsonl")
    first, second = (corpus / "m.jsonl").read_text().splitlines()
    (corpus / "1.jsonl").write_text(first)
    (corpus / "2.jsonl").write_text(second)
    assert "warning: speaker 19" in run("check", corpus / "1.jsonl", corpus / "2.jsonl")


def test_prepare_writes_all_or_what_is_sound(corpus: Path) -> None:
    (corpus / "19" / "198" / "19-198-0000.flac").unlink()
    with pytest.raises(PlainspeechError, match="not written, for 1 fault "):
        run("prepare", corpus, "-o", corpus / "m.jsonl")
    assert not (corpus / "m.jsonl").exists()
    run("prepare", corpus, "-o", corpus / "m.jsonl", "--skip-faulty")
    assert [u.text for u in read_manifest(corpus / "m.jsonl")] == ["two"]


def cut(recording: Path) -> None:
    """Damage it halfway, where no header says so."""
    whole = bytearray(recording.read_bytes())
    middle = len(whole) // 2
    whole[middle : middle + 4_000] = bytes(4_000)
    recording.write_bytes(whole)


def test_what_only_decoding_shows_is_left_out(corpus: Path) -> None:
    """The headers of damaged recordings are sound, and training would fail in its first epoch."""
    cut(corpus / "19" / "198" / "19-198-0000.flac")
    run("prepare", corpus, "-o", corpus / "headers.jsonl")
    assert len(read_manifest(corpus / "headers.jsonl")) == 2
    run("prepare", corpus, "-o", corpus / "decoded.jsonl", "--skip-faulty")
    (left,) = read_manifest(corpus / "decoded.jsonl")
    assert (left.text, left.duration) == ("two", 1.0)


def test_check_writes_what_is_left_of_each_manifest(corpus: Path, tmp_path: Path) -> None:
    run("prepare", corpus, "-o", corpus / "m.jsonl")
    run("prepare", corpus, "-o", corpus / "other.jsonl")
    cut(corpus / "19" / "198" / "19-198-0000.flac")
    found = run("check", corpus / "m.jsonl", "-o", tmp_path / "left")
    assert "19-198-0000: " in found
    assert [u.text for u in read_manifest(tmp_path / "left" / "m.jsonl")] == ["two"]
    assert run("check", tmp_path / "left" / "m.jsonl") == ""
    with pytest.raises(PlainspeechError, match=r"other.jsonl: not written, no utterance is left"):
        run("check", corpus / "m.jsonl", corpus / "other.jsonl", "-o", tmp_path / "left")


def test_manifests_of_one_name_are_not_written_over_each_other(
    corpus: Path, tmp_path: Path
) -> None:
    run("prepare", corpus, "-o", corpus / "m.jsonl")
    for folder in (corpus, tmp_path / "left"):
        with pytest.raises(PlainspeechError, match=r"m\.jsonl: .*another folder"):
            run("check", corpus / "m.jsonl", corpus / "m.jsonl", "-o", folder)
    with pytest.raises(PlainspeechError, match=r"m\.jsonl: .*another folder"):
        run("check", corpus / "m.jsonl", "-o", corpus)


def test_to_lhotse_and_back(corpus: Path) -> None:
    pytest.importorskip("lhotse", reason="needs the lhotse extra")
    run("prepare", corpus, "-o", corpus / "m.jsonl")
    run("to-lhotse", corpus / "m.jsonl", corpus / "cuts.jsonl.gz")
    run("from-lhotse", corpus / "cuts.jsonl.gz", corpus / "back.jsonl")
    assert (corpus / "back.jsonl").read_bytes() == (corpus / "m.jsonl").read_bytes()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server of two subsets, one of which is corrupt."""
    folder = tmp_path / "www" / "31"
    folder.mkdir(parents=True)
    for subset in ("train-clean-5", "dev-clean-2"):
        with tarfile.open(folder / f"{subset}.tar.gz", "w:gz") as tar:
            tar.addfile(tarfile.TarInfo(f"LibriSpeech/{subset}/file"), io.BytesIO())
        md5 = hashlib.md5((folder / f"{subset}.tar.gz").read_bytes()).hexdigest()
        monkeypatch.setitem(download.SUBSETS, subset, download.Archive(31, md5))
    (folder / "test-clean.tar.gz").write_bytes(b"corrupt")
    monkeypatch.setitem(download.SUBSETS, "test-clean", download.Archive(31, "0" * 32))
    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(_Quiet, directory=str(tmp_path / "www"))
    )
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    "words",
    [
        ["--subset", "train-clean-5", "dev-clean-2", "DIR"],
        ["--subset", "train-clean-5", "--subset", "dev-clean-2", "DIR"],
        ["train-clean-5", "dev-clean-2", "DIR"],
    ],
)
def test_download(
    tmp_path: Path, mirror: str, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run("download", "--mirror", mirror, *words)
    tree = tmp_path / "DIR" / "LibriSpeech"
    assert {path.name for path in tree.iterdir()} == {"train-clean-5", "dev-clean-2"}


def test_a_failing_subset_does_not_keep_the_next_back(tmp_path: Path, mirror: str) -> None:
    with pytest.raises(PlainspeechError, match="not downloaded: test-clean; "):
        run("download", "--mirror", mirror, "test-clean", "dev-clean-2", tmp_path / "DIR")
    assert (tmp_path / "DIR" / "LibriSpeech" / "dev-clean-2").is_dir()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--subset", "train-clean-5", "dev-clean-2"],
            "name subset and folder: --subset SUBSET DIR",
        ),
        (["DIR"], "name subset and folder: --subset SUBSET DIR"),
        (["--subset", "train-clean-5", "dev-claen-2", "DIR"], "did you mean 'dev-clean-2'"),
    ],
)
def test_a_misused_download_touches_nothing(
    tmp_path: Path, words: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PlainspeechError, match=message):
        run("download", *words)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("verb", ["split", "check", "to-lhotse", "pack"])
def test_what_cannot_be_written_is_one_line(
    verb: str, tmp_path: Path, plainspeech: Plainspeech
) -> None:
    manifest, output = SAMPLES / "manifest.jsonl", tmp_path / "file" / "out.jsonl"
    output.parent.write_text("not a folder")
    place = [output] if verb == "to-lhotse" else ["-o", output]
    status, said = plainspeech("data", verb, manifest, *place)
    assert (status, said.splitlines()[-1].startswith(f"error: {output}")) == (1, True)


def test_what_cannot_be_split_is_named(tmp_path: Path, plainspeech: Plainspeech) -> None:
    manifest = tmp_path / "m.jsonl"
    manifest.write_text((SAMPLES / "manifest.jsonl").read_text().splitlines()[0])
    manifest.with_name("1272-135031-0004.flac").symlink_to(SAMPLES / "1272-135031-0004.flac")
    status, said = plainspeech("data", "split", manifest, "-o", tmp_path / "out")
    assert (status, said.startswith(f"error: {manifest}: there is nothing to split")) == (1, True)


def test_amounts_are_in_minutes_below_an_hour(tmp_path: Path, plainspeech: Plainspeech) -> None:
    for seconds, amount in ((90.0, "1.5 min"), (7200.0, "2.00 h")):
        row = {"id": "a", "audio": "a.wav", "text": "a b", "duration": seconds}
        rows = [row, row | {"id": "b", "audio": "b.wav", "text": "c", "duration": 12.0}]
        manifest = tmp_path / "m.jsonl"
        manifest.write_text("\n".join(map(json.dumps, rows)))
        said = plainspeech("data", "split", manifest, "-o", tmp_path / "out")[1]
        assert f"1 recording, {amount}\n" in said
        assert "1 recording, 0.2 min\n" in said
