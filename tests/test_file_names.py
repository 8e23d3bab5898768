"""Recordings whose names are not UTF-8, as old archives have them, go through every command.

Their bytes beyond UTF-8 are escaped in ids and titles (``\\udce4``), and kept in paths.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile

from conftest import Plainspeech
from plainspeech.arrays import Array
from plainspeech.data.manifest import read_manifest

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="other systems have no such file names"
)
NAME = os.fsdecode(b"b\xe4d")
ID = "b\\udce4d"


@pytest.fixture
def folder(tmp_path: Path, spoken: Callable[..., Array]) -> Path:
    """A folder of one recording with its text, both of that name."""
    folder = tmp_path / "recordings"
    folder.mkdir()
    soundfile.write(os.fsencode(folder / f"{NAME}.wav"), spoken("a bad cab"), 16_000, format="WAV")
    (folder / f"{NAME}.txt").write_text("a bad cab")
    return folder


def test_manifests(
    folder: Path, tmp_path: Path, tone_bundle: Path, plainspeech: Plainspeech
) -> None:
    prepared, checked, results = tmp_path / "m.jsonl", tmp_path / "checked", tmp_path / "r.json"
    assert plainspeech("data", "prepare", folder, "-o", prepared)[0] == 0
    [utterance] = read_manifest(prepared)
    assert (utterance.id, utterance.audio.resolve()) == (ID, folder / f"{NAME}.wav")
    assert plainspeech("data", "check", prepared, "-o", checked)[0] == 0
    assert [one.id for one in read_manifest(checked / "m.jsonl")] == [ID]
    assert plainspeech("evaluate", tone_bundle, prepared, "--json", results)[0] == 0
    assert json.loads(results.read_text())["utterances"][0]["id"] == ID
    page, sheet = tmp_path / f"{NAME}.html", tmp_path / "sheet.png"
    assert plainspeech("report", results, "-o", page)[0] == 0
    assert plainspeech("plot", "set", prepared, "-o", sheet, "--model", tone_bundle)[0] == 0
    labels = tmp_path / "labels.jsonl"
    assert plainspeech("data", "label", folder, "--model", tone_bundle, "-o", labels)[0] == 0
    assert [one.id for one in read_manifest(labels)] == [ID]


def test_a_manifest_of_another_program(folder: Path, plainspeech: Plainspeech) -> None:
    manifest = folder / "m.jsonl"
    manifest.write_text(json.dumps({"audio": f"{NAME}.wav", "text": "a bad cab"}))
    assert [one.id for one in read_manifest(manifest)] == [ID]
    assert plainspeech("data", "check", manifest)[0] == 0


def test_records_name_them(folder: Path, tmp_path: Path, plainspeech: Plainspeech) -> None:
    text, scorer = folder / f"{NAME}.txt", tmp_path / NAME
    assert plainspeech("lm", "build", text, "-o", scorer, "--prune", "0")[0] == 0
    record = json.loads((scorer / "scorer.json").read_text())
    assert record["source"]["texts"][0]["name"] == f"{ID}.txt"
    assert plainspeech("lm", "info", scorer)[0] == 0


def test_a_recipe_cannot_name_them(folder: Path, plainspeech: Plainspeech) -> None:
    manifest, recipe = folder / f"{NAME}.jsonl", folder / "own.toml"
    manifest.write_text(json.dumps({"audio": f"{NAME}.wav", "text": "a bad cab"}))
    status, said = plainspeech("init", recipe, "--train", manifest, "--dev", manifest)
    assert (status, "rename it" in said) == (1, True)


def test_many(folder: Path, tmp_path: Path, tone_bundle: Path, plainspeech: Plainspeech) -> None:
    (folder / f"{NAME}-broken.wav").write_bytes(b"no audio")
    out = tmp_path / "out"
    command = ("transcribe-many", folder, "-o", out, "--model", tone_bundle, "--workers", "1")
    assert plainspeech(*command)[0] == 1
    [row] = map(json.loads, (out / "jsonl" / "part-00000.jsonl").read_text().splitlines())
    assert (row["id"], row["audio"]) == (f"{ID}.wav", f"{folder}/{ID}.wav")
    assert json.loads((out / "failed.jsonl").read_text())["id"] == f"{ID}-broken.wav"
    status, said = plainspeech(*command)
    assert (status, "1 of 2 rows exist already" in said) == (1, True)


def test_one(folder: Path, tmp_path: Path, tone_bundle: Path, plainspeech: Plainspeech) -> None:
    wav, text, model = folder / f"{NAME}.wav", folder / f"{NAME}.txt", ("--model", tone_bundle)
    assert plainspeech("transcribe", wav, "-f", "srt,json", "-o", tmp_path / "out", *model)[0] == 0
    manifest = tmp_path / NAME / "cut.jsonl"
    status, said = plainspeech("align", wav, text, "--manifest", manifest, *model)
    assert status == 0, said
    assert [one.id for one in read_manifest(manifest)] == [f"{ID}-00001"]
    for figure in ("utterance", "alignment"):
        status, _ = plainspeech("plot", figure, wav, "-o", tmp_path / f"{NAME}.svg", *model)
        assert status == 0
