"""Mutated ARPA files and packed scorers, loaded, queried and searched with in a child.

    NUMBA_BOUNDSCHECK=1 python model_fuzz.py SEED COUNT

A mutant is refused by an error of this package in one line, or its scores are finite and a search
with it stays within its arrays.
"""

from __future__ import annotations

import faulthandler
import json
import random
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from plainspeech.alphabet import ENGLISH
from plainspeech.artifact import Record, checksums
from plainspeech.decoding.beam_search import BeamSearchDecoder
from plainspeech.errors import PlainspeechError
from plainspeech.lm.arpa import read_arpa
from plainspeech.lm.package import SCORER, write_scorer
from plainspeech.lm.scorer import Scorer

ARPA = r"""\data\
ngram 1=7
ngram 2=6
ngram 3=3

\1-grams:
-1.5	<unk>	0
0	<s>	-0.4
-1.1	</s>	0
-0.9	the	-0.3
-1.2	cat	-0.2
-1.3	sat	-0.25
-1.7	a	-0.1

\2-grams:
-0.5	<s> the	-0.1
-0.6	the cat	-0.2
-0.7	cat sat	-0.15
-0.8	sat </s>	0
-0.9	a cat	-0.1
-0.65	<s> a	-0.05

\3-grams:
-0.2	<s> the cat
-0.3	the cat sat
-0.4	cat sat </s>

\end\
"""
NUMBERS = ["0", "-0", "1", "-1", "7", "99", "-99", "-1000", "20", "308", "-1e30", "1e30", "nan"]
NUMBERS += ["inf", "-inf", "1e999", "9" * 30, "9" * 5000, "2147483648", "4294967296", "0x10", "1_0"]


def mutated_text(draw: random.Random) -> bytes:
    fields = [line.split("\t") for line in ARPA.splitlines()]
    for _ in range(draw.randrange(1, 4)):
        line = draw.choice(fields)
        change = draw.randrange(5)
        if change == 0:
            line[draw.randrange(len(line))] = draw.choice(NUMBERS)
        elif change == 1:
            fields.insert(draw.randrange(len(fields)), list(draw.choice(fields)))
        elif change == 2:
            fields.remove(line)
        elif change == 3:
            line[-1] = line[-1].replace("=", "=" + draw.choice(NUMBERS))
        else:
            line[0] = line[0].replace("-", "")
    text = "\n".join("\t".join(line) for line in fields) + "\n"
    return mutated_bytes(text.encode(), draw) if draw.random() < 0.3 else text.encode()


def mutated_bytes(content: bytes, draw: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(draw.randrange(1, 5)):
        place = draw.randrange(len(changed))
        change = draw.randrange(4)
        if change == 0:
            changed[place] ^= 1 << draw.randrange(8)
        elif change == 1:
            changed[place] = draw.choice([0, 1, 127, 128, 255])
        elif change == 2:
            del changed[place : place + draw.randrange(1, 9)]
        else:
            changed[place:place] = changed[: draw.randrange(1, 9)]
    return bytes(changed)


class Mutants:
    """Makes mutants in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "m.arpa").write_text(ARPA)
        model = read_arpa(folder / "m.arpa")
        write_scorer(folder / "s", model.vocabulary, model.levels, {})
        self.files = {file.name: file.read_bytes() for file in (folder / "s").iterdir()}
        self.values = json.loads(self.files.pop("scorer.json"))

    def arpa(self, draw: random.Random) -> Scorer:
        path = self.folder / "mutant.arpa"
        path.write_bytes(mutated_text(draw))
        return Scorer.load(path)

    def scorer(self, draw: random.Random) -> Scorer:
        """Return a scorer whose hashes are right, so that they hide no fault."""
        files, name = dict(self.files), draw.choice(sorted(self.files))
        files[name] = mutated_bytes(files[name], draw)
        values = {key: value for key, value in self.values.items() if key != "sha256"}
        if draw.random() < 0.3:
            values[draw.choice(["order", "vocabulary", "alpha", "beta"])] = draw.choice(
                [0, -1, 1, 2, 4, 17, 10**12, 10**400, 1e30, -1e308, 709.0, None, "3", [], True]
            )
        values["files"] = checksums(files)
        record = Record(self.folder, SCORER, values)
        return Scorer.from_files(self.folder, {**files, SCORER.record: record.serialise()})


def use(scorer: Scorer, seed: int) -> None:
    words = ["the", "cat", "sat", "a", "dog", "cat", "a", "the"]
    assert np.isfinite(scorer.log_probabilities(words)).all()
    draw = np.random.default_rng(seed)
    rows = np.log(draw.dirichlet(np.full(ENGLISH.size, 0.2), 25) + 1e-9)
    rows -= np.log(np.exp(rows).sum(axis=1, keepdims=True))
    for found in BeamSearchDecoder(ENGLISH, scorer, beam_width=8).decode_n_best(rows, 3):
        assert np.isfinite(found.score)


def require_one_line(message: str) -> None:
    assert len(message.splitlines()) == 1
    assert len(message) < 500, message


def main(first: int, count: int) -> None:
    faulthandler.enable()
    outcomes: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as folder:
        mutants = Mutants(Path(folder))
        makers: list[Callable[[random.Random], Scorer]] = [mutants.arpa, mutants.scorer]
        for seed in range(first, first + count):
            make = makers[seed % 2]
            try:
                use(make(random.Random(seed)), seed)
                outcome = f"{make.__name__} used"
            except PlainspeechError as error:
                require_one_line(str(error))
                outcome = f"{make.__name__} {type(error).__name__}"
            except BaseException as error:
                raise RuntimeError(f"seed {seed}") from error
            outcomes[outcome] = outcomes.get(outcome, 0) + 1
    print(outcomes)  # noqa: T201


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
