"""The files of a loaded bundle: they stay on the disk, and each use reads one again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from plainspeech.artifact.record import Record, read_listed
from plainspeech.artifact.storage import reading

Files = Mapping[str, bytes]
"""Contents of files by their names."""


class StoredFiles(Files):
    """The files that a record lists, in the folder or zip that the record is in.

    Each use checks size and hash, so that a file is the one that was written or an error.

    Args:
        record: lists them.
    """

    def __init__(self, record: Record) -> None:
        self._record = record
        self._listed = record.part("files").values

    def __getitem__(self, name: str) -> bytes:
        one = replace(self._record, values={"files": {name: self._listed[name]}})
        with reading(one.origin, one.kind) as read:
            return read_listed(read, one)[name]

    def __contains__(self, name: object) -> bool:
        return name in self._listed

    def __iter__(self) -> Iterator[str]:
        return iter(self._listed)

    def __len__(self) -> int:
        return len(self._listed)


class RenamedFiles(Files):
    """Some files by other names.

    Args:
        names: the old name of each by its new one.
        files: by their old names.
    """

    def __init__(self, names: Mapping[str, str], files: Files) -> None:
        self._names = names
        self._files = files

    def __getitem__(self, name: str) -> bytes:
        return self._files[self._names[name]]

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
