"""``plainspeech lm train`` as it is typed."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from plainspeech.cli import terminal
from plainspeech.lm.scorer import Scorer
from plainspeech.training import language_text
from plainspeech.training.language_model_loop import LanguageModelReport, LanguageModelTrainer

Plainspeech = Callable[..., tuple[int, str]]

LINES = "the cat sat on the mat\nthe dog lay there\na hat sat\n" * 60
SMALL = ["--width", "4", "--hidden", "6", "--epochs", "6", "--threads", "1"]


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text"
    path.write_text(LINES)
    return path


@pytest.fixture
def scorer(text: Path, tmp_path: Path, plainspeech: Plainspeech) -> Path:
    known = tmp_path / "known"
    known.write_text("the cat sat on the mat\na dog lay there\n" * 3)
    assert plainspeech("lm", "build", known, "-o", tmp_path / "scorer", "--order", "2")[0] == 0
    return tmp_path / "scorer"


def test_threads_are_those_of_the_training_alone(
    plainspeech: Plainspeech, scorer: Path, text: Path, tmp_path: Path
) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        status, told = plainspeech("lm", "train", scorer, text, "-o", tmp_path / "out", *SMALL)
        assert status == 0, told
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_a_scorer_gets_a_model(
    plainspeech: Plainspeech, scorer: Path, text: Path, tmp_path: Path
) -> None:
    (tmp_path / "held").write_text("the dog sat\na hat\n")
    arguments = ["lm", "train", scorer, text, "-o", tmp_path / "out", *SMALL]
    status, told = plainspeech(*arguments, "--held-out", tmp_path / "held")
    assert status == 0, told
    assert "780 words of text; 9 different ones are told apart, 7.69 % of the text are" in told
    assert "over 7 words and sentence ends, of which 1 count as one other word" in told
    with_model, without = Scorer.load(tmp_path / "out"), Scorer.load(scorer)
    assert without.neural is None
    assert with_model.neural is not None
    assert with_model.neural.shape == {"words": 11, "width": 4, "hidden": 6}
    assert list(with_model.vocabulary) == list(without.vocabulary)
    assert with_model.score(["the", "cat"]) == without.score(["the", "cat"])
    assert {path.name for path in tmp_path.iterdir()} == {"text", "known", "scorer", "held", "out"}
    record = (tmp_path / "out" / "scorer.json").read_text()
    assert '"perplexity"' in record
    assert plainspeech("lm", "info", tmp_path / "out")[0] == 0
    # In place of the one that it has, from a scorer that is the output.
    status, told = plainspeech("lm", "train", tmp_path / "out", text, "-o", tmp_path / "out",
                               *SMALL, "--words", "3")  # fmt: skip
    assert status == 0, told
    again = Scorer.load(tmp_path / "out").neural
    assert again is not None
    assert again.shape["words"] == 5


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_the_same_command_goes_on(
    plainspeech: Plainspeech, scorer: Path, text: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, number: signal.Signals, code: int,
) -> None:  # fmt: skip
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    command = ["lm", "train", scorer, text, *SMALL]
    assert plainspeech(*command, "-o", whole)[0] == 0
    take_step = LanguageModelTrainer._take_step

    def interrupted(trainer: LanguageModelTrainer, *batch: Any) -> LanguageModelReport:
        report = take_step(trainer, *batch)
        if report.step == 3:
            signal.raise_signal(number)
        return report

    handler = signal.getsignal(number)
    with monkeypatch.context() as patch:
        patch.setattr(LanguageModelTrainer, "_take_step", interrupted)
        status, told = plainspeech(*command, "-o", parts)
    assert status == code
    assert told.endswith("saved after 3 of 6 steps; the same command resumes from there\n")
    assert signal.getsignal(number) == handler
    assert not parts.exists()
    checkpoint = tmp_path / "parts.training" / "checkpoint.safetensors"
    status, told = plainspeech(*command, "-o", parts, "--seed", "2")
    assert status == 1
    assert told.endswith(
        f"error: {checkpoint}: was begun with seed 1 instead of 2; give what it was begun with "
        f"to resume it, or remove it to begin anew\n"
    )
    status, told = plainspeech(*command, "-o", parts)
    assert (status, f"resuming {checkpoint} after 3 of 6 steps" in told) == (0, True)
    for name in ("neural.bin", "scorer.json"):
        assert (parts / name).read_bytes() == (whole / name).read_bytes()
    assert not checkpoint.parent.exists()


def test_without_a_terminal_a_line_tells_now_and_then_how_far_it_is(
    plainspeech: Plainspeech, scorer: Path, text: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(terminal, "_SECONDS_BETWEEN_LINES", 0.0)
    _, told = plainspeech("lm", "train", scorer, text, "-o", tmp_path / "out", *SMALL)
    assert "step 1 of " in told
    assert " words/s  0 min left\n" in told


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["SCORER", "none"], "none: no such file"),
        (["SCORER", "TEXT", "--held-out", "none"], "none: no such file"),
        (["SCORER", "TEXT", "SCORER"], "scorer: is a folder or a pipe; a text is read more"),
        (["TEXT", "TEXT"], "text: "),
        (["KENLM", "TEXT"], "kenlm: queries KenLM, and a model bundle holds flattened scorers"),
        (["ARPA", "TEXT"], "m.arpa: is an ARPA file; package it first"),
        (["SCORER", "FOREIGN"], "foreign: has none of the scorer's words; give text in the"),
        (["SCORER", "TEXT", "--held-out", "EMPTY"], "empty: has no words; name a text"),
        (["SCORER", "TEXT", "--epochs", "0"], "epochs is 0; it must be above 0 and at most 1000"),
        (["SCORER", "TEXT", "--threads", "0"], "--threads is 0; it must be from 1 to 1,024"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_is_told_before_anything_is_trained(
    plainspeech: Plainspeech, scorer: Path, text: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], says: str,
) -> None:  # fmt: skip
    def never(*_: object) -> None:
        pytest.fail("it trains")

    monkeypatch.setattr(LanguageModelTrainer, "fit", never)
    places = {"SCORER": scorer, "TEXT": text, "ARPA": tmp_path / "m.arpa"}
    places |= {name: tmp_path / name.lower() for name in ("KENLM", "FOREIGN", "EMPTY")}
    places["FOREIGN"].write_text("qqq\n")
    places["EMPTY"].write_text("\n")
    if {"ARPA", "KENLM"} & {*arguments}:
        plainspeech("lm", "build", text, "-o", tmp_path / "s", "--arpa", places["ARPA"])
    if "KENLM" in arguments:
        pytest.importorskip("kenlm")
        asked = plainspeech("lm", "package", places["ARPA"], "--words", text, "-o", places["KENLM"])
        assert asked[0] == 0
    given = [places.get(each, each) for each in arguments]
    status, told = plainspeech("lm", "train", *given, "-o", tmp_path / "out")
    assert (status, told.count("\n")) == (1, 1)
    assert says in told
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "out.training").exists()


def test_a_scorer_over_characters_is_refused_before_text_is_read(
    plainspeech: Plainspeech, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        pytest.fail("it reads the text")

    (tmp_path / "spelled").write_text("t h e\nc a t\n" * 9)
    characters = tmp_path / "characters"
    assert plainspeech("lm", "build", tmp_path / "spelled", "-o", characters)[0] == 0
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.setattr(language_text, "number_text", never)
    status, told = plainspeech("lm", "train", characters, text, "-o", tmp_path / "out")
    assert status == 1
    assert told == (
        f"error: {characters}: is over characters, and a recurrent language model is over words; "
        f"name a scorer over words, or make one: plainspeech lm build TEXT -o SCORER\n"
    )
    assert sorted(tmp_path.rglob("*")) == before


def test_it_says_what_to_install(
    plainspeech: Plainspeech, scorer: Path, text: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    for module in [name for name in sys.modules if name.startswith("plainspeech.training.")]:
        monkeypatch.delitem(sys.modules, module)
    # As where it is not installed.
    hidden = type("Hidden", (), {"find_spec": staticmethod(_not_found)})
    for module in [name for name in sys.modules if name.split(".")[0] == "torch"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setattr(sys, "meta_path", [hidden, *sys.meta_path])
    status, told = plainspeech("lm", "train", scorer, text, "-o", tmp_path / "out")
    assert status == 1
    assert told.startswith("error: torch is not installed; this needs the train extra: ")


def _not_found(name: str, path: object = None, target: object = None) -> None:
    if name.split(".")[0] == "torch":
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
