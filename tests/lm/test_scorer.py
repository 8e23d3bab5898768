from __future__ import annotations

import gzip
import json
import lzma
import random
import shutil
import struct
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lm_models import TEXT, estimated

from plainspeech.alphabet import ENGLISH
from plainspeech.artifact.listed_files import checksums
from plainspeech.artifact.record import Record
from plainspeech.errors import LanguageModelError, PlainspeechError
from plainspeech.lm import table_cache
from plainspeech.lm.arpa import write_arpa
from plainspeech.lm.corpus import read_sentences
from plainspeech.lm.package import (
    SCORER,
    read_scorer_files,
    with_weights,
    write_kenlm_scorer,
    write_scorer,
)
from plainspeech.lm.packing import QUANTUM
from plainspeech.lm.scorer import Scorer, predict

SENTENCE = ["the", "cat", "sat", "on", "the", "mat"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A scorer."""
    model = estimated([line.split() for line in TEXT.splitlines()], tmp_path)
    write_arpa(tmp_path / "m.arpa", model.vocabulary, model.levels)
    write_scorer(tmp_path / "s", model.vocabulary, model.levels, {"words": 49}, 0.5, 1.25)
    return tmp_path / "s"


def test_a_folder_a_zip_and_an_arpa_file_are_the_same_model(folder: Path) -> None:
    archive = shutil.make_archive(str(folder), "zip", folder.parent, folder.name)
    whole = Scorer.load(folder.parent / "m.arpa")
    for path in (folder, archive):
        scorer = Scorer.load(path)
        assert (scorer.order, scorer.alpha, scorer.beta) == (3, 0.5, 1.25)
        assert scorer.source == {"words": 49, "ngrams": [len(whole.vocabulary), 28, 37]}
        assert scorer.vocabulary == whole.vocabulary
        assert scorer.words[:2] == ["the", "cat"]
        ours, exact = scorer.log_probabilities(SENTENCE), whole.log_probabilities(SENTENCE)
        # A probability and two back-offs at most, each rounded.
        np.testing.assert_allclose(ours, exact, atol=1.5 * QUANTUM)


def test_beginning_and_end_count(folder: Path) -> None:
    scorer = Scorer.load(folder)
    assert len(scorer.log_probabilities(SENTENCE)) == 7
    assert len(scorer.log_probabilities(SENTENCE, eos=False)) == 6
    assert scorer.score(["the"], eos=False) > scorer.score(["the"], bos=False, eos=False)
    assert scorer.score([]) == pytest.approx(float(scorer.log_probabilities([])[0]))
    assert scorer.ids(["the", "elephant"]).tolist() == [3, 0]


@pytest.mark.parametrize("name", ["words.txt", "ngrams.npz", "scorer.json"])
def test_a_changed_byte_in_any_file_is_found(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(PlainspeechError, match=rf"{name}.* is damaged"):
        Scorer.load(folder)


@pytest.mark.parametrize("name", ["words.txt", "ngrams.npz", "scorer.json"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(PlainspeechError, match=f"s: is not a scorer: {name} is missing"):
        Scorer.load(folder)


def test_another_format_and_things_that_are_no_scorer(folder: Path, tmp_path: Path) -> None:
    record = json.loads((folder / "scorer.json").read_text())
    (folder / "scorer.json").write_text(json.dumps({**record, "format": 2}))
    with pytest.raises(PlainspeechError, match="has the format 2, this plainspeech reads 1"):
        Scorer.load(folder)
    with pytest.raises(PlainspeechError, match="none: no such scorer"):
        Scorer.load(tmp_path / "none")
    (tmp_path / "file").write_text("x")
    with pytest.raises(PlainspeechError, match="file: is not a scorer: neither a folder nor a zip"):
        Scorer.load(tmp_path / "file")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "f").write_text("x")
    with pytest.raises(PlainspeechError, match="other: exists and is not a scorer"):
        write_scorer(tmp_path / "other", [], [], {})


@pytest.fixture
def asking(folder: Path) -> Path:
    """A scorer that asks KenLM."""
    path, model = folder.parent / "asking", folder.parent / "m.arpa"
    write_kenlm_scorer(path, Scorer.load(model).vocabulary, model, 3, {"model": "m.arpa"})
    return path


def test_a_scorer_may_ask_kenlm(asking: Path) -> None:
    scorer, flat = Scorer.load(asking), Scorer.load(asking.parent / "m.arpa")
    assert (scorer.order, scorer.source) == (3, {"model": "m.arpa"})
    assert scorer.score(SENTENCE) == pytest.approx(flat.score(SENTENCE), rel=1e-5)
    assert scorer.score(["elephant"]) == pytest.approx(flat.score(["elephant"]), rel=1e-5)


def test_a_changed_or_missing_model_of_kenlm_is_found(asking: Path) -> None:
    with (asking / "model.kenlm").open("ab") as file:
        file.write(b"\n")
    with pytest.raises(PlainspeechError, match=r"asking: model\.kenlm is damaged"):
        Scorer.load(asking)
    (asking / "model.kenlm").unlink()
    with pytest.raises(PlainspeechError, match=r"model\.kenlm: cannot be read: No such file"):
        Scorer.load(asking)


def test_kenlm_reads_no_zip(asking: Path) -> None:
    archive = shutil.make_archive(str(asking), "zip", asking)
    with pytest.raises(PlainspeechError, match=r"asking\.zip: KenLM reads from a folder only"):
        Scorer.load(archive)


def test_weights_can_be_changed(folder: Path) -> None:
    scorer = Scorer.from_files(folder, with_weights(read_scorer_files(folder), 0.9, -1.0))
    assert (scorer.alpha, scorer.beta) == (0.9, -1.0)
    assert scorer.score(SENTENCE) == Scorer.load(folder).score(SENTENCE)


def test_the_files_of_a_scorer_are_those_of_its_zip(folder: Path, asking: Path) -> None:
    files = read_scorer_files(folder)
    assert files == {path.name: path.read_bytes() for path in folder.iterdir()}
    assert read_scorer_files(Path(shutil.make_archive(str(folder), "zip", folder))) == files
    with pytest.raises(PlainspeechError, match="asking: queries KenLM, and a model bundle"):
        read_scorer_files(asking)


def test_perplexity_is_of_the_known_words(folder: Path) -> None:
    scorer = Scorer.load(folder)
    told = predict(scorer, [["the", "elephant", "sat"], ["the"]])
    assert (told.words, told.unknown, told.predicted) == (4, 1, 5)
    first = scorer.log_probabilities(["the", "elephant", "sat"])
    known = first[0] + first[2] + first[3] + scorer.score(["the"])
    assert told.perplexity == pytest.approx(np.exp(-known / 5), rel=1e-5)
    assert told.unknown_rate == 0.25
    assert np.isnan(predict(scorer, []).perplexity)


def test_text_is_normalised_and_decompressed(tmp_path: Path) -> None:
    text = "The Café,  on the   MAT.\n\n?!\nit’s plain\n"
    (tmp_path / "a.txt").write_text(text, encoding="utf-8")
    (tmp_path / "a.gz").write_bytes(gzip.compress(text.encode()))
    (tmp_path / "a.xz").write_bytes(lzma.compress(text.encode()))
    for name in ("a.txt", "a.gz", "a.xz"):
        assert list(read_sentences([tmp_path / name], ENGLISH)) == [
            ["the", "cafe", "on", "the", "mat"],
            ["it's", "plain"],
        ]


def test_texts_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes("fine\ncafé".encode("latin-1"))
    (tmp_path / "cut.gz").write_bytes(gzip.compress(b"words " * 100)[:-9])
    (tmp_path / "cut.xz").write_bytes(lzma.compress(b"words " * 100)[:-9])
    (tmp_path / "plain.xz").write_bytes(b"words")
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(bytes(1 << 25)))
    for name, says in {
        "latin": "latin, line 2: is not UTF-8",
        "cut.gz": "cut.gz: cannot be read: ",
        "cut.xz": "cut.xz: cannot be read: ",
        "plain.xz": "plain.xz: cannot be read: ",
        "none": "none: cannot be read: No such file",
        "bomb.gz": "bomb.gz, line 1: is longer than 16,777,216 bytes; write one sentence a line",
    }.items():
        with pytest.raises(PlainspeechError, match=says):
            list(read_sentences([tmp_path / name], ENGLISH))


def resaved(folder: Path, **changes: Any) -> None:
    """Write the scorer's record with ``changes``, and with the hashes of its files as they are."""
    read = json.loads((folder / "scorer.json").read_text())
    files = {name: (folder / name).read_bytes() for name in read["files"]}
    values = {key: value for key, value in read.items() if key != "sha256"} | changes
    values["files"] = checksums(files)
    record = Record(folder, SCORER, values)
    (folder / "scorer.json").write_bytes(record.serialise())


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"order": 0}, "the order is 0; it must be 1 to 16"),
        ({"order": -1}, "the order is -1"),
        ({"order": 10**30}, "the order is 10000000000000000000"),
        ({"order": 4}, "4.probabilities' is missing|damaged"),
        ({"alpha": 1e30}, "'alpha' is 1e\\+30; it must be from -100 to 100"),
        ({"beta": -710.0}, "'beta' is -710; it must be"),
        ({"vocabulary": 10**20}, "different number of words"),
    ],
)
def test_hostile_records_are_refused_in_one_line(
    folder: Path, changes: dict[str, Any], says: str
) -> None:
    resaved(folder, **changes)
    with pytest.raises(LanguageModelError, match=says) as error:
        Scorer.load(folder)
    assert len(str(error.value)) < 400


