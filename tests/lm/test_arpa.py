from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lm_models import arbitrary

from plainspeech.errors import LanguageModelError, PlainspeechError
from plainspeech.lm.arpa import LN10, read_arpa, write_arpa
from plainspeech.lm.scorer import Scorer

ARPA = """\
a line before

\\data\\
ngram 1=5
ngram 2=3
ngram 3=1

\\1-grams:
-1.5\t<unk>
0\t<s>\t-0.5
-1\t</s>
-0.75\tthe\t-0.25
-1.25\tcafé\t0.125

\\2-grams:
-0.5\t<s> the\t-0.3
-0.25\tthe café
-0.125\tcafé </s>\t0

\\3-grams:
-0.0625\t<s> the café

\\end\\
"""


def read(text: str, folder: Path) -> str:
    """Return what reading ``text`` complains of."""
    (folder / "m.arpa").write_text(text, encoding="utf-8")
    with pytest.raises(PlainspeechError) as caught:
        read_arpa(folder / "m.arpa")
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(folder / "m.arpa"))
    return message.removeprefix(str(folder / "m.arpa"))


@pytest.mark.parametrize("compressed", [False, True])
def test_reads_natural_logarithms(tmp_path: Path, compressed: bool) -> None:
    content = ARPA.encode()
    path = tmp_path / "m.arpa"
    path.write_bytes(gzip.compress(content) if compressed else content)
    model = read_arpa(path)
    assert model.vocabulary == ["<unk>", "<s>", "</s>", "the", "café"]
    unigrams, bigrams, trigrams = model.levels
    np.testing.assert_allclose(unigrams.probabilities / LN10, [-1.5, 0, -1, -0.75, -1.25])
    np.testing.assert_allclose(unigrams.backoffs / LN10, [0, -0.5, 0, -0.25, 0.125])
    assert bigrams.contexts.tolist() == [1, 3, 4]
    assert bigrams.words.tolist() == [3, 4, 2]
    assert (trigrams.contexts.tolist(), trigrams.words.tolist()) == ([0], [4])
    np.testing.assert_allclose(trigrams.probabilities / LN10, [-0.0625])


def test_given_ids_are_kept(tmp_path: Path) -> None:
    (tmp_path / "m.arpa").write_text(ARPA, encoding="utf-8")
    vocabulary = ["<unk>", "<s>", "</s>", "café", "the"]
    model = read_arpa(tmp_path / "m.arpa", vocabulary)
    assert model.vocabulary == vocabulary
    np.testing.assert_allclose(model.levels[0].probabilities[3:] / LN10, [-1.25, -0.75])
    assert model.levels[1].words.tolist() == [4, 2, 3]


def test_a_model_without_unknown_word_gives_it_what_kenlm_does(tmp_path: Path) -> None:
    text = ARPA.replace("ngram 1=5", "ngram 1=4").replace("-1.5\t<unk>\n", "")
    (tmp_path / "m.arpa").write_text(text, encoding="utf-8")
    assert read_arpa(tmp_path / "m.arpa").levels[0].probabilities[0] == np.float32(-100 * LN10)


@pytest.mark.parametrize("lines", range(len(ARPA.splitlines())))
def test_a_cut_file_is_named_with_the_line(tmp_path: Path, lines: int) -> None:
    cut = "".join(ARPA.splitlines(keepends=True)[:lines])
    says = read(cut, tmp_path)
    assert says == f", line {lines + 1}: the ARPA file ends here, without \\end\\; it is truncated"


@settings(max_examples=60)
@given(st.integers(0, len(ARPA.encode()) - 6))
def test_no_cut_is_passed_over(tmp_path_factory: pytest.TempPathFactory, size: int) -> None:
    path = tmp_path_factory.mktemp("cut") / "m.arpa"
    path.write_bytes(ARPA.encode()[:size])
    with pytest.raises(PlainspeechError, match=r"m\.arpa, line \d+: "):
        read_arpa(path)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("ngram 2=3", "ngram 3=3", ", line 5: 'ngram 2=COUNT' or an empty line was expected"),
        ("ngram 1=5", "ngram 1=6", ", line 14: expected one of the 6 n-grams of 1 words"),
        ("ngram 1=5", "ngram 1=4", ", line 13: expected \\2-grams:"),
        ("ngram 3=1", "ngram 3=0", ", line 21: expected \\end\\; "),
        ("-0.25\tthe", "x\tthe", ", line 17: a logarithm is not a number"),
        ("-0.25\tthe", "0.25\tthe", ", line 17: the log10 of a probability must be"),
        ("-0.25\tthe", "nan\tthe", ", line 17: the log10 of a probability must be"),
        ("\t-0.25", "\tinf", ", line 12: the log10 of a probability must be"),
        ("the café\n-0.125", "the tea\n-0.125", ", line 17: 'tea' is not among the unigrams"),
        ("-1\t</s>", "-1\tend", ", line 13: the unigrams lack </s>"),
        (
            "<s> the café",
            "the café </s> x y",
            ", line 21: expected one of the 1 n-grams of 3 words",
        ),
        ("<s> the café", "the the café", ", line 21: the context 'the the' of this n-gram is not"),
        ("café </s>\t0", "the café", ", line 18: one of the n-grams of 2 words before this line"),
        ("-1.25\tcafé", "-1.25\tthe", ", line 12: this word is listed twice"),
        ("\\data\\", "data", ", line 24: the ARPA file ends here"),
    ],
)
def test_faults_are_named_with_the_line(tmp_path: Path, old: str, new: str, says: str) -> None:
    assert ARPA.count(old) == 1
    assert read(ARPA.replace(old, new), tmp_path).startswith(says)


