"""The exceptions of this package.

    PlainspeechError
    ├── AudioError            a recording that cannot be read or decoded
    ├── DataError             a manifest, corpus, transcript or results file at fault
    ├── ModelError            a model bundle or checkpoint that is damaged or does not fit
    ├── LanguageModelError    a scorer, ARPA file or KenLM binary that is damaged or does not fit
    ├── DecodingError         log-probabilities or hot words that a decoder cannot use
    └── ConfigurationError    an option, recipe, setting or environment at fault

Every message is one line that names the file or option at fault and says how to fix it.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

_LONGEST = 800  # characters of a message; libraries quote whole files in theirs
_KEPT_END = 200  # of them, from the end


class PlainspeechError(Exception):
    """An error that the user can fix; the base of every exception that this package raises.

    The command line prints the message after ``error:`` and exits with status 1.

    Args:
        message: becomes one line that any terminal shows as it is: line breaks and control
            characters, which a file at fault brings in, are escaped, and the middle of what is
            too long is left out.
    """

    def __init__(self, message: object = "") -> None:
        super().__init__(_one_line(str(message)))


class AudioError(PlainspeechError):
    """A recording or waveform cannot be read, is damaged, or holds no audio."""


class DataError(PlainspeechError):
    """A manifest, corpus, transcript or results file is missing, malformed or inconsistent."""


class ModelError(PlainspeechError):
    """A model bundle or checkpoint is missing, damaged, or of another kind than is needed."""


class LanguageModelError(PlainspeechError):
    """A scorer, ARPA file or KenLM binary is missing, damaged, or does not fit the model."""


class DecodingError(PlainspeechError):
    """Log-probabilities, hot words or a stream are not what a decoder accepts."""


class ConfigurationError(PlainspeechError):
    """An option, recipe, setting or environment is wrong."""


def _one_line(message: str) -> str:
    if len(message) > _LONGEST:
        message = f"{message[: _LONGEST - _KEPT_END]} ... {message[-_KEPT_END:]}"
    if message.isprintable():
        return message
    shown = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in message)
    return "".join(shown)


def nearest(name: object, names: Iterable[str]) -> str:
    """Return a suggestion for a misspelt ``name``: the closest of ``names``, else all of them."""
    known = sorted(names)
    close = get_close_matches(str(name), known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"choose one of: {', '.join(known)}"


def wrong_type(name: str, value: object, wanted: str) -> str:
    """Return that the argument ``name`` is of the wrong type, and what is ``wanted``."""
    return f"{name}: is of type {type(value).__name__}; {wanted}"


def why_unreadable(error: OSError | UnicodeDecodeError) -> str:
    """Return what kept a text file from being read, as the end of a message."""
    if isinstance(error, UnicodeDecodeError):
        place = f"byte {error.start:,} is 0x{error.object[error.start]:02x}"
        return f"it is not text in UTF-8 ({place})"
    return error.strerror or str(error)


def how_to_install(extra: str) -> str:
    """Return how to install an extra of this package, as the end of a message."""
    return f"in a checkout of plainspeech, pip install -c constraints.txt '.[{extra}]'"


def counted(number: int, unit: str) -> str:
    """Return ``number`` with its ``unit``, in the plural where that is right: "1 word"."""
    return f"{number:,} {unit}{'' if number == 1 else 's'}"
