"""What the package keeps for itself: machine code, scorers' tables, outputs of models.

Each is what was saved, or counts as missing; no damage is an error. In half of the cases the hash
is made right again, so that what comes after it is tried, too; only of machine code, which is
pickled, the hash is the guard.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from mutations import mutated_bytes, mutated_json

from plainspeech.artifact.listed_files import checksums
from plainspeech.artifact.record import Record
from plainspeech.compiling.dispatchers import _VerifiedFiles
from plainspeech.data.manifest import Utterance
from plainspeech.lm import table_cache
from plainspeech.lm.tables import NGramTables, build_tables
from plainspeech.tuning import outputs

_ARRAYS = ("unigrams", "unigram_states", "states", "slots")


def machine_code(folder: Path) -> Callable[[random.Random], str]:
    files = _VerifiedFiles(folder, "function-1.py311")
    saved = {"code": b"\x90" * 500, "types": ("float32", "int64")}
    files.save("key", saved)
    path = files._path("key")
    whole = path.read_bytes()

    def run(draw: random.Random) -> str:
        content = mutated_bytes(whole, draw)
        path.write_bytes(content)
        found = files.load("key")
        assert (found == saved) if content == whole else (found is None)
        return "missing" if found is None else "as saved"

    return run


def tables(folder: Path) -> Callable[[random.Random], str]:
    from lm_cases import ARPA

    from plainspeech.lm.arpa import read_arpa

    (folder / "m.arpa").write_text(ARPA)
    made = build_tables(read_arpa(folder / "m.arpa").levels)
    place = folder / "tables"
    table_cache._save(place, {array: getattr(made, array) for array in _ARRAYS})
    whole = {file.name: file.read_bytes() for file in place.iterdir()}
    arrays = {name: content for name, content in whole.items() if name.endswith(".npy")}

    def run(draw: random.Random) -> str:
        for name, content in whole.items():
            (place / name).write_bytes(content)
        name = draw.choice(sorted(whole))
        changed = mutated_bytes(whole[name], draw)
        if draw.random() < 0.3:
            listed = mutated_json({"files": checksums(arrays)}, draw)
            name, changed = "tables.json", _serialised(place, listed)
        (place / name).write_bytes(changed)
        found = table_cache._load(place, _ARRAYS)
        if found is not None:
            _require_equal(found, made)
        return "missing" if found is None else "as saved"

    return run


def _serialised(folder: Path, values: Any) -> bytes:
    try:
        return Record(folder, table_cache._KIND, values).serialise()
    except (ValueError, TypeError, UnicodeEncodeError):
        return b"[]"


def _require_equal(found: table_cache.Arrays, made: NGramTables) -> None:
    for array in _ARRAYS:
        np.testing.assert_array_equal(found[array], getattr(made, array))


def model_outputs(folder: Path) -> Callable[[random.Random], str]:
    utterances = [Utterance(f"u{place}", Path("x"), "a", 1.0) for place in range(3)]
    rows = {place: np.zeros((5, 29), np.float32) for place in range(3)}
    path = folder / "o.outputs"
    outputs.save(path, outputs.Outputs(rows, {}, 3.0), 3, 29)
    whole = path.read_bytes()
    saved = whole[32:]

    def run(draw: random.Random) -> str:
        content = mutated_bytes(whole, draw)
        rehashed = draw.random() < 0.5
        if rehashed:
            content = mutated_bytes(saved, draw)
            content = hashlib.sha256(content).digest() + content
        path.write_bytes(content)
        found = outputs.load(path, utterances, 29)
        if found is not None and not rehashed:
            assert len(found.log_probabilities) == 3
        return "missing" if found is None else "loaded"

    return run


def cases(folder: Path) -> Callable[[random.Random], str]:
    runs = []
    for make in (machine_code, tables, model_outputs):
        place = folder / make.__name__
        place.mkdir(mode=0o700)
        runs.append(make(place))
    return lambda draw: draw.choice(runs)(draw)


CASES = {"caches": cases}
