"""The commands of docs/audiobooks.md, in order, on the samples joined into two short chapters."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import soundfile

from conftest import Plainspeech
from plainspeech import audio
from plainspeech.data.manifest import read_manifest

ROOT = Path(__file__).resolve().parents[2]


def chapter(folder: Path, name: str, lines: list[dict[str, str]]) -> None:
    pause = np.zeros(audio.SAMPLE_RATE, np.float32)
    parts = [part for one in lines for part in (audio.read(ROOT / "samples" / one["audio"]), pause)]
    soundfile.write(folder / f"{name}.flac", np.concatenate(parts), audio.SAMPLE_RATE)
    text = "\n\n".join(f"{one['text'].capitalize()}." for one in lines)
    (folder / f"{name}.txt").write_text(text)


def test_the_commands_of_the_guide_run(
    plainspeech: Plainspeech, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("book").mkdir()
    rows = (ROOT / "samples" / "manifest.jsonl").read_text().splitlines()
    lines = [json.loads(row) for row in rows]
    chapter(Path("book"), "one", lines[:2])
    chapter(Path("book"), "two", lines[2:])
    guide = (ROOT / "docs" / "audiobooks.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```sh\n(.*?)^```", guide, re.DOTALL | re.MULTILINE)
    for command in block.splitlines():
        name, *arguments = shlex.split(command)
        assert name == "plainspeech"
        status, told = plainspeech(*arguments)
        assert status == 0, (arguments, told)
    parts = [read_manifest(Path("corpus", f"{name}.jsonl")) for name in ("train", "dev")]
    spoken = sorted(u.text for part in parts for u in part)
    assert spoken == sorted(line["text"] for line in lines)
    assert Path("book.toml").is_file()
