"""Log-probabilities, with extreme models, settings and hot words.

Half of the cases come in by the door, with all its bounds; the others put numbers into the compiled
search that no door lets in. None may read or write beyond an array, or end in anything but a result
or an error of this package.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from toy_lm import ToyLm, random_lm

from plainspeech.alphabet import Alphabet
from plainspeech.decoding import hot_words as bounds
from plainspeech.decoding.beam_search import BeamSearchDecoder
from plainspeech.decoding.greedy import GreedyDecoder
from plainspeech.errors import PlainspeechError

LARGE = Alphabet((" ", *map(chr, range(0x4E00, 0x4E00 + 90))))
ALPHABETS = [Alphabet((" ", "a", "b")), Alphabet((" ", *"abcdefghijklmnopqrstuvwxyz'")), LARGE]
WILD = [0.0, -0.0, 1.0, -1.0, 88.0, 709.0, 710.0, -745.0, 800.0, 1e5, -1e5, 1e30, -1e30, 1e300]
WILDEST = [*WILD, np.inf, -np.inf, np.nan]


class Case:
    """What a seed makes."""

    def __init__(self, seed: int) -> None:
        self.draw = np.random.default_rng(seed)
        self.alphabet = ALPHABETS[seed % len(ALPHABETS)]
        self.tame = seed % 2 == 0
        self.symbols = [symbol for symbol in self.alphabet.symbols if symbol != " "]

    def number(self, low: float, high: float) -> float:
        """Return a number of the range, its ends more often than others."""
        value = self.draw.choice([low, high, self.draw.uniform(low, high)])
        return float(value if self.tame else self.draw.choice([value, *WILDEST]))

    def word(self, most: int = 6) -> str:
        return "".join(self.draw.choice(self.symbols, self.draw.integers(1, most)))

    def model(self) -> ToyLm | None:
        if self.draw.random() < 0.3:
            return None
        length = 2 if self.draw.random() < 0.2 else 6
        words = sorted({self.word(length) for _ in range(self.draw.integers(1, 6))})
        model = random_lm(int(self.draw.integers(1 << 30)), words)
        scale = self.draw.choice([1.0, 10.0, 100.0])
        for scores, low, high in ((model.probabilities, -20, 0), (model.backoffs, -20, 0.4)):
            for ngram in scores:
                scores[ngram] = float(np.clip(self.number(low, high) * scale, -2000, 1e38))
        return model

    def decoder(self) -> BeamSearchDecoder:
        model = self.model()
        decoder = BeamSearchDecoder(
            self.alphabet,
            model,
            alpha=float(self.draw.choice([0.0, 0.5, 1.0, 100.0, -100.0])),
            beta=float(self.draw.choice([0.0, 1.0, 100.0, -100.0])),
            beam_width=int(self.draw.choice([1, 2, 3, 16, 100])),
            beam_threshold=float(self.draw.choice([1e-9, 5.0, 10.0, 1000.0, np.inf])),
            cutoff_prob=float(self.draw.choice([1e-6, 0.5, 1.0])),
            cutoff_top_n=int(self.draw.choice([1, 2, 40, 1000])),
            token_floor=float(self.draw.choice([-1e-9, -1.0, -6.0, -1e9, -np.inf])),
            unknown_word_penalty=float(self.draw.choice([0.0, 1.0, 16.0, 1e6])),
            merge="prefix" if model is None or self.draw.random() < 0.3 else "state",
        )
        if not self.tame:
            context = decoder._context
            names = ["alpha", "beta", "unknown_word_penalty", "unknown_look_ahead", "token_floor"]
            names += ["beam_threshold_ratio", "cutoff_prob", "blank_threshold"]
            name = str(self.draw.choice(names))
            wild: dict[str, Any] = {name: float(self.draw.choice(WILDEST))}
            weights = {self.phrase(): self.number(-100, 100) for _ in range(3)}
            decoder._context = replace(
                context,
                parameters=context.parameters._replace(**wild),
                hot_words=unbounded(weights, self.alphabet),
            )
        return decoder

    def phrase(self) -> str:
        return " ".join(self.word(3) for _ in range(self.draw.integers(1, 4)))

    def hot_words(self) -> dict[str, float] | None:
        if self.draw.random() < 0.5 or not self.tame:
            return None
        if self.draw.random() < 0.3:  # one within the other
            letter = str(self.draw.choice(self.symbols))
            return {" ".join([letter] * (n + 1)): 100.0 for n in range(self.draw.integers(1, 12))}
        return {self.phrase(): self.number(-100, 100) for _ in range(self.draw.integers(1, 30))}

    def rows(self) -> Any:
        frames = int(self.draw.choice([0, 1, 2, 7, 30, 80]))
        sharpness = float(self.draw.choice([0.02, 0.3, 3.0]))
        p = self.draw.dirichlet(np.full(self.alphabet.size, sharpness), frames)
        with np.errstate(divide="ignore"):
            rows = np.log(p)
        rows = np.maximum(rows, float(self.draw.choice([-np.inf, -745.0, -20.0])))
        rows[self.draw.random(frames) < 0.1] = np.log(1 / self.alphabet.size)
        return rows - np.log(np.exp(rows).sum(axis=1, keepdims=True))


def unbounded(weights: dict[str, float], alphabet: Alphabet) -> Any:
    """Build hot words that no door lets in."""
    with patch.object(bounds, "LARGEST_SUM", np.inf):
        return bounds.build_hot_words(weights, alphabet)


def search(draw: random.Random) -> str:
    case = Case(draw.randrange(2**32))
    decoder, rows, hot_words = case.decoder(), case.rows(), case.hot_words()
    found = decoder.decode_n_best(rows, 5, hot_words)
    stream = decoder.stream(hot_words)
    for part in np.array_split(rows, 3):
        stream.feed(part)
        stream.partial()
    text = stream.finish().text
    if case.tame:
        assert text == found[0].transcript.text
        assert all(np.isfinite(each.score) for each in found)
    return "decoded"


def anything(draw: random.Random, decoders: list[Any]) -> str:
    """Give a decoder what are no log-probabilities, or hardly so."""
    case = Case(draw.randrange(2**32))
    size = decoders[0].alphabet.size
    rows: Any = np.log(case.draw.dirichlet(np.full(size, 0.3), draw.randrange(6)))
    change = draw.randrange(8)
    if change == 0 and len(rows):
        rows[draw.randrange(len(rows)), draw.randrange(size)] = draw.choice(WILDEST)
    elif change == 1:
        rows = rows.astype(draw.choice(["f2", "f4", "f8", "O", "i4", "c16", "U", "?", ">f4"]))
    elif change == 2:
        rows = rows.tolist()
        if rows:
            place = draw.randrange(len(rows))
            rows[place] = draw.choice([[], None, "x", rows[place][1:], [rows[place]], 10**400])
    elif change == 3:
        rows = draw.choice([rows.T, rows[:, :-1], rows[None], rows[::-1], rows[:, ::-1], rows[0:0]])
    elif change == 4:
        rows = rows * draw.choice([-1.0, 0.0, 2.3, 1e30])
    elif change == 5:
        rows = draw.choice([None, "text", 3, [], {}, np.float32(1), b"bytes", [[]], object()])
    elif change == 6:
        rows = np.asfortranarray(rows)
    decoder = draw.choice(decoders)
    if draw.random() < 0.5:
        decoder.decode(rows)
    else:
        stream = decoder.stream()
        stream.feed(rows)
        stream.finish()
    return "taken"


def cases(folder: Path) -> Callable[[random.Random], str]:
    del folder
    alphabet = ALPHABETS[1]
    decoders = [GreedyDecoder(alphabet, 0.03), BeamSearchDecoder(alphabet, None, beam_width=4)]
    for seed in range(9):  # compiled code is ready when time counts
        with suppress(PlainspeechError):
            search(random.Random(seed))
    return lambda draw: search(draw) if draw.random() < 0.5 else anything(draw, decoders)


CASES = {"log-probabilities": cases}
