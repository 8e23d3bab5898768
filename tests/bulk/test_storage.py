"""Recordings in an object store: moto's S3 server, on the loopback interface."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from plainspeech.bulk import storage
from plainspeech.bulk.items import find_items
from plainspeech.bulk.transcription import Settings, Transcriber
from plainspeech.errors import AudioError, ConfigurationError, DataError

SAMPLES = Path(__file__).parents[2] / "samples"
Plainspeech = Callable[..., tuple[int, str]]

SERVER = """
import sys
from werkzeug.serving import make_server
from moto.server import DomainDispatcherApplication, create_backend_app
server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=True)
print(server.server_port, flush=True)
server.serve_forever()
"""


@pytest.fixture(scope="module")
def store() -> Iterator[Any]:
    """The file system of an S3 server with a bucket ``speech``."""
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert server.stdout is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.stdout.readline().strip()}")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        import fsspec

        system = fsspec.filesystem("s3")
        system.mkdir("speech")
        yield system
    server.kill()
    server.wait()
    server.stdout.close()


def rows(folder: Path) -> dict[str, dict[str, Any]]:
    lines = [line for part in folder.glob("jsonl/*") for line in part.read_text().splitlines()]
    found = {row["id"]: row for row in map(json.loads, lines)}
    assert len(found) == len(lines)
    return found


def test_a_bucket_has_the_rows_of_a_folder(
    tmp_path: Path, store: Any, plainspeech: Plainspeech
) -> None:
    local = tmp_path / "clips"
    (local / "more").mkdir(parents=True)
    for place, sample in zip(
        ("a.flac", "more/ü b.flac"), sorted(SAMPLES.glob("*.flac"))[:2], strict=True
    ):
        shutil.copy(sample, local / place)
        store.put_file(str(sample), f"speech/clips/{place}")
    store.pipe_file("speech/clips/broken.wav", b"not audio")
    store.pipe_file("speech/clips/notes.txt", b"notes")
    options = ("--workers", "1", "--decoder", "greedy")
    assert plainspeech("transcribe-many", local, "-o", tmp_path / "local", *options)[0] == 0
    status, said = plainspeech(
        "transcribe-many", "s3://speech/clips", "-o", tmp_path / "s3", *options
    )
    assert status == 1
    assert "skipped 1 file " in said
    failed = json.loads((tmp_path / "s3" / "failed.jsonl").read_text())
    assert failed["id"] == "broken.wav"
    assert failed["error"].startswith("s3://speech/clips/broken.wav: is not audio")
    expected = rows(tmp_path / "local")
    assert sorted(expected) == ["a.flac", "more/ü b.flac"]
    found = rows(tmp_path / "s3")
    for name, row in expected.items():
        assert found[name] == {**row, "audio": f"s3://speech/clips/{name}"}


def test_manifests_name_urls_and_are_urls(tmp_path: Path, store: Any) -> None:
    lines = [
        {"id": "a", "audio": "clips/a.wav"},
        {"id": "b", "audio": "../b.wav"},
        {"id": "c", "audio": "s3://other/c.wav"},
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    store.pipe_file("speech/corpus/m.jsonl", text.encode())
    found = find_items("s3://speech/corpus/m.jsonl").items
    assert [item.audio for item in found] == [
        "s3://speech/corpus/clips/a.wav",
        "s3://speech/b.wav",
        "s3://other/c.wav",
    ]
    (tmp_path / "m.jsonl").write_text(text)
    assert [item.audio for item in find_items(str(tmp_path / "m.jsonl")).items] == [
        str(tmp_path / "clips/a.wav"),
        str(tmp_path.parent / "b.wav"),
        "s3://other/c.wav",
    ]


def test_what_is_not_there_is_one_error(store: Any) -> None:
    del store
    with pytest.raises(DataError, match="s3://speech/nowhere: has no recording"):
        find_items("s3://speech/nowhere")
    with pytest.raises(DataError, match="s3://nowhere/a: "):
        find_items("s3://nowhere/a")
    with pytest.raises(AudioError, match=r"s3://speech/a.wav: no such object"):
        storage.opened("s3://speech/a.wav").__enter__()


def test_a_library_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="Protocol not known: nowhere"):
        find_items("nowhere://a")
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(ConfigurationError, match=r"constraints.txt '\.\[s3\]'"):
        find_items("s3://speech/clips")


@pytest.mark.parametrize(("failures", "error"), [(2, None), (3, "memory:///a.wav: cannot be read")])
def test_a_store_that_fails_is_tried_again(
    tone_bundle: Path, monkeypatch: pytest.MonkeyPatch, failures: int, error: str | None
) -> None:
    import fsspec

    system, left = fsspec.filesystem("memory"), [failures]
    system.pipe_file("/a.wav", (SAMPLES / "2803-154328-0001.flac").read_bytes())
    get_file = system.get_file

    def failing(*arguments: Any) -> None:
        left[0] -= 1
        if left[0] >= 0:
            raise RuntimeError("slow down")
        get_file(*arguments)

    monkeypatch.setattr(system, "get_file", failing)
    monkeypatch.setattr("plainspeech.bulk.transcription._PAUSES", (0.0, 0.0))
    (item,) = find_items("memory://").items
    outcome = Transcriber(Settings(tone_bundle))(item)
    assert (outcome.row is None) == (error is not None)
    assert str(outcome.error).startswith(error or "None")
    assert left[0] == (-1 if error is None else 0)
