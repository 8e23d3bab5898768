"""Queries to KenLM itself, for models that are too large to flatten.

Compiled code looks into a cache first, which any number of threads may use at the same time, and
calls KenLM for what is not there.

KenLM trusts its files. A binary is checked number by number before KenLM reads it
(`plainspeech.lm.kenlm_binary`), the counts of an ARPA file against its size, and both are loaded
and queried in a child process first, which may crash on damage that the checks do not find.
"""

from __future__ import annotations

import ctypes
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import kenlm
import numpy as np
import numpy.typing as npt
from numba import types
from numba.experimental import function_type  # noqa: F401  # makes a KenLMModel an argument
from numba.extending import overload

from plainspeech.errors import LanguageModelError
from plainspeech.lm import tables as flat
from plainspeech.lm.arpa import LN10, check_counts
from plainspeech.lm.kenlm_binary import check_kenlm_binary, is_kenlm_binary
from plainspeech.lm.tables import LARGEST_BACKOFF_LOG, LEAST_LOG

_CACHED = 1 << 20  # answers
_TRIED = 20_000  # words that a model is tested with
_PATIENCE = 1800.0  # seconds to load a model that is an ARPA file of many gigabytes
_REFUSED = 3  # status of a trial that ends with an error of KenLM's

# Queries of words in context, in order and in reverse, that any search might make.
_TRIAL = f"""
import kenlm
words = sys.stdin.buffer.read().decode(errors="replace").split("\\n")
config = kenlm.Config()
config.arpa_complain = kenlm.ARPALoadComplain.NONE
config.show_progress = False
try:
    model = kenlm.Model(sys.argv[1], config)
except OSError:
    sys.exit({_REFUSED})
state, following = kenlm.State(), kenlm.State()
model.BeginSentenceWrite(state)
for word in words + words[::-1] + [each for word in words for each in (word, words[0], "</s>")]:
    model.BaseScore(state, word, following)
    state, following = following, state
"""

_Callback = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)


class KenLMTables(NamedTuple):
    """A KenLM model as an argument of compiled code.

    Attributes:
        cache: ``(slots, 2)`` int64, a question exclusive-or its answer, and the answer: a slot that
            two threads wrote to at the same time answers no question (R. Hyatt's lockless hashing).
        model: answers questions.
        bos_state: the state after ``<s>``.
    """

    cache: npt.NDArray[np.int64]
    model: KenLMModel
    bos_state: np.int32


class KenLMModel(types.WrapperAddressProtocol):
    """A KenLM model whose states are numbered.

    Every state that occurred keeps its number, so memory grows slowly with use.

    Args:
        path: an ARPA file or a KenLM binary.
        vocabulary: the special words, then words; an id is a place in it.

    Raises:
        LanguageModelError: KenLM cannot read the file.
    """

    def __init__(self, path: Path, vocabulary: Sequence[str]) -> None:
        self._model = _load(path, vocabulary)
        self._vocabulary = vocabulary
        self._lock = threading.Lock()
        empty = kenlm.State()
        self._model.NullContextWrite(empty)
        self._states = [empty]
        self._numbers = {empty: 0}
        self._callback = _Callback(self._answer)

    @property
    def order(self) -> int:
        """Of the model."""
        return int(self._model.order)

    def __contains__(self, word: object) -> bool:
        return word in self._model

    def tables(self) -> KenLMTables:
        """Return the model as an argument of compiled code, with an empty cache."""
        cache = np.zeros((_CACHED, 2), np.int64)
        cache[:, 0] = -1  # is no question
        start = kenlm.State()
        self._model.BeginSentenceWrite(start)
        return KenLMTables(cache, self, np.int32(self._number(start)))

    def _number(self, state: kenlm.State) -> int:
        with self._lock:
            number = self._numbers.setdefault(state, len(self._states))
            if number == len(self._states):
                self._states.append(state)
            return number

    def _answer(self, state: int, word: int) -> int:
        """Return the bits of ln p(word | state) and the next state as one number."""
        following = kenlm.State()
        log10 = self._model.BaseScore(self._states[state], self._vocabulary[word], following)
        log = log10 * LN10
        if not LEAST_LOG <= log <= LARGEST_BACKOFF_LOG:  # or NaN, in a damaged file
            log = LEAST_LOG
        bits = int(np.float32(log).view(np.int32))
        return (bits << 32) | self._number(following)

    def __wrapper_address__(self) -> int:
        """Return the address that compiled code calls."""
        return ctypes.cast(self._callback, ctypes.c_void_p).value or 0

    def signature(self) -> Any:
        """Return the type of the function there."""
        return types.int64(types.int64, types.int64)


@overload(flat.query)
def _query_kenlm(tables: Any, state: Any, word: Any) -> Any:
    del state, word
    return _ask if getattr(tables, "instance_class", None) is KenLMTables else None


def _ask(tables: Any, state: Any, word: Any) -> Any:
    question = (np.int64(state) << 32) | np.int64(word)
    mixed = np.uint64(question) * np.uint64(0x9E3779B97F4A7C15)
    slot = np.int64((mixed >> np.uint64(32)) & np.uint64(len(tables.cache) - 1))
    answer = tables.cache[slot, 1]
    if tables.cache[slot, 0] ^ answer != question:
        answer = tables.model(np.int64(state), np.int64(word))
        tables.cache[slot, 0] = question ^ answer
        tables.cache[slot, 1] = answer
    return np.int32(answer >> 32).view(np.float32), np.int32(answer & 0x7FFFFFFF)


def _load(path: Path, words: Sequence[str]) -> kenlm.Model:
    check = check_kenlm_binary if is_kenlm_binary(path) else check_counts
    check(path)
    _try_in_a_child(path, words)
    config = kenlm.Config()
    config.arpa_complain = kenlm.ARPALoadComplain.NONE
    config.show_progress = False
    try:
        return kenlm.Model(str(path), config)
    except OSError as error:
        raise LanguageModelError(f"{path}: KenLM cannot read it: {_line(error)}") from error


def _try_in_a_child(path: Path, words: Sequence[str]) -> None:
    """Load and query the model in a child process, which a damaged file may crash.

    Raises:
        LanguageModelError: the process crashed.
    """
    program = f"import sys; sys.path[:] = {sys.path!r}\n{_TRIAL}"
    try:
        trial = subprocess.run(  # noqa: S603
            [sys.executable, "-c", program, str(path)],
            input="\n".join(words[:_TRIED]).encode(errors="replace"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_PATIENCE,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LanguageModelError(f"{path}: KenLM did not load it: {_line(error)}") from error
    if trial.returncode < 0 or trial.returncode > _REFUSED:
        raise LanguageModelError(f"{path}: is damaged: KenLM crashes when it reads it")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
