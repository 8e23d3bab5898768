"""A file is hashed once a version, and again after every write."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest

from plainspeech import verified_files
from plainspeech.artifact import reading
from plainspeech.errors import ModelError
from plainspeech.runtime.bundle import Bundle
from plainspeech.verified_files import is_verified, remember_verified

SHA256 = "0" * 64


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(verified_files, "_SETTLED", 0.0)
    return tmp_path / "cache" / "plainspeech" / "verified"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    return path


def verified(path: Path, sha256: str = SHA256) -> bool:
    return is_verified(path, path.stat(), sha256)


def test_a_version_is_remembered(file: Path, cache: Path) -> None:
    assert not verified(file)
    remember_verified(file, file.stat(), SHA256)
    assert verified(file)
    assert not verified(file, "1" * 64)
    (mark,) = cache.iterdir()
    assert (mark.stat().st_size, mark.stat().st_mode & 0o077) == (0, 0)


def test_a_copy_and_a_new_file_are_other_versions(file: Path) -> None:
    remember_verified(file, file.stat(), SHA256)
    copy = file.with_name("copy")
    os.link(file, copy)
    assert not verified(copy)
    before = file.stat()
    copy.unlink()
    copy.write_bytes(b"CONTENT")
    os.utime(copy, ns=(before.st_atime_ns, before.st_mtime_ns))
    copy.replace(file)
    assert not verified(file)


@pytest.mark.skipif(os.name == "nt", reason="st_ctime is the time of creation")
def test_a_write_that_puts_the_time_back_is_noticed(file: Path) -> None:
    remember_verified(file, file.stat(), SHA256)
    before = file.stat()
    file.write_bytes(b"CONTENT")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.stat().st_mtime_ns == before.st_mtime_ns
    assert not verified(file)


def test_what_was_just_written_is_not_remembered(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verified_files, "_SETTLED", 60.0)
    remember_verified(file, file.stat(), SHA256)
    assert not verified(file)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="has no owners of files")
def test_where_others_can_write_nothing_counts(file: Path, cache: Path) -> None:
    remember_verified(file, file.stat(), SHA256)
    (mark,) = cache.iterdir()
    mark.chmod(0o666)
    assert not verified(file)
    mark.unlink()
    cache.chmod(0o777)
    remember_verified(file, file.stat(), SHA256)
    assert not verified(file)
    assert not list(cache.iterdir())


def test_a_cache_that_cannot_be_written_is_none(file: Path, cache: Path) -> None:
    cache.parent.parent.write_bytes(b"no folder")
    remember_verified(file, file.stat(), SHA256)
    assert not verified(file)


def test_the_oldest_are_forgotten(file: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verified_files, "_MOST", 10)
    for number in range(11):
        remember_verified(file, file.stat(), f"{number}")
        for mark in cache.iterdir():
            os.utime(mark, ns=(0, mark.stat().st_mtime_ns - 10**9))
    assert [verified(file, f"{number}") for number in range(11)] == [False] * 5 + [True] * 6


def test_a_bundle_is_hashed_once_and_again_where_it_was_written(
    make_tone_bundle: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_tone_bundle(tmp_path / "tones")
    network = (folder / "model.onnx").read_bytes()
    hashed: list[bytes] = []
    sha256 = hashlib.sha256

    def counting(content: bytes = b"") -> object:
        hashed.append(content)
        return sha256(content)

    monkeypatch.setattr("plainspeech.artifact.reading.hashlib.sha256", counting)
    for _ in range(3):
        assert Bundle.load(folder).network == network
    assert hashed.count(network) == 1
    bundle = Bundle.load(folder)
    (folder / "model.onnx").write_bytes(network[:-1] + bytes([network[-1] ^ 1]))
    for use in (lambda: bundle.network, lambda: Bundle.load(folder)):
        with pytest.raises(Exception, match=r"model\.onnx is damaged"):
            use()


def test_a_file_that_is_written_while_it_is_read_is_hashed(
    make_tone_bundle: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_tone_bundle(tmp_path / "tones")
    bundle, file = Bundle.load(folder), folder / "model.onnx"
    network, read = bundle.network, reading._read

    def read_late(opened: BinaryIO, limit: int) -> bytes:
        file.write_bytes(network[:-1] + bytes([network[-1] ^ 1]))
        return read(opened, limit)

    monkeypatch.setattr(reading, "_read", read_late)
    with pytest.raises(ModelError, match=r"model\.onnx is damaged"):
        _ = bundle.network


def test_without_times_of_changes_nothing_is_remembered(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verified_files, "_TELLS_CHANGES", False)
    remember_verified(file, file.stat(), SHA256)
    assert not verified(file)
