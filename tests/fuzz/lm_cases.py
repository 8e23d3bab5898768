"""Language models: packed scorers, ARPA files and binaries of KenLM's.

A mutant is refused by an error of the package, or its scores are finite and a search with it stays
within its arrays.
"""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable
from pathlib import Path

import kenlm
import numpy as np
from mutations import INTEGERS, NUMBERS, VALUES, mutated_bytes, zipped

from plainspeech.alphabet import ENGLISH
from plainspeech.artifact.listed_files import checksums
from plainspeech.artifact.record import Record
from plainspeech.decoding.beam_search import BeamSearchDecoder
from plainspeech.errors import LanguageModelError
from plainspeech.lm.arpa import read_arpa
from plainspeech.lm.kenlm_binary import check_kenlm_binary
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
WORDS = ["the", "cat", "sat", "a", "dog", "cat", "a", "the"]
BINARIES = Path(__file__).parents[1] / "lm" / "kenlm_binaries"
SEARCHED = 0.2  # of the mutants that load


def mutated_arpa(draw: random.Random) -> bytes:
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
    content = ("\n".join("\t".join(line) for line in fields) + "\n").encode()
    if draw.random() < 0.3:
        content = mutated_bytes(content, draw)
    if draw.random() < 0.1:
        content = gzip.compress(content, 1, mtime=0)
        content = mutated_bytes(content, draw) if draw.random() < 0.5 else content
    return content


def use(scorer: Scorer, draw: random.Random) -> None:
    assert np.isfinite(scorer.log_probabilities(WORDS)).all()
    if draw.random() < SEARCHED:
        search(scorer, draw)


def search(scorer: Scorer, draw: random.Random) -> None:
    random_rows = np.random.default_rng(draw.randrange(2**32))
    rows = np.log(random_rows.dirichlet(np.full(ENGLISH.size, 0.2), 25) + 1e-9)
    rows -= np.log(np.exp(rows).sum(axis=1, keepdims=True))
    for found in BeamSearchDecoder(ENGLISH, scorer, beam_width=8).decode_n_best(rows, 3):
        assert np.isfinite(found.score)


def arpa(folder: Path) -> Callable[[random.Random], str]:
    path = folder / "m.arpa"
    path.write_text(ARPA)
    search(Scorer.load(path), random.Random(0))  # compiled code is ready when time counts

    def run(draw: random.Random) -> str:
        path.write_bytes(mutated_arpa(draw))
        use(Scorer.load(path), draw)
        return "used"

    return run


def scorer(folder: Path) -> Callable[[random.Random], str]:
    (folder / "m.arpa").write_text(ARPA)
    model = read_arpa(folder / "m.arpa")
    write_scorer(folder / "s", model.vocabulary, model.levels, {})
    files = {file.name: file.read_bytes() for file in (folder / "s").iterdir()}
    values = json.loads(files.pop("scorer.json"))
    search(Scorer.load(folder / "s"), random.Random(0))  # as above
    whole = zipped({**files, "scorer.json": (folder / "s" / "scorer.json").read_bytes()})

    def run(draw: random.Random) -> str:
        if draw.random() < 0.2:  # as a zip, whose hashes hide most faults
            (folder / "s.zip").write_bytes(mutated_bytes(whole, draw))
            use(Scorer.load(folder / "s.zip"), draw)
            return "used"
        # The hashes are right, so that they hide none.
        changed, name = dict(files), draw.choice(sorted(files))
        changed[name] = mutated_bytes(files[name], draw)
        record = {key: value for key, value in values.items() if key != "sha256"}
        if draw.random() < 0.3:
            record[draw.choice([*record, "kenlm"])] = draw.choice([*VALUES, *range(5)])
        if isinstance(record.get("files"), dict):
            record["files"] = checksums(changed)
        try:
            changed["scorer.json"] = Record(folder, SCORER, record).serialise()
        except (ValueError, UnicodeEncodeError):  # half of a surrogate pair: no file has it
            changed["scorer.json"] = b"{}"
        use(Scorer.from_files(folder, changed), draw)
        return "used"

    return run


def kenlm_binary(folder: Path) -> Callable[[random.Random], str]:
    """Native code gets all that passes the check, without the trial in a process of its own."""
    path = folder / "m.bin"
    wholes = [file.read_bytes() for file in sorted(BINARIES.glob("*.bin"))]
    words = [*WORDS, "on", "mat", "is", "not", "zebra", "<s>", "</s>", "<unk>"]
    config = kenlm.Config()
    config.show_progress = False

    def run(draw: random.Random) -> str:
        content = bytearray(draw.choice(wholes))
        if draw.random() < 0.3:
            content = bytearray(mutated_bytes(bytes(content), draw))
        else:  # nothing moves, so that most of it is as it was
            for _ in range(draw.choice([1, 1, 2, 4])):
                place = draw.randrange(draw.choice([min(160, len(content)), len(content)]))
                whole = (draw.choice([*INTEGERS, draw.randrange(64)]) & 2**64 - 1).to_bytes(
                    8, "little"
                )
                part = whole[: draw.choice([1, 1, 4, 8])]
                content[place : place + len(part)] = part
        path.write_bytes(content)
        check_kenlm_binary(path)
        try:
            model = kenlm.Model(str(path), config)
        except OSError as error:
            raise LanguageModelError("refused by KenLM") from error
        state, following = kenlm.State(), kenlm.State()
        for begin in (model.BeginSentenceWrite, model.NullContextWrite):
            begin(state)
            for _ in range(40):
                model.BaseScore(state, draw.choice(words), following)
                state, following = following, state
        return "used"

    return run


CASES = {"scorer": scorer, "ARPA": arpa, "KenLM binary": kenlm_binary}
