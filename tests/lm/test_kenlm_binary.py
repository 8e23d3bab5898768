"""Binaries of KenLM's: whole ones of every kind are taken, and no damaged one kills the process.

The files were made by KenLM's build_binary of `lm_models.TEXT`.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

import plainspeech
from plainspeech.errors import LanguageModelError
from plainspeech.lm.arpa import check_counts
from plainspeech.lm.kenlm_binary import check_kenlm_binary
from plainspeech.lm.scorer import Scorer

BINARIES = sorted((Path(__file__).parent / "kenlm_binaries").glob("*.bin"))
WORDS = ["the", "cat", "sat", "on", "mat", "a", "dog"]


def names(path: Path) -> str:
    return path.stem


@pytest.fixture(params=BINARIES, ids=names)
def whole(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def test_whole_binaries_are_taken(whole: Path) -> None:
    scorer = Scorer.from_kenlm(whole, WORDS)
    assert scorer.order == (2 if whole.stem.startswith("bigram") else 4)
    assert -25 < scorer.score(["the", "cat", "sat"]) < -2


def test_a_binary_that_is_cut_anywhere_in_its_model_is_refused(whole: Path, tmp_path: Path) -> None:
    content = whole.read_bytes()
    model = content.index(b"<unk>\0")  # the words follow
    for size in range(model):
        (tmp_path / "m.bin").write_bytes(content[:size])
        with pytest.raises(
            LanguageModelError, match=r"m\.bin: is not a KenLM binary, or is damaged: "
        ):
            check_kenlm_binary(tmp_path / "m.bin")


def test_numbers_that_native_code_would_follow_out_of_its_arrays_are_refused(
    whole: Path, tmp_path: Path
) -> None:
    """Each eight bytes of the header and of the first kilobyte in turn, as large as can be."""
    content, refused = whole.read_bytes(), 0
    for place in range(0, min(len(content), 1024), 8):
        damaged = content[:place] + struct.pack("<q", -1) + content[place + 8 :]
        (tmp_path / "m.bin").write_bytes(damaged)
        with suppress(LanguageModelError):
            check_kenlm_binary(tmp_path / "m.bin")
            continue
        refused += 1
    assert refused >= 17  # all of the header, and more


def test_a_full_hash_table_is_refused(tmp_path: Path) -> None:
    """Which KenLM would search for ever."""
    content = bytearray((BINARIES[0].parent / "probing.bin").read_bytes())
    header, words = 144, 21  # bytes, and places for 14 words
    for place in range(words):
        start = header + 8 + 12 * place
        content[start : start + 8] = b"\1" * 8
    (tmp_path / "m.bin").write_bytes(content)
    with pytest.raises(LanguageModelError, match="a hash table is full"):
        check_kenlm_binary(tmp_path / "m.bin")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 3e38, -3e38])
def test_a_score_beyond_what_models_have_is_bounded(tmp_path: Path, value: float) -> None:
    content = (BINARIES[0].parent / "probing.bin").read_bytes()
    header, words = 144, 8 + 21 * 12
    unigrams = header + words
    count = 14
    (tmp_path / "m.bin").write_bytes(
        content[:unigrams] + struct.pack("<ff", value, value) * count
        + content[unigrams + 8 * count :]
    )  # fmt: skip
    scorer = Scorer.from_kenlm(tmp_path / "m.bin", WORDS)
    assert (abs(scorer.log_probabilities(["dog", "dog", "mat", "a"])) <= 2303).all()


def test_an_arpa_file_that_declares_more_than_it_has_is_refused(tmp_path: Path) -> None:
    """Before KenLM allocates what it declares."""
    path = tmp_path / "m.arpa"
    path.write_text("\\data\\\nngram 1=1000000000\nngram 2=7\n\n\\1-grams:\n-1 a\n")
    for refuse in (check_counts, lambda path: Scorer.from_kenlm(path, WORDS)):
        with pytest.raises(LanguageModelError, match=r"m\.arpa, line 4: the file is too small"):
            refuse(path)


MUTANTS = """
import random, sys
from pathlib import Path
import kenlm
from plainspeech.errors import LanguageModelError
from plainspeech.lm.kenlm_binary import check_kenlm_binary

whole, path, words = Path(sys.argv[1]).read_bytes(), Path(sys.argv[2]), sys.argv[3:]
config, taken = kenlm.Config(), 0
config.show_progress = False
for seed in range(400):
    draw, content = random.Random(seed), bytearray(whole)
    for _ in range(draw.choice([1, 1, 2, 4])):
        place = draw.randrange(draw.choice([160, len(content)]))
        flipped = content[place] ^ 1 << draw.randrange(8)
        content[place] = draw.choice([0, 1, 2, 127, 128, 255, flipped])
    path.write_bytes(content)
    try:
        check_kenlm_binary(path)
        model = kenlm.Model(str(path), config)
    except (LanguageModelError, OSError):
        continue
    taken += 1
    state, following = kenlm.State(), kenlm.State()
    model.BeginSentenceWrite(state)
    for _ in range(50):
        model.BaseScore(state, draw.choice(words), following)
        state, following = following, state
print(taken)
"""


def test_no_damaged_binary_that_passes_the_check_kills_kenlm(whole: Path, tmp_path: Path) -> None:
    """Without the trial in a process of its own, which would hide it."""
    found = subprocess.run(
        [sys.executable, "-c", MUTANTS, str(whole), str(tmp_path / "m.bin"), *WORDS],
        env={**os.environ, "PYTHONPATH": str(Path(plainspeech.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert found.returncode == 0, (found.returncode, found.stderr)
    assert int(found.stdout) > 40
