"""The kernels as machine code for the types of a search, and the initial state of a search."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from plainspeech.alphabet import Alphabet
from plainspeech.compiling.machine_code import machine_code
from plainspeech.decoding.calibration import PARTS
from plainspeech.decoding.kernels import recombination, records
from plainspeech.decoding.kernels.alignment import Times, align_text, new_lattice
from plainspeech.decoding.kernels.forward import score_alignments
from plainspeech.decoding.kernels.prefixes import trace
from plainspeech.decoding.kernels.recombination import list_texts, write_texts
from plainspeech.decoding.kernels.records import PREFIX, SearchParameters, Trie
from plainspeech.decoding.kernels.search import advance
from plainspeech.decoding.kernels.word_posteriors import WORD_END, gather_evidence, max_word_ends
from plainspeech.lm.scorer import Tables

_PATIENCE = 1.0  # seconds after which a compilation is announced


def initial_state(
    parameters: records.SearchParameters,
    alphabet: Alphabet,
    tables: Tables,
    hot_words: records.Trie,
) -> records.State:
    """Return the state whose one hypothesis is the empty text, at the beginning of a sentence."""
    candidates = min(alphabet.size - 1, parameters.cutoff_top_n)
    capacity = parameters.beam_width * (candidates + 1) + 1
    head = np.zeros(1, records.HEAD)
    head["beams"] = head["prefixes"] = 1
    head["impossible_frame"] = records.NONE
    beams = np.empty((2, capacity), records.BEAM)
    beams[0, 0] = np.zeros((), records.BEAM)
    first = beams[0, 0]
    first["blank"] = 1.0
    first["last"] = parameters.blank if parameters.space == records.NONE else parameters.space
    first["added"] = first["replaced"] = records.NONE
    first["word_lm_state"] = records.UNSCORED
    first["lm_state"] = tables.bos_state
    first["hot_node"] = records.ROOT if records.has_phrases(hot_words) else records.NO_PHRASE
    return records.State(
        head=head,
        beams=beams,
        slots=np.zeros(1 << (2 * capacity - 1).bit_length(), records.SLOT),
        candidates=np.empty(alphabet.size, records.CANDIDATE),
        probabilities=np.zeros(alphabet.size),
        weights=np.empty(capacity),
        word_ends=np.empty(max_word_ends(parameters.beam_width), WORD_END),
        replaced=np.empty(capacity, records.REPLACED),
    )


class CompiledKernels(NamedTuple):
    """Kernels, as `plainspeech.compiling.machine_code.machine_code` returns them.

    Attributes:
        advance: see `plainspeech.decoding.kernels.search`.
        align_text: see `plainspeech.decoding.kernels.alignment`.
        gather_evidence: see `plainspeech.decoding.kernels.word_posteriors`.
        trace: see `plainspeech.decoding.kernels.prefixes`.
        list_texts: see `plainspeech.decoding.kernels.recombination`.
        write_texts: see there.
        score_alignments: see `plainspeech.decoding.kernels.forward`.
    """

    advance: Callable[..., None]
    align_text: Callable[..., None]
    gather_evidence: Callable[..., None]
    trace: Callable[..., int]
    list_texts: Callable[..., int]
    write_texts: Callable[..., None]
    score_alignments: Callable[..., None]


def compile_kernels(
    parameters: SearchParameters, lexicon: Trie, tables: Tables, hot_words: Trie
) -> CompiledKernels:
    """Return the kernels for a search; the first time on a machine takes seconds."""
    state = initial_state(parameters, Alphabet(("a",)), tables, hot_words)
    rows, prefixes, ints = np.zeros((1, 2), np.float32), np.zeros(1, PREFIX), np.zeros(1, np.int32)
    derivations, doubles = np.zeros(1, recombination.DERIVATION), np.zeros((1, 1))
    times, words = Times(ints, ints, np.zeros(1)), np.zeros((1, 2), np.int32)
    with announce_compilation():
        return CompiledKernels(
            machine_code(
                advance, rows, False, parameters, lexicon, tables, hot_words, state, prefixes
            ),
            machine_code(align_text, rows, ints, parameters, new_lattice(1, 1), times),
            machine_code(gather_evidence, prefixes, times, parameters, words, np.zeros((1, PARTS))),
            machine_code(trace, prefixes, 0, ints),
            machine_code(
                list_texts,
                prefixes,
                0,
                0,
                0,
                derivations,
                np.zeros(1, recombination.COUNTS),
                ints,
                ints,
            ),
            machine_code(write_texts, prefixes, 0, derivations, ints, ints, prefixes),
            machine_code(score_alignments, doubles, ints, 0, 0, doubles[0], doubles[0], doubles[0]),
        )


@contextmanager
def announce_compilation() -> Iterator[None]:
    """Log that kernels are being compiled, if it takes long."""
    message = "compiling the beam search for this machine, which happens once"
    timer = threading.Timer(_PATIENCE, logging.getLogger("plainspeech").warning, [message])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
