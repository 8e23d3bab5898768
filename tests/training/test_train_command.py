"""``plainspeech train`` and ``export`` as their users meet them."""

from __future__ import annotations

import builtins
import errno
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import without_times, write_corpus, write_recipe
from torch import Tensor

from conftest import Plainspeech
from plainspeech import files
from plainspeech.cli import terminal, train
from plainspeech.errors import PlainspeechError
from plainspeech.runtime.recognizer import load_model
from plainspeech.training.checkpoint import Checkpoint
from plainspeech.training.device import choose_device
from plainspeech.training.loop import Trainer

pytestmark = pytest.mark.usefixtures("tiny_preset")


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    write_corpus(tmp_path)
    return write_recipe(tmp_path, epochs="2")


def test_a_run_from_recipe_to_bundle(plainspeech: Plainspeech, recipe: Path) -> None:
    run = recipe.parent / "out [1]"  # rich would take the brackets for markup
    status, told = plainspeech("train", recipe, "--output", run, "--device", "cpu")
    assert status == 0
    assert "epoch   1  train loss " in told
    assert "epoch   2  train loss " in told
    assert told.count("  actual     ") == told.count("  predicted  ") == 2 * 3
    assert "  actual     a cab\n" in told
    assert f"the model is in {run / 'bundle'}; its curves are in {run / 'curves.png'}" in told
    rows = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    assert rows == Checkpoint.load(run / "checkpoint.safetensors").progress.history
    assert f"WER {rows[0]['train_wer']:.2%}  CER {rows[0]['train_cer']:.2%}  dev WER " in told
    # Dev is the training data here.
    assert all(row["train_cer"] == row["dev_cer"] for row in rows)
    assert {path.name for path in run.iterdir()} == {
        "best.safetensors",
        "bundle",
        "checkpoint.safetensors",
        "curves.png",
        "history.jsonl",
        "tensorboard",
    }
    assert load_model(run / "bundle").bundle.card["name"] == "tiny"


def test_without_a_terminal_a_line_tells_now_and_then_how_far_it_is(
    plainspeech: Plainspeech, recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal, "_SECONDS_BETWEEN_LINES", 0.0)
    _, told = plainspeech("train", recipe, "-o", recipe.parent / "run", "--device", "cpu")
    assert "epoch   1  batch 1 of " in told
    assert "epoch   2  batch 2 of " in told


