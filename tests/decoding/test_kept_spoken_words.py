"""What is kept on disk of a lexicon of pronunciations is what would be made of it again."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from brute_force import random_rows
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_lm import ToyLm, random_lm

import plainspeech
from plainspeech.alphabet import ENGLISH, Alphabet
from plainspeech.decoding import lexicon as module
from plainspeech.decoding.beam_search import BeamSearchDecoder
from plainspeech.decoding.lexicon import build_trie, words_of
from plainspeech.decoding.spoken import SpokenWords
from plainspeech.errors import ConfigurationError
from plainspeech.lm import table_cache
from plainspeech.pronunciations import Pronunciations, WordsOnDemand, parse_pronunciations

WORDS = ("too", "two", "a", "at", "toot", "eh")
TEXT = b"too T A\ntwo T A\na A\na(2) A A\nat A T\ntoot T A T\n"  # not of "eh"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep all lexicons, however small, in a folder of the test's."""
    monkeypatch.setattr(module, "_WORTH_IT", 0)
    monkeypatch.setattr(table_cache, "user_cache_path", lambda *_, **__: tmp_path / "cache")
    return tmp_path / "cache" / "scorers"


def stored(
    text: bytes = TEXT, parse: Callable[[], Mapping[str, Sequence[str]]] | None = None
) -> Pronunciations:
    """Return a lexicon as a bundle has it: parsed when it is needed."""
    known = parse_pronunciations(text, Path("lexicon"))
    digest = hashlib.sha256(text).hexdigest()
    return replace(known, words=WordsOnDemand(digest, parse or (lambda: known.words)))


def never(*_: object) -> Mapping[str, Sequence[str]]:
    raise AssertionError("parsed again")


def lm(seed: int = 0, words: Sequence[str] = WORDS) -> ToyLm:
    return random_lm(seed, words)


def assert_equal(one: SpokenWords, other: SpokenWords) -> None:
    for mine, theirs in zip(one.lexicon, other.lexicon, strict=True):
        assert mine.dtype == theirs.dtype
        np.testing.assert_array_equal(mine, theirs)
    assert one.lexicon.nodes.dtype.isalignedstruct
    np.testing.assert_array_equal(one.unpronounced, other.unpronounced)
    assert one.coverage == other.coverage == pytest.approx(5 / 6)


def test_what_was_kept_is_what_was_made_and_needs_no_parsing() -> None:
    parsed = SpokenWords.of(parse_pronunciations(TEXT, Path("lexicon")), lm())
    first = SpokenWords.of(stored(), lm())
    again = SpokenWords.of(stored(parse=never), lm())
    assert_equal(first, parsed)
    assert_equal(again, parsed)


def test_a_search_with_what_was_kept_finds_the_same() -> None:
    rows = random_rows(1, 12, stored().size)
    decoders = [
        BeamSearchDecoder(ENGLISH, lm(), pronunciations=pronunciations)
        for pronunciations in (
            parse_pronunciations(TEXT, Path("lexicon")),
            stored(),
            stored(parse=never),
        )
    ]
    first, *others = [decoder.decode_n_best(rows, 5) for decoder in decoders]
    assert others == [first, first]


def test_hot_words_parse_what_was_kept() -> None:
    SpokenWords.of(stored(), lm())
    kept = SpokenWords.of(stored(), lm())
    assert kept.spoken("a at") == [
        f"{a} {at}" for at in kept.spoken("at") for a in kept.spoken("a")
    ]
    assert (kept.lacks("too"), kept.lacks("eh")) == (False, True)


@pytest.mark.parametrize(
    "change",
    [
        {"text": TEXT.replace(b"at A T", b"at T A")},
        {"words": (*WORDS[1:], WORDS[0])},
        {"words": WORDS[:-1]},
        {"seed": 1},  # other probabilities
    ],
)
def test_another_lexicon_or_language_model_is_parsed_again(change: dict[str, object]) -> None:
    SpokenWords.of(stored(), lm())
    text = change.pop("text", TEXT)
    assert isinstance(text, bytes)
    with pytest.raises(AssertionError, match="parsed again"):
        SpokenWords.of(stored(text, never), lm(**change))  # type: ignore[arg-type]


