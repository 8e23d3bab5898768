"""``plainspeech adapt``: a model that is made to fit recordings, from their folder to a bundle."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import soundfile
import tiny
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import ignore, speak, trainer_of, write_corpus, write_recipe
from torch import Tensor

from conftest import Plainspeech
from plainspeech.cli import adapt
from plainspeech.data.manifest import Utterance
from plainspeech.decoding.settings import BeamSettings
from plainspeech.errors import DataError, ModelError, PlainspeechError
from plainspeech.evaluation.error_rates import Pair, Scores
from plainspeech.files import exclusive
from plainspeech.runtime.bundle import Bundle
from plainspeech.training import adaptation
from plainspeech.training.adaptation import FEWEST, split
from plainspeech.training.checkpoint import load_weights
from plainspeech.training.export import export_bundle
from plainspeech.training.loop import BEST, Trainer
from plainspeech.training.recipe import read_recipe

pytestmark = pytest.mark.usefixtures("tiny_preset")

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "fine-tuning.md"


@pytest.fixture(scope="module")
def start(tiny_preset: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that has learned a little of the tones, with settings of its own."""
    folder = tmp_path_factory.mktemp("start")
    write_corpus(folder)
    trainer_of(write_recipe(folder, epochs="4"), folder).fit(ignore, ignore)
    export_bundle(folder / BEST, folder / "bundle")
    bundle = Bundle.load(folder / "bundle")
    card = {**bundle.card, "licence": "CC0"}
    bundle = replace(bundle, card=card, decoding=BeamSettings(alpha=0.7))
    bundle.with_frequency_warps([0.95, 1.0]).write(folder / "bundle")
    return folder / "bundle"


def own_recordings(folder: Path, texts: tuple[str, ...] = tiny.TEXTS) -> Path:
    """Write ``texts`` as name.wav and name.txt, half of them in a folder of their own."""
    for index, text in enumerate(texts):
        path = folder / ("more" if index % 2 else ".") / f"{index // 2}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, speak(text), 16_000)
        path.with_suffix(".txt").write_text(f"{text.title()}.\n")
    return folder


def test_from_a_folder_to_a_model(plainspeech: Plainspeech, start: Path, tmp_path: Path) -> None:
    recordings = own_recordings(tmp_path / "mine [1]")  # rich would take the brackets for markup
    (recordings / "stray.wav").touch()
    output = tmp_path / "out"
    status, told = plainspeech("adapt", recordings, "-o", output, "--model", start)
    assert status == 0, told
    assert f"left out: {recordings / 'stray.wav'}: neither stray.txt nor a line" in told
    assert "adapting to 7 recordings, 0.1 min; measuring on 3 others" in told
    assert re.search(r"before: WER [\d.]+%, 95 % from [\d.]+% to [\d.]+%", told)
    assert re.search(r"after:  WER [\d.]+%, 95 % from [\d.]+% to [\d.]+%", told)
    assert f"the model is in {output}" in told
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine [1]", "out"]
    made, begun = Bundle.load(output), Bundle.load(start)
    assert made.decoding == begun.decoding
    assert made.frequency_warps == begun.frequency_warps
    assert made.networks["int8"] != begun.networks["int8"]
    assert made.card["name"] == "out"
    assert made.card["licence"] == "CC0"
    assert made.card["adaptation"]["start"] == "tiny"
    assert made.card["adaptation"]["dev_utterances"] == 3
    assert made.card["adaptation"]["minutes"] == 0.1  # not those of hours that were rounded
    assert made.card["adaptation"]["after"]["wer"] <= made.card["adaptation"]["before"]["wer"]
    # An adapted model can be adapted again, in its own place.
    assert plainspeech("adapt", recordings, "-o", output, "--model", output)[0] == 0


def test_two_adaptations_do_not_share_a_folder(
    plainspeech: Plainspeech, start: Path, tmp_path: Path
) -> None:
    recordings = own_recordings(tmp_path / "recordings")
    (tmp_path / "out.adapting").mkdir()
    with exclusive(tmp_path / "out.adapting"):
        status, told = plainspeech("adapt", recordings, "-o", tmp_path / "out", "--model", start)
    assert (status, "out.adapting: another process trains there" in told) == (1, True)


