"""Mutations of whole inputs: of bytes, of text and of JSON. The same draw makes the same mutant."""

from __future__ import annotations

import io
import random
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

INTEGERS = [0, 1, 2, -1, 17, 255, 65_536, 2**31 - 1, 2**31, 2**32, 2**63, 10**12, 10**15, 10**400]
FLOATS = [0.0, -0.0, 0.5, 1e-30, 88.0, 709.0, 710.0, 800.0, 1e5, -1e5, 1e12, 1e30, -1e308, 5e-324]
STRINGS = ["", " ", "3", "\0", "\ud800", "a\u2028b", "../../x", "/", "é", "x" * 5000, "nan", "%s{}"]
VALUES: list[Any] = [
    *INTEGERS,
    *FLOATS,
    *STRINGS,
    None,
    True,
    False,
    [],
    {},
    [[]],
    {"": 0},
    [1, "a"],
]

NUMBERS = ["0", "-0", "1", "-1", "7", "99", "-99", "-1000", "20", "308", "-1e30", "1e30", "nan"]
NUMBERS += ["inf", "-inf", "1e999", "9" * 30, "9" * 5000, "2147483648", "4294967296", "0x10", "1_0"]
TEXTS = [*NUMBERS, "[" * 3000, '{"a":' * 2000, "\0", "\r", "\n\n", "\x85", "\ufeff", "'", '"', "\\"]
TEXTS += ["null", "true", "[]", "{}", "é", "\u2028", "x" * 20_000, "\\ud800", "\\u0000", "=", "#"]


def mutated_bytes(content: bytes, draw: random.Random, most: int = 5) -> bytes:
    """Return ``content`` after up to ``most`` changes."""
    changed = bytearray(content)
    for _ in range(draw.choice([1, 1, 2, draw.randrange(1, most + 1)])):
        if not changed:
            return draw.randbytes(8)
        place = draw.randrange(draw.choice([min(200, len(changed)), len(changed)]))
        length = draw.choice([1, 2, 4, 8, draw.randrange(1, 64)])
        part = slice(place, place + length)
        change = draw.randrange(9)
        if change <= 1:
            changed[place] ^= 1 << draw.randrange(8)
        elif change == 2:
            changed[place] = draw.choice([0, 1, 127, 128, 255])
        elif change == 3:
            del changed[part]
        elif change == 4:
            changed[place:place] = changed[part]
        elif change == 5:
            changed[part] = bytes([draw.choice([0, 255])]) * len(changed[part])
        elif change == 6:
            number = draw.choice(INTEGERS) & 2**64 - 1
            order = draw.choice(["little", "big"])
            whole = number.to_bytes(8, "big" if order == "big" else "little")
            changed[part] = whole[:length] if order == "little" else whole[-length:]
        elif change == 7:
            other = draw.randrange(len(changed))
            changed[part] = changed[other : other + length]
        elif draw.random() < 0.3:
            del changed[place:]
    return bytes(changed)


def mutated_text(text: str, draw: random.Random, parts: Sequence[str] = TEXTS) -> bytes:
    """Return ``text`` with words of it replaced, as UTF-8, now and then with damaged bytes."""
    words = text.split(" ")
    for _ in range(draw.randrange(1, 5)):
        place, change = draw.randrange(len(words)), draw.randrange(6)
        if change <= 2:
            words[place] = draw.choice(parts)
        elif change == 3:
            words.insert(place, draw.choice(words))
        elif change == 4 and len(words) > 1:
            del words[place]
        else:
            middle = draw.randrange(len(words[place]) + 1)
            words[place] = words[place][:middle] + draw.choice(parts) + words[place][middle:]
    content = " ".join(words).encode(errors="surrogatepass")
    return mutated_bytes(content, draw) if draw.random() < 0.3 else content


def mutated_json(value: Any, draw: random.Random) -> Any:
    """Return a copy of ``value`` of which one part is another value, missing or in double."""
    if not isinstance(value, dict | list) or not value or draw.random() < 0.05:
        return draw.choice(VALUES)
    if isinstance(value, list):
        place = draw.randrange(len(value))
        return [*value[:place], mutated_json(value[place], draw), *value[place + 1 :]]
    key = draw.choice(sorted(value))
    rest = {name: part for name, part in value.items() if name != key}
    change = draw.randrange(8)
    if change == 0:
        return rest
    if change == 1:
        return {**rest, draw.choice([key.upper(), f"{key}x", *STRINGS[:8]]): value[key]}
    return {**rest, key: mutated_json(value[key], draw)}


def zipped(files: Mapping[str, bytes]) -> bytes:
    """Return a zip of ``files``."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, file in files.items():
            archive.writestr(zipfile.ZipInfo(name), file)
    return content.getvalue()
