"""What to say when an optional dependency is not installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from plainspeech.errors import ConfigurationError


@contextmanager
def needs(extra: str) -> Iterator[None]:
    """Turn a failed import in the block into advice to install ``extra``."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] == "plainspeech":
            raise
        raise ConfigurationError(
            f"{error.name} is not installed; this needs the {extra} extra: "
            f"pip install 'plainspeech[{extra}]'"
        ) from error
