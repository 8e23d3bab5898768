"""What every decoder accepts and refuses: greedy decoding and the beam search say the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from brute_force import random_rows

from plainspeech.alphabet import ENGLISH, Alphabet
from plainspeech.decoding.beam_search import BeamSearchDecoder
from plainspeech.decoding.greedy import GreedyDecoder
from plainspeech.errors import ConfigurationError, DecodingError

SMALL = Alphabet((" ", "a", "b"))
ROWS = random_rows(0, 20, SMALL.size)
DECODERS: dict[str, Any] = {
    "greedy": GreedyDecoder(SMALL, 0.02),
    "beam": BeamSearchDecoder(SMALL),
    "greedy, of columns": GreedyDecoder(SMALL, 0.02, slice(SMALL.size)),
    "beam, of columns": BeamSearchDecoder(SMALL, columns=slice(SMALL.size)),
}


@pytest.fixture(params=DECODERS)
def decoder(request: pytest.FixtureRequest) -> Any:
    return DECODERS[request.param]


def streamed(decoder: Any, rows: Any) -> Any:
    stream = decoder.stream()
    stream.feed(rows)
    return stream.finish()


def spoilt(frame: int, value: float) -> npt.NDArray[np.float32]:
    rows = ROWS.copy()
    rows[frame] = value
    return rows


WAYS: list[Callable[[Any, Any], Any]] = [
    lambda decoder, rows: decoder.decode(rows),
    lambda decoder, rows: decoder.decode_batch([ROWS, rows], threads=2),
    streamed,
]


@pytest.mark.parametrize("way", WAYS, ids=["decode", "decode_batch", "stream"])
@pytest.mark.parametrize(
    ("given", "message"),
    [
        (ROWS[:, :3], r"have the shape \(20, 3\).*needs \(frames, 4\)"),
        (ROWS[0], r"have the shape \(4,\)"),
        (ROWS[None], r"have the shape \(1, 20, 4\)"),
        ([[0.0, 1.0], [2.0]], r"not an array \(frames, 4\)"),
        (None, r"have the shape \(\)"),
        (np.zeros((5, 4), np.int64), "of type int64"),
        (np.zeros((5, 4), np.complex64), "of type complex64"),
        (ROWS.astype(object), "of type object"),
        (np.exp(ROWS), "are probabilities; pass their logarithm"),
        (ROWS + 5, "log-softmax"),
        (ROWS - 5, "log-softmax"),
        (ROWS / np.log(10), "log-softmax"),
        (
            ROWS.astype(np.float64) * 1e300,
            "the probabilities of all symbols are 0 in frame|log-softmax",
        ),
        (spoilt(7, np.nan), "frame 7 has NaN"),
        (spoilt(7, np.inf), r"frame 7 has NaN or \+inf"),
        (spoilt(7, -np.inf), "the probabilities of all symbols are 0 in frame 7"),
    ],
)
def test_what_is_no_log_probabilities_is_refused(
    decoder: Any, way: Callable[[Any, Any], Any], given: Any, message: str
) -> None:
    with pytest.raises(DecodingError, match=f"^log_probabilities.*({message})"):
        way(decoder, given)


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
def test_any_layout_is_taken(decoder: Any, given: Any) -> None:
    before = np.array(given)
    assert decoder.decode(given) == decoder.decode(ROWS)
    assert streamed(decoder, given) == decoder.decode(ROWS)
    np.testing.assert_array_equal(given, before)


def test_read_only_and_half_precision_arrays_are_taken(decoder: Any) -> None:
    fixed = ROWS.copy()
    fixed.flags.writeable = False
    assert decoder.decode(fixed) == decoder.decode(ROWS)
    half = ROWS.astype(np.float16)
    assert decoder.decode(half) == decoder.decode(half.astype(np.float32))


def test_no_frames_are_an_utterance_without_words(decoder: Any) -> None:
    for found in (decoder.decode(ROWS[:0]), decoder.stream().finish(), streamed(decoder, ROWS[:0])):
        assert (found.text, found.words, found.duration) == ("", (), 0.0)
    assert decoder.decode_batch([]) == []


def test_a_fed_array_may_change_afterwards(decoder: Any) -> None:
    stream, given = decoder.stream(), ROWS.copy()
    stream.feed(given)
    given[:] = 0
    assert stream.finish() == decoder.decode(ROWS)


@pytest.mark.parametrize(
    ("hot_words", "message"),
    [
        ({"x": 1.0}, "'x' has 'x', which the alphabet does not"),
        ({"a 7": 1.0}, "'a 7' has '7', which the alphabet does not"),
        ({"-": 1.0}, "'-' has no character of the alphabet"),
        ({" ": 1.0}, "' ' has no character of the alphabet"),
        ({"a": np.nan}, "'a' has the weight nan"),
        ({"a": 1000.0}, "from -100 to 100"),
        ({"a": 10**400}, "from -100 to 100"),  # beyond what a float holds
        ({"a": "8"}, "the weight of 'a' is '8'; it must be a number"),
        ({"a": None}, "the weight of 'a' is None"),
        ({"a": True}, "the weight of 'a' is True"),
        ({1: 2.0}, "1 is not a string"),
        (["ab", "ba"], "must map each word or phrase to its weight"),
        ("ab", "must map"),
    ],
)
def test_hot_words_are_checked(decoder: Any, hot_words: Any, message: str) -> None:
    calls: list[Callable[[], Any]] = [
        lambda: decoder.decode(ROWS, hot_words),
        lambda: decoder.decode_batch([], 1, hot_words),
        lambda: decoder.stream(hot_words),
    ]
    for call in calls:
        with pytest.raises(DecodingError, match=f"^hot_words.*{message}"):
            call()


@pytest.mark.parametrize(
    ("hot_words", "message"),
    [
        ({"a" * 60_000: 5.0}, "'a{60}' has 60,000 characters; at most 200"),
        ({"a" * 9 + "b" * n: 5.0 for n in range(10_001)}, "10,001 phrases; at most 10,000"),
        (
            {f"{bin(n)[2:]:0>190}".replace("0", "a").replace("1", "b"): 5.0 for n in range(1100)},
            "209,000 characters in all; at most 200,000",
        ),
    ],
)
def test_hot_words_have_bounds(decoder: Any, hot_words: Any, message: str) -> None:
    with pytest.raises(DecodingError, match=f"^hot_words: {message}") as error:
        decoder.decode(ROWS, hot_words)
    assert len(str(error.value)) < 200


def test_weights_of_phrases_within_phrases_have_a_bound() -> None:
    for weight in (100.0, -100.0):
        nested = {" ".join(["a"] * (n + 1)): weight for n in range(8)}
        with pytest.raises(DecodingError, match=r"'a a a a a a a a' and .* have 800 nats"):
            DECODERS["beam"].decode(ROWS, nested)
    assert DECODERS["beam"].decode(ROWS, {"a": 100.0, "a a": 100.0, "b a": 100.0}).words


def test_hot_words_need_a_space() -> None:
    alphabet = Alphabet(("a", "b"))
    for decoder in (GreedyDecoder(alphabet, 0.02), BeamSearchDecoder(alphabet)):
        with pytest.raises(DecodingError, match="hot_words: the alphabet has no space"):
            decoder.decode(random_rows(0, 3, 3), {"a": 1.0})


def test_greedy_decoding_refuses_hot_words_and_takes_none() -> None:
    decoder = DECODERS["greedy"]
    calls: list[Callable[[], Any]] = [
        lambda: decoder.decode(ROWS, {"ab": 1.0}),
        lambda: decoder.decode_batch([ROWS], 1, {"ab": 1.0}),
        lambda: decoder.stream({"ab": 1.0}),
    ]
    for call in calls:
        with pytest.raises(DecodingError, match="hot_words: greedy decoding cannot use them"):
            call()
    assert decoder.decode(ROWS, {}) == decoder.decode(ROWS)


def test_hot_words_are_folded_to_the_alphabet() -> None:
    decoder = BeamSearchDecoder(Alphabet((" ", "a", "b", "'")))
    rows = random_rows(3, 30, 5)
    expected = decoder.decode(rows, {"a'b ba": 9.0})
    assert expected != decoder.decode(rows)
    assert decoder.decode(rows, {"  \u00c1\u2019B - ba. ": 9.0}) == expected


def test_capitals_stay_where_the_alphabet_has_them() -> None:
    decoder, rows = BeamSearchDecoder(Alphabet((" ", "A", "B"))), ROWS
    assert decoder.decode(rows, {"AB": 9.0}).text != decoder.decode(rows, {"AB": -9.0}).text


@pytest.mark.parametrize("threads", [0, -1, 2.5, "2", None, True])
def test_threads_are_counted(decoder: Any, threads: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"threads is {threads!r}; it must be a whole"):
        decoder.decode_batch([ROWS], threads=threads)


def test_lists_are_counted() -> None:
    search = DECODERS["beam"]
    for count in (0, -1, 1.5, "3"):
        with pytest.raises(ConfigurationError, match=f"count is {count!r}"):
            search.decode_n_best(ROWS, count)
        with pytest.raises(ConfigurationError, match=f"count is {count!r}"):
            search.stream().finish_n_best(count)


def test_a_finished_stream_takes_nothing_more(decoder: Any) -> None:
    stream = decoder.stream()
    stream.feed(ROWS)
    stream.finish()
    calls: list[Callable[[], Any]] = [
        lambda: stream.feed(ROWS),
        lambda: stream.feed(ROWS[:0]),
        stream.finish,
    ]
    for call in calls:
        with pytest.raises(DecodingError, match="the stream is finished; begin another"):
            call()


def test_a_path_is_no_scorer_and_letters_are_no_alphabet() -> None:
    for scorer in ("folder/scorer", Path("folder/scorer")):
        with pytest.raises(ConfigurationError, match=r"pass Scorer.load\('folder.scorer'\)"):
            BeamSearchDecoder(ENGLISH, scorer)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="alphabet: is of type str; pass an Alphabet"):
        BeamSearchDecoder(" abc")  # type: ignore[arg-type]
