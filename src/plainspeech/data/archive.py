"""Safe extraction of downloaded archives."""

from __future__ import annotations

import shutil
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath

from plainspeech.errors import PlainspeechError


@contextmanager
def extracted(archive: Path, folder: Path) -> Iterator[Path]:
    """Yield ``folder``, which holds the content of ``archive`` and is gone when the block ends.

    What is to stay, the block moves away, so nothing is ever half extracted.

    Args:
        archive: a tar file, compressed or not.
        folder: made anew; it may be left of an extraction that was killed.

    Raises:
        PlainspeechError: the archive is damaged, or a member would be written outside the folder
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
        raise PlainspeechError(f"{archive}: cannot extract the archive: {error}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _checked(tar: tarfile.TarFile, archive: Path) -> Iterator[tarfile.TarInfo]:
    for member in tar:
        if not (member.isreg() or member.isdir()):
            raise PlainspeechError(f"{archive}: {member.name!r} is neither a file nor a folder")
        if _escapes(member.name):
            raise PlainspeechError(
                f"{archive}: {member.name!r} would be written outside the folder"
            )
        yield member


def _escapes(name: str) -> bool:
    """Return whether ``name`` leads out of a folder, on this system or on Windows."""
    windows = PureWindowsPath(name)
    absolute = PurePosixPath(name).is_absolute() or bool(windows.drive or windows.root)
    return absolute or ".." in windows.parts
