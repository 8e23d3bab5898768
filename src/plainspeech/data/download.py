"""LibriSpeech and Mini LibriSpeech from any of several mirrors, verified and extracted safely.

Downloads are resumed where they broke, repeated, and checked by their MD5.
"""

from __future__ import annotations

import hashlib
import http.client
import re
import shutil
import tarfile
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path, PurePosixPath, PureWindowsPath
from urllib.parse import urlsplit

from plainspeech.errors import ConfigurationError, DataError, nearest

Report = Callable[[int, int | None], None]
"""Called with the bytes so far and the size of the whole, None where no server declared it."""

_BLOCK = 1 << 18
_TIMEOUT = 30.0
_ATTEMPTS = 3


TREE = "LibriSpeech"
"""The folder that every archive holds, and below it one folder a subset."""

MIRRORS = (
    "https://www.openslr.org/resources",
    "https://openslr.trmal.net/resources",
    "https://us.openslr.org/resources",
    "https://openslr.elda.org/resources",
    "https://openslr.magicdatatech.com/resources",
)


class _MirrorError(Exception):
    """This mirror cannot give the file, however often it is asked."""


def fetch(urls: Sequence[str], path: Path, md5: str, report: Report, pause: float = 1.0) -> None:
    """Download a file to ``path``; an existing file there is taken for its beginning.

    Only the checksum decides whether the file is complete; lengths and ranges from servers are
    not trusted. A broken connection is resumed where it broke. After three attempts without new
    data, the next mirror resumes there; after a
    wrong checksum, what was downloaded is deleted and the next mirror starts from the beginning.

    Args:
        urls: of the same file on several mirrors, in the order to be tried.
        path: where to write; an interrupted download leaves its part there.
        md5: checksum of the file in hexadecimal, which is the one that openslr.org publishes.
        report: shows progress.
        pause: seconds before the first repetition, doubled with each.

    Raises:
        DataError: no mirror gave the file, or it cannot be written.
    """
    partial = _Partial(path, report)
    reasons: list[str] = []
    for url in urls:
        reason = _refusal(partial, url, md5, pause)
        if not reason:
            return
        reasons.append(f"{url}: {reason}")
    raise DataError(f"{path.name}: no mirror delivered the file: {'; '.join(reasons)}")


def _refusal(partial: _Partial, url: str, md5: str, pause: float) -> str:
    """Complete ``partial`` from ``url``; return why that cannot be done, or nothing."""
    try:
        _complete(partial, url, md5, pause)
    except _MirrorError as error:
        return str(error)
    return ""


def _complete(partial: _Partial, url: str, md5: str, pause: float) -> None:
    furthest, failures, restarted = partial.size, 0, False
    while partial.md5() != md5:
        try:
            resumed = _transfer(url, partial)
        except (OSError, http.client.HTTPException) as error:
            failures = 0 if partial.size > furthest else failures + 1
            furthest = max(furthest, partial.size)
            if failures == _ATTEMPTS:
                raise _MirrorError(error) from error
            time.sleep(pause * 2**failures)
            continue
        if partial.md5() != md5:
            partial.restart()
            # After a resumption the fault may lie in what another run or mirror had left.
            if restarted or not resumed:
                raise _MirrorError("the file is corrupt, its MD5 checksum is wrong")
            furthest, restarted = 0, True


def _transfer(url: str, partial: _Partial) -> bool:
    """Append what ``url`` has beyond ``partial``; return whether the transfer was a resumption.

    Raises:
        OSError or http.client.HTTPException: the transfer ended early and may be repeated.
        _MirrorError: repeating is useless.
    """
    start = partial.size
    headers = {"User-Agent": "plainspeech"} | ({"Range": f"bytes={start}-"} if start else {})
    try:
        request = urllib.request.Request(url, headers=headers)  # noqa: S310  (see _address)
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as response:  # noqa: S310
            if response.status == HTTPStatus.PARTIAL_CONTENT and _start(response) != start:
                return start > 0
            if response.status != HTTPStatus.PARTIAL_CONTENT and start:
                partial.restart()  # the server ignores ranges
                start = 0
            length = response.headers.get("Content-Length", "")
            total = start + int(length) if length.isdecimal() else None
            partial.append(iter(lambda: response.read(_BLOCK), b""), total)
    except urllib.error.HTTPError as error:
        if start and error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return True
        if error.code < HTTPStatus.INTERNAL_SERVER_ERROR:
            raise _MirrorError(f"{error.code} {error.reason}") from error
        raise
    if total is not None and partial.size < total:
        raise ConnectionError(f"the connection broke at {partial.size} of {total} bytes")
    return start > 0


def _start(response: http.client.HTTPResponse) -> int | None:
    """Return the byte at which a partial answer begins, if it tells."""
    told = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return int(told[1]) if told else None


