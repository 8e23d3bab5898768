"""Object stores and other places beyond the disk, by fsspec: ``s3://bucket/folder``."""

from __future__ import annotations

from typing import Any

from plainspeech.errors import ConfigurationError, how_to_install


def file_system(url: str) -> tuple[Any, str]:
    """Return fsspec's file system of ``url``, or of a path, and the path in it.

    Raises:
        ConfigurationError: there is no such kind of store, or its package is not installed.
    """
    try:
        from fsspec.core import url_to_fs

        system, path = url_to_fs(url)
    except ImportError as error:
        advice = f"; {how_to_install('s3')}" if url.startswith("s3:") else ""
        raise ConfigurationError(f"{url}: {error}{advice}") from error
    except ValueError as error:  # no such protocol
        raise ConfigurationError(f"{url}: {error}") from error
    return system, str(path)
