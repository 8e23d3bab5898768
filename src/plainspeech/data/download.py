"""LibriSpeech and Mini LibriSpeech from openslr.org, extracted safely."""

from __future__ import annotations

import shutil
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from urllib.parse import urlsplit

from plainspeech.data.fetch import Report, fetch
from plainspeech.errors import ConfigurationError, DataError, nearest

TREE = "LibriSpeech"
"""The folder that every archive holds, and below it one folder a subset."""

MIRRORS = (
    "https://www.openslr.org/resources",
    "https://openslr.trmal.net/resources",
    "https://us.openslr.org/resources",
    "https://openslr.elda.org/resources",
    "https://openslr.magicdatatech.com/resources",
)


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


def find(subset: str) -> Archive:
    """Return where ``subset`` is published.

    Raises:
        DataError: there is none of that name.
    """
    if subset not in SUBSETS:
        raise ConfigurationError(f"no subset is named {subset!r}; {nearest(subset, SUBSETS)}")
    return SUBSETS[subset]


def download(
    subset: str, folder: Path, report: Report, mirrors: Sequence[str] = MIRRORS, pause: float = 1.0
) -> Path:
    """Download, verify and extract a subset, unless it is there already.

    The archive lies beside the tree as ``SUBSET.tar.gz.part`` until it is extracted. Interrupted
    at any moment, the next call goes on from there.

    Args:
        subset: one of `SUBSETS`.
        folder: to hold ``LibriSpeech/SUBSET``.
        report: shows how far the download is.
        mirrors: addresses below which ``RESOURCE/SUBSET.tar.gz`` lies, in the order to be tried.
        pause: seconds before a first repetition.

    Returns:
        The subset's folder.

    Raises:
        DataError: no such subset, no mirror gave it, or it cannot be extracted.
    """
    archive = find(subset)
    target = folder / TREE / subset
    if target.exists():
        return target
    urls = [f"{_address(mirror)}/{archive.resource}/{subset}.tar.gz" for mirror in mirrors]
    part = folder / f"{subset}.tar.gz.part"
    fetch(urls, part, archive.md5, report, pause)
    _extract(part, target)
    part.unlink()
    return target


def _address(mirror: str) -> str:
    if urlsplit(mirror).scheme not in ("http", "https"):
        raise DataError(f"mirror {mirror!r}: the address must begin with http:// or https://")
    return mirror.rstrip("/")


def _extract(archive: Path, target: Path) -> None:
    """Move the subset in ``archive`` to ``target``, and the files about the corpus beside it."""
    with extracted(archive, target.parent.parent / f".{target.name}.extracting") as content:
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

    What is to stay, the block moves away, so nothing is ever half extracted.

    Args:
        archive: a tar file, compressed or not.
        folder: made anew; it may be left of an extraction that was killed.

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