def test_ctrl_c_saves_and_the_same_command_goes_on(
    plainspeech: Plainspeech, recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert plainspeech("train", recipe, "-o", recipe.parent / "whole", "--device", "cpu")[0] == 0
    step, run = Trainer.step, recipe.parent / "parts"

    def interrupted(trainer: Trainer, *arguments: Any) -> tuple[Tensor, Tensor]:
        outcome = step(trainer, *arguments)
        if trainer.state.progress.step == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return outcome

    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", interrupted)
        status, told = plainspeech("train", recipe, "-o", run, "--device", "cpu")
    assert status == 130
    assert told == "stopped and saved in epoch 1; the same command resumes from there\n"
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert Checkpoint.load(run / "checkpoint.safetensors").progress.step == 2
    assert not (run / "bundle").exists()
    status, told = plainspeech("train", recipe, "-o", run, "--device", "cpu")
    assert (status, f"resuming {run} after 2 steps" in told) == (0, True)
    name = "checkpoint.safetensors"
    assert without_times(run / name) == without_times(recipe.parent / "whole" / name)


def test_a_second_ctrl_c_stops_at_once(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def twice(*_: object) -> None:
        # To this thread: of two that are on their way to the process, one would be lost.
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        pytest.fail("the second had no effect")

    monkeypatch.setattr(Trainer, "step", twice)
    # Shells have background jobs ignore it, and so would this process's handler.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            train.train(recipe, recipe.parent / "run", "cpu")
    finally:
        signal.signal(signal.SIGINT, before)
    assert not (recipe.parent / "run" / "checkpoint.safetensors").exists()


def test_a_run_without_output_is_named_after_its_recipe(
    plainspeech: Plainspeech, recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(recipe.parent)
    monkeypatch.setattr(Trainer, "fit", lambda *_: sys.exit(7))
    assert plainspeech("train", "recipe.toml")[0] == 7
    assert (recipe.parent / "runs" / "tiny").is_dir()


def test_a_bad_recipe_is_one_line(plainspeech: Plainspeech, recipe: Path) -> None:
    recipe.write_text(recipe.read_text().replace("epochs", "epoch", 1))
    status, told = plainspeech("train", recipe)
    assert status == 1
    assert told == (
        f"error: {recipe}: optimisation: there is no key 'epoch'; did you mean 'epochs'?\n"
    )
    assert not (recipe.parent / "runs").exists()


def test_two_runs_do_not_write_to_one_folder(plainspeech: Plainspeech, recipe: Path) -> None:
    run = recipe.parent / "run"
    run.mkdir()
    with files.exclusive(run):
        status, told = plainspeech("train", recipe, "-o", run, "--device", "cpu")
        assert not [*run.iterdir()]
    told_of = f"{run}: another process trains there; wait for it, or give another --output"
    assert (status, told) == (1, f"error: {told_of}\n")


def test_an_output_that_is_a_file_is_refused(plainspeech: Plainspeech, recipe: Path) -> None:
    status, told = plainspeech("train", recipe, "-o", recipe, "--device", "cpu")
    assert (status, told) == (
        1,
        f"error: {recipe}: is a file; --output must be a folder\n",
    )


def test_what_is_left_out_is_told(plainspeech: Plainspeech, recipe: Path) -> None:
    manifest = recipe.parent / "corpus.jsonl"
    manifest.write_text(manifest.read_text().replace('"dead"', '"' + "dead" * 50 + '"'))
    status, told = plainspeech("train", recipe, "-o", recipe.parent / "run", "--device", "cpu")
    assert status == 0
    assert told.startswith(f"{manifest}, line 2: u1 is left out: 200 characters in 0.8 s are more")


@pytest.mark.parametrize("name", ["cuda:99", "nonsense", "cpu:x"])
def test_a_device_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(PlainspeechError, match=f"--device {name} cannot be used: .+") as caught:
        choose_device(name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("has", [True, False])
def test_devices_by_name(monkeypatch: pytest.MonkeyPatch, has: bool) -> None:
    precisions: list[str] = []
    monkeypatch.setattr(torch, "set_float32_matmul_precision", precisions.append)
    assert choose_device("cpu") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has)
    monkeypatch.setattr(torch, "empty", lambda *_, **__: None)
    assert choose_device("auto").type == ("cuda" if has else "cpu")
    assert precisions == ["high"] * has  # as where it is asked for by its name


def test_a_full_disk_is_one_line(
    plainspeech: Plainspeech, recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files, "write_atomically", full)
    folder = recipe.parent / "run"
    status, told = plainspeech("train", recipe, "-o", folder, "--device", "cpu")
    assert status == 1
    reason = os.strerror(errno.ENOSPC)
    assert told.splitlines()[-1] == (
        f"error: {folder / 'history.jsonl'}: cannot be written: {reason}"
    )


@pytest.mark.parametrize("verb", [("train", "r.toml"), ("export", "a.safetensors", "bundle")])
def test_without_torch_the_extra_is_recommended(
    plainspeech: Plainspeech, monkeypatch: pytest.MonkeyPatch, verb: tuple[str, ...]
) -> None:
    load = builtins.__import__

    def no_torch(name: str, *rest: Any, **options: Any) -> Any:
        if name.split(".")[0] == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")
        return load(name, *rest, **options)

    for module in [m for m in sys.modules if m.startswith("plainspeech.training")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setattr(builtins, "__import__", no_torch)
    status, told = plainspeech(*verb)
    assert status == 1
    assert told == (
        "error: torch is not installed; this needs the train extra: "
        "in a checkout of plainspeech, pip install -c constraints.txt '.[train]'\n"
    )


def test_export_writes_a_bundle(plainspeech: Plainspeech, recipe: Path) -> None:
    run = recipe.parent / "run"
    assert plainspeech("train", recipe, "-o", run, "--device", "cpu")[0] == 0
    status, _ = plainspeech("export", run / "best.safetensors", recipe.parent / "again")
    assert status == 0
    again, first = (
        load_model(folder).bundle for folder in (recipe.parent / "again", run / "bundle")
    )
    assert again.networks == first.networks
    status, told = plainspeech("export", recipe, recipe.parent / "no")
    assert status == 1
    assert told.startswith(f"error: {recipe}: cannot read the checkpoint: ")
