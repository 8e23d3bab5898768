"""How the command line loads models."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def loading() -> Iterator[None]:
    """Load libraries and a model without collecting garbage.

    There is hardly any, and to look for it takes a twentieth of the time until the first word.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
