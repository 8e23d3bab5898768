"""The model of letters and phones, learned from a lexicon."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from plainspeech.errors import DataError
from plainspeech.g2p.alignment import Pairs, align
from plainspeech.g2p.joint_model import JointModel
from plainspeech.lm.corpus import encode
from plainspeech.lm.kneser_ney import count_ngrams, estimate
from plainspeech.lm.tables import SPECIAL_WORDS, build_tables

_ORDER = 6


def train(lexicon: Sequence[tuple[str, str]]) -> JointModel:
    """Return a model that has learned from ``lexicon``: words and pronunciations.

    Each pair is cut into units (`plainspeech.g2p.alignment`), and an n-gram model learns which
    unit follows which, as one of a text learns it of words.

    Raises:
        DataError: no pair can be cut.
    """
    pairs = Pairs.of(lexicon)
    alignment = align(pairs)
    cuts = [alignment.units[start:end].tolist() for start, end in pairwise(alignment.starts)]
    if not any(cuts):
        raise DataError("no pronunciation has one or two phones a letter, as of other scripts")
    # A letter that is in units of two alone, as "q" may be, can be said by itself, too.
    cuts += [
        [unit] for unit in sorted({*alignment.sounding.tolist()} - {*alignment.units.tolist()})
    ]
    # For the n-gram model, a unit is a word.
    units = {unit: pairs.unit(unit) for unit in {unit for cut in cuts for unit in cut}}
    names = {unit: "\t".join(both) for unit, both in units.items()}
    named = {names[unit]: both for unit, both in units.items()}
    with tempfile.TemporaryDirectory(prefix="plainspeech-g2p-") as name:
        folder = Path(name)
        corpus = encode(([names[unit] for unit in cut] for cut in cuts if cut), folder)
        counts = count_ngrams(corpus, _ORDER, folder)
        levels = estimate(counts, len(corpus.vocabulary), (0,) * _ORDER)
    known = [named[unit] for unit in corpus.vocabulary[len(SPECIAL_WORDS) :]]
    return JointModel(known, build_tables(levels))