@pytest.mark.parametrize("kept", [False, True])
def test_a_word_twice_is_refused_also_where_tables_of_these_n_grams_are_kept(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: bool
) -> None:
    monkeypatch.setattr(table_cache, "_WORTH_IT", 0)
    monkeypatch.setattr(table_cache, "user_cache_path", lambda *_, **__: tmp_path / "cache")
    if kept:
        Scorer.load(folder)
    words = (folder / "words.txt").read_text().splitlines()
    (folder / "words.txt").write_text("".join(f"{word}\n" for word in [words[0], *words[:-1]]))
    resaved(folder)
    for _ in range(2):
        with pytest.raises(LanguageModelError, match="different number of words"):
            Scorer.load(folder)


def npy(header: str, data: bytes) -> bytes:
    padded = header + " " * (117 - len(header)) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(padded)) + padded.encode() + data


HEADER = "{'descr': '|u1', 'fortran_order': False, 'shape': %s, }"


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (npy(HEADER % "(1, 40000000000000)", b"x"), "the size of an array differs from its header"),
        (npy(HEADER % "(0, 40000000000000)", b""), "the size of an array differs from its header"),
        (npy(HEADER % "(9, 1)", b"x" * 9), "an unexpected type or shape"),
        (npy(HEADER % "(4,)", b"xxxx"), "an unexpected type or shape"),
        (npy(HEADER.replace("|u1", "<f8") % "(1, 1)", b"x" * 8), "an unexpected type or shape"),
        (npy(HEADER.replace("|u1", "|O") % "(1, 1)", b"x" * 8), "an unexpected type or shape"),
        (npy("{" * 90, b""), "header"),
        (
            npy(HEADER % "(4, 10)", b"\xff" * 40),
            "not from|lengths|number of contexts|number of words",
        ),
        (b"\x93NUMPY\x03\x00", "an unknown version"),
        (b"", "EOF"),
    ],
)
def test_hostile_arrays_are_refused_before_they_are_made(
    folder: Path, array: bytes, says: str
) -> None:
    with zipfile.ZipFile(folder / "ngrams.npz") as whole:
        arrays = {name: whole.read(name) for name in whole.namelist()}
    for name in arrays:
        with zipfile.ZipFile(folder / "ngrams.npz", "w") as changed:
            for other, content in arrays.items():
                changed.writestr(other, array if other == name else content)
        resaved(folder)
        with pytest.raises(LanguageModelError, match=f"the n-grams are damaged.*({says})"):
            Scorer.load(folder)


