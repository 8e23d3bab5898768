"""Which versions of files have been verified: a large file is hashed once, not at every start.

A version is what every write changes: device, inode, size, and the times of the last change of
content and of the inode, in nanoseconds. For each that was verified there is an empty file in the
user's cache, whose name is a hash of the path, the version, and the SHA-256 that was found. Whoever
can write there can have files taken for verified, so the folder is not used where other users can.
It can be deleted at any time.

Not noticed before the file is written again: a disk that returns other content than was written,
and a write through a memory map that was there before. On Windows, which keeps no time of a
change, nothing is remembered.
"""

from __future__ import annotations

import hashlib
import os
import time
from contextlib import suppress
from pathlib import Path

from platformdirs import user_cache_path

_SETTLED = 2.0  # seconds after a write; until then another may have the same times
_TELLS_CHANGES = os.name != "nt"  # Windows has the time of creation for that of a change
_MOST = 1_000  # versions that are remembered; the half that was verified first is forgotten
_OTHERS_WRITE, _GROUP_WRITES = 0o002, 0o020


def is_verified(path: Path, status: os.stat_result, sha256: str) -> bool:
    """Return whether the version ``status`` of the file ``path`` is known to have ``sha256``."""
    mark = _mark(path, status, sha256)
    return mark.exists() and only_ours(mark.parent) and only_ours(mark)


def remember_verified(path: Path, status: os.stat_result, sha256: str) -> None:
    """Note that the version ``status`` of the file ``path`` has ``sha256``, if it can be noted."""
    if not _TELLS_CHANGES or time.time() - max(status.st_mtime, status.st_ctime) < _SETTLED:
        return
    mark = _mark(path, status, sha256)
    with suppress(OSError):
        mark.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if only_ours(mark.parent):
            mark.touch(mode=0o600)
            _forget_oldest(mark.parent)


def only_ours(path: Path) -> bool:
    """Return whether nobody but this user and the administrator can write to ``path``."""
    try:
        status = path.stat()
    except OSError:
        return False
    if not hasattr(os, "geteuid"):
        return True
    # A group of one user's own is common, and so is a umask that lets it write.
    shared = status.st_mode & _GROUP_WRITES and status.st_gid not in (0, os.getegid())
    return status.st_uid in (0, os.geteuid()) and not (status.st_mode & _OTHERS_WRITE or shared)


def same_version(one: os.stat_result, other: os.stat_result) -> bool:
    """Return whether an open file was not written between ``one`` and ``other``."""
    return _version(one) == _version(other)


def _version(status: os.stat_result) -> tuple[int, ...]:
    return (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )


def _mark(path: Path, status: os.stat_result, sha256: str) -> Path:
    """Return the file that exists if the version of ``path`` has been verified."""
    version = (str(path.resolve()), *_version(status), sha256)
    name = hashlib.sha256(repr(version).encode(errors="surrogatepass")).hexdigest()
    return user_cache_path("plainspeech", appauthor=False) / "verified" / name


def _forget_oldest(folder: Path) -> None:
    marks = list(folder.iterdir())
    if len(marks) > _MOST:
        marks.sort(key=lambda mark: mark.stat().st_mtime_ns)
        for mark in marks[: len(marks) // 2]:
            mark.unlink(missing_ok=True)
