"""Two systems on the same utterances: who is better, and NIST's sc_stats on the same texts."""

from __future__ import annotations

import random
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from plainspeech.errors import DataError
from plainspeech.evaluation.comparison import MatchedPairs, compare, matched_pairs
from plainspeech.evaluation.confusions import character_confusions, word_confusions
from plainspeech.evaluation.error_rates import Pair
from plainspeech.evaluation.listing import write_trn

needs_sctk = pytest.mark.skipif(
    shutil.which("sctk") is None, reason="NIST sctk is not on the PATH: apt-get install sctk"
)


def pair(said: str, heard: str, name: str = "s-1") -> Pair:
    return Pair(name, "s", said, heard)


def test_segments_are_parted_by_two_words_that_both_have_right() -> None:
    said = "a b c d e f g h"
    first, second = pair(said, "x b c d e f g y"), pair(said, "a b z d e f g h")
    # "a b c" is one segment: between its errors only b is right in both; h is the other.
    found = matched_pairs([first], [second])
    assert (found.segments, found.mean) == (2, 0.5)
    assert found.deviation == pytest.approx(0.5**0.5)


def test_insertions_and_ends_of_utterances_part_nothing_and_everything() -> None:
    first, second = pair("a b c", "a b more c"), pair("a b c", "a b c")
    assert matched_pairs([first], [second]).segments == 1
    found = matched_pairs([first, first, first], [second, second, second])
    assert (found.segments, found.mean, found.z) == (3, 1.0, 0.0)
    assert found.p == 0.25  # as of three coins that all fall alike
    assert matched_pairs([first], [second]).p == 1.0
    assert matched_pairs([second], [second]) == MatchedPairs(0, 0.0, 0.0)
    assert matched_pairs([second], [second]).p == 1.0


def misheard(text: str, rate: float, draw: random.Random) -> str:
    words = [word if draw.random() > rate else draw.choice("uvwxyz") for word in text.split()]
    return " ".join(word for word in words if draw.random() > rate / 4)


@needs_sctk
def test_it_is_nists_test(tmp_path: Path) -> None:
    draw = random.Random(5)
    texts = [" ".join(draw.choices("abcdefghijklmnop", k=20)) for _ in range(150)]
    systems = [
        [
            Pair(f"s-{place}", "s", text, misheard(text, rate, draw))
            for place, text in enumerate(texts)
        ]
        for rate in (0.2, 0.24)
    ]
    scored = ""
    for name, pairs in zip(("one", "two"), systems, strict=True):
        write_trn(tmp_path / name, pairs)
        command = ["sctk", "sclite", "-s", "-i", "spu_id", "-r", "ref.trn", "trn"]
        command += ["-h", "hyp.trn", "trn", name, "-o", "sgml", "stdout"]
        scored += _run(command, tmp_path / name)
    _run(["sctk", "sc_stats", "-p", "-t", "mapsswe", "-v", "-n", "out"], tmp_path, scored)
    told = (tmp_path / "out.stats.mapsswe").read_text()
    pattern = r"segs: (\d+)\).*\(mean: (\S+)\) \(std dev: (\S+)\) \(Z Stat: (\S+)\)"
    segments, mean, deviation, z = re.search(pattern, told).groups()  # type: ignore[union-attr]
    found = matched_pairs(*systems)
    # Alignments that are equally good differ now and then.
    assert found.segments == pytest.approx(int(segments), rel=0.01)
    assert found.mean == pytest.approx(float(mean), abs=0.003)
    assert found.deviation == pytest.approx(float(deviation), abs=0.01)
    assert found.z == pytest.approx(float(z), abs=0.1)
    assert found.p < 0.05


def _run(command: list[str], folder: Path, given: str = "") -> str:
    done = subprocess.run(command, cwd=folder, input=given, capture_output=True, text=True)
    return done.stdout


def test_what_changed() -> None:
    said = ["a b c", "d e f", "g h i", "j k l"]
    first = [
        pair(text, heard) for text, heard in zip(said, ["a b c", "d", "g h x", "j"], strict=True)
    ]
    second = [
        pair(text, heard)
        for text, heard in zip(said, ["a b", "d e", "g h x", "j k l"], strict=True)
    ]
    found = compare(first, second)
    assert (found.better, found.worse) == ((3, 1), (0,))
    assert found.difference == pytest.approx((1 + 1 + 1 + 0 - (0 + 2 + 1 + 2)) / 12)
    assert found.interval.low <= found.difference <= found.interval.high
    assert found.improvement > 0.5
    assert compare(first, first).improvement == 0.5
    with pytest.raises(DataError, match="other utterances"):
        compare(first, first[:-1])


def test_confusions_are_counted_the_most_frequent_first() -> None:
    pairs = [pair("the cat", "a cat"), pair("the dog", "a dog"), pair("go on", "gone so")]
    words = word_confusions(pairs)
    assert words.substituted[0] == (("the", "a"), 2)
    assert word_confusions([pair("a b", "a"), pair("a", "a c")]).deleted == (("b", 1),)
    assert word_confusions([pair("a", "a c")]).inserted == (("c", 1),)
    assert character_confusions([pair("a b", "ab")]).deleted == ((" ", 1),)
    many = [pair(f"a{number}", f"b{number}") for number in range(30)]
    assert len(word_confusions(many).substituted) == 25