def test_a_bomb_and_odd_members_are_refused(folder: Path) -> None:
    def written(method: int, content: bytes, flag: int = 0) -> None:
        with zipfile.ZipFile(folder / "ngrams.npz", "w", method) as changed:
            changed.writestr("1.probabilities.npy", content)
        data = bytearray((folder / "ngrams.npz").read_bytes())
        data[data.index(b"PK\x01\x02") + 8] |= flag
        (folder / "ngrams.npz").write_bytes(data)
        resaved(folder)

    zeros = npy(HEADER % "(1, 30000000)", bytes(30_000_000))
    written(zipfile.ZIP_DEFLATED, zeros)
    with pytest.raises(LanguageModelError, match="larger than a model"):
        Scorer.load(folder)
    written(zipfile.ZIP_BZIP2, zeros[:1000])
    with pytest.raises(LanguageModelError, match="compressed by method 12"):
        Scorer.load(folder)
    written(zipfile.ZIP_STORED, zeros[:1000], flag=1)
    with pytest.raises(LanguageModelError, match="an array is encrypted"):
        Scorer.load(folder)


@pytest.mark.parametrize("seed", range(4))
def test_damaged_scorers_with_the_right_hash_give_one_line(folder: Path, seed: int) -> None:
    draw = random.Random(seed)
    whole = (folder / "ngrams.npz").read_bytes()
    for _ in range(60):
        damaged = bytearray(whole)
        for _ in range(draw.randrange(1, 4)):
            damaged[draw.randrange(len(whole))] = draw.randrange(256)
        (folder / "ngrams.npz").write_bytes(damaged)
        resaved(folder)
        with suppress(LanguageModelError):
            assert np.isfinite(Scorer.load(folder).log_probabilities(SENTENCE)).all()


