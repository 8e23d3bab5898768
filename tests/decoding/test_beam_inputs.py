"""What a decoder refuses, and what it takes although it is unusual."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from brute_force import random_rows
from toy_lm import random_lm

from plainspeech.alphabet import Alphabet
from plainspeech.decoding.beam_search import BeamSearchDecoder
from plainspeech.errors import PlainspeechError

SMALL = Alphabet((" ", "a", "b"))
DECODER = BeamSearchDecoder(SMALL)
ROWS = random_rows(0, 20, SMALL.size)


def spoilt(frame: int, value: float) -> npt.NDArray[np.float32]:
    rows = ROWS.copy()
    rows[frame] = value
    return rows


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (ROWS[:, :3], r"have the shape \(20, 3\).*needs \(frames, 4\)"),
        (ROWS[0], r"have the shape \(4,\)"),
        (ROWS[None], r"have the shape \(1, 20, 4\)"),
        (ROWS[:0], "have no frames"),
        (np.zeros((5, 4), np.int64), "of type int64"),
        (np.exp(ROWS), "are probabilities; pass their logarithm"),
        (ROWS + 5, "log-softmax"),
        (ROWS - 5, "log-softmax"),
        (ROWS / np.log(10), "log-softmax"),
        (spoilt(7, np.nan), "frame 7 has NaN"),
        (spoilt(7, np.inf), r"frame 7 has NaN or \+inf"),
        (spoilt(7, -np.inf), "frame 7 gives no symbol any probability"),
    ],
)
def test_what_is_no_log_probabilities_is_refused(given: Any, message: str) -> None:
    with pytest.raises(PlainspeechError, match=f"^log_probabilities.*{message}"):
        DECODER.decode(given)
    with pytest.raises(PlainspeechError, match=f"^log_probabilities.*{message}"):
        DECODER.decode_batch([ROWS, given])


@pytest.mark.parametrize(
    "given",
    [
        np.asfortranarray(ROWS),
        np.repeat(ROWS, 2, axis=0)[::2],
        ROWS.astype(np.float64),
        ROWS.astype(">f4"),
        ROWS.tolist(),
    ],
)
def test_any_layout_is_taken(given: Any) -> None:
    before = np.array(given)
    assert DECODER.decode(given) == DECODER.decode(ROWS)
    np.testing.assert_array_equal(given, before)


def test_read_only_and_half_precision_arrays_are_taken() -> None:
    fixed = ROWS.copy()
    fixed.flags.writeable = False
    assert DECODER.decode(fixed) == DECODER.decode(ROWS)
    half = ROWS.astype(np.float16)
    assert DECODER.decode(half) == DECODER.decode(half.astype(np.float32))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("beam_width", -1),
        ("beam_width", 0),
        ("beam_width", 2.5),
        ("beam_threshold", 0.0),
        ("beam_threshold", np.nan),
        ("cutoff_prob", 0.0),
        ("cutoff_prob", 1.1),
        ("cutoff_top_n", 0),
        ("token_floor", 0.5),
        ("unknown_word_penalty", -1.0),
        ("alpha", np.nan),
        ("beta", np.inf),
        ("merge", "words"),
        ("frame_seconds", 0.0),
    ],
)
def test_a_setting_out_of_range_is_named(name: str, value: Any) -> None:
    with pytest.raises(PlainspeechError, match=f"^{name} is {value!r}; it must be"):
        BeamSearchDecoder(SMALL, **{name: value})


def test_alphabet_and_scorer_must_fit() -> None:
    with pytest.raises(PlainspeechError, match="lexicon: 'na' has 'n'"):
        BeamSearchDecoder(SMALL, random_lm(0, ("ab", "na")))
    with pytest.raises(PlainspeechError, match="the alphabet has no space"):
        BeamSearchDecoder(Alphabet(("a", "b")), random_lm(0, ("ab",)))
    with pytest.raises(PlainspeechError, match="merge is 'state', which needs a scorer"):
        BeamSearchDecoder(SMALL, merge="state")


@pytest.mark.parametrize(
    ("hot_words", "message"),
    [
        ({"x": 1.0}, "hot_words: 'x ' has 'x'"),
        ({" ": 1.0}, "a phrase is empty"),
        ({"a": np.nan}, "'a' has the weight nan"),
        ({"a": 1000.0}, "from -100 to 100"),
    ],
)
def test_hot_words_are_validated(hot_words: dict[str, float], message: str) -> None:
    with pytest.raises(PlainspeechError, match=message):
        DECODER.decode(ROWS, hot_words)


def test_hot_words_need_weights() -> None:
    words: Any = ["ab", "ba"]
    with pytest.raises(PlainspeechError, match="hot_words must map"):
        DECODER.decode(ROWS, words)


def test_hot_words_need_a_space() -> None:
    decoder = BeamSearchDecoder(Alphabet(("a", "b")))
    with pytest.raises(PlainspeechError, match="hot_words: the alphabet has no space"):
        decoder.decode(random_rows(0, 3, 3), {"a": 1.0})


def test_counts_are_validated() -> None:
    with pytest.raises(PlainspeechError, match="count is 0"):
        DECODER.decode_n_best(ROWS, 0)
    with pytest.raises(PlainspeechError, match="threads is 0"):
        DECODER.decode_batch([ROWS], threads=0)


def test_numba_is_imported_by_those_who_search() -> None:
    program = (
        "import sys; import plainspeech, plainspeech.decoding.beam_search; "
        "sys.exit('numba' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
