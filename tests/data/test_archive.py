from __future__ import annotations

import io
import tarfile
import warnings
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plainspeech.data.download import _escapes, extracted
from plainspeech.errors import PlainspeechError


def pack(path: Path, *members: tarfile.TarInfo | tuple[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                tar.addfile(info, io.BytesIO(member[1]))
    return path


def link(name: str, to: str, kind: bytes) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, to
    return info


def test_content_is_there_in_the_block_and_gone_after(tmp_path: Path) -> None:
    archive = pack(tmp_path / "a.tar.gz", ("L/s/1.txt", b"one"), ("L/README", b"two"))
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "left by a kill").touch()
    with extracted(archive, folder) as content:
        files = {f.relative_to(content).as_posix() for f in content.rglob("*") if f.is_file()}
        assert files == {"L/s/1.txt", "L/README"}
        assert (content / "L/s/1.txt").read_bytes() == b"one"
    assert list(tmp_path.iterdir()) == [archive]


@pytest.mark.parametrize(
    "member",
    [
        ("../evil", b"x"),
        ("L/../../evil", b"x"),
        ("/evil", b"x"),
        ("C:\\evil", b"x"),
        ("..\\evil", b"x"),
        link("L/link", "/etc", tarfile.SYMTYPE),
        link("L/link", "inside", tarfile.SYMTYPE),
        link("L/hard", "../../evil", tarfile.LNKTYPE),
        link("L/device", "", tarfile.CHRTYPE),
        link("L/pipe", "", tarfile.FIFOTYPE),
    ],
)
@pytest.mark.parametrize("filtered", [True, False])
def test_nothing_is_written_outside(
    tmp_path: Path,
    member: tarfile.TarInfo | tuple[str, bytes],
    filtered: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not filtered:  # as on the first releases of Python 3.10, whose tarfile has no filters
        monkeypatch.delattr(tarfile, "data_filter", raising=False)
        warnings.simplefilter("ignore", DeprecationWarning)
    archive = pack(tmp_path / "a.tar.gz", member)
    refused = pytest.raises(PlainspeechError, match=r"outside the folder|neither a file nor")
    with refused, extracted(archive, tmp_path / "deep" / "out"):
        pytest.fail("the archive was taken")
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == ["a.tar.gz"]


def test_a_link_cannot_be_written_through(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    archive = pack(
        tmp_path / "a.tar.gz", link("L", str(outside), tarfile.SYMTYPE), ("L/evil", b"x")
    )
    with pytest.raises(PlainspeechError), extracted(archive, tmp_path / "out"):
        pytest.fail("the archive was taken")
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("damage", ["cut", "no archive", "empty"])
def test_a_damaged_archive(tmp_path: Path, damage: str) -> None:
    archive = pack(tmp_path / "a.tar.gz", ("L/1", bytes(range(256)) * 4000))
    content = archive.read_bytes()
    damaged = {"cut": content[: len(content) // 2], "no archive": b"<html>", "empty": b""}
    archive.write_bytes(damaged[damage])
    refused = pytest.raises(PlainspeechError, match=r"a\.tar\.gz: cannot extract the archive")
    with refused, extracted(archive, tmp_path / "out"):
        pytest.fail("the archive was taken")
    assert list(tmp_path.iterdir()) == [archive]


@given(st.lists(st.sampled_from(["..", ".", "a", "C:", "/", "\\", "", "b c"]), max_size=6))
def test_a_name_that_passes_stays_inside(parts: list[str]) -> None:
    name = "/".join(parts)
    if not _escapes(name):
        folder = Path("/folder/deep")
        assert (folder / name).is_relative_to(folder)
        assert ".." not in (folder / name).parts