def test_what_is_no_arpa_is_not_read_to_its_end(tmp_path: Path) -> None:
    says = read("no model\n" * 5000, tmp_path)
    assert says == ", line 1000: this is not an ARPA file: it has no \\data\\"


def test_a_broken_gzip_and_a_missing_file_are_named(tmp_path: Path) -> None:
    (tmp_path / "m.arpa.gz").write_bytes(gzip.compress(ARPA.encode())[:-20])
    with pytest.raises(PlainspeechError, match=r"m\.arpa\.gz: cannot be read: .*end-of-stream"):
        read_arpa(tmp_path / "m.arpa.gz")
    with pytest.raises(PlainspeechError, match=r"none\.arpa: cannot be read: No such file"):
        read_arpa(tmp_path / "none.arpa")


def test_words_that_are_no_utf8_are_refused(tmp_path: Path) -> None:
    (tmp_path / "m.arpa").write_bytes(ARPA.encode("latin-1"))
    with pytest.raises(PlainspeechError, match=r"m\.arpa, line 13: .* not UTF-8"):
        read_arpa(tmp_path / "m.arpa")


@settings(max_examples=20)
@given(st.integers(0, 2**32), st.lists(st.integers(1, 30), max_size=3))
def test_what_is_written_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, seed: int, sizes: list[int]
) -> None:
    path = tmp_path_factory.mktemp("arpa") / "m.arpa"
    model = arbitrary(np.random.default_rng(seed), 6, sizes)
    write_arpa(path, model.vocabulary, model.levels)
    again = read_arpa(path)
    assert again.vocabulary == model.vocabulary
    for level, expected in zip(again.levels, model.levels, strict=True):
        np.testing.assert_array_equal(level.contexts, expected.contexts)
        np.testing.assert_array_equal(level.words, expected.words)
        np.testing.assert_allclose(level.probabilities, expected.probabilities, rtol=1e-6)
        np.testing.assert_allclose(level.backoffs, expected.backoffs, rtol=1e-6)


@pytest.mark.parametrize("end", ["\r\n", "\r"])
def test_byte_order_marks_and_other_ends_of_lines_are_read(tmp_path: Path, end: str) -> None:
    (tmp_path / "m.arpa").write_text(ARPA, encoding="utf-8")
    given = ARPA.removeprefix("a line before\n\n").replace("\n", end)
    (tmp_path / "other.arpa").write_text(given, encoding="utf-8-sig", newline="")
    expected, found = read_arpa(tmp_path / "m.arpa"), read_arpa(tmp_path / "other.arpa")
    assert found.vocabulary == expected.vocabulary
    for level, other in zip(expected.levels, found.levels, strict=True):
        for array, same in zip(level, other, strict=True):
            np.testing.assert_array_equal(array, same)


def test_the_name_of_a_file_does_not_matter(tmp_path: Path) -> None:
    for name, content in {"model.lm": ARPA.encode(), "model": gzip.compress(ARPA.encode())}.items():
        (tmp_path / name).write_bytes(content)
        assert Scorer.load(tmp_path / name).order == 3
    (tmp_path / "m.bin").write_bytes(b"mmap lm http://kheafield.com/code format version 5\n")
    with pytest.raises(LanguageModelError, match="is a KenLM binary, whose words cannot be read"):
        Scorer.load(tmp_path / "m.bin")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("ngram 1=5", "ngram 1=" + "5" * 5000, "'ngram 1=COUNT' or an empty line was expected"),
        ("ngram 1=5", "ngram " + "1" * 5000 + "=5", "'ngram 1=COUNT' or an empty line was"),
        ("ngram 3=1", "ngram 3=9999999999", "expected one of the 9999999999 n-grams"),
        ("-0.25\tthe", "-1e30\tthe", "the log10 of a probability must be"),
        ("-0.25\tthe", "-1001\tthe", "the log10 of a probability must be"),
        ("\t-0.25", "\t21", "and that of a back-off weight from -1000 to 20"),
        ("the caf\u00e9\n-0.125", "the " + "t" * 5000 + "\n-0.125", "t' is not among the unigrams"),
        ("a line before", "a" * 70_000, "the line is longer than 65,536 bytes"),
        ("-0.25\tthe", "\0\tthe", "a logarithm is not a number"),
    ],
)
def test_hostile_numbers_and_lines_are_refused_in_one_line(
    tmp_path: Path, old: str, new: str, says: str
) -> None:
    assert ARPA.count(old) == 1
    message = read(ARPA.replace(old, new), tmp_path)
    assert says in message
    assert len(message) < 300


def test_an_order_beyond_all_models_is_refused(tmp_path: Path) -> None:
    counts = "".join(f"ngram {order}=0\n" for order in range(1, 40))
    assert "'ngram 17=COUNT' or" in read(f"\\data\\\n{counts}\n", tmp_path)


def test_a_decompression_bomb_is_not_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "bomb.arpa.gz"
    preface = b"\\data\\\nngram 1=100000000\n\n\\1-grams:\n"
    path.write_bytes(gzip.compress(preface + (b"-1\t<s>" + b" " * 60_000 + b"\n") * 2000))
    with pytest.raises(LanguageModelError, match="decompressed to more than 50 times its size"):
        read_arpa(path)