def test_a_model_that_got_worse_is_not_written(
    plainspeech: Plainspeech, start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(bundle: Path, dev: list[Utterance]) -> Scores:
        return Scores.of([Pair(u.id, "", u.text, u.text * (bundle == start)) for u in dev])

    monkeypatch.setattr(adaptation, "_measured", measured)
    recordings = own_recordings(tmp_path / "recordings")
    status, told = plainspeech("adapt", recordings, "-o", tmp_path / "out", "--model", start)
    assert status == 1
    assert told.splitlines()[-1].startswith(
        f"error: {tmp_path / 'out'}: not written: on the 3 recordings kept for measuring, the "
        f"adapted model has 100.00% of the words wrong, its start 0.00%; "
    )
    assert [path.name for path in tmp_path.iterdir()] == ["recordings"]


def test_a_full_disk_does_not_cost_what_was_learned(
    plainspeech: Plainspeech, start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(adapted: adaptation.Adapted, folder: Path) -> None:
        raise ModelError(f"{folder}: cannot be written: No space left on device")

    recordings = own_recordings(tmp_path / "recordings")
    command = ("adapt", recordings, "-o", tmp_path / "out", "--model", start)
    with monkeypatch.context() as patch:
        patch.setattr(adaptation.Adapted, "write", full)
        status, told = plainspeech(*command)
    assert status == 1
    assert told.splitlines()[-1] == (
        f"error: {tmp_path / 'out'}: cannot be written: No space left on device; what was learned "
        f"is kept in {tmp_path / 'out.adapting'}, and the same command goes on from there"
    )
    status, told = plainspeech(*command)
    assert (status, "resuming after epoch" in told) == (0, True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "recordings"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_is_stopped_goes_on(
    plainspeech: Plainspeech,
    start: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
) -> None:
    recordings, step = own_recordings(tmp_path / "recordings"), Trainer.step
    command = ("adapt", recordings, "--model", start, "-o")
    assert plainspeech(*command, tmp_path / "whole")[0] == 0

    def interrupted(trainer: Trainer, *arguments: Any) -> tuple[Tensor, Tensor]:
        outcome = step(trainer, *arguments)
        if trainer.state.progress.step == 3:
            os.kill(os.getpid(), number)
        return outcome

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", interrupted)
        status, told = plainspeech(*command, tmp_path / "out")
    assert status == 128 + number
    assert "the same command resumes from there" in told.splitlines()[-1]
    assert not (tmp_path / "out").exists()
    status, told = plainspeech(*command, tmp_path / "out")
    assert (status, "resuming after epoch" in told) == (0, True)
    parts, whole = (load_weights(tmp_path / name).part("average") for name in ("out", "whole"))
    assert all(torch.equal(parts[name], whole[name]) for name in whole)


def test_ctrl_c_while_it_measures_keeps_what_was_learned(
    plainspeech: Plainspeech, start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> Scores:
        raise KeyboardInterrupt

    monkeypatch.setattr(adaptation, "_measured", interrupted)
    recordings = own_recordings(tmp_path / "recordings")
    status, told = plainspeech("adapt", recordings, "-o", tmp_path / "out", "--model", start)
    assert status == 130
    assert f"what was learned is kept in {tmp_path / 'out.adapting'}" in told
    assert not (tmp_path / "out").exists()


def test_a_folder_that_was_partly_removed_is_no_run_to_resume(
    plainspeech: Plainspeech, start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(folder: Path) -> None:
        (folder / BEST).unlink()
        raise SystemExit(9)

    recordings = own_recordings(tmp_path / "recordings")
    command = ("adapt", recordings, "-o", tmp_path / "out", "--model", start)
    with monkeypatch.context() as patch:
        patch.setattr(adapt, "shutil", SimpleNamespace(rmtree=killed))
        assert plainspeech(*command)[0] == 9
    status, told = plainspeech(*command)
    assert (status, "resuming" in told) == (0, False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "recordings"]


def test_too_little_is_one_line(plainspeech: Plainspeech, start: Path, tmp_path: Path) -> None:
    recordings = own_recordings(tmp_path / "recordings", tiny.TEXTS[: FEWEST - 1])
    status, told = plainspeech("adapt", recordings, "-o", tmp_path / "out", "--model", start)
    assert (status, len(told.splitlines())) == (1, 1)
    assert told.startswith("error: 7 recordings are too few to adapt a model: 8 are the least, ")
    assert [path.name for path in tmp_path.iterdir()] == ["recordings"]


def test_a_start_without_weights_is_refused(
    plainspeech: Plainspeech, tone_bundle: Path, tmp_path: Path
) -> None:
    recordings = own_recordings(tmp_path / "recordings")
    status, told = plainspeech("adapt", recordings, "-o", tmp_path / "out", "--model", tone_bundle)
    assert status == 1
    assert "the bundle has no weights to train from" in told
    assert [path.name for path in tmp_path.iterdir()] == ["recordings"]


def test_a_device_that_is_not_there_is_said_before_recordings_are_read(
    plainspeech: Plainspeech, start: Path, tmp_path: Path
) -> None:
    arguments = tmp_path / "none", "-o", tmp_path / "out", "--model", start, "--device", "gpu"
    status, told = plainspeech("adapt", *arguments)
    assert (status, told.startswith("error: --device gpu cannot be used: ")) == (1, True)


def test_an_output_that_is_something_else_is_refused_at_once(
    plainspeech: Plainspeech, start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recordings = own_recordings(tmp_path / "recordings")
    status, told = plainspeech("adapt", recordings, "-o", recordings, "--model", start)
    assert (status, "is not a model bundle; choose another folder" in told) == (1, True)
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    status, told = plainspeech("adapt", recordings, "-o", ".", "--model", start)
    assert (status, "is the working directory" in told) == (1, True)


def test_a_recording_that_is_too_long_is_left_out(
    plainspeech: Plainspeech, start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adaptation, "LONGEST", 1.5)
    recordings = own_recordings(tmp_path / "recordings")
    status, told = plainspeech("adapt", recordings, "-o", tmp_path / "out", "--model", start)
    assert status == 0
    assert "left out: " in told
    assert "more than 2: cut it" in told


NAMES = st.lists(st.text("ab/é1", min_size=1), min_size=FEWEST, max_size=60, unique=True)


@given(NAMES, st.randoms())
def test_a_split_is_by_name_and_loses_nothing(names: list[str], random: Any) -> None:
    utterances = [Utterance(name, Path(name), "a", 1.0) for name in names]
    train, dev = split(utterances)
    assert sorted(u.id for u in [*train, *dev]) == sorted(names)
    assert len(dev) == max(3, round(len(names) / 5))
    random.shuffle(utterances)
    assert split(utterances) == (train, dev)


def test_a_split_of_too_few_is_refused() -> None:
    with pytest.raises(DataError, match="too few"):
        split([Utterance(str(index), Path(), "a", 1.0) for index in range(FEWEST - 1)])


def test_weights_decay_towards_the_start(start: Path, tmp_path: Path) -> None:
    write_corpus(tmp_path)
    moved = {}
    for decay in ("0.0", "100.0"):
        recipe = write_recipe(tmp_path)
        text = recipe.read_text().replace("preset", f'initial = "{start}"\npreset', 1)
        recipe.write_text(f"{text}\nstart_decay = {decay}\n")
        trainer = trainer_of(recipe, tmp_path / decay)
        begun = [weight.detach().clone() for weight in trainer.state.model.parameters()]
        trainer.fit(ignore, ignore)
        ended = trainer.state.model.parameters()
        moved[decay] = sum(
            float((b - e.detach()).norm()) for b, e in zip(begun, ended, strict=True)
        )
    assert 0 < moved["100.0"] < 0.6 * moved["0.0"]


def test_a_decay_towards_nothing_is_refused(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path)
    recipe.write_text(f"{recipe.read_text()}\nstart_decay = 1.0\n")
    with pytest.raises(PlainspeechError, match="start_decay needs an initial model"):
        read_recipe(recipe)


def test_training_ends_when_dev_gets_no_better(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_corpus(tmp_path)
    recipe = write_recipe(tmp_path, epochs="9")
    recipe.write_text(f"{recipe.read_text()}\npatience = 2\n")
    monkeypatch.setattr(
        Trainer, "recognise_dev", lambda _: [Pair("u0", "", "a cab", "something else")]
    )
    rows: list[dict[str, float]] = []
    trainer = trainer_of(recipe, tmp_path / "run")
    trainer.fit(ignore, rows.append)
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    again = trainer_of(recipe, tmp_path / "run")
    assert again.resume()
    again.fit(ignore, rows.append)
    assert len(rows) == 3


def test_training_goes_on_while_fewer_characters_are_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_corpus(tmp_path)
    recipe = write_recipe(tmp_path, epochs="5")
    recipe.write_text(f"{recipe.read_text()}\npatience = 1\n")
    heard = iter(["xxxxx", "axxxx", "a xxx", "a cxx", "a cax"])
    monkeypatch.setattr(Trainer, "recognise_dev", lambda _: [Pair("u0", "", "a cab", next(heard))])
    rows: list[dict[str, float]] = []
    trainer_of(recipe, tmp_path / "run").fit(ignore, rows.append)
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4, 5]


def test_a_run_does_not_resume_from_another_start(start: Path, tmp_path: Path) -> None:
    write_corpus(tmp_path)
    recipe = write_recipe(tmp_path, epochs="1")
    text = recipe.read_text().replace("preset", f'initial = "{start}"\npreset', 1)
    recipe.write_text(text)
    trainer = trainer_of(recipe, tmp_path / "run")
    trainer.fit(ignore, ignore)
    assert trainer_of(recipe, tmp_path / "run").resume()
    # Another bundle of the same name, trained one epoch further.
    other = tmp_path / start.name
    export_bundle(tmp_path / "run" / BEST, other)
    recipe.write_text(text.replace(str(start), str(other)))
    with pytest.raises(PlainspeechError, match="begun with another initial model"):
        trainer_of(recipe, tmp_path / "run").resume()


def test_the_commands_of_the_guide_run(
    plainspeech: Plainspeech, start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("plainspeech.runtime.bundle.bundled_model_path", lambda: start)
    monkeypatch.chdir(tmp_path)
    own_recordings(tmp_path / "recordings")
    own_recordings(tmp_path / "test", ("a bed", "cage"))
    soundfile.write("new.wav", speak("a bed"), 16_000)
    blocks = re.findall(r"^```sh\n(.*?)^```", GUIDE.read_text(), re.DOTALL | re.MULTILINE)
    commands = [shlex.split(line) for block in blocks for line in block.splitlines()]
    assert commands.pop(0) == ["pip", "install", "-c", "constraints.txt", ".[train]"]
    assert len(commands) >= 6
    for name, *arguments in commands:
        assert name == "plainspeech"
        status, told = plainspeech(*arguments)
        assert status == 0, (arguments, told)
    assert json.loads((tmp_path / "mine" / "bundle.json").read_text())["card"]["name"] == "mine"
