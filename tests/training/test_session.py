from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import tiny
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import write_corpus, write_recipe

from plainspeech.alphabet import ENGLISH
from plainspeech.data.manifest import Utterance, write_manifest
from plainspeech.errors import PlainspeechError
from plainspeech.features import output_frames
from plainspeech.model.crnn import Crnn
from plainspeech.training import session
from plainspeech.training.augmentation import perturb_speed
from plainspeech.training.loop import Trainer
from plainspeech.training.recipe import read_recipe
from plainspeech.training.session import prepare_run

pytestmark = pytest.mark.usefixtures("tiny_preset")


@pytest.fixture
def corpus(tmp_path: Path) -> list[Utterance]:
    return write_corpus(tmp_path)


def begin(folder: Path, **changes: str) -> tuple[Trainer, list[str]]:
    recipe = read_recipe(write_recipe(folder, **changes))
    return prepare_run(recipe, folder / "run", torch.device("cpu"))


def rewrite(folder: Path, corpus: list[Utterance], number: int, **changes: object) -> None:
    """Change line ``number`` of the manifest."""
    changed = [*corpus]
    changed[number - 1] = replace(corpus[number - 1], **changes)  # type: ignore[arg-type]
    write_manifest(folder / "corpus.jsonl", changed)


def test_a_sound_corpus_is_trained_on_whole(tmp_path: Path, corpus: list[Utterance]) -> None:
    trainer, left_out = begin(tmp_path)  # whose dev is its train manifest
    assert left_out == []
    run = trainer.run
    assert run["hours"] == pytest.approx(sum(u.duration for u in corpus) / 3600)
    assert run["recipe"]["data"]["train"] == ["corpus.jsonl"]
    assert json.loads(json.dumps(run)) == run


def test_a_wrong_path_on_line_7_is_named(tmp_path: Path, corpus: list[Utterance]) -> None:
    rewrite(tmp_path, corpus, 7, audio=tmp_path / "gone.wav")
    with pytest.raises(
        PlainspeechError, match=r"corpus.jsonl, line 7: u6: there is no file .*gone"
    ):
        begin(tmp_path)


def test_a_recording_that_cannot_be_read_is_named_by_its_line(
    tmp_path: Path, corpus: list[Utterance]
) -> None:
    corpus[6].audio.write_bytes(b"no audio")
    trainer, _ = begin(tmp_path)
    with pytest.raises(PlainspeechError, match=r"corpus.jsonl, line 7: u6: .*is not audio"):
        trainer.fit(tiny.ignore, tiny.ignore)


def test_of_many_faults_the_first_is_told_and_the_others_are_counted(
    tmp_path: Path, corpus: list[Utterance]
) -> None:
    shutil.rmtree(tmp_path)
    tmp_path.mkdir()
    write_manifest(tmp_path / "corpus.jsonl", corpus)
    with pytest.raises(
        PlainspeechError, match=r"line 1: u0: .* \(and 9 more: see 'plainspeech data"
    ):
        begin(tmp_path)


def test_characters_outside_the_alphabet_are_named(tmp_path: Path, corpus: list[Utterance]) -> None:
    rewrite(tmp_path, corpus, 2, text="Dead 2")
    with pytest.raises(
        PlainspeechError, match="line 2: u1: the text has '2D', not in the alphabet"
    ):
        begin(tmp_path)


def test_an_id_in_train_and_dev_is_refused(tmp_path: Path, corpus: list[Utterance]) -> None:
    write_manifest(tmp_path / "dev.jsonl", [corpus[4]])
    with pytest.raises(
        PlainspeechError, match=r"dev.jsonl, line 1: the id u4 .*corpus.jsonl, line 5"
    ):
        begin(tmp_path, dev='"dev.jsonl"')


def test_an_id_twice_in_a_manifest_is_refused(tmp_path: Path, corpus: list[Utterance]) -> None:
    rewrite(tmp_path, corpus, 9, id="u0")
    with pytest.raises(PlainspeechError, match=r"line 9: the id u0 is already in .*line 1"):
        begin(tmp_path)


