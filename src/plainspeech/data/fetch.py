"""One file from any of several mirrors: resumed, retried and verified."""

from __future__ import annotations

import hashlib
import http.client
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path

from plainspeech.errors import DataError

Report = Callable[[int, int | None], None]
"""Takes the bytes at hand and the bytes of the whole, None where no server has told."""

_BLOCK = 1 << 18
_TIMEOUT = 30.0
_ATTEMPTS = 3


class _MirrorError(Exception):
    """This mirror cannot give the file, however often it is asked."""


def fetch(urls: Sequence[str], path: Path, md5: str, report: Report, pause: float = 1.0) -> None:
    """Download a file to ``path``; what lies there already is taken for its beginning.

    Only the checksum tells when the file is whole: lengths and ranges that servers tell are
    believed as far as they lead to it. A broken connection is taken up again where it broke.
    After three attempts that brought nothing new, the next mirror goes on from there; after a
    wrong checksum, what was downloaded is deleted and the next mirror starts anew.

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
    raise DataError(f"{path.name}: no mirror gave the file: {'; '.join(reasons)}")


def _refusal(partial: _Partial, url: str, md5: str, pause: float) -> str:
    """Complete ``partial`` from ``url``; return why that cannot be done, or nothing."""
    try:
        _complete(partial, url, md5, pause)
    except _MirrorError as error:
        return str(error)
    return ""


def _complete(partial: _Partial, url: str, md5: str, pause: float) -> None:
    furthest, barren, anew = partial.size, 0, False
    while partial.md5() != md5:
        try:
            resumed = _transfer(url, partial)
        except (OSError, http.client.HTTPException) as error:
            barren = 0 if partial.size > furthest else barren + 1
            furthest = max(furthest, partial.size)
            if barren == _ATTEMPTS:
                raise _MirrorError(error) from error
            time.sleep(pause * 2**barren)
            continue
        if partial.md5() != md5:
            partial.restart()
            # After a resumption the fault may lie in what another run or mirror had left.
            if anew or not resumed:
                raise _MirrorError("the file is corrupt, its MD5 checksum is wrong")
            furthest, anew = 0, True


def _transfer(url: str, partial: _Partial) -> bool:
    """Append what ``url`` has beyond ``partial``; return whether the transfer was a resumption.

    Raises:
        OSError or http.client.HTTPException: the transfer ended early and may be repeated.
        _MirrorError: repeating is useless.
    """
    start = partial.size
    headers = {"User-Agent": "plainspeech"} | ({"Range": f"bytes={start}-"} if start else {})
    try:
        request = urllib.request.Request(url, headers=headers)  # noqa: S310  (see download)
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
    """The part of a file that is at hand, with its running checksum."""

    def __init__(self, path: Path, report: Report) -> None:
        self._path = path
        self._report = report
        self._forget()
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
        self._forget()

    def _forget(self) -> None:
        self.size = 0
        self._hash = hashlib.md5(usedforsecurity=False)

    def _count(self, block: bytes, total: int | None) -> None:
        self.size += len(block)
        self._hash.update(block)
        self._report(self.size, total)


@contextmanager
def _local(path: Path) -> Iterator[None]:
    """Tell a fault of this machine's disk from one of the network, which is an OSError too."""
    try:
        yield
    except OSError as error:
        raise DataError(f"{path}: cannot write the download: {error}") from error
