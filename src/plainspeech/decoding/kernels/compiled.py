"""The kernels as machine code for the types of one search."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from plainspeech.alphabet import Alphabet
from plainspeech.decoding.kernels.alignment import Times, align, new_lattice
from plainspeech.decoding.kernels.initial_state import initial_state
from plainspeech.decoding.kernels.jit import machine_code
from plainspeech.decoding.kernels.prefixes import trace
from plainspeech.decoding.kernels.records import PREFIX, SearchParameters, Trie
from plainspeech.decoding.kernels.search import advance
from plainspeech.decoding.kernels.word_posteriors import gather_evidence
from plainspeech.lm.interface import Tables

_PATIENCE = 1.0  # seconds after which a compilation is announced


class CompiledKernels(NamedTuple):
    """Kernels, as `plainspeech.decoding.kernels.jit.machine_code` returns them.

    Attributes:
        advance: see `plainspeech.decoding.kernels.search`.
        align: see `plainspeech.decoding.kernels.alignment`.
        gather_evidence: see `plainspeech.decoding.kernels.word_posteriors`.
        trace: see `plainspeech.decoding.kernels.prefixes`.
    """

    advance: Callable[..., None]
    align: Callable[..., None]
    gather_evidence: Callable[..., None]
    trace: Callable[..., int]


def compile_kernels(
    parameters: SearchParameters, lexicon: Trie, tables: Tables, hot_words: Trie
) -> CompiledKernels:
    """Return the kernels for a search; the first time on a machine takes seconds."""
    state = initial_state(parameters, Alphabet(("a",)), tables, hot_words)
    rows, prefixes, ints = np.zeros((1, 2), np.float32), np.zeros(1, PREFIX), np.zeros(1, np.int32)
    times, words = Times(ints, ints, np.zeros(1)), np.zeros((1, 2), np.int32)
    with announce_compilation():
        return CompiledKernels(
            machine_code(
                advance, rows, False, parameters, lexicon, tables, hot_words, state, prefixes
            ),
            machine_code(align, rows, ints, parameters, new_lattice(1, 1), times),
            machine_code(
                gather_evidence, ints, prefixes, times, parameters, words, np.zeros((1, 4))
            ),
            machine_code(trace, prefixes, 0, ints),
        )


@contextmanager
def announce_compilation() -> Iterator[None]:
    """Log what the user waits for, if it takes long."""
    message = "compiling the beam search for this machine, which happens once"
    timer = threading.Timer(_PATIENCE, logging.getLogger("plainspeech").warning, [message])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
