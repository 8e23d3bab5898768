"""Files and folders that are written whole or not at all.

A file is written beside its destination under a temporary name, with a lock that ends with the
process. So files that a killed run left behind are distinguished from those that another run is
writing, and removed.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import re
import secrets
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

if sys.platform != "win32":
    import fcntl

_TEMPORARY = re.compile(r"\.(?:.+\.)?[0-9a-f]{8}\.partial(?:\.[^.]+)?", re.DOTALL)
_LONGEST_NAME = 200  # bytes, of a name that a temporary one repeats; file systems take 255
_LINUX_EXCHANGE = _APPLE_EXCHANGE = 2  # RENAME_EXCHANGE, RENAME_SWAP
_NOT_HERE = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP}


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that replaces it when the block succeeds.

    A reader sees the old file or the new one, also after a power cut; nothing is left behind
    when the block raises. A file that is replaced keeps its permissions, so that a private one
    stays private; a new one has those of the umask. A link stays, and what it leads to is replaced.
    A pipe or a device stays too, such as ``/dev/stdout``: it is written to at the end.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        with tempfile.TemporaryDirectory(prefix="plainspeech-") as folder:
            made = Path(folder, path.name)
            made.touch()
            yield made
            with made.open("rb") as source, path.open("wb") as target:
                shutil.copyfileobj(source, target)
        return
    if path.is_symlink():
        path = Path(os.path.realpath(path))
    _make_parents(path)
    mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else None
    with ExitStack() as stack:
        temporary = stack.enter_context(_beside(path, _make_file, private=mode is not None))
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        if mode is not None:
            temporary.chmod(mode)
        temporary.replace(path)


def write_atomically(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path``, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yield a new folder beside ``path`` that replaces it when the block succeeds.

    As `replacing`. Where the system can exchange two folders in one step, as Linux and macOS do on
    their usual file systems, there is no moment without one; elsewhere the old one is moved aside
    first, and moved back by the next run if this one is killed just then.
    """
    _make_parents(path)
    with _beside(path, _make_folder, private=True) as workplace:
        fresh = workplace / "new"
        fresh.mkdir()
        yield fresh
        if not path.exists():
            fresh.rename(path)
            return
        fresh.chmod(stat.S_IMODE(path.stat().st_mode))
        try:
            _exchange(fresh, path)
        except OSError as error:
            if error.errno not in _NOT_HERE:
                raise
            _move_in(fresh, path, aside=workplace / "old")


def folders_below(folder: Path, problems: list[str]) -> Iterator[tuple[Path, list[str]]]:
    """Yield ``folder`` and each folder below it, with the names of what else is there.

    Links to folders are followed, to each folder once. Those that cannot be read get a line in
    ``problems``.
    """
    seen: set[str] = set()

    def note(error: OSError) -> None:
        problems.append(f"{error.filename}: the folder cannot be read: {error.strerror}")

    for parent, folders, names in os.walk(folder, onerror=note, followlinks=True):
        folders.sort()
        real = os.path.realpath(parent)
        if real in seen:  # by a link, which may lead back to where it is
            folders.clear()
            continue
        seen.add(real)
        yield Path(parent), names


def files_below(folder: Path) -> tuple[list[Path], list[str]]:
    """Return the files in ``folder`` and below, sorted, and a line for each unreadable folder.

    See `folders_below`. A link that leads nowhere is among the files: whoever reads it says so.
    """
    problems: list[str] = []
    found = [path / name for path, names in folders_below(folder, problems) for name in names]
    # Neither fails where a folder can be listed but not entered, as those of pathlib do.
    readable = (path for path in found if os.path.isfile(path) or not os.path.exists(path))  # noqa: PTH110, PTH113
    return sorted(readable), problems


def shown(name: str) -> str:
    r"""Return the file name ``name`` as text that can be written and drawn.

    Bytes of it that are not UTF-8, which Python has as halves of surrogate pairs, are escaped:
    ``\udce4``.
    """
    return name.encode(errors="backslashreplace").decode()


