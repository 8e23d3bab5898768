from __future__ import annotations

import ast
import json
import os
import struct
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

import plainspeech
from plainspeech.errors import ModelError, PlainspeechError
from plainspeech.training.checkpoint import FORMAT, Checkpoint, Progress, load_weights

SOURCE = Path(plainspeech.__file__).parent


def example() -> Checkpoint:
    tensors = {
        "model.weight": torch.arange(6.0).reshape(2, 3).T,  # not contiguous
        "average.weight": torch.tensor([[0.1]], requires_grad=True),
        "optimiser.step.weight": torch.tensor(7.0),
        "optimiser.exp_avg.weight": torch.tensor([1e-30, -0.0]),
    }
    progress = Progress(2, 5, 17, 1.25, 2.5, 60.0, 0.1 + 0.2, 40, [{"epoch": 1, "dev_wer": 1 / 3}])
    return Checkpoint(tensors, progress, {"recipe": {"name": "München"}, "data": "12ab"})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "run" / "checkpoint.safetensors"
    example().save(path)
    return path


def test_what_was_saved_is_loaded_to_the_bit(path: Path) -> None:
    loaded, saved = Checkpoint.load(path), example()
    assert (loaded.progress, loaded.run) == (saved.progress, saved.run)
    assert loaded.tensors.keys() == saved.tensors.keys()
    for name, tensor in saved.tensors.items():
        assert loaded.tensors[name].shape == tensor.shape
        assert loaded.tensors[name].numpy().tobytes() == tensor.detach().numpy().tobytes()
        assert not loaded.tensors[name].requires_grad


def test_it_has_the_permissions_of_any_other_file(path: Path) -> None:
    (path.parent / "history.jsonl").write_text("")
    assert path.stat().st_mode == (path.parent / "history.jsonl").stat().st_mode


