"""Uploaded files, as readers of audio want them."""

from __future__ import annotations

import io
from typing import BinaryIO


class NamedUpload(io.BufferedIOBase):
    """An uploaded file that has a name for messages; temporary files have a number or none.

    Args:
        file: that can seek.
    """

    name = "file"

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, size: int | None = -1, /) -> bytes:
        """Read up to ``size`` bytes."""
        return self._file.read(-1 if size is None else size)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move; return the position."""
        self._file.seek(offset, whence)
        return self._file.tell()

    def tell(self) -> int:
        """Return the position."""
        return self._file.tell()

    def close(self) -> None:
        """Close the file, which removes it."""
        self._file.close()
        super().close()

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def seekable(self) -> bool:
        """Tell that it can seek."""
        return True
