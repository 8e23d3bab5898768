"""Hot words of a request: a word or phrase per line, with or without a weight."""

from __future__ import annotations

import math
from http import HTTPStatus

from plainspeech.alphabet import Alphabet
from plainspeech.decoding.hot_words import LARGEST_WEIGHT
from plainspeech.serving.errors import ApiError

USUAL_WEIGHT = 5.0
"""Nats, of a line without a weight: enough to help words that are said, and too little for long
words that are not said to do harm."""

MOST = 500
"""Words or phrases of one request."""


def parse(text: str, alphabet: Alphabet) -> dict[str, float]:
    """Return the phrases of ``text``, folded to the alphabet, with their weights in nats.

    Args:
        text: lines ``phrase`` or ``phrase:weight``; empty lines are skipped.
        alphabet: of the model.

    Raises:
        ApiError: a line is neither, which the message names, or there are too many.
    """
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if len(lines) > MOST:
        raise _invalid(f"there are {len(lines)} lines; at most {MOST} are accepted")
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
            f"line {number}: {weight.strip()[:40]!r} is not a weight; write a number from "
            f"-{LARGEST_WEIGHT:g} to {LARGEST_WEIGHT:g}"
        )
    return phrase, nats


def _invalid(message: str) -> ApiError:
    return ApiError(
        HTTPStatus.BAD_REQUEST, f"hot_words: {message}.", "invalid_hot_words", "hot_words"
    )