def test_a_kill_while_it_is_written_leaves_nothing_for_good(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    with subprocess.Popen([sys.executable, "-c", _WRITES, path], stdout=subprocess.PIPE) as writing:
        assert writing.stdout
        assert writing.stdout.readline()
        writing.kill()
    subprocess.run([sys.executable, "-c", _WRITES, path, "once"], check=True, capture_output=True)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


_WRITES = """
import sys
from pathlib import Path
import torch
from plainspeech.training.checkpoint import Checkpoint, Progress
checkpoint = Checkpoint({"model.x": torch.zeros(9_000_000)}, Progress(), {"recipe": {"name": "x"}})
checkpoint.save(Path(sys.argv[1]))
print("written", flush=True)
while len(sys.argv) == 2:
    checkpoint.save(Path(sys.argv[1]))
"""


def test_a_part_has_the_names_without_its_prefix(path: Path) -> None:
    assert Checkpoint.load(path).part("model").keys() == {"weight"}
    assert Checkpoint.load(path).part("optimiser").keys() == {"step.weight", "exp_avg.weight"}


def test_the_file_is_json_and_numbers(path: Path) -> None:
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    assert json.loads(header.pop("__metadata__")["plainspeech"])["format"] == FORMAT
    numbers = sum(tensor.numel() for tensor in example().tensors.values())
    assert len(content) == 8 + length + 4 * numbers
    assert {entry["dtype"] for entry in header.values()} == {"F32"}


def test_nothing_in_the_package_pickles() -> None:
    """But numba's machine code, in files that this user wrote and whose hash is checked first."""
    banned = {"pickle", "cPickle", "dill", "joblib", "shelve", "marshal", "cloudpickle"}
    for file in set(SOURCE.rglob("*.py")) - {SOURCE / "compiling" / "dispatchers.py"}:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                assert not banned & {alias.name.split(".")[0] for alias in node.names}, file
            elif isinstance(node, ast.ImportFrom):
                assert (node.module or "").split(".")[0] not in banned, file
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                assert (node.value.id, node.attr) not in {("torch", "load"), ("torch", "save")}, (
                    file
                )
            elif isinstance(node, ast.keyword):
                assert node.arg != "allow_pickle", file


def test_a_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(PlainspeechError, match=r"gone.safetensors: cannot read the checkpoint"):
        Checkpoint.load(tmp_path / "gone.safetensors")


def test_a_truncated_checkpoint_is_refused(path: Path) -> None:
    content = path.read_bytes()
    for length in (0, 4, 8, 100, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(PlainspeechError, match=r"cannot read the checkpoint|not a checkpoint"):
            Checkpoint.load(path)


@settings(max_examples=200)
@given(data=st.data())
def test_damage_raises_nothing_but_our_error(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.safetensors"
    example().save(path)
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    with suppress(PlainspeechError):  # what is damaged may be the value of a weight
        Checkpoint.load(path)


def test_what_is_no_checkpoint_is_refused(path: Path) -> None:
    def refused(says: str) -> None:
        with pytest.raises(PlainspeechError, match=says):
            Checkpoint.load(path)

    path.write_bytes(b"PK\x03\x04 a pickle in a zip, as torch.save writes it")
    refused("cannot read the checkpoint")
    save_file({"weight": torch.zeros(1)}, path)
    refused("not a checkpoint of plainspeech")
    for header in ("no json", "[1]", "{}", '{"format": 1, "progress": {"epok": 1}, "run": {}}'):
        save_file({"weight": torch.zeros(1)}, path, {"plainspeech": header})
        refused("not a checkpoint of plainspeech")


def test_another_format_is_refused(path: Path) -> None:
    save_file({"weight": torch.zeros(1)}, path, {"plainspeech": '{"format": 99}'})
    with pytest.raises(
        PlainspeechError, match=f"has the format 99, this plainspeech reads {FORMAT}"
    ):
        Checkpoint.load(path)


@pytest.mark.parametrize("fault", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_save_that_fails_leaves_the_old_one(
    path: Path, monkeypatch: pytest.MonkeyPatch, fault: BaseException
) -> None:
    before = path.read_bytes()

    def fail(target: Path, content: bytes) -> None:
        with target.open("wb") as file:
            file.write(content[: len(content) // 2])
        raise fault

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises((PlainspeechError, KeyboardInterrupt)) as caught:
        example().save(path)
    if isinstance(fault, OSError):
        assert "cannot write the checkpoint" in str(caught.value)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]  # noqa: PTH208


def test_a_folder_in_place_of_a_checkpoint_tells_what_to_name(path: Path) -> None:
    with pytest.raises(ModelError, match=r"run: .*: it is a folder; name a checkpoint in it, such"):
        Checkpoint.load(path.parent)
    with pytest.raises(ModelError, match=r"run: is the folder of a run; name a checkpoint in it"):
        load_weights(path.parent)
    with pytest.raises(ModelError, match=r"is not a model bundle: bundle.json is missing"):
        load_weights(path.parent.parent)


def test_the_end_of_an_epoch() -> None:
    progress = Progress(epoch=1, batch=9, step=20, loss_sum=3.0, symbols=5)
    progress.end_epoch()
    assert progress == Progress(epoch=2, step=20)


@pytest.mark.parametrize(
    "header",
    [
        {"run": {}},
        {"run": {"recipe": 3}},
        {"run": {"recipe": {"name": None}}},
        {"run": None},
        {"progress": {"epoch": "1"}},
        {"progress": {"step": 10**400}},
        {"progress": {"seconds": -1.0}},
        {"progress": {"history": 7}},
        {"progress": {"history": [3]}},
        {"progress": {"history": [{"dev_wer": "low"}]}},
    ],
)
def test_a_header_of_other_values_is_refused(path: Path, header: dict[str, Any]) -> None:
    saved = example()
    whole = {"format": FORMAT, "progress": {}, "run": saved.run, **header}
    save_file({"model.weight": torch.zeros(2)}, path, {"plainspeech": json.dumps(whole)})
    with pytest.raises(ModelError, match=r"not a checkpoint of plainspeech$"):
        Checkpoint.load(path)


def test_what_safetensors_says_is_shortened(path: Path) -> None:
    text = json.dumps({"x": {"dtype": "x" * 5000, "shape": [], "data_offsets": [0, 0]}}).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text)
    with pytest.raises(ModelError, match="cannot read the checkpoint") as error:
        Checkpoint.load(path)
    assert len(str(error.value)) < 500
