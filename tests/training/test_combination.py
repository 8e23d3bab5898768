"""Sums of the weights of several runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny import ignore, trainer_of, write_corpus, write_recipe

from conftest import Plainspeech
from plainspeech.errors import ConfigurationError, ModelError
from plainspeech.runtime.bundle import Bundle
from plainspeech.training.checkpoint import Checkpoint
from plainspeech.training.combination import combine
from plainspeech.training.export import export_bundle
from plainspeech.training.loop import BEST


@pytest.fixture(scope="module")
def runs(tiny_preset: None, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three checkpoints of an epoch."""
    folder = tmp_path_factory.mktemp("runs")
    write_corpus(folder)
    paths = []
    for seed in "123":
        trainer_of(write_recipe(folder, seed=seed, epochs="1"), folder / seed).fit(ignore, ignore)
        paths.append(folder / seed / BEST)
    return paths


def test_weights_are_added_up_by_their_shares(runs: list[Path]) -> None:
    first, second, third = (Checkpoint.load(path).part("average") for path in runs)
    mean = combine(runs[:2]).part("average")
    moved = combine(runs, [1, 1, -1]).part("average")
    for name, weight in first.items():
        torch.testing.assert_close(mean[name], (weight + second[name]) / 2)
        torch.testing.assert_close(moved[name], weight + second[name] - third[name])


def test_a_combination_is_exported_and_begun_from(runs: list[Path], tmp_path: Path) -> None:
    combine(runs).save(tmp_path / "mean.safetensors")
    export_bundle(tmp_path / "mean.safetensors", tmp_path / "bundle")
    parts = Bundle.load(tmp_path / "bundle").card["combination_of"]
    assert [(part["share"], part["seed"]) for part in parts] == [(1 / 3, n) for n in (1, 2, 3)]
    write_corpus(tmp_path)
    recipe = write_recipe(tmp_path)
    recipe.write_text(f'initial = "mean.safetensors"\n{recipe.read_text()}')
    trainer = trainer_of(recipe, tmp_path / "run")
    torch.testing.assert_close(
        trainer.state.model.state_dict(), combine(runs).part("average"), check_dtype=True
    )
    assert len(trainer.run["started_from"]["combination_of"]) == 3


@pytest.mark.parametrize("shares", [[0.5], [0.5, 0.6], [0.5, float("nan")]])
def test_shares_that_do_not_fit_are_refused(runs: list[Path], shares: list[float]) -> None:
    with pytest.raises(ConfigurationError, match="share"):
        combine(runs[:2], shares)


def test_other_shapes_are_refused(runs: list[Path], tmp_path: Path) -> None:
    other = Checkpoint.load(runs[1])
    name = next(name for name in other.tensors if name.startswith("average."))
    other.tensors[name] = torch.zeros(1)
    other.save(tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match=r"other\.safetensors: its weights do not have the shapes"):
        combine([runs[0], tmp_path / "other.safetensors"])


def test_other_phones_are_refused(runs: list[Path], tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.safetensors" for number in range(2)]
    for path, phones in zip(paths, (["AA", "B"], ["AA", "P"]), strict=True):
        other = Checkpoint.load(runs[0])
        replace(other, run={**other.run, "phones": phones}).save(path)
    with pytest.raises(ModelError, match=r"1\.safetensors: learned other phones than .*0\.safe"):
        combine(paths)


def test_on_the_command_line(runs: list[Path], tmp_path: Path, plainspeech: Plainspeech) -> None:
    def run(*arguments: str | Path) -> int:
        return plainspeech("model", "combine", *arguments)[0]

    written = tmp_path / "out.safetensors"
    assert run(runs[0], runs[1], "--shares", "0.25,0.75", "-o", written) == 0
    parts = Checkpoint.load(written).run["combination_of"]
    assert [part["share"] for part in parts] == [0.25, 0.75]
    refused = tmp_path / "refused.safetensors"
    assert run(runs[0], "-o", refused) == 1
    assert run(runs[0], runs[1], "--shares", "half", "-o", refused) == 1
    assert not refused.exists()
