"""Flattened models that are kept on disk are those that would be made again."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from plainspeech.errors import LanguageModelError
from plainspeech.lm import table_cache as module
from plainspeech.lm import tables as layout
from plainspeech.lm.build import BuildSettings, build_model
from plainspeech.lm.package import levels_of, read_scorer_files, write_scorer
from plainspeech.lm.scorer import Scorer, score_words
from plainspeech.lm.table_cache import cached_tables
from plainspeech.lm.tables import NGramTables, build_tables

TEXT = "the cat sat on the mat\nthe dog sat on the cat\na dog and a cat\n" * 3


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep all tables, however small, in a folder of the test's."""
    monkeypatch.setattr(module, "_WORTH_IT", 0)
    monkeypatch.setattr(module, "user_cache_path", lambda *_, **__: tmp_path / "cache")
    return tmp_path / "cache" / "scorers"


@pytest.fixture
def flatten(tmp_path: Path) -> Callable[[], NGramTables]:
    """Flattens one model."""
    (tmp_path / "text").write_text(TEXT)
    settings = BuildSettings(order=3, prune=(0,), estimator="builtin")
    levels = build_model([tmp_path / "text"], settings)[0].levels
    return lambda: build_tables(levels)


def never() -> NGramTables:
    raise AssertionError("flattened again")


def scores(tables: NGramTables) -> list[float]:
    """Return log-probabilities of a text that no model was made of."""
    words = np.random.default_rng(0).integers(0, len(tables.unigrams), 500).astype(np.int32)
    return [float(score) for score in score_words(tables, int(tables.bos_state), words)]


def test_what_was_kept_scores_as_what_was_made(flatten: Callable[[], NGramTables]) -> None:
    expected = scores(flatten())
    assert scores(cached_tables("a", flatten)) == expected
    again = cached_tables("a", never)
    assert scores(again) == expected
    assert scores(cached_tables("a", never)) == expected


def test_queries_of_what_was_kept_write_nothing(flatten: Callable[[], NGramTables]) -> None:
    made = flatten()
    before = made.slots.copy()
    expected = scores(made)
    assert (made.slots != before).any()
    cached_tables("a", flatten)
    kept = cached_tables("a", never)
    before = kept.slots.copy()
    assert scores(kept) == expected
    np.testing.assert_array_equal(kept.slots, before)


def test_another_name_is_another_model(flatten: Callable[[], NGramTables]) -> None:
    cached_tables("a", flatten)
    with pytest.raises(AssertionError, match="flattened again"):
        cached_tables("b", never)


@pytest.mark.parametrize("array", ["slots", "states", "unigrams", "unigram_states"])
def test_what_is_damaged_is_made_again(
    cache: Path, flatten: Callable[[], NGramTables], array: str
) -> None:
    expected = scores(cached_tables("a", flatten))
    (folder,) = cache.iterdir()
    content = bytearray((folder / f"{array}.npy").read_bytes())
    content[-3] ^= 4
    (folder / f"{array}.npy").write_bytes(content)
    with pytest.raises(AssertionError, match="flattened again"):
        cached_tables("a", never)
    assert scores(cached_tables("a", flatten)) == expected
    assert scores(cached_tables("a", never)) == expected


@pytest.mark.parametrize("damage", ["", "{}", "[]", '{"files": {}, "sha256": "0"}'])
def test_a_damaged_record_is_written_again(
    cache: Path, flatten: Callable[[], NGramTables], damage: str
) -> None:
    cached_tables("a", flatten)
    (folder,) = cache.iterdir()
    (folder / "tables.json").write_text(damage)
    cached_tables("a", flatten)
    cached_tables("a", never)


