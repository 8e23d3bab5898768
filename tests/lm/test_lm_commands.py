"""``plainspeech lm`` as it is typed."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import pytest
from lm_models import TEXT
from typer.testing import CliRunner, Result

from plainspeech.cli.lm import app
from plainspeech.errors import PlainspeechError
from plainspeech.lm.scorer import Scorer


def run(*words: object) -> Result:
    """Return what was printed; errors are raised as the command raises them."""
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.gz"
    path.write_bytes(gzip.compress(TEXT.upper().encode()))
    return path


def test_build_info_and_score(text: Path, tmp_path: Path) -> None:
    (tmp_path / "held").write_text("A cat on the sofa.\n")
    options = ["--order", 3, "--prune", "0,0,1", "--held-out", tmp_path / "held"]
    told = run("build", text, "-o", tmp_path / "s", "--arpa", tmp_path / "m.arpa", *options)
    assert "held: perplexity " in told.stderr
    assert "1 of 5 words (20.00 %) are not in the vocabulary" in told.stderr
    scorer = Scorer.load(tmp_path / "s")
    assert scorer.order == Scorer.load(tmp_path / "m.arpa").order == 3
    shown = run("info", tmp_path / "s").stdout
    for part in ("order", "11 words", "0.75, 1.85", "text.gz", "prune", "0, 0, 1"):
        assert part in shown
    assert hashlib.sha256(text.read_bytes()).hexdigest() in shown  # whole, however narrow it is
    scored = run("score", tmp_path / "s", tmp_path / "held")
    probability, sentence = scored.stdout.rstrip("\n").split("\t")
    assert sentence == "a cat on the sofa"
    assert float(probability) == pytest.approx(scorer.score(sentence.split()), abs=1e-4)
    assert "held: perplexity " in scored.stderr
    assert run("score", "--summary", tmp_path / "s", tmp_path / "held").stdout == ""


def test_models_of_others_can_be_packaged(text: Path, tmp_path: Path) -> None:
    arpa, words = tmp_path / "m.arpa", tmp_path / "words"
    run("build", text, "-o", tmp_path / "s", "--arpa", arpa)
    words.write_text("the <s> cat\ncat elephant", encoding="utf-8-sig")
    assert "11 words" in run("package", arpa, "-o", tmp_path / "flat").stderr
    assert "3 words" in run("package", arpa, "-o", tmp_path / "asking", "--words", words).stderr
    scores = [Scorer.load(tmp_path / name).score(["the"]) for name in ("s", "flat", "asking")]
    assert scores[0] == scores[1] == pytest.approx(scores[2], abs=0.2)


def test_the_vocabulary_and_the_alphabet_can_be_chosen(text: Path, tmp_path: Path) -> None:
    run("build", text, "-o", tmp_path / "s", "--order", 2, "--words", 2, "--alphabet", "aco th")
    assert set(Scorer.load(tmp_path / "s").words) == {"th", "o"}  # of the, on and dog


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--prune", "0,x"], "prune is '0,x'; it must be a list of counts"),
        (["--order", "9"], "order is 9; it must be from 1 to 6"),
        (
            ["--estimator", "srilm"],
            "unknown estimator 'srilm'; choose one of: auto, builtin, lmplz",
        ),
        (["--held-out", "none"], "none: no such file"),
    ],
)
def test_bad_options_are_named_before_anything_is_written(
    text: Path, tmp_path: Path, options: list[str], says: str
) -> None:
    with pytest.raises(PlainspeechError, match=says):
        run("build", text, "-o", tmp_path / "s", *options)
    assert not (tmp_path / "s").exists()


def test_a_binary_needs_its_words(tmp_path: Path) -> None:
    (tmp_path / "m.bin").write_bytes(b"mmap lm http://kheafield.com/code format version 5")
    with pytest.raises(PlainspeechError, match=r"is a KenLM binary, .* give a list .*--words"):
        run("package", tmp_path / "m.bin", "-o", tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_a_folder_is_no_text(tmp_path: Path) -> None:
    with pytest.raises(PlainspeechError, match="is a folder or a pipe"):
        run("build", tmp_path, "-o", tmp_path / "s")