def test_other_phones_are_another_lexicon() -> None:
    SpokenWords.of(stored(), lm())
    with pytest.raises(AssertionError, match="parsed again"):
        SpokenWords.of(replace(stored(parse=never), phones=("A", "T", "U")), lm())


@pytest.mark.parametrize("array", ["nodes", "symbols", "homophones", "unpronounced"])
@pytest.mark.parametrize("damage", ["changed", "cut", "absent"])
def test_what_is_damaged_is_made_again(cache: Path, array: str, damage: str) -> None:
    first = SpokenWords.of(stored(), lm())
    (folder,) = cache.iterdir()
    file = folder / f"{array}.npy"
    content = file.read_bytes()
    file.unlink()
    if damage != "absent":
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 4] if damage == "changed" else []))
    with pytest.raises(AssertionError, match="parsed again"):
        SpokenWords.of(stored(parse=never), lm())
    assert_equal(SpokenWords.of(stored(), lm()), first)
    assert_equal(SpokenWords.of(stored(parse=never), lm()), first)


def test_where_nothing_can_be_kept_it_works_all_the_same(cache: Path) -> None:
    first = SpokenWords.of(stored(), lm())
    for file in (*cache.rglob("*.*"), *cache.iterdir(), cache):
        file.rmdir() if file.is_dir() else file.unlink()
    cache.write_text("a file where the folder should be")
    assert_equal(SpokenWords.of(stored(), lm()), first)


def test_processes_that_start_at_once_do_not_harm_each_other(tmp_path: Path) -> None:
    (tmp_path / "lexicon").write_bytes(TEXT)
    code = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from toy_lm import random_lm
from plainspeech.decoding import lexicon
from plainspeech.decoding.spoken import SpokenWords
from plainspeech.pronunciations import read_pronunciations
lexicon._WORTH_IT = 0
for _ in range(20):
    found = SpokenWords.of(read_pronunciations(Path("lexicon")), random_lm(0, {WORDS!r}))
    print(found.lexicon.nodes.tobytes().hex(), found.lexicon.homophones.tolist())
"""
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(plainspeech.__file__).parents[1]),
        "XDG_CACHE_HOME": str(tmp_path / "shared"),
    }
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    printed = [run.communicate()[0].splitlines() for run in runs]
    assert [run.returncode for run in runs] == [0, 0]
    assert len(printed[0]) == len(printed[1]) == 20
    assert len({line for lines in printed for line in lines}) == 1


def test_those_of_another_scorer_are_refused() -> None:
    words = SpokenWords.of(stored(), lm())
    with pytest.raises(ConfigurationError, match="of another scorer"):
        BeamSearchDecoder(ENGLISH, lm(), pronunciations=words)


MANY = Alphabet((" ", *map(chr, range(0x4E00, 0x4E00 + 70))))  # more than masks tell apart


@settings(max_examples=100)
@given(
    st.sampled_from([ENGLISH, MANY]).flatmap(
        lambda alphabet: st.tuples(
            st.just(alphabet),
            st.lists(
                st.text(alphabet.symbols[-4:], min_size=1, max_size=4), min_size=1, unique=True
            ),
            st.lists(st.text(alphabet.symbols[-4:], max_size=5)),
        )
    )
)
def test_words_are_found_by_their_symbols(case: tuple[Alphabet, list[str], list[str]]) -> None:
    alphabet, strings, others = case
    ids = np.arange(3, 3 + len(strings), dtype=np.int32)
    ids[0] = -2  # of the words 1 and 2
    tables = random_lm(0, strings).tables
    trie = build_trie(strings, ids, np.array([1, 2, -1], np.int32), alphabet, tables)
    expected = {strings[0]: [1, 2]} | {s: [i] for i, s in enumerate(strings[1:], start=4)}
    for string in (*strings, *others):
        assert words_of(trie, alphabet.encode(string)) == expected.get(string, [])
