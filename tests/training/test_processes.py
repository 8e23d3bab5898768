"""Runs of several processes: the same steps as of one, whoever stops, dies or goes on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import ranks
import torch
from tiny import ignore, trainer_of, write_corpus, write_recipe

from plainspeech.errors import PlainspeechError
from plainspeech.training.checkpoint import Checkpoint
from plainspeech.training.loop import BEST, CHECKPOINT
from plainspeech.training.processes import Processes

pytestmark = pytest.mark.usefixtures("tiny_preset")
LOCAL = torch.device("cpu")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder)
    return folder


def recipe_in(corpus: Path, name: str, micro_batches: int, **changes: str) -> Path:
    folder = corpus / name
    folder.mkdir(exist_ok=True)
    recipe = write_recipe(folder, train='["../corpus.jsonl"]', dev='"../corpus.jsonl"', **changes)
    text = recipe.read_text().replace("[data]", f"[data]\nmicro_batches = {micro_batches}")
    recipe.write_text(text)
    return recipe


@pytest.fixture(scope="module")
def drawn(corpus: Path) -> Path:
    """A recipe with augmentation and dropout, in as many parts as the most processes here."""
    return recipe_in(corpus, "drawn", micro_batches=3)


@pytest.fixture(scope="module")
def certain(corpus: Path) -> Path:
    """A recipe in which nothing is drawn, with some batches of fewer utterances than processes."""
    recipe = recipe_in(corpus, "certain", 1, preset='"sure"', batch_seconds="2.5")
    recipe.write_text(recipe.read_text().replace("[data]", "augmentation = false\n[data]", 1))
    return recipe


def run(count: int, recipe: Path, folder: Path, stop_at: int | None = None) -> list[dict[str, Any]]:
    """Train in ``count`` processes; return what each of them reported."""
    assert ranks.start(count, ranks.train, recipe, folder, stop_at) == [0] * count
    paths = [folder.parent / f"{folder.name}.{rank}.json" for rank in range(count)]
    return [json.loads(path.read_text()) for path in paths]


def alone(recipe: Path) -> tuple[Path, dict[str, float]]:
    """Train in this process, once for each recipe; return the folder and the losses."""
    folder, told = recipe.parent / "alone", recipe.parent / "losses.json"
    if not told.exists():
        losses = {}
        trainer_of(recipe, folder).fit(
            lambda report: losses.update({str(report.progress.step): report.loss}), ignore
        )
        told.write_text(json.dumps(losses))
    return folder, json.loads(told.read_text())


def assert_same_run(folder: Path, other: Path) -> None:
    """Compare all weights, averages and moments, and what was measured, to float tolerance."""
    for name in (CHECKPOINT, BEST):
        one, two = Checkpoint.load(folder / name), Checkpoint.load(other / name)
        assert one.tensors.keys() == two.tensors.keys()
        for key, tensor in one.tensors.items():
            torch.testing.assert_close(tensor, two.tensors[key], atol=2e-4, rtol=2e-3)
        for row, as_well in zip(one.progress.history, two.progress.history, strict=True):
            assert row["train_loss"] == pytest.approx(as_well["train_loss"], rel=1e-4)
            assert row["dev_cer"] == pytest.approx(as_well["dev_cer"], abs=0.05)
        assert one.progress.audio_seconds == pytest.approx(two.progress.audio_seconds)
        assert one.progress.symbols == two.progress.symbols


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("kind", ["certain", "drawn"])
def test_the_curve_of_several_processes_is_that_of_one(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str, count: int
) -> None:
    recipe: Path = request.getfixturevalue(kind)
    folder, losses = alone(recipe)
    reports = run(count, recipe, tmp_path / "run")
    for report in reports:
        assert report["losses"] == pytest.approx(losses, rel=1e-4)
        for row, first in zip(report["rows"], reports[0]["rows"], strict=True):
            assert row == {**first, "seconds": row["seconds"]}
    assert_same_run(tmp_path / "run", folder)


def test_parts_of_a_batch_add_up_to_it(certain: Path, corpus: Path) -> None:
    text = certain.read_text().replace("micro_batches = 1", "micro_batches = 3")
    (corpus / "parts").mkdir()
    recipe = corpus / "parts" / "recipe.toml"
    recipe.write_text(text)
    assert alone(recipe)[1] == pytest.approx(alone(certain)[1], rel=1e-4)
    assert_same_run(alone(recipe)[0], alone(certain)[0])


def test_a_run_goes_on_in_other_numbers_of_processes(drawn: Path, tmp_path: Path) -> None:
    folder, losses = alone(drawn)
    found: dict[str, float] = {}
    for count, step in ((2, 2), (3, 5), (1, 6), (2, None)):
        reports = run(count, drawn, tmp_path / "run", stop_at=step)
        if step:
            assert Checkpoint.load(tmp_path / "run" / CHECKPOINT).progress.step == step
        found |= reports[0]["losses"]
    assert found == pytest.approx(losses, rel=1e-4)
    assert_same_run(tmp_path / "run", folder)


def test_one_process_writes_and_tells(corpus: Path, tmp_path: Path) -> None:
    recipe = recipe_in(corpus, "told", 2, epochs="1")
    told = tmp_path / "errors.txt"
    command = ["train", str(recipe), "-o", str(tmp_path / "run"), "--device", "cpu"]
    assert ranks.start(2, ranks.command, command, told) == [0, 0]
    assert told.read_text().count("epoch   1  train loss ") == 1
    assert told.read_text().count("the model is in ") == 1
    assert (tmp_path / "run" / "bundle" / "bundle.json").is_file()
    assert len((tmp_path / "run" / "history.jsonl").read_text().splitlines()) == 1


def test_what_fails_in_one_process_is_told_once(corpus: Path, tmp_path: Path) -> None:
    recipe = recipe_in(corpus, "spoiled", 2, epochs="1")
    told = tmp_path / "errors.txt"
    command = ["train", str(recipe), "-o", str(tmp_path / "run"), "--device", "cpu"]
    assert ranks.start(2, ranks.command, command, told, "u3") == [1, 1]
    assert told.read_text() == "error: u3: damaged\n"


def test_what_fails_in_all_processes_is_told_once(corpus: Path, tmp_path: Path) -> None:
    told = tmp_path / "errors.txt"
    command = ["train", str(corpus / "missing.toml"), "--device", "cpu"]
    assert ranks.start(2, ranks.command, command, told) == [1, 1]
    assert told.read_text().startswith("error: ")
    assert told.read_text().count("cannot read the recipe") == 1


def torchrun(count: int, *arguments: str | Path, **environment: str) -> tuple[int, str]:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(count)]
    found = subprocess.run(
        [*launcher, ranks.__file__, *map(str, arguments)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return found.returncode, found.stderr


def test_a_process_that_is_killed_ends_the_run_which_goes_on(corpus: Path, tmp_path: Path) -> None:
    recipe = recipe_in(corpus, "killed", 3, checkpoint_minutes="0", epochs="1", batch_seconds="2.5")
    folder, _ = alone(recipe)
    command = ("train", recipe, "-o", tmp_path / "run", "--device", "cpu")
    status, told = torchrun(2, *command, KILLED_RANK="1")
    assert status != 0
    assert told.count("error: ") == 1
    assert (
        "error: process 0 of 2 has lost another, which was killed or cannot be reached any more; "
        "the same command resumes from the last checkpoint\n"
    ) in told
    assert Checkpoint.load(tmp_path / "run" / CHECKPOINT).progress.step == 3
    trainer = trainer_of(recipe, tmp_path / "run")
    assert trainer.resume()
    trainer.fit(ignore, ignore)
    assert_same_run(tmp_path / "run", folder)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
@pytest.mark.parametrize("size", [0, 1, 2, 7])
def test_shares_are_all_there_is_and_none_twice(size: int, count: int) -> None:
    shares = [Processes(rank, count).share(range(size)) for rank in range(count)]
    assert sorted(item for share in shares for item in share) == list(range(size))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert len(shares[0]) == max(map(len, shares))  # which `gathered` relies on


def test_each_process_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Processes(local_rank=5).own_device(LOCAL) == LOCAL
    assert Processes().own_device(torch.device("cuda")) == torch.device("cuda")
    chosen: list[int] = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    second = Processes(rank=3, count=4, local_rank=1)
    assert second.own_device(torch.device("cuda")) == torch.device("cuda:1")
    assert chosen == [1]
    with pytest.raises(PlainspeechError, match="no GPU for process 2 of this machine, which has 2"):
        Processes(local_rank=2).own_device(torch.device("cuda"))
    with pytest.raises(PlainspeechError, match=r"--device cuda:1: every process takes a GPU"):
        second.own_device(torch.device("cuda:1"))
