"""Lexicons that are kept on disk are those that would be laid out again."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from toy_lm import random_lm

from plainspeech.alphabet import ENGLISH, Alphabet
from plainspeech.decoding import lexicon as module
from plainspeech.decoding.beam_search import BeamSearchDecoder
from plainspeech.decoding.kernels.records import TRIE_NODE, Trie
from plainspeech.decoding.lexicon import build_lexicon
from plainspeech.lm import table_cache

WORDS = ["the", "cat", "sat", "catch", "a"]
MANY = Alphabet((" ", *map(chr, range(0x4E00, 0x4E00 + 100))))  # more than masks tell apart


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep all lexicons, however small, in a folder of the test's."""
    monkeypatch.setattr(module, "_WORTH_IT", 0)
    monkeypatch.setattr(table_cache, "user_cache_path", lambda *_, **__: tmp_path / "cache")
    return tmp_path / "cache" / "scorers"


def built(words: list[str], seed: int = 0, alphabet: Alphabet = ENGLISH, first_id: int = 3) -> Trie:
    return build_lexicon(words, first_id, alphabet, random_lm(seed, words).tables)


def never(*_: object) -> Trie:
    raise AssertionError("laid out again")


@pytest.mark.parametrize(
    ("words", "alphabet"), [(WORDS, ENGLISH), ([MANY.symbols[5], MANY.symbols[99] * 2], MANY)]
)
def test_what_was_kept_is_what_was_made(
    words: list[str], alphabet: Alphabet, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids, none = np.arange(3, 3 + len(words), dtype=np.int32), np.empty(0, np.int32)
    made = module.build_trie(words, ids, none, alphabet, random_lm(0, words).tables)
    first = built(words, alphabet=alphabet)
    monkeypatch.setattr(module, "build_trie", never)
    for kept in (first, built(words, alphabet=alphabet)):
        np.testing.assert_array_equal(kept.nodes, made.nodes)
        np.testing.assert_array_equal(kept.symbols, made.symbols)
        assert kept.nodes.dtype == TRIE_NODE
        assert kept.nodes.dtype.isalignedstruct


def test_another_lexicon_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    built(WORDS)
    monkeypatch.setattr(module, "build_trie", never)
    built(WORDS)
    for change in (
        {"words": WORDS[::-1]},
        {"words": WORDS, "seed": 1},  # other probabilities
        {"words": WORDS, "first_id": 4},
        {"words": WORDS, "alphabet": Alphabet((*ENGLISH.symbols[::-1],))},
    ):
        with pytest.raises(AssertionError, match="laid out again"):
            built(**change)


def test_words_that_are_left_out_are_logged_each_time(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "plainspeech"):
        built(["cat", "дом"])
        built(["cat", "дом"])
    assert [record.getMessage()[:25] for record in caplog.records] == [
        "words of the language mod"
    ] * 2


def test_a_search_with_what_was_kept_finds_the_same() -> None:
    rows = np.random.default_rng(0).normal(size=(30, ENGLISH.size)).astype(np.float32)
    rows -= np.log(np.exp(rows).sum(axis=1, keepdims=True))
    lm = random_lm(0, WORDS)
    first, second = (BeamSearchDecoder(ENGLISH, lm).decode_n_best(rows, 5) for _ in range(2))
    assert first == second