def test_a_cache_that_can_only_be_read_is_read(
    flatten: Callable[[], NGramTables], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that the administrator has filled, of an image of a container say."""
    expected = scores(cached_tables("a", flatten))

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "utime", refuse)
    assert scores(cached_tables("a", never)) == expected


def test_where_nothing_can_be_kept_it_works_all_the_same(
    cache: Path, flatten: Callable[[], NGramTables]
) -> None:
    cache.parent.write_text("a file where the folder should be")
    assert scores(cached_tables("a", flatten)) == scores(flatten())


def key(name: str) -> str:
    return module._key(name, [layout.__file__])


def kept(cache: Path) -> set[str]:
    return {name for name in "abcdef" if (cache / key(name)).exists()}


def test_those_used_last_are_kept_by_their_size(
    cache: Path, flatten: Callable[[], NGramTables], monkeypatch: pytest.MonkeyPatch
) -> None:
    for time, name in enumerate("abcde"):
        cached_tables(name, flatten)
        os.utime(cache / key(name), (time, time))
    assert kept(cache) == set("abcde")  # small ones do not drive each other out
    cached_tables("a", never)
    size = sum(file.stat().st_size for file in (cache / key("a")).iterdir())
    monkeypatch.setattr(module, "_MOST", 3 * size)
    cached_tables("f", flatten)
    assert kept(cache) == set("aef")
    monkeypatch.setattr(module, "_MOST", 0)
    cached_tables("b", flatten)
    assert kept(cache) == {"b"}


def test_a_small_scorer_is_not_kept(
    cache: Path, flatten: Callable[[], NGramTables], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_WORTH_IT", 8_000_000)
    cached_tables("a", flatten)
    assert not cache.exists()


def test_a_scorer_is_loaded_from_what_was_kept(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "text").write_text(TEXT)
    settings = BuildSettings(order=3, prune=(0,), estimator="builtin")
    model, source = build_model([tmp_path / "text"], settings)
    write_scorer(tmp_path / "scorer", model.vocabulary, model.levels, source)
    first = Scorer.load(tmp_path / "scorer")
    monkeypatch.setattr("plainspeech.lm.package.build_tables", never)
    second = Scorer.load(tmp_path / "scorer")
    text = ["the", "dog", "sat", "on", "a", "cat"]
    assert second.score(text) == first.score(text)
    vocabulary, levels = levels_of(tmp_path / "scorer", read_scorer_files(tmp_path / "scorer"))
    assert vocabulary == first.vocabulary
    assert [len(level.words) for level in levels] == first.source["ngrams"]
    assert (second.order, second.vocabulary) == (first.order, first.vocabulary)


@pytest.mark.parametrize("name", ["", "slots.npy", "tables.json"])
def test_what_others_can_write_is_made_again(
    cache: Path, flatten: Callable[[], NGramTables], name: str
) -> None:
    cached_tables("a", flatten)
    (folder,) = cache.iterdir()
    cached_tables("a", never)
    (folder / name).chmod(0o777)
    with pytest.raises(AssertionError, match="flattened again"):
        cached_tables("a", never)


def test_of_a_bundle_whose_tables_are_kept_the_ngrams_are_not_read_again(
    tmp_path: Path, cache: Path
) -> None:
    (tmp_path / "text").write_text(TEXT)
    settings = BuildSettings(order=3, prune=(0,), estimator="builtin")
    model, source = build_model([tmp_path / "text"], settings)
    write_scorer(tmp_path / "scorer", model.vocabulary, model.levels, source)
    files = {file.name: file.read_bytes() for file in (tmp_path / "scorer").iterdir()}
    first = Scorer.from_files(tmp_path, files)
    without = Scorer.from_files(tmp_path, {**files, "ngrams.npz": b"not read"})
    assert without.score(["the", "cat"]) == first.score(["the", "cat"])
    for folder in cache.iterdir():
        shutil.rmtree(folder)
    with pytest.raises(LanguageModelError, match=r"ngrams\.npz is damaged"):
        Scorer.from_files(tmp_path, {**files, "ngrams.npz": b"read"})
    del files["ngrams.npz"]
    with pytest.raises(LanguageModelError, match=r"ngrams\.npz is missing"):
        Scorer.from_files(tmp_path, files)