def check_file(path: Path) -> None:
    """Check that `replacing` can write.

    Raises:
        OSError: it cannot.
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if path.exists() and not path.is_file():  # a pipe or a device
        return
    path = Path(os.path.realpath(path))
    _make_parents(path)
    with _beside(path, _make_file, private=True):
        pass


def check_folder(path: Path) -> None:
    """Check that `replacing_folder` can write.

    Raises:
        OSError: it cannot.
    """
    _make_parents(path)
    with _beside(path, _make_folder, private=True):
        pass


@contextmanager
def exclusive(path: Path) -> Iterator[bool]:
    """Lock ``path`` until the block or the process ends; yield whether nobody else had.

    On Windows, and on file systems without locks, nobody ever has.

    Args:
        path: a folder, or a file, which is made where there is none.
    """
    if sys.platform == "win32" and path.is_dir():  # which nothing opens there
        yield True
        return
    flags = os.O_RDONLY if path.is_dir() else os.O_CREAT | os.O_RDWR
    handle = os.open(path, flags, 0o666)
    try:
        yield _lock(handle)
    finally:
        os.close(handle)


def _move_in(fresh: Path, path: Path, aside: Path) -> None:
    path.rename(aside)
    try:
        fresh.rename(path)
    except OSError:
        aside.rename(path)
        raise


@contextmanager
def _beside(path: Path, make: Callable[[Path, bool], int], private: bool) -> Iterator[Path]:
    """Yield a temporary file or folder beside ``path``, locked, and removed in the end."""
    _tidy_once(path.parent)
    name = f"{path.name}." if len(os.fsencode(path.name)) <= _LONGEST_NAME else ""
    while True:
        temporary = path.with_name(f".{name}{secrets.token_hex(4)}.partial{path.suffix}")
        handle = make(temporary, private)
        if _lock(handle) and temporary.exists():
            break
        os.close(handle)  # another run takes it for that of a killed run, and removes it
    try:
        yield temporary
    finally:
        os.close(handle)
        _remove(temporary)


def _make_parents(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:  # a file, which "File exists" would not explain
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path)) from error


def _make_file(path: Path, private: bool) -> int:
    return os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600 if private else 0o666)


def _make_folder(path: Path, private: bool) -> int:
    path.mkdir(mode=0o700 if private else 0o777)
    return os.open(path, os.O_RDONLY)


def _lock(handle: int) -> bool:
    """Lock a file or folder until ``handle`` is closed; return whether nobody else had."""
    if sys.platform == "win32":  # no locks, so that nothing is removed
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        # A file system without locks; nothing is removed there, either.
        return error.errno not in (errno.EWOULDBLOCK, errno.EACCES)
    return True


@functools.lru_cache(maxsize=1024)
def _tidy_once(folder: Path) -> None:
    """Remove what killed runs left in ``folder``, once in this process."""
    if sys.platform == "win32":
        return
    with suppress(OSError):
        for leftover in [path for path in folder.iterdir() if _TEMPORARY.fullmatch(path.name)]:
            _tidy(leftover)


def _tidy(leftover: Path) -> None:
    if sys.platform == "win32":
        return
    with suppress(OSError):
        handle = os.open(leftover, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _move_back(leftover)
            _remove(leftover)
        finally:
            os.close(handle)


def _move_back(leftover: Path) -> None:
    """Put back a folder that a killed run had moved aside."""
    place = leftover.with_name(leftover.name[1:].rsplit(".partial", 1)[0][:-9])
    if (leftover / "old").is_dir() and not place.exists():
        (leftover / "old").rename(place)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(FileNotFoundError):
            path.unlink()


def _exchange(one: Path, other: Path) -> None:
    """Exchange two folders in one step.

    Raises:
        OSError: they cannot be, or the system has no such call (``ENOSYS``).
    """
    call = _exchange_call()
    if call is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if call(os.fsencode(one), os.fsencode(other)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(other))


@functools.cache
def _exchange_call() -> Callable[[bytes, bytes], int] | None:
    """Return ``renameat2`` (Linux 3.15) or ``renamex_np`` (macOS 10.12); None elsewhere."""
    if sys.platform not in ("linux", "darwin"):
        return None
    library: Any = ctypes.CDLL(None, use_errno=True)
    here = -100  # AT_FDCWD
    with suppress(AttributeError):
        if sys.platform == "darwin":
            swap = library.renamex_np
            return lambda one, other: int(swap(one, other, _APPLE_EXCHANGE))
        rename = library.renameat2
        return lambda one, other: int(rename(here, one, here, other, _LINUX_EXCHANGE))
    return None
