"""The one exception that users see, and how it helps them."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class PlainspeechError(Exception):
    """Something the user can mend; the message is one line that names the file or option.

    The command line prints the message after ``error:`` and exits with status 1.
    """


def nearest(name: str, names: Iterable[str]) -> str:
    """Return a suggestion for a misspelt ``name``: the closest of ``names``, else all of them."""
    known = sorted(names)
    close = get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(known)}"
