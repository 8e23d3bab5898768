"""Training on packed data: it is resumed within a shard, and shared by processes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import ranks
import tiny
from tiny import ignore, trainer_of, without_times, write_corpus, write_recipe

from plainspeech.data.packed import pack
from plainspeech.errors import PlainspeechError
from plainspeech.training.checkpoint import Checkpoint
from plainspeech.training.loop import CHECKPOINT, StepReport, TrainingStopped
from plainspeech.training.recipe import Url, read_recipe

pytestmark = pytest.mark.usefixtures("tiny_preset")


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    utterances = write_corpus(folder)
    pack([replace(u, id=f"p{u.id}") for u in utterances], str(folder / "packed"), shard_size=2)
    path = write_recipe(folder, train='["packed"]', batch_seconds="3", epochs="2")
    keys = "[data]\nmicro_batches = 2\nshuffle_shards = 2"
    path.write_text(path.read_text().replace("[data]", keys))
    return path


@pytest.fixture(scope="module")
def unstopped(recipe: Path) -> Path:
    folder = recipe.parent / "unstopped"
    trainer_of(recipe, folder).fit(ignore, ignore)
    return folder


def test_stopping_at_every_step_changes_nothing(
    recipe: Path, unstopped: Path, tmp_path: Path
) -> None:
    last = Checkpoint.load(unstopped / CHECKPOINT).progress
    assert last.step > 2 * 3  # epochs of several steps
    assert last.symbols == 0
    for step in range(1, last.step + 1):
        trainer = trainer_of(recipe, tmp_path)
        trainer.resume()

        def stop(report: StepReport, step: int = step) -> None:
            if report.progress.step == step:
                trainer.stop()  # noqa: B023  # it is called in this round

        with pytest.raises(TrainingStopped):
            trainer.fit(stop, ignore)
    trainer.fit(ignore, ignore)
    assert without_times(tmp_path / CHECKPOINT) == without_times(unstopped / CHECKPOINT)


def test_two_processes_learn_what_one_does(recipe: Path, unstopped: Path, tmp_path: Path) -> None:
    assert ranks.start(2, ranks.train, recipe, tmp_path / "run") == [0, 0]
    found, expected = (Checkpoint.load(f / CHECKPOINT) for f in (tmp_path / "run", unstopped))
    for row, other in zip(found.progress.history, expected.progress.history, strict=True):
        assert row["step"] == other["step"]
        assert row["train_loss"] == pytest.approx(other["train_loss"], rel=1e-4)
        assert row["train_cer"] == pytest.approx(other["train_cer"], abs=0.05)
    assert found.progress.audio_seconds == pytest.approx(expected.progress.audio_seconds)


def test_every_epoch_has_all_of_it(recipe: Path, tmp_path: Path) -> None:
    seconds: dict[int, float] = {}

    def add(report: StepReport) -> None:
        epoch = report.progress.epoch
        seconds[epoch] = seconds.get(epoch, 0.0) + report.seconds_of_audio

    trainer_of(recipe, tmp_path).fit(add, ignore)
    whole = sum(len(tiny.speak(text)) for text in tiny.TEXTS) / 16_000
    assert list(seconds.values()) == pytest.approx([whole] * 2)


def test_packed_data_and_manifests_do_not_mix(recipe: Path, tmp_path: Path) -> None:
    text = recipe.read_text().replace('["packed"]', '["packed", "corpus.jsonl"]')
    mixed = recipe.with_name("mixed.toml")
    mixed.write_text(text)
    with pytest.raises(
        PlainspeechError, match=r"both packed data \(.*packed\) and manifests; pack"
    ):
        trainer_of(mixed, tmp_path)


def test_more_processes_than_streams_are_refused(recipe: Path, tmp_path: Path) -> None:
    told = tmp_path / "errors.txt"
    command = ["train", str(recipe), "-o", str(tmp_path / "run"), "--device", "cpu"]
    assert ranks.start(3, ranks.command, command, told) == [1, 1, 1]
    assert told.read_text() == (
        "error: data.micro_batches is 2, fewer than the 3 processes: packed data is read in as "
        "many streams\n"
    )


def test_a_recipe_can_name_an_object_store(recipe: Path) -> None:
    remote = recipe.with_name("remote.toml")
    remote.write_text(recipe.read_text().replace('["packed"]', '["s3://bucket/a", "b.jsonl"]'))
    assert read_recipe(remote).data.train == (Url("s3://bucket/a"), recipe.parent / "b.jsonl")
    remote.write_text(recipe.read_text().replace('["packed"]', "[1]"))
    with pytest.raises(PlainspeechError, match="train is 1, which is not of type path, a string"):
        read_recipe(remote)
