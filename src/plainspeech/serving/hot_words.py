"""Hot words as clients write them: a word or phrase a line, perhaps with its weight."""

from __future__ import annotations

import math
from http import HTTPStatus

from plainspeech.alphabet import Alphabet
from plainspeech.decoding.hot_words import LARGEST_WEIGHT
from plainspeech.serving.errors import ApiError

USUAL_WEIGHT = 5.0
"""Nats, of what has no weight of its own: what is said is found more often, and long words that are
not said do no harm."""

MOST = 500
"""Words or phrases of one request."""


def parse(text: str, alphabet: Alphabet) -> dict[str, float]:
    """Return the phrases of ``text``, as the alphabet writes them, with their weights in nats.

    Args:
        text: lines ``phrase`` or ``phrase:weight``; empty ones are none.
        alphabet: of the model.

    Raises:
        ApiError: naming the line that is neither, or there are too many.
    """
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if len(lines) > MOST:
        raise _invalid(f"there are {len(lines)} lines; at most {MOST} are taken")
    return dict(_entry(number, line, alphabet) for number, line in lines)


def _entry(number: int, line: str, alphabet: Alphabet) -> tuple[str, float]:
    written, _, weight = line.rpartition(":") if ":" in line else (line, "", str(USUAL_WEIGHT))
    phrase = alphabet.normalise(written)
    if not phrase:
        raise _invalid(f"line {number} has no letters")
    try:
        nats = float(weight)
    except ValueError:
        nats = math.nan
    if not abs(nats) <= LARGEST_WEIGHT:
        raise _invalid(
            f"line {number}: {weight.strip()!r} is no weight; after a colon comes a number from "
            f"-{LARGEST_WEIGHT:g} to {LARGEST_WEIGHT:g}"
        )
    return phrase, nats


def _invalid(message: str) -> ApiError:
    return ApiError(
        HTTPStatus.BAD_REQUEST, f"hot_words: {message}.", "invalid_hot_words", "hot_words"
    )
