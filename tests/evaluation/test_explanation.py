"""Errors whose cause is known because it was put there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from conftest import Plainspeech
from plainspeech import cli
from plainspeech.alphabet import Alphabet
from plainspeech.arrays import Array
from plainspeech.decoding.beam_search import BeamSearchDecoder
from plainspeech.decoding.text_scores import TextScorer
from plainspeech.evaluation.explanation import Explanation, differences, explain_text
from plainspeech.lm.scorer import Scorer

LETTERS = Alphabet((" ", "a", "b", "c", "d", "t"))
ARPA = """\
\\data\\
ngram 1=7

\\1-grams:
-0.5\t</s>
-99\t<s>
-6.0\t<unk>
{cat}\tcat
{bat}\tbat
-1.0\tdad
-1.0\ta

\\end\\
"""


def scorer(tmp_path: Path, cat: float, bat: float) -> Scorer:
    path = tmp_path / "lm.arpa"
    path.write_text(ARPA.format(cat=cat, bat=bat))
    return Scorer.from_arpa(path)


def heard(*frames: dict[str, float]) -> Array:
    """Return log-probabilities: of each frame what is given, the rest for the blank."""
    rows = np.full((len(frames), LETTERS.size), 1e-6)
    for row, frame in zip(rows, frames, strict=True):
        for symbol, probability in frame.items():
            row[LETTERS.encode(symbol)[0]] = probability
        row[-1] = max(1e-6, 1 - sum(frame.values()))
    return np.asarray(np.log(rows / rows.sum(axis=1, keepdims=True)), np.float32)


def sure(text: str) -> list[dict[str, float]]:
    return [{character: 0.99} for character in text]


def decoded(decoder: BeamSearchDecoder, rows: Array, said: str) -> list[Explanation]:
    """Return the explanations of what ``decoder`` finds."""
    return explain_text(TextScorer(decoder), rows, said, decoder.decode(rows).text)


def test_acoustics_where_the_network_hears_another_word(tmp_path: Path) -> None:
    rows = heard(*sure("a "), {"b": 0.9, "c": 0.1}, *sure("at"))
    decoder = BeamSearchDecoder(LETTERS, scorer(tmp_path, -1, -1), alpha=1, beta=0)
    (found,) = decoded(decoder, rows, "a cat")
    assert (found.difference.said, found.difference.recognised) == (("cat",), ("bat",))
    assert found.cause == "acoustics"
    assert found.acoustic == pytest.approx(np.log(0.1 / 0.9), abs=0.01)
    assert found.language == pytest.approx(0.0, abs=1e-5)


def test_language_model_where_it_overrules_what_was_heard_right(tmp_path: Path) -> None:
    rows = heard(*sure("a "), {"b": 0.4, "c": 0.6}, *sure("at"))
    decoder = BeamSearchDecoder(LETTERS, scorer(tmp_path, -3, -1), alpha=1, beta=0)
    (found,) = decoded(decoder, rows, "a cat")
    assert found.cause == "language model"
    assert found.acoustic == pytest.approx(np.log(0.6 / 0.4), abs=0.01)
    assert found.language == pytest.approx(-2 * np.log(10), abs=1e-4)
    assert decoded(BeamSearchDecoder(LETTERS), rows, "a cat") == []


def test_search_where_the_better_text_was_pruned(tmp_path: Path) -> None:
    """By the end cat is better, but its first letter fell under the floor of the beam."""
    rows = heard(*sure("a "), {"b": 0.9, "c": 0.09}, *sure("at"))
    lm = scorer(tmp_path, -1, -5)
    narrow = BeamSearchDecoder(LETTERS, lm, alpha=1, beta=0, token_floor=-2.0)
    (found,) = decoded(narrow, rows, "a cat")
    assert found.cause == "search"
    assert found.acoustic + found.language > 0
    assert decoded(BeamSearchDecoder(LETTERS, lm, alpha=1, beta=0), rows, "a cat") == []


def test_vocabulary_where_the_word_is_not_in_the_lexicon(tmp_path: Path) -> None:
    rows = heard(*sure("a t"), {"a": 0.9}, *sure("d"))
    decoder = BeamSearchDecoder(LETTERS, scorer(tmp_path, -1, -1), alpha=1, unknown_word_penalty=30)
    (found,) = decoded(decoder, rows, "a tad")
    assert (found.cause, found.unknown) == ("vocabulary", ("tad",))
    assert found.acoustic > 0  # it was heard


def test_insertions_and_deletions_have_causes_too(tmp_path: Path) -> None:
    decoder = BeamSearchDecoder(LETTERS, scorer(tmp_path, -1, -1), alpha=1, beta=0)
    (inserted,) = decoded(decoder, heard(*sure("cat dad")), "cat")
    assert (inserted.difference.said, inserted.difference.recognised) == ((), ("dad",))
    assert inserted.cause == "acoustics"
    (deleted,) = decoded(decoder, heard(*sure("cat"), {" ": 0.01}, {"a": 0.01}), "cat a")
    assert (deleted.difference.said, deleted.difference.recognised) == (("a",), ())
    assert deleted.cause == "acoustics"


def test_differences_lie_between_words_that_are_shared() -> None:
    runs = differences("the cat sat on the mat", "a cat sat on that fat mat so")
    assert [(run.said, run.recognised, run.start, run.errors) for run in runs] == [
        (("the",), ("a",), 0, 1),
        (("the",), ("that", "fat"), 4, 2),
        ((), ("so",), 7, 1),
    ]
    assert differences("a b", "a b") == []
    assert differences("", "") == []


@pytest.fixture
def tones(tmp_path: Path, spoken: Callable[..., Array]) -> Path:
    soundfile.write(tmp_path / "tones.wav", spoken("feed us"), 16_000)
    return tmp_path / "tones.wav"


def test_the_command_line_explains(tones: Path, tone_bundle: Path) -> None:
    arguments = ["explain", str(tones), "--reference", "Feed me.", "--model", str(tone_bundle)]
    done = CliRunner().invoke(cli.app, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    row = next(line for line in done.stdout.splitlines() if " me " in line and " to " in line)
    assert "acoustics" in row
    right = CliRunner().invoke(cli.app, [*arguments[:3], "feed us", *arguments[4:]])
    assert "errors 0" in right.stdout
    assert "owed" not in right.stdout


def test_what_cannot_be_explained_is_named(
    plainspeech: Plainspeech, tones: Path, tone_bundle: Path, tmp_path: Path
) -> None:
    soundfile.write(tmp_path / "silence.wav", np.zeros(16_000), 16_000)
    for recording, reference, told in (
        (tones, "...", "--reference: has no word"),
        (tmp_path / "silence.wav", "a", "no speech was found"),
    ):
        options = ["--reference", reference, "--model", tone_bundle]
        status, errors = plainspeech("explain", recording, *options)
        assert (status, errors.count("\n")) == (1, 1)
        assert told in errors
