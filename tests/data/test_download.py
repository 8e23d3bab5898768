from __future__ import annotations

import functools
import hashlib
import tarfile
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from plainspeech.data import download as library
from plainspeech.data.download import MIRRORS, SUBSETS, Archive, download_subset
from plainspeech.errors import PlainspeechError

SUBSET = "train-clean-5"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[str]:
    """The address of a server of ``tmp_path/www``."""
    handler = functools.partial(_Quiet, directory=str(tmp_path / "www"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


def publish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, subset: str = SUBSET, within: str = SUBSET
) -> None:
    """Serve an archive as ``subset`` that holds the subset ``within``."""
    chapter = tmp_path / "source" / "LibriSpeech" / within / "19" / "198"
    chapter.mkdir(parents=True)
    (chapter / "19-198.trans.txt").write_text("19-198-0000 NORTHANGER ABBEY\n")
    (tmp_path / "source" / "LibriSpeech" / "SPEAKERS.TXT").write_text("19 | F\n")
    archive = tmp_path / "www" / "31" / f"{subset}.tar.gz"
    archive.parent.mkdir(parents=True)
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tmp_path / "source" / "LibriSpeech", "LibriSpeech")
    md5 = hashlib.md5(archive.read_bytes()).hexdigest()
    monkeypatch.setitem(library.SUBSETS, subset, Archive(31, md5))


def get(tmp_path: Path, mirror: str) -> Path:
    return download_subset(SUBSET, tmp_path / "dir", lambda *_: None, [mirror], pause=0)


def test_a_subset_lies_where_librispeech_has_it(
    tmp_path: Path, mirror: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(tmp_path, monkeypatch)
    target = get(tmp_path, mirror)
    assert target == tmp_path / "dir" / "LibriSpeech" / SUBSET
    names = {p.relative_to(tmp_path / "dir").as_posix() for p in target.parent.rglob("*.*")}
    assert names == {
        "LibriSpeech/SPEAKERS.TXT",
        f"LibriSpeech/{SUBSET}/19/198/19-198.trans.txt",
    }
    assert [p.name for p in (tmp_path / "dir").iterdir()] == ["LibriSpeech"]


def test_what_is_there_is_not_downloaded_again(
    tmp_path: Path, mirror: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(tmp_path, monkeypatch)
    target = get(tmp_path, mirror)
    (tmp_path / "www" / "31" / f"{SUBSET}.tar.gz").unlink()
    assert get(tmp_path, mirror) == target


def test_a_download_killed_before_extraction_is_extracted(
    tmp_path: Path, mirror: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(tmp_path, monkeypatch)
    (tmp_path / "dir").mkdir()
    served = tmp_path / "www" / "31" / f"{SUBSET}.tar.gz"
    served.rename(tmp_path / "dir" / f"{SUBSET}.tar.gz.part")
    assert get(tmp_path, mirror).is_dir()


def test_what_a_run_left_that_was_killed_in_the_end_is_removed(
    tmp_path: Path, mirror: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(tmp_path, monkeypatch)
    target = get(tmp_path, mirror)
    (tmp_path / "dir" / f"{SUBSET}.tar.gz.part").write_bytes(b"the whole archive")
    (tmp_path / "dir" / f".{SUBSET}.extracting" / "LibriSpeech").mkdir(parents=True)
    assert get(tmp_path, mirror) == target
    assert [path.name for path in (tmp_path / "dir").iterdir()] == ["LibriSpeech"]


def test_an_archive_of_something_else(
    tmp_path: Path, mirror: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(tmp_path, monkeypatch, within="dev-clean-2")
    with pytest.raises(PlainspeechError, match=f"no folder LibriSpeech/{SUBSET}"):
        get(tmp_path, mirror)
    assert not (tmp_path / "dir" / "LibriSpeech").exists()


def test_a_failed_download_leaves_no_subset(tmp_path: Path, mirror: str) -> None:
    with pytest.raises(PlainspeechError, match=f"/31/{SUBSET}.tar.gz: 404"):
        get(tmp_path, mirror)
    assert not (tmp_path / "dir" / "LibriSpeech").exists()


def test_a_misspelt_subset_is_met_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(PlainspeechError, match="did you mean 'train-clean-5'"):
        download_subset("train-claen-5", tmp_path, lambda *_: None)


@pytest.mark.parametrize("address", ["file:///etc", "ftp://host", "host/path", ""])
def test_mirrors_are_web_addresses(tmp_path: Path, address: str) -> None:
    with pytest.raises(PlainspeechError, match="must begin with http"):
        download_subset(SUBSET, tmp_path, lambda *_: None, [address])


def test_the_published_table() -> None:
    assert len(SUBSETS) == 9
    assert len({archive.md5 for archive in SUBSETS.values()}) == 9
    assert all(len(bytes.fromhex(archive.md5)) == 16 for archive in SUBSETS.values())
    assert {name for name, a in SUBSETS.items() if a.resource == 31} == {SUBSET, "dev-clean-2"}
    assert all(mirror.startswith("https://") for mirror in MIRRORS)
