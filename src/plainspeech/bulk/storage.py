"""Recordings and manifests in object stores, by fsspec: ``s3://bucket/folder``, for example."""

from __future__ import annotations

import posixpath
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from plainspeech.errors import AudioError, DataError
from plainspeech.object_stores import file_system


class StorageError(OSError):
    """A recording could not be read from its store; later that may succeed."""


def is_url(name: str) -> bool:
    """Return whether ``name`` is a URL, and no path."""
    return "://" in name


def joined(folder: str, name: str) -> str:
    """Return the URL of ``name``, a path relative to the URL ``folder``."""
    scheme, _, path = folder.partition("://")
    return f"{scheme}://{posixpath.normpath(posixpath.join(path, name))}"


def files_below(url: str) -> list[tuple[str, str, float]]:
    """Return path below ``url``, URL and bytes of every object there, sorted.

    Raises:
        ConfigurationError: the library for such URLs is not installed.
        DataError: they cannot be listed.
    """
    system, root = file_system(url)
    try:
        found = system.find(root, detail=True)
    except Exception as error:  # each store has errors of its own
        raise DataError(f"{url}: cannot be listed: {error}") from error
    start = root.rstrip("/") + "/"
    return sorted(
        (path.removeprefix(start), str(system.unstrip_protocol(path)), float(info["size"] or 0))
        for path, info in found.items()
    )


def read_text(url: str) -> str | None:
    """Return the content of the object ``url``; None where it is none, but a folder perhaps.

    Raises:
        ConfigurationError: the library for such URLs is not installed.
        DataError: it cannot be read.
    """
    system, path = file_system(url)
    try:
        if not system.isfile(path):
            return None
        content: bytes = system.cat_file(path)
        return content.decode("utf-8-sig")
    except Exception as error:
        raise DataError(f"{url}: cannot be read: {error}") from error


@contextmanager
def opened(url: str) -> Iterator[BinaryIO]:
    """Yield the recording ``url`` as a binary file of that name, from a copy on the disk.

    A copy, since decoders seek, which would be a request each.

    Raises:
        StorageError: it cannot be read now.
        AudioError: there is none, or it may not be read.
    """
    system, path = file_system(url)
    with tempfile.TemporaryDirectory(prefix="plainspeech-") as folder:
        copy = Path(folder, "recording")
        try:
            system.get_file(path, str(copy))
        except FileNotFoundError as error:
            raise AudioError(f"{url}: no such object") from error
        except PermissionError as error:
            raise AudioError(f"{url}: may not be read: {error}") from error
        except Exception as error:
            raise StorageError(f"{url}: cannot be read: {error}") from error
        with copy.open("rb") as file:
            cast("Any", file.raw).name = url  # for messages
            yield file
