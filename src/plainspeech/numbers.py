"""English numbers, dates and times of day that are written in words, in digits.

A run of number words is replaced where all of it is one number: "two hundred and five" 205,
"three point one four" 3.14, "nineteen eighty four" 1984, "four oh seven one" 4071, "twenty first"
21st. What can be read in several ways stays ("five six", "twenty thirty forty"), and so does what
is below ten ("one of them", "a second"), but for percentages ("five percent" 5%), dollars, dates
("the third of may" 3 may, "may third" may 3) and times ("half past seven" 7:30, "at six thirty"
6:30).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from plainspeech.errors import ConfigurationError
from plainspeech.transcript import Segment, Word

Numbers = Literal["words", "digits"]
"""How numbers are written."""

_SMALL = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_VALUES = {
    **{word: value for value, word in enumerate(_SMALL)},
    **{word: 10 * value for value, word in enumerate(_TENS, start=2)},
}
_SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_IRREGULAR = {"first": "one", "second": "two", "third": "three", "fifth": "five", "eighth": "eight"}
_ORDINALS = {
    **_IRREGULAR,
    **{f"{word}th": word for word in (*_SMALL, "hundred", *_SCALES)},
    **{"ninth": "nine", "twelfth": "twelve"},
    **{f"{word[:-1]}ieth": word for word in _TENS},
}
_NUMBER_WORDS = {*_VALUES, *_SCALES, *_ORDINALS, "hundred"} - {"zeroth"}
_JOINING = {"and", "point", "oh"}
_MONTHS = frozenset(
    [
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ]
)
_STAYS = 10  # smaller numbers stay words
_UNITS = _SMALL[1:_STAYS]
_UNIT_ORDINALS = [
    next(ordinal for ordinal, word in _ORDINALS.items() if word == unit) for unit in _UNITS
]

_HYPHEN = re.compile(
    rf"\b({'|'.join(_TENS)})-(?=(?:{'|'.join((*_UNITS, *_UNIT_ORDINALS))})\b)", re.IGNORECASE
)
_AT_ENDS = '.,;:!?"“”„«»()[]{}…¡¿'
_PARTS = re.compile(rf"([{re.escape(_AT_ENDS)}]*)(.*?)([{re.escape(_AT_ENDS)}]*)", re.DOTALL)
_ONE_DIGIT = re.compile(r"(?<![^\s(\[\"“])(\d)(st|nd|rd|th)?(?![\w$%-]|[.,:]\d)")
_SEPARATOR = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_SCALED = re.compile(rf"(?<!\S)(\d+) ({'|'.join(_SCALES)})\b")
_PERCENT = re.compile(r"(?<=\d) (?:percent|per cent|%)(?!\w)")
_DOLLARS = re.compile(r"(?<!\S)(\d[\d.]*) dollars?\b")


@dataclass(frozen=True)
class Rewritten:
    """Words that become one.

    Attributes:
        first: the number of the first of them.
        last: the number after the last.
        text: what they become.
    """

    first: int
    last: int
    text: str


def check_language(language: object) -> None:
    """Check that the numbers of a model can be written in digits.

    Args:
        language: of the model's card, with or without a region; None, which any card may have, is
            not refused.

    Raises:
        ConfigurationError: it is another than English.
    """
    if language is not None and re.split("[-_]", str(language).strip().lower())[0] != "en":
        raise ConfigurationError(
            f"numbers: digits are for English, and the language of the model is {language!r}; "
            "leave them in words"
        )


def in_digits(segment: Segment) -> Segment:
    """Return ``segment`` with its numbers in digits, in its n-best list too.

    A number lasts from its first word to its last and has the least of their confidences.
    """
    words = list(segment.words)
    for one in reversed(list(rewritten([word.text for word in words]))):
        parts = words[one.first : one.last]
        sure = min(word.confidence for word in parts)
        words[one.first : one.last] = [Word(one.text, parts[0].start, parts[-1].end, sure)]
    n_best = tuple(replace(each, text=text_in_digits(each.text)) for each in segment.n_best)
    return replace(segment, words=tuple(words), n_best=n_best)


def text_in_digits(text: str) -> str:
    """Return ``text`` with its numbers in digits, and single spaces between words."""
    words = text.split()
    for one in reversed(list(rewritten(words))):
        words[one.first : one.last] = [one.text]
    return " ".join(words)


def comparable(text: str) -> str:
    """Return ``text`` with each number in one form, whether it was in words or in digits.

    That is the form of `text_in_digits` without commas: "ten thousand" and "10,000" are 10000,
    "five percent" and "5 percent" 5%, "21 dollars" $21, "3 million" 3000000. What is below ten and
    stays a word there is a word: "3" three, "2nd" second. Case and punctuation of other words stay.
    """
    words = _spelled(_HYPHEN.sub(r"\1 ", text)).split()
    parts = [_parts(word) for word in words]
    for one in reversed(list(rewritten([core.lower() for _, core, _ in parts]))):
        before, after = parts[one.first][0], parts[one.last - 1][2]
        words[one.first : one.last] = [f"{before}{one.text}{after}"]
    found = _SEPARATOR.sub("", " ".join(words))
    found = _SCALED.sub(lambda each: str(int(each[1]) * _SCALES[each[2]]), found)
    found = _PERCENT.sub("%", found)
    return _spelled(_DOLLARS.sub(r"$\1", found))


def _spelled(text: str) -> str:
    """Return ``text`` with numbers of one digit in words."""
    return _ONE_DIGIT.sub(
        lambda each: ["zero", *(_UNIT_ORDINALS if each[2] else _UNITS)][int(each[1])], text
    )


def _parts(word: str) -> tuple[str, str, str]:
    """Return the punctuation before a word, the word, and that after it."""
    found = _PARTS.fullmatch(word)
    assert found is not None
    before, core, after = found.groups()
    return before, core, after


def rewritten(words: Sequence[str]) -> Iterator[Rewritten]:
    """Yield what becomes digits, in order."""
    place = 0
    while place < len(words):
        found = _time(words, place) or _date(words, place)
        if found is None:
            last, text = _number(words, place)
            found = Rewritten(place, max(last, place + 1), text)
        if found.text:
            yield found
        place = found.last


def _number(words: Sequence[str], first: int) -> tuple[int, str]:
    """Return the end of the run of number words, and what it becomes; empty if it stays."""
    negative = words[first] == "minus"
    start = first + negative
    for last in _ends(words, start):
        value = _read(words[start:last])
        if value is None:
            continue
        small = len(value) == 1
        following = words[last] if last < len(words) else ""
        if following in ("percent", "%") or list(words[last : last + 2]) == ["per", "cent"]:
            return last + 1 + (following == "per"), f"{'-' * negative}{value}%"
        if following in ("dollar", "dollars"):
            return last + 1, f"{'-' * negative}${value}"
        if small and not negative:
            return last, ""
        return last, f"{'-' * negative}{value}"
    return _end(words, start), ""


def _ends(words: Sequence[str], first: int) -> Iterator[int]:
    """Yield where the run that begins at ``first`` may end: as a whole, else before an "and"."""
    end = _end(words, first)
    if end > first:
        yield end
        yield from (n for n in range(end - 1, first, -1) if words[n] == "and")


def _end(words: Sequence[str], first: int) -> int:
    """Return the end of the run of number words; words that join them do not end it."""
    end = first
    for number in range(first, len(words)):
        if words[number] in _NUMBER_WORDS or (words[number] == "oh" and number > first):
            end = number + 1
        elif words[number] not in _JOINING or number == first:
            break
    return end


def _read(words: Sequence[str]) -> str | None:
    """Return the digits of ``words`` if all of them are one number."""
    digits = [_digit(word) for word in words]
    if len(words) > 2 and None not in digits:
        return "".join(str(digit) for digit in digits)
    if "point" in words:
        whole, tail = words[: words.index("point")], words[words.index("point") + 1 :]
        value, decimals = _cardinal(whole), [_digit(word) for word in tail]
        if value is None or not decimals or None in decimals:
            return None
        return f"{_grouped(value)}.{''.join(str(digit) for digit in decimals)}"
    if words[-1] in _ORDINALS:
        value = _cardinal([*words[:-1], _ORDINALS[words[-1]]])
        if value is None:
            return None
        return str(value) if value < _STAYS else f"{value}{_suffix(value)}"
    value = _year(words)
    if value is None:
        value = _cardinal(words)
    return None if value is None else _grouped(value)


def _digit(word: str) -> int | None:
    value = 0 if word == "oh" else _VALUES.get(word)
    return value if value is not None and value < 10 else None


def _suffix(value: int) -> str:
    if 10 <= value % 100 < 20:
        return "th"
    return {1: "st", 2: "nd", 3: "rd"}.get(value % 10, "th")


def _year(words: Sequence[str]) -> int | None:
    """Return a year that is read in two halves, from 1300 to 2099."""
    if len(words) < 2 or not 13 <= _VALUES.get(words[0], 0) <= 20:
        return None
    rest = _pair(words[1:])
    return None if rest is None else 100 * _VALUES[words[0]] + rest


def _pair(words: Sequence[str]) -> int | None:
    """Return two digits: "oh five", "ten" to "ninety nine"."""
    if len(words) == 2 and words[0] == "oh":
        return _digit(words[1]) or None
    value = _below_hundred(words)
    return value if value is not None and value >= 10 else None


def _below_hundred(words: Sequence[str]) -> int | None:
    if len(words) == 1:
        return _VALUES.get(words[0])
    if len(words) == 2 and words[0] in _TENS and (_digit(words[1]) or 0) > 0:
        return _VALUES[words[0]] + _VALUES[words[1]]
    return None


def _below_thousand(words: Sequence[str], most: int = 9) -> int | None:
    """Return the value of up to three digits; ``most`` is that of the hundreds."""
    if "hundred" not in words:
        return _below_hundred(words)
    place = words.index("hundred")
    hundreds, rest = _below_hundred(words[:place]), list(words[place + 1 :])
    if hundreds is None or not 1 <= hundreds <= most:
        return None
    if not rest:
        return 100 * hundreds
    small = _below_hundred(rest[1:] if rest[0] == "and" else rest)
    return None if not small else 100 * hundreds + small


def _cardinal(words: Sequence[str]) -> int | None:
    """Return the value of ``words``, None if they are no one number."""
    total, rest, above = 0, list(words), 10**15
    while scales := [n for n, word in enumerate(rest) if word in _SCALES]:
        place = scales[0]
        scale, group = _SCALES[rest[place]], _below_thousand(rest[:place])
        if not group or scale >= above:
            return None
        total, rest, above = total + group * scale, rest[place + 1 :], scale
    if not total:
        return _below_thousand(rest, most=99)
    if not rest:
        return total
    joined = rest[0] == "and"
    group = _below_thousand(rest[1:] if joined else rest)
    if not group or (joined and group >= 100):
        return None
    return total + group


def _grouped(value: int) -> str:
    """Return ``value`` with commas from 10,000 on."""
    return f"{value:,}" if value >= 10_000 else str(value)


def _time(words: Sequence[str], first: int) -> Rewritten | None:
    """Return a time of day that begins at ``first``."""
    passed = {"half": 30, "quarter": 15}.get(words[first])
    if passed and first + 2 < len(words) and words[first + 1] in ("past", "to"):
        hour = _hour(words[first + 2])
        if hour is None or (words[first + 1] == "to" and passed == 30):
            return None
        if words[first + 1] == "to":
            hour, passed = (hour - 2) % 12 + 1, 45
        return Rewritten(first, first + 3, f"{hour}:{passed}")
    hour, end = _hour(words[first]), _end(words, first)
    if hour is None:
        return None
    after = list(words[end : end + 2])
    told = after[:1] == ["o'clock"] or after in (["a", "m"], ["p", "m"])
    if told and end == first + 1:
        return Rewritten(first, end, str(hour))
    minutes = _pair(words[first + 1 : end]) if end > first + 1 else None
    if minutes is None or minutes > 59 or not (told or words[first - 1 : first] == ["at"]):
        return None
    if not told and hour >= 10 and _read(words[first:end]) is not None:
        return None
    return Rewritten(first, end, f"{hour}:{minutes:02}")


def _hour(word: str) -> int | None:
    value = _VALUES.get(word, 0)
    return value if 1 <= value <= 12 else None


def _date(words: Sequence[str], first: int) -> Rewritten | None:
    """Return a day of a month that begins at ``first``, without the month."""
    start = first + (words[first] == "the")
    last = next((n for n in (start + 1, start + 2) if n <= len(words) and _day(words[start:n])), 0)
    if not last:
        return None
    day = str(_day(words[start:last]))
    if list(words[last : last + 1]) == ["of"] and set(words[last + 1 : last + 2]) & _MONTHS:
        return Rewritten(first, last + 1, day)
    if start == first and first and words[first - 1] in _MONTHS:
        return Rewritten(first, last, day)
    return None


def _day(words: Sequence[str]) -> int | None:
    if not words or words[-1] not in _ORDINALS:
        return None
    value = _cardinal([*words[:-1], _ORDINALS[words[-1]]])
    return value if value is not None and 1 <= value <= 31 else None