def test_a_damaged_binary_of_kenlm_does_not_kill_the_process(tmp_path: Path) -> None:
    """By its header a trie of order 2 whose counts go far beyond the file."""
    magic = b"mmap lm http://kheafield.com/code format version 5\n\0"
    sanity = magic.ljust(56, b"\0") + struct.pack("<fffIIQ", 0, 1, -0.5, 1, 2**32 - 1, 1)
    for fixed in (
        struct.pack("<BxxxfIBxxxI", 2, 1.5, 0, 1, 1),
        struct.pack("<BxxxfIBxxxI", 2, 1.5, 2, 1, 1),
        struct.pack("<BxxxfIBxxxI", 255, float("nan"), 3, 1, 0),
    ):
        for count in (0, 7, 2**40):
            path = tmp_path / "m.bin"
            path.write_bytes(sanity.ljust(88, b"\0") + fixed + struct.pack("<QQ", count, count))
            with pytest.raises(LanguageModelError, match=r"m\.bin: "):
                Scorer.from_kenlm(path, ["the", "cat"])


def test_a_reader_that_dies_is_told_from_one_that_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("plainspeech.lm.kenlm._TRIAL", "import os; os.abort()")
    shutil.copyfile(Path(__file__).parent / "kenlm_binaries" / "trie.bin", tmp_path / "m.bin")
    with pytest.raises(LanguageModelError, match="is damaged: KenLM crashes when it reads it"):
        Scorer.from_kenlm(tmp_path / "m.bin", ["the"])
