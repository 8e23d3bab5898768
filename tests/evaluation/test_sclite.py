"""Agreement with NIST sclite on the same hypotheses, utterance by utterance and word by word.

sclite comes with Debian's and Ubuntu's package sctk.
"""

from __future__ import annotations

import random
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from rapidfuzz.distance import Levenshtein

from plainspeech.errors import DataError
from plainspeech.evaluation.error_rates import ErrorCounts, Pair, word_counts
from plainspeech.evaluation.listing import write_trn

SCLITE = next((name for name in ("sclite", "sctk") if shutil.which(name)), None)
needs_sclite = pytest.mark.skipif(
    SCLITE is None, reason="NIST sclite is not on the PATH: apt-get install sctk"
)

SENTENCES = """\
it is a truth universally acknowledged that a single man in possession of a good fortune must be
to sherlock holmes she is always the woman i have seldom heard him mention her under any other name
you don't know about me without you have read a book by the name of the adventures of tom sawyer
that ain't no matter that book was made by mister mark twain and he told the truth mainly
alice was beginning to get very tired of sitting by her sister on the bank
there was no possibility of taking a walk that day we had been wandering indeed
marley was dead to begin with there is no doubt whatever about that
call me ishmael some years ago never mind how long precisely having little or no money in my purse
the mole had been working very hard all the morning spring cleaning his little home
all children except one grow up they soon know that they will grow up
squire trelawney doctor livesey and the rest of these gentlemen having asked me to write down
no one would have believed in the last years of the nineteenth century
""".splitlines()


def sclite(folder: Path, pairs: list[Pair]) -> dict[str, ErrorCounts]:
    """Run sclite on the files that `write_trn` writes, and return its counts by utterance."""
    write_trn(folder, pairs)
    command = ["sclite"] if SCLITE == "sclite" else ["sctk", "sclite"]
    command += ["-s", "-i", "spu_id", "-r", "ref.trn", "trn", "-h", "hyp.trn", "trn"]
    command += ["-f", "0", "-o", "pralign", "stdout"]
    output = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout
    found = re.findall(
        r"^id: \((.*)\)\nScores: \(#C #S #D #I\) (\d+) (\d+) (\d+) (\d+)$", output, re.MULTILINE
    )
    return {identity: ErrorCounts(*map(int, numbers)) for identity, *numbers in found}


def misheard(text: str, rate: float, draw: random.Random) -> str:
    """Return ``text`` with letters and spaces changed, lost and added, as greedy CTC does."""
    written = []
    for character in text:
        kind = draw.choices(
            ["same", "other", "lost", "more"], [1 - rate, rate / 2, rate / 3, rate / 6]
        )
        other = draw.choice("etaoinshrdlu  ")
        written.append(
            {"same": character, "other": other, "lost": "", "more": character + other}[kind[0]]
        )
    return " ".join("".join(written).split())


def scrambled(draw: random.Random) -> tuple[str, str]:
    """Return two texts of few words, so that many alignments are nearly equally good."""
    words = "abcdefgh"[: draw.choice([2, 4, 8])]
    said = draw.choices(words, k=draw.randint(0, 15))
    heard = [draw.choice(words) if draw.random() < 0.7 else word for word in said]
    for _ in range(draw.randint(0, 3)):
        heard.insert(draw.randint(0, len(heard)), draw.choice(words))
    return " ".join(said), " ".join(heard[draw.randint(0, 2) :])


@needs_sclite
@pytest.mark.parametrize(
    ("rate", "lowest", "highest"), [(0.01, 0.02, 0.15), (0.05, 0.15, 0.4), (0.15, 0.4, 0.8)]
)
def test_speech_is_scored_as_sclite_scores_it(
    rate: float, lowest: float, highest: float, tmp_path: Path
) -> None:
    draw = random.Random(7)
    pairs = [
        Pair(f"speaker{round_}-{place}", f"speaker{round_}", text, misheard(text, rate, draw))
        for round_ in range(20)
        for place, text in enumerate(SENTENCES)
    ]
    ours, theirs = word_counts(pairs), sclite(tmp_path, pairs)
    for pair, counts in zip(pairs, ours, strict=True):
        other = theirs[pair.id]
        assert other.reference_length == counts.reference_length
        assert other.errors == counts.errors, pair
    assert lowest < sum(ours, ErrorCounts()).rate < highest


@needs_sclite
def test_scrambled_words_differ_by_nothing_but_the_weights_of_sclite(tmp_path: Path) -> None:
    """Every alignment of sclite has the least weight by 4, 3, 3, and never fewer errors.

    Adding a thousandth of an error to (or taking it from) the weights finds the fewest (the most)
    errors with which that weight can be reached.
    """
    draw = random.Random(8)
    pairs = [Pair(f"s-{place}", "s", *scrambled(draw)) for place in range(1_000)]
    ours, theirs = word_counts(pairs), sclite(tmp_path, pairs)
    same = 0
    for pair, counts in zip(pairs, ours, strict=True):
        other, said, heard = theirs[pair.id], pair.reference.split(), pair.hypothesis.split()
        fewest = Levenshtein.distance(said, heard, weights=(3_001, 3_001, 4_001)) % 1_000
        most = -Levenshtein.distance(said, heard, weights=(2_999, 2_999, 3_999)) % 1_000
        weight = 4 * other.substitutions + 3 * (other.deletions + other.insertions)
        assert weight == Levenshtein.distance(said, heard, weights=(3, 3, 4))
        assert other.reference_length == counts.reference_length
        assert counts.errors <= fewest <= other.errors <= most
        same += counts.errors == other.errors
    assert 900 < same < len(pairs)


@needs_sclite
def test_sclite_prefers_words_right_to_few_errors(tmp_path: Path) -> None:
    pair = Pair("s-1", "s", "a b c d e", "d e x y z")
    assert word_counts([pair]) == [ErrorCounts(substitutions=5)]
    assert sclite(tmp_path, [pair]) == {"s-1": ErrorCounts(hits=2, deletions=3, insertions=3)}


@needs_sclite
def test_empty_texts_are_scored_as_sclite_scores_them(tmp_path: Path) -> None:
    pairs = [Pair("s-1", "s", "", "a b"), Pair("s-2", "s", "a", ""), Pair("s-3", "s", "", "")]
    assert list(sclite(tmp_path, pairs).values()) == word_counts(pairs)


def test_a_line_is_the_words_and_the_id(tmp_path: Path) -> None:
    write_trn(tmp_path / "new", [Pair("84-121-0001", "84", "go on", "go"), Pair("7", "", "a", "b")])
    assert (tmp_path / "new/ref.trn").read_text() == "go on (84-121-0001)\na (unknown_7)\n"
    assert (tmp_path / "new/hyp.trn").read_text() == "go (84-121-0001)\nb (unknown_7)\n"


@pytest.mark.parametrize(
    "pairs",
    [
        [Pair("s-1", "s", "a", "a"), Pair("s-1", "s", "b", "b")],
        [Pair("s 1", "s", "a", "a")],
        [Pair("s-(1)", "s", "a", "a")],
        [Pair("s-1", "s", "a {b / c}", "a")],
        [Pair("s-1", "s", "a", "@")],
    ],
)
def test_what_sclite_would_misread_is_not_written(pairs: list[Pair], tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^sclite: "):
        write_trn(tmp_path, pairs)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="file: cannot be written"):
        write_trn(tmp_path / "file", [Pair("s-1", "s", "a", "a")])
