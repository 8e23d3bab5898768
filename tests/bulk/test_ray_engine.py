"""The Ray engine, with real Ray on this machine, in processes of their own."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any

import fake_workers
import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st

import plainspeech
from plainspeech.bulk import ray_engine
from plainspeech.bulk.ray_engine import RayEngine, _Worker, grouped
from plainspeech.bulk.work import Item, Outcome
from plainspeech.errors import ConfigurationError
from plainspeech.runtime.recognizer import load_model
from plainspeech.writers import render

SAMPLES = sorted((Path(__file__).parents[2] / "samples").glob("*.flac"))
PATHS = [str(Path(plainspeech.__file__).parents[1]), str(Path(__file__).parent)]

PROGRAM = """
import dying_transcriber
from plainspeech.bulk import transcription
from plainspeech.cli import main
transcription.Transcriber = dying_transcriber.DyingTranscriber
main()
"""


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")
def test_rows_are_those_of_one_process_though_a_worker_was_killed(tmp_path: Path) -> None:
    """One test of it all, for to start Ray takes long."""
    clips, out, attempts = (tmp_path / name for name in ("clips", "out", "attempts"))
    clips.mkdir()
    attempts.mkdir()
    for name in ("0", "1", "2", "die-1-3", "4", "5"):
        shutil.copy(SAMPLES[int(name[-1]) % 4], clips / f"{name}.flac")
    (clips / "broken.wav").write_bytes(b"not audio")
    # Not below the test's folder, whose path is too long for Ray's sockets.
    with tempfile.TemporaryDirectory() as temporary:
        verb = ["transcribe-many", str(clips), "-o", str(out), "--engine", "ray", "--workers", "2"]
        ran = subprocess.run(
            [sys.executable, "-c", PROGRAM, *verb, "--decoder", "greedy"],
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(PATHS),
                "ATTEMPTS": str(attempts),
                "TMPDIR": temporary,
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 1, ran.stderr
        assert "6 of 7 transcribed" in ran.stderr
        assert list(Path(temporary).glob("ray-*")) == []
    assert (attempts / "die-1-3.flac").stat().st_size == 2
    assert "broken.wav: is not audio" in (out / "failed.jsonl").read_text()
    lines = [line for part in out.glob("jsonl/*") for line in part.read_text().splitlines()]
    found: dict[str, dict[str, Any]] = {row["id"]: row for row in map(json.loads, lines)}
    assert len(lines) == len(found) == 6
    single = load_model(threads=1, decoder="greedy")
    for row in found.values():
        values = {key: row[key] for key in ("text", "duration", "confidence", "segments")}
        written = json.dumps(values, ensure_ascii=False, indent=1) + "\n"
        assert written == render(single.transcribe(row["audio"]), "json")


def engine_of(passes: list[set[str]], monkeypatch: pytest.MonkeyPatch) -> RayEngine:
    """Return an engine without Ray, each of whose passes gives what is listed for it."""

    def run(_: object, groups: Sequence[Sequence[Item]], __: int) -> Iterator[Outcome]:
        given = passes.pop(0)
        for item in chain.from_iterable(groups):
            if item.id in given:
                yield Outcome(item.id, item.audio, "{}")

    monkeypatch.setattr(ray_engine, "_cluster", lambda _: nullcontext(2))
    monkeypatch.setattr(RayEngine, "_pass", run)
    return RayEngine(fake_workers.no_model)


ITEMS = [Item(name, f"/{name}.wav", 1.0) for name in "abcde"]


def test_what_no_pass_gives_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = engine_of([{"a", "b"}, {"d"}, {"c"}], monkeypatch)
    outcomes = {each.id: each for each in engine.run(ITEMS)}
    assert [each.id for each in outcomes.values()] == list("abdce")
    assert outcomes["e"].row is None
    assert outcomes["e"].error == "/e.wav: its worker died at each of 3 attempts"


def test_a_pass_that_gives_nothing_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="--workers: all died, and not one of 5"):
        list(engine_of([set()], monkeypatch).run(ITEMS))


def test_nothing_to_do_starts_no_cluster() -> None:
    assert list(RayEngine(fake_workers.no_model).run([])) == []


def test_a_model_that_cannot_be_loaded_comes_back_as_its_error() -> None:
    group = json.dumps([asdict(Item("a", "/a.wav", 1.0))])
    found = _Worker(fake_workers.no_model)(pyarrow.table({"group": [group]}))
    assert json.loads(found["outcomes"][0].as_py()) == "no such model"


@given(st.lists(st.floats(0, 100) | st.just(float("nan"))), st.integers(1, 4), st.integers(1, 5))
def test_groups_have_every_item_in_order(sizes: list[float], workers: int, largest: int) -> None:
    items = [Item(str(n), f"/{n}", size) for n, size in enumerate(sizes)]
    groups = grouped(items, workers, largest)
    assert [item for group in groups for item in group] == items
    assert all(1 <= len(group) <= largest for group in groups)


def test_a_long_recording_is_a_group_of_its_own() -> None:
    items = [Item("hour", "/h", 3600.0), *(Item(str(n), f"/{n}", 6.0) for n in range(100))]
    groups = grouped(items, workers=2, largest=16)
    assert [len(group) for group in groups] == [1, 16, 16, 16, 16, 16, 16, 4]
