"""Runs that stop, are killed, go astray and go on."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import tiny
import torch
from tiny import ignore, trainer_of, without_times, write_corpus, write_recipe

from plainspeech.alphabet import Alphabet
from plainspeech.arrays import Array
from plainspeech.data.loading import Batch
from plainspeech.data.manifest import write_manifest
from plainspeech.decoding.greedy import greedy_text
from plainspeech.errors import PlainspeechError
from plainspeech.evaluation.error_rates import Pair
from plainspeech.model.presets import PRESETS
from plainspeech.runtime.bundle import Bundle
from plainspeech.training import validation
from plainspeech.training.checkpoint import Checkpoint
from plainspeech.training.device import FeatureExtractor
from plainspeech.training.export import export_bundle
from plainspeech.training.loop import BEST, CHECKPOINT, StepReport, Trainer, TrainingStopped
from plainspeech.training.step import TensorBatch

pytestmark = pytest.mark.usefixtures("tiny_preset")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder)
    return folder


@pytest.fixture(scope="module")
def recipe(corpus: Path) -> Path:
    return write_recipe(corpus)


@pytest.fixture(scope="module")
def unstopped(recipe: Path) -> Path:
    """The folder of a run that nothing disturbed."""
    folder = recipe.parent / "unstopped"
    trainer_of(recipe, folder).fit(ignore, ignore)
    return folder


def stop_at(trainer: Trainer, step: int) -> None:
    def on_step(report: StepReport) -> None:
        if report.progress.step == step:
            trainer.stop()

    with pytest.raises(TrainingStopped):
        trainer.fit(on_step, ignore)


def assert_same_run(folder: Path, other: Path) -> None:
    for name in ("checkpoint.safetensors", "best.safetensors"):
        assert without_times(folder / name) == without_times(other / name)


def steps_of(folder: Path) -> int:
    return Checkpoint.load(folder / "checkpoint.safetensors").progress.step


def test_a_run_has_epochs_of_several_steps(unstopped: Path) -> None:
    """Else the tests below would show little."""
    steps = [
        row["step"] for row in without_times(unstopped / "checkpoint.safetensors")[1]["history"]
    ]
    assert len(steps) == 3
    assert steps[0] >= 3


def test_the_same_recipe_gives_the_same_weights(
    recipe: Path, unstopped: Path, tmp_path: Path
) -> None:
    trainer_of(recipe, tmp_path).fit(ignore, ignore)
    assert_same_run(tmp_path, unstopped)


def test_another_seed_gives_others(corpus: Path, unstopped: Path, tmp_path: Path) -> None:
    shutil.copytree(corpus, tmp_path / "c", ignore=shutil.ignore_patterns("unstopped"))
    trainer_of(write_recipe(tmp_path / "c", seed="4"), tmp_path).fit(ignore, ignore)
    name = "best.safetensors"
    assert without_times(tmp_path / name)[0] != without_times(unstopped / name)[0]


@pytest.mark.parametrize("step", [1, 2, "last of an epoch", 5])
def test_going_on_gives_the_weights_of_never_stopping(
    recipe: Path, unstopped: Path, tmp_path: Path, step: int | str
) -> None:
    history = Checkpoint.load(unstopped / "checkpoint.safetensors").progress.history
    stop_at(
        trainer_of(recipe, tmp_path), step if isinstance(step, int) else int(history[0]["step"])
    )
    again = trainer_of(recipe, tmp_path)
    assert again.resume()
    again.fit(ignore, ignore)
    assert_same_run(tmp_path, unstopped)


def test_stopping_at_every_step_changes_nothing(
    recipe: Path, unstopped: Path, tmp_path: Path
) -> None:
    for step in range(1, steps_of(unstopped) + 1):
        trainer = trainer_of(recipe, tmp_path)
        trainer.resume()
        stop_at(trainer, step)
    trainer.fit(ignore, ignore)  # the same trainer can go on, too
    assert_same_run(tmp_path, unstopped)


def test_a_stop_in_validation_does_not_save_the_average_as_the_weights(
    recipe: Path, unstopped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = trainer_of(recipe, tmp_path)

    def interrupted(log_probabilities: Array, alphabet: Alphabet) -> str:
        trainer.stop()
        return greedy_text(log_probabilities, alphabet)

    with monkeypatch.context() as patch:
        patch.setattr(validation, "greedy_text", interrupted)
        with pytest.raises(TrainingStopped):
            trainer.fit(ignore, ignore)
    assert Checkpoint.load(trainer.folder / CHECKPOINT).progress.history == []
    again = trainer_of(recipe, tmp_path)
    again.resume()
    again.fit(ignore, ignore)
    assert_same_run(tmp_path, unstopped)


def test_kill_9_loses_no_more_than_a_checkpoint_interval(
    corpus: Path, unstopped: Path, tmp_path: Path
) -> None:
    shutil.copytree(corpus, tmp_path / "c", ignore=shutil.ignore_patterns("unstopped"))
    recipe = write_recipe(tmp_path / "c", checkpoint_minutes="0")
    command = [sys.executable, tiny.__file__, str(recipe), str(tmp_path / "run")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        next(line for line in process.stdout if line == "5\n")
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert 4 <= steps_of(tmp_path / "run") < steps_of(unstopped)
    trainer = trainer_of(recipe, tmp_path / "run")
    assert trainer.resume()
    trainer.fit(ignore, ignore)
    assert_same_run(tmp_path / "run", unstopped)


def test_a_finished_run_goes_on_to_nothing(recipe: Path, unstopped: Path) -> None:
    trainer = trainer_of(recipe, unstopped)
    assert trainer.resume()
    trainer.fit(lambda report: pytest.fail("a step"), lambda row: pytest.fail("an epoch"))


def test_without_a_checkpoint_there_is_nothing_to_take_up(recipe: Path, tmp_path: Path) -> None:
    assert not trainer_of(recipe, tmp_path).resume()


def test_going_on_with_another_recipe_is_refused(
    corpus: Path, unstopped: Path, tmp_path: Path
) -> None:
    write_corpus(tmp_path)
    trainer = trainer_of(write_recipe(tmp_path, epochs="9"), unstopped)
    told = "another recipe: optimisation.epochs was 3 and is 9; give another --output"
    best = unstopped.resolve() / "best.safetensors"
    with pytest.raises(PlainspeechError, match=told) as refused:
        trainer.resume()
    assert f'(begin from its weights by initial = "{best}") or delete' in str(refused.value)
    best.rename(kept := tmp_path / "kept")
    try:
        with pytest.raises(PlainspeechError, match=f"{told} or delete the folder"):
            trainer.resume()
    finally:
        kept.rename(best)


def test_what_changes_nothing_that_is_learned_may_change(unstopped: Path, tmp_path: Path) -> None:
    write_corpus(tmp_path)
    recipe = write_recipe(tmp_path, checkpoint_minutes="7")
    recipe.write_text(recipe.read_text().replace("[data]", "[data]\ncache_gb = 0.5\nthreads = 1"))
    trainer = trainer_of(recipe, unstopped)
    assert trainer.resume()
    assert trainer.run["recipe"]["data"]["threads"] == 1


def test_going_on_with_other_data_is_refused(corpus: Path, unstopped: Path, tmp_path: Path) -> None:
    write_corpus(tmp_path, (*tiny.TEXTS[:-1], "ad"))
    with pytest.raises(PlainspeechError, match="begun with other data; give another"):
        trainer_of(write_recipe(tmp_path), unstopped).resume()


def test_a_seed_may_be_as_large_as_a_recipe_takes(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    recipe = write_recipe(tmp_path, seed=str(10**15), epochs="1")
    trainer_of(recipe, tmp_path / "run").fit(ignore, ignore)


def test_weights_of_another_model_are_refused(
    recipe: Path, unstopped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Wider(tiny.Tiny):
        def __init__(self, bins: int, symbols: int) -> None:
            super().__init__(bins, symbols + 1)

    monkeypatch.setitem(PRESETS, "tiny", replace(tiny.PRESET, model=Wider))
    with pytest.raises(PlainspeechError, match=r"checkpoint.safetensors: its weights are not"):
        trainer_of(recipe, unstopped).resume()


def test_a_run_may_move_with_its_data(corpus: Path, unstopped: Path, tmp_path: Path) -> None:
    shutil.copytree(corpus, tmp_path / "elsewhere", ignore=shutil.ignore_patterns("unstopped"))
    shutil.copytree(unstopped, tmp_path / "run")
    assert trainer_of(tmp_path / "elsewhere" / "recipe.toml", tmp_path / "run").resume()


def test_a_run_can_start_from_the_average_of_another(
    corpus: Path, unstopped: Path, tmp_path: Path
) -> None:
    shutil.copytree(corpus, tmp_path / "c")
    recipe = write_recipe(tmp_path / "c", seed='5\ninitial = "unstopped/best.safetensors"')
    trainer = trainer_of(recipe, tmp_path)
    assert trainer.run["started_from"]["name"] == "tiny"
    assert trainer.run["started_from"]["epochs"] > 0
    state = trainer.state
    wanted = Checkpoint.load(unstopped / "best.safetensors").part("average")
    for name, weight in state.model.state_dict().items():
        assert torch.equal(weight, wanted[name])
        assert torch.equal(state.average.weights[name], wanted[name])
    assert state.progress.step == 0
    (tmp_path / "c" / "unstopped" / "best.safetensors").unlink()
    with pytest.raises(PlainspeechError, match=r"best.safetensors: cannot read the checkpoint"):
        trainer_of(recipe, tmp_path)


def test_a_run_can_start_from_a_bundle(corpus: Path, unstopped: Path, tmp_path: Path) -> None:
    shutil.copytree(corpus, tmp_path / "c")
    recipe = write_recipe(tmp_path / "c", seed='5\ninitial = "bundle"')
    export_bundle(unstopped / BEST, tmp_path / "c" / "bundle")
    trainer = trainer_of(recipe, tmp_path)
    assert trainer.run["started_from"]["name"] == "tiny"
    wanted = Checkpoint.load(unstopped / BEST).part("average")
    for name, weight in trainer.state.model.state_dict().items():
        torch.testing.assert_close(weight, wanted[name], atol=1e-6, rtol=1e-3)  # of float16


def test_a_bundle_without_weights_is_no_start(corpus: Path, tmp_path: Path) -> None:
    shutil.copytree(corpus, tmp_path / "c")
    export_bundle(tmp_path / "c" / "unstopped" / BEST, tmp_path / "whole")
    replace(Bundle.load(tmp_path / "whole"), weights={}).write(tmp_path / "c" / "bundle")
    recipe = write_recipe(tmp_path / "c", seed='5\ninitial = "bundle"')
    with pytest.raises(PlainspeechError, match=r"bundle: the bundle has no weights to train from"):
        trainer_of(recipe, tmp_path)


def test_a_damaged_recording_of_dev_ends_the_run_before_its_first_step(tmp_path: Path) -> None:
    utterances = write_corpus(tmp_path)
    spoiled = tmp_path / "spoiled.wav"
    write_manifest(tmp_path / "dev.jsonl", [replace(utterances[1], id="d", audio=spoiled)])
    spoiled.write_bytes((tmp_path / "1.wav").read_bytes()[:40])
    recipe = write_recipe(tmp_path, dev='"dev.jsonl"')
    steps: list[StepReport] = []

    with pytest.raises(PlainspeechError, match=r"dev\.jsonl, line 1: d: .*spoiled\.wav"):
        trainer_of(recipe, tmp_path / "run").fit(steps.append, ignore)

    assert not steps


def test_a_loss_that_is_no_number_names_its_utterances(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute = FeatureExtractor.__call__

    def spoiled(maker: FeatureExtractor, batch: Batch, *options: float) -> TensorBatch:
        tensors = compute(maker, batch, *options)  # type: ignore[arg-type]
        for row, utterance in zip(tensors.features, batch.utterances, strict=True):
            if utterance.id == "u3":
                row[:] = torch.nan
        return tensors

    monkeypatch.setattr(FeatureExtractor, "__call__", spoiled)
    trainer = trainer_of(recipe, tmp_path)
    with pytest.raises(PlainspeechError) as caught:
        trainer.fit(ignore, ignore)
    message = str(caught.value)
    assert message.startswith("the loss is not finite for u3 (nan); the batch was ")
    named = message.split("the batch was ")[1].split(";")[0].split(", ")
    assert "u3" in named
    assert 1 < len(named) < len(tiny.TEXTS)
    assert all(torch.isfinite(weight).all() for weight in trainer.state.model.parameters())


def test_a_gradient_that_is_no_number_stops_before_the_step(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(*_: object) -> torch.Tensor:
        return torch.tensor(float("inf"))

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", explode)
    trainer = trainer_of(recipe, tmp_path)
    before = [weight.clone() for weight in trainer.state.model.parameters()]
    with pytest.raises(PlainspeechError, match=r"gradient is not finite; the batch was u\d, u\d"):
        trainer.fit(ignore, ignore)
    assert trainer.state.progress.step == 0
    assert all(map(torch.equal, trainer.state.model.parameters(), before))


def test_the_best_on_dev_is_kept(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wers = iter([9, 2, 5])

    def scripted(*_: object) -> list[Pair]:
        return [Pair("u", "", "a " * 10, "a " * 10 + "b " * next(wers))]

    monkeypatch.setattr(Trainer, "recognise_dev", scripted)
    trainer = trainer_of(recipe, tmp_path)
    averages = []
    trainer.fit(
        ignore,
        lambda row: averages.append(
            {k: v.clone() for k, v in trainer.state.average.weights.items()}
        ),
    )
    best = Checkpoint.load(trainer.folder / BEST)
    assert [row["epoch"] for row in best.progress.history] == [1, 2]
    assert best.tensors.keys() == {f"average.{name}" for name in averages[1]}
    assert all(torch.equal(best.part("average")[name], t) for name, t in averages[1].items())
    assert not all(torch.equal(best.part("average")[name], t) for name, t in averages[2].items())


def test_reports_tell_what_happened(recipe: Path, tmp_path: Path) -> None:
    trainer = trainer_of(recipe, tmp_path)
    steps: list[tuple[int, int, float, float]] = []
    rows: list[dict[str, float]] = []

    def on_step(report: StepReport) -> None:
        batch, batches = report.progress.batch, report.batches
        steps.append((batch, batches, report.learning_rate, report.seconds_of_audio))

    trainer.fit(on_step, rows.append)
    batches = steps[0][1]
    assert [step[0] for step in steps[:batches]] == list(range(1, batches + 1))
    seconds = sum(len(tiny.speak(text)) for text in tiny.TEXTS) / 16_000
    assert sum(step[3] for step in steps[:batches]) == pytest.approx(seconds)
    assert steps[-1][2] == pytest.approx(0, abs=1e-9)  # the schedule ends at zero
    assert max(step[2] for step in steps) <= 5e-3
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert all(0 <= row["dev_cer"] <= 3 for row in rows)
