"""A recurrent language model learns, goes on where it stopped, and is what scorers read."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from plainspeech.alphabet import ENGLISH
from plainspeech.errors import ConfigurationError, DataError, ModelError
from plainspeech.lm.neural import END, OTHER, NeuralModel
from plainspeech.lm.tables import EOS_ID, SPECIAL_WORDS, UNKNOWN_ID
from plainspeech.training.language_model import HeldOut, RecurrentLanguageModel
from plainspeech.training.language_model_loop import (
    LanguageModelReport,
    LanguageModelSettings,
    LanguageModelTrainer,
)
from plainspeech.training.language_text import LanguageText, number_sentences, number_text
from plainspeech.training.loop import TrainingStopped

SOUNDS = {"cat": "purrs", "dog": "barks", "bird": "sings", "mouse": "squeaks"}
VOCABULARY = [*SPECIAL_WORDS, "the", "unseen", *SOUNDS, *SOUNDS.values(), "softly"]
SMALL = LanguageModelSettings(
    words=100, width=8, hidden=12, epochs=2.0, streams=8, span=10, noise=16, rate=0.02
)


def write_text(path: Path, sentences: int, seed: int) -> Path:
    """Write sentences in which the last word but one follows from the one before it."""
    draw = random.Random(seed)
    animals = [draw.choice([*SOUNDS]) for _ in range(sentences)]
    lines = [f"the {each} {SOUNDS[each]}{draw.choice(['', ' softly'])}\n" for each in animals]
    path.write_text("".join(lines) + "the elephant barks\n")
    return path


@pytest.fixture
def text(tmp_path: Path) -> LanguageText:
    return number_text([write_text(tmp_path / "text", 100, 1)], VOCABULARY, ENGLISH, 100)


def bits(model: NeuralModel) -> list[bytes]:
    return [np.asarray(getattr(model, name)).tobytes() for name in NeuralModel.__annotations__]


def scores(model: NeuralModel, sentences: list[list[int]]) -> list[float]:
    rows = [np.array(each, np.int32) for each in sentences]
    return [float(score) for score in model.sentence_log_probabilities(rows)]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_text_is_numbered_by_what_the_scorer_knows(text: LanguageText, tmp_path: Path) -> None:
    assert text.words[:2].tolist() == [EOS_ID, UNKNOWN_ID]
    words = [VOCABULARY[id_] for id_ in text.words[2:]]
    assert words[0] == "the"
    assert sorted(words) == sorted({"the", "softly", *SOUNDS, *SOUNDS.values()})
    bark = 2 + words.index("barks")
    assert text.rows[-4:].tolist() == [2, OTHER, bark, END]
    assert text.counts.sum() == len(text.rows)
    (tmp_path / "other").write_text("The elephant!\n\nbarks unseen\n")
    found = number_sentences(tmp_path / "other", text, VOCABULARY, ENGLISH)
    assert found == [[2, OTHER], [bark, OTHER]]


def test_the_most_frequent_words_get_rows(tmp_path: Path) -> None:
    write_text(tmp_path / "text", 50, 1)
    text = number_text([tmp_path / "text"], VOCABULARY, ENGLISH, 2)
    assert [VOCABULARY[id_] for id_ in text.words[2:]] == ["the", "softly"]
    assert set(text.rows.tolist()) == {END, OTHER, 2, 3}


def test_a_text_without_words_of_the_scorer_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("quite another language\n")
    with pytest.raises(DataError, match="text: has none of the scorer's words; give text"):
        number_text([tmp_path / "text"], VOCABULARY, ENGLISH, 100)


def test_epochs_have_the_same_sentences_in_other_orders(
    text: LanguageText, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("plainspeech.training.language_text._SENTENCES_AT_ONCE", 7)

    def sentences(rows: np.typing.NDArray[np.int32]) -> list[list[int]]:
        return [part.tolist() for part in np.split(rows, np.flatnonzero(rows == END) + 1)]

    orders = [sentences(text.shuffled(1, 0)), sentences(text.shuffled(1, 1))]
    orders.append(sentences(text.shuffled(2, 0)))
    assert orders[0] == sentences(text.shuffled(1, 0))
    assert orders[0] != orders[1] != orders[2] != orders[0]
    for order in orders:
        assert sorted(order) == sorted(sentences(text.rows))


def test_it_learns_which_word_follows(text: LanguageText, tmp_path: Path) -> None:
    path = write_text(tmp_path / "held", 50, 2)
    held = number_sentences(path, text, VOCABULARY, ENGLISH)
    found: list[tuple[int, HeldOut]] = []
    trainer = LanguageModelTrainer(
        text, replace(SMALL, epochs=60.0, hidden=24, width=16), tmp_path / "checkpoint"
    )
    model = trainer.fit(held_out=held, on_held_out=lambda step, each: found.append((step, each)))
    unigrams = np.log(text.counts / text.counts.sum())
    tokens = [row for sentence in held for row in [*sentence, END]]
    of_unigrams = math.exp(-float(np.mean(unigrams[tokens])))
    step, last = found[-1]
    assert (step, last.words, last.others) == (trainer.steps, len(tokens), 1)
    # Of four words or five, one is drawn from four, and one or two lie between two.
    assert last.perplexity < 2.5 < 6 < of_unigrams
    assert abs(last.log_sum) < 0.5
    assert found[0][1].perplexity > last.perplexity
    cat, dog = (model.words.tolist().index(VOCABULARY.index(word)) for word in ("cat", "dog"))
    barks = model.words.tolist().index(VOCABULARY.index("barks"))
    right, wrong = scores(model, [[2, dog, barks], [2, cat, barks]])
    assert right > wrong + 2


def test_scorers_compute_what_was_trained(text: LanguageText) -> None:
    network = RecurrentLanguageModel(torch.from_numpy(text.counts), width=8, hidden=12, seed=1)
    with torch.no_grad():
        for weight in network.parameters():
            weight.mul_(3)
    sentences = [[2, 3, 4], [2], [2, 3, OTHER, 5, 6]]
    found = scores(network.neural_model(text.words), sentences)
    for score, sentence in zip(found, sentences, strict=True):
        with torch.no_grad():
            outputs = network(network.embeddings[torch.tensor([[END, *sentence]])])[0][0]
            every = outputs @ network.embeddings.T + network.biases
        wanted = torch.tensor([*sentence, END])
        assert score == pytest.approx(every.gather(1, wanted[:, None]).sum().item(), abs=1e-4)
        one = network.held_out([sentence])
        normal = every.log_softmax(1).gather(1, wanted[:, None]).mean().item()
        assert math.log(one.perplexity) == pytest.approx(-normal, abs=1e-4)
    # Together, short ones are filled up.
    together = math.log(network.held_out(sentences).perplexity)
    single = [math.log(network.held_out([each]).perplexity) * (len(each) + 1) for each in sentences]
    assert together == pytest.approx(sum(single) / sum(len(each) + 1 for each in sentences))


def test_a_run_that_was_stopped_ends_as_one_that_was_not(
    text: LanguageText, tmp_path: Path
) -> None:
    whole = LanguageModelTrainer(text, SMALL, tmp_path / "whole")
    steps: list[LanguageModelReport] = []
    expected = bits(whole.fit(steps.append))
    assert [report.step for report in steps] == [*range(1, whole.steps + 1)]
    epoch = whole.steps // 2
    for place in (0, 1, epoch - 1, epoch, epoch + 1):
        checkpoint = tmp_path / f"checkpoint-{place}"
        first = LanguageModelTrainer(text, SMALL, checkpoint)

        def stop(report: LanguageModelReport, at: int = place, run=first) -> None:  # type: ignore[no-untyped-def]
            if report.step == at:
                run.stop()

        if place == 0:
            first.stop()
        with pytest.raises(TrainingStopped):
            first.fit(stop)
        second = LanguageModelTrainer(text, SMALL, checkpoint)
        assert second.resume()
        assert second.step == place
        assert bits(second.fit()) == expected
    third = LanguageModelTrainer(text, SMALL, tmp_path / "whole")
    assert third.resume()
    assert bits(third.fit(lambda report: pytest.fail("it was finished"))) == expected
    other = LanguageModelTrainer(text, replace(SMALL, seed=2), tmp_path / "other")
    assert bits(other.fit()) != expected


def test_checkpoints_are_written_in_a_run(text: LanguageText, tmp_path: Path) -> None:
    expected = bits(LanguageModelTrainer(text, SMALL, tmp_path / "whole").fit())

    class KilledError(Exception):
        pass

    def kill(report: LanguageModelReport) -> None:
        if report.step == 5:
            raise KilledError

    with pytest.raises(KilledError):
        LanguageModelTrainer(text, SMALL, tmp_path / "killed", checkpoint_minutes=0).fit(kill)
    again = LanguageModelTrainer(text, SMALL, tmp_path / "killed")
    assert again.resume()
    assert again.step == 4
    assert bits(again.fit()) == expected


def test_a_part_of_an_epoch_can_be_trained(text: LanguageText, tmp_path: Path) -> None:
    one, half = (
        LanguageModelTrainer(text, replace(SMALL, epochs=epochs), tmp_path / "c").steps
        for epochs in (1.0, 0.5)
    )
    assert half == pytest.approx(one / 2, abs=0.51)


def test_one_sentence_is_a_text(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("the cat\n")
    text = number_text([tmp_path / "text"], VOCABULARY, ENGLISH, 100)
    model = LanguageModelTrainer(text, LanguageModelSettings(), tmp_path / "c").fit()
    assert all(np.isfinite(scores(model, [[2, 3], []])))


def test_a_run_of_something_else_is_not_resumed(text: LanguageText, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    trainer = LanguageModelTrainer(text, SMALL, path)
    assert not trainer.resume()
    trainer.save()
    mend = "; give what it was begun with to resume it, or remove it to begin anew"
    wider = replace(SMALL, width=9, seed=3)
    with pytest.raises(ConfigurationError) as refused:
        LanguageModelTrainer(text, wider, path).resume()
    assert str(refused.value) == (
        f"{path}: was begun with width 8 instead of 9, seed 1 instead of 3{mend}"
    )
    more = replace(text, rows=np.concatenate([text.rows, text.rows]))
    for another, what in (
        (more, "another text"),
        (replace(text, vocabulary="0"), "a scorer of other words"),
    ):
        with pytest.raises(ConfigurationError) as refused:
            LanguageModelTrainer(another, SMALL, path).resume()
        assert str(refused.value) == f"{path}: was begun with {what}{mend}"
    content = path.read_bytes()
    for damaged in (b"", content[:-9], content.replace(b"state.cell", b"state.sell")):
        path.write_bytes(damaged)
        with pytest.raises(ModelError, match="cannot be read as the checkpoint"):
            LanguageModelTrainer(text, SMALL, path).resume()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"words": 0}, "words is 0; it must be from 1 to 524288"),
        ({"width": 5000}, "width is 5000; it must be from 1 to 4096"),
        ({"hidden": -1}, "hidden is -1; it must be from 1 to 4096"),
        ({"seed": -1}, "seed is -1; it must be from 0 to 2147483648"),
        ({"epochs": 0.0}, "epochs is 0; it must be above 0 and at most 1000"),
        ({"epochs": math.nan}, "epochs is nan; it must be above 0 and at most 1000"),
    ],
)
def test_settings_that_cannot_be_are_named(change: dict[str, float], says: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        LanguageModelSettings(**change)  # type: ignore[arg-type]
    assert str(refused.value) == says


def test_a_loss_that_is_not_finite_ends_the_run(text: LanguageText, tmp_path: Path) -> None:
    trainer = LanguageModelTrainer(text, SMALL, tmp_path / "c")
    with torch.no_grad():
        trainer.network.biases.fill_(math.nan)
    with pytest.raises(ModelError, match="not finite after 0 steps; begin anew with another --se"):
        trainer.fit()