def test_what_ctc_cannot_align_is_left_out_by_name(tmp_path: Path, corpus: list[Utterance]) -> None:
    frames = -(
        -((int(corpus[2].duration / 1.1 * 16_000) + 80) // 160) // 3
    )  # at the fastest speed of the augmentation
    rewrite(tmp_path, corpus, 3, text="ab" * (frames // 2 + 1))
    trainer, left_out = begin(tmp_path)
    (line,) = left_out
    assert line.startswith(f"{tmp_path / 'corpus.jsonl'}, line 3: u2 is left out: ")
    assert trainer.run["hours"] * 3600 == pytest.approx(
        sum(u.duration for u in corpus if u.id != "u2")
    )


def test_repeated_neighbours_need_a_frame_more(tmp_path: Path, corpus: list[Utterance]) -> None:
    frames = -(-((int(corpus[2].duration / 1.1 * 16_000) + 80) // 160) // 3)
    rewrite(tmp_path, corpus, 3, text=("ab" * frames)[:frames])
    assert begin(tmp_path)[1] == []
    rewrite(tmp_path, corpus, 3, text="aa" + ("ba" * frames)[: frames - 2])
    assert len(begin(tmp_path)[1]) == 1


def test_an_empty_transcript_is_left_out(tmp_path: Path, corpus: list[Utterance]) -> None:
    rewrite(tmp_path, corpus, 1, text="")
    assert "u0 is left out" in begin(tmp_path)[1][0]


def test_a_corpus_of_which_nothing_is_left_is_refused(
    tmp_path: Path, corpus: list[Utterance]
) -> None:
    write_manifest(tmp_path / "corpus.jsonl", [replace(u, text="a" * 200) for u in corpus])
    with pytest.raises(
        PlainspeechError, match=r"nothing is left to train on: .*line 1: u0 is left"
    ):
        begin(tmp_path)


def test_a_manifest_can_be_listed_twice(tmp_path: Path, corpus: list[Utterance]) -> None:
    once, _ = begin(tmp_path)
    twice, _ = begin(tmp_path, train='["corpus.jsonl", "corpus.jsonl"]')
    assert twice.run["hours"] == pytest.approx(2 * once.run["hours"])


def test_the_hash_of_the_data_sees_every_change(tmp_path: Path, corpus: list[Utterance]) -> None:
    def digest() -> str:
        return str(begin(tmp_path)[0].run["data"])

    seen = {digest()}
    for changes in ({"text": "a"}, {"id": "other"}, {"duration": 1.25}):
        rewrite(tmp_path, corpus, 1, **changes)
        seen.add(digest())
    assert len(seen) == 4
    write_manifest(tmp_path / "corpus.jsonl", corpus)
    assert digest() in seen


def test_an_unknown_preset_is_refused_with_the_nearest(
    tmp_path: Path, corpus: list[Utterance]
) -> None:
    with pytest.raises(PlainspeechError, match="unknown preset 'smal'; did you mean 'small'"):
        begin(tmp_path, preset='"smal"')


def test_a_date_in_the_card_is_text(tmp_path: Path, corpus: list[Utterance]) -> None:
    path = write_recipe(tmp_path)
    path.write_text(f"{path.read_text()}\n[card]\nmade = 2015-04-19")
    trainer, _ = prepare_run(read_recipe(path), tmp_path / "run", torch.device("cpu"))
    assert trainer.run["recipe"]["card"] == {"made": "2015-04-19"}


def test_a_checkout_of_something_else_is_not_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []

    def untracked(*arguments: str) -> str:
        asked.append(arguments)
        return "" if arguments[0] == "ls-files" else "12ab"

    monkeypatch.setattr(session, "_git", untracked)
    assert session._revision() == ""
    assert asked == [("ls-files", "session.py")]


def test_without_git_there_is_no_revision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert session._revision() == ""


@given(st.floats(0.5, 2.0), st.integers(4_000, 40_000))
def test_what_is_kept_can_be_aligned_however_fast_it_is_played(speed: float, samples: int) -> None:
    played = perturb_speed(torch.zeros(1, samples), torch.tensor([samples]), [speed])[1]
    frames = output_frames(int(played), tiny.PRESET.features, Crnn.subsampling)
    fits, too_long = (
        Utterance("u", Path(), ("ab" * frames)[:length], samples / 16_000)
        for length in (frames, frames + 1)
    )
    assert session._alignable(fits, ENGLISH, tiny.PRESET, speed)
    assert not session._alignable(too_long, ENGLISH, tiny.PRESET, speed)