class _Partial:
    """The part of a file that has been downloaded, with its running checksum."""

    def __init__(self, path: Path, report: Report) -> None:
        self._path = path
        self._report = report
        self._reset()
        with _local(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists():
                with path.open("rb") as file:
                    for block in iter(lambda: file.read(_BLOCK), b""):
                        self._count(block, None)

    def md5(self) -> str:
        return self._hash.hexdigest()

    def append(self, blocks: Iterable[bytes], total: int | None) -> None:
        for block in blocks:
            with _local(self._path), self._path.open("ab") as file:
                file.write(block)
            self._count(block, total)

    def restart(self) -> None:
        with _local(self._path):
            self._path.unlink(missing_ok=True)
        self._reset()

    def _reset(self) -> None:
        self.size = 0
        self._hash = hashlib.md5(usedforsecurity=False)

    def _count(self, block: bytes, total: int | None) -> None:
        self.size += len(block)
        self._hash.update(block)
        self._report(self.size, total)


@contextmanager
def _local(path: Path) -> Iterator[None]:
    """Raise DataError for errors of the disk; those of the network are of the class OSError too."""
    try:
        yield
    except OSError as error:
        raise DataError(f"{path}: cannot write the download: {error}") from error


@dataclass(frozen=True)
class Archive:
    """Where a subset is published.

    Attributes:
        resource: its number at openslr.org.
        md5: checksum of ``SUBSET.tar.gz``, from the ``md5sum.txt`` beside it.
    """

    resource: int
    md5: str


SUBSETS = {
    "dev-clean": Archive(12, "42e2234ba48799c1f50f24a7926300a1"),
    "dev-other": Archive(12, "c8d0bcc9cca99d4f8b62fcc847357931"),
    "test-clean": Archive(12, "32fa31d27d2e1cad72775fee3f4849a9"),
    "test-other": Archive(12, "fb5a50374b501bb3bac4815ee91d3135"),
    "train-clean-100": Archive(12, "2a93770f6d5c6c964bc36631d331a522"),
    "train-clean-360": Archive(12, "c0e676e450a7ff2f54aeade5171606fa"),
    "train-other-500": Archive(12, "d1a0fd59409feb2c614ce4d30c387708"),
    "dev-clean-2": Archive(31, "6d7ab67ac6a1d2c993d050e16d61080d"),
    "train-clean-5": Archive(31, "5df7d4e78065366204ca6845bb08f490"),
}


def find_archive(subset: str) -> Archive:
    """Return where ``subset`` is published.

    Raises:
        ConfigurationError: there is no such subset.
    """
    if subset not in SUBSETS:
        raise ConfigurationError(f"unknown subset {subset!r}; {nearest(subset, SUBSETS)}")
    return SUBSETS[subset]


def download_subset(
    subset: str, folder: Path, report: Report, mirrors: Sequence[str] = MIRRORS, pause: float = 1.0
) -> Path:
    """Download, verify and extract a subset, unless it is there already.

    The archive lies beside the tree as ``SUBSET.tar.gz.part`` until it is extracted. Interrupted
    at any moment, the next call resumes there.

    Args:
        subset: one of `SUBSETS`.
        folder: to hold ``LibriSpeech/SUBSET``.
        report: shows how far the download is.
        mirrors: addresses below which ``RESOURCE/SUBSET.tar.gz`` lies, in the order to be tried.
        pause: seconds before a first repetition.

    Returns:
        The subset's folder.

    Raises:
        ConfigurationError: there is no such subset.
        DataError: no mirror has it, or it cannot be extracted.
    """
    archive = find_archive(subset)
    target = folder / TREE / subset
    part, extracting = folder / f"{subset}.tar.gz.part", folder / f".{subset}.extracting"
    if not target.exists():
        urls = [f"{_address(mirror)}/{archive.resource}/{subset}.tar.gz" for mirror in mirrors]
        fetch(urls, part, archive.md5, report, pause)
        _extract(part, target, extracting)
    # Also what a run left that was killed after it had moved the subset to its place.
    part.unlink(missing_ok=True)
    shutil.rmtree(extracting, ignore_errors=True)
    return target


def _address(mirror: str) -> str:
    if urlsplit(mirror).scheme not in ("http", "https"):
        raise DataError(f"mirror {mirror!r}: the address must begin with http:// or https://")
    return mirror.rstrip("/")


def _extract(archive: Path, target: Path, extracting: Path) -> None:
    """Move the subset in ``archive`` to ``target``, and the files about the corpus beside it."""
    with extracted(archive, extracting) as content:
        tree = content / TREE
        if not (tree / target.name).is_dir():
            raise DataError(f"{archive}: the archive has no folder {TREE}/{target.name}")
        target.parent.mkdir(parents=True, exist_ok=True)
        for file in tree.iterdir():
            if file.is_file():
                file.replace(target.parent / file.name)
        (tree / target.name).replace(target)


@contextmanager
def extracted(archive: Path, folder: Path) -> Iterator[Path]:
    """Yield ``folder``, which holds the content of ``archive`` and is gone when the block ends.

    The block moves files to where they belong, so that nothing is ever half extracted.

    Args:
        archive: a tar file, compressed or not.
        folder: emptied and created; it may be left of an extraction that was killed.

    Raises:
        DataError: the archive is damaged, or a member would be written outside the folder
            or is neither a file nor a folder.
    """
    shutil.rmtree(folder, ignore_errors=True)
    try:
        with tarfile.open(archive) as tar:
            # Python's own filter beside our check, where this Python has it; without, 3.12 warns.
            if hasattr(tarfile, "data_filter"):
                tar.extraction_filter = tarfile.data_filter
            tar.extractall(folder, members=_checked(tar, archive))  # noqa: S202
        yield folder
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise DataError(f"{archive}: cannot extract the archive: {error}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _checked(tar: tarfile.TarFile, archive: Path) -> Iterator[tarfile.TarInfo]:
    for member in tar:
        if not (member.isreg() or member.isdir()):
            raise DataError(f"{archive}: {member.name!r} is neither a file nor a folder")
        if _escapes(member.name):
            raise DataError(f"{archive}: {member.name!r} would be written outside the folder")
        yield member


def _escapes(name: str) -> bool:
    """Return whether ``name`` leads out of a folder, on this system or on Windows."""
    windows = PureWindowsPath(name)
    absolute = PurePosixPath(name).is_absolute() or bool(windows.drive or windows.root)
    return absolute or ".." in windows.parts
