"""The kernels as machine code for the types of a search."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from plainspeech.alphabet import Alphabet
from plainspeech.decoding.kernels.alignment import Times, align, new_lattice
from plainspeech.decoding.kernels.confidence import gather_evidence
from plainspeech.decoding.kernels.initial_state import begin
from plainspeech.decoding.kernels.jit import bound
from plainspeech.decoding.kernels.prefixes import trace
from plainspeech.decoding.kernels.records import PREFIX, Setup, Trie
from plainspeech.decoding.kernels.search import advance
from plainspeech.lm.interface import Tables

_PATIENCE = 1.0  # seconds after which a compilation is worth a word


class Code(NamedTuple):
    """Kernels, as `plainspeech.decoding.kernels.jit.bound` returns them.

    Attributes:
        advance: see `plainspeech.decoding.kernels.search`.
        align: see `plainspeech.decoding.kernels.alignment`.
        gather_evidence: see `plainspeech.decoding.kernels.confidence`.
        trace: see `plainspeech.decoding.kernels.prefixes`.
    """

    advance: Callable[..., None]
    align: Callable[..., None]
    gather_evidence: Callable[..., None]
    trace: Callable[..., int]


def compile_search(setup: Setup, lexicon: Trie, tables: Tables, phrases: Trie) -> Code:
    """Return the code of a search; the first time on a machine takes seconds."""
    state = begin(setup, Alphabet(("a",)), tables, phrases)
    rows, prefixes, ints = np.zeros((1, 2), np.float32), np.zeros(1, PREFIX), np.zeros(1, np.int32)
    times, words = Times(ints, ints, np.zeros(1)), np.zeros((1, 2), np.int32)
    with announced():
        return Code(
            bound(advance, rows, False, setup, lexicon, tables, phrases, state, prefixes),
            bound(align, rows, ints, setup, new_lattice(1, 1), times),
            bound(gather_evidence, ints, prefixes, times, setup, words, np.zeros((1, 4))),
            bound(trace, prefixes, 0, ints),
        )


@contextmanager
def announced() -> Iterator[None]:
    """Tell the user what takes so long, if it does."""
    message = "compiling the decoder for this machine, this once"
    timer = threading.Timer(_PATIENCE, logging.getLogger("plainspeech").warning, [message])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
