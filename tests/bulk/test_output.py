"""The output has every id once, wherever a run ended."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plainspeech.bulk import output as module
from plainspeech.bulk import tables
from plainspeech.bulk.output import Output, opened
from plainspeech.bulk.work import Outcome
from plainspeech.errors import ConfigurationError, DataError
from plainspeech.files import write_atomically

IDENTITY = {"model": "m 1", "hot_words": {"a": 1.0}}
WORD = {"text": "ö", "start": 0.1, "end": 0.2, "confidence": 0.5}
SEGMENT = {"start": 0.1, "end": 0.2, "text": "ö", "confidence": 0.5, "words": [WORD]}


def outcome(name: str, failed: bool = False) -> Outcome:
    audio = f"/{name}.wav"
    if failed:
        return Outcome(name, audio, error="broken")
    row = {"id": name, "audio": audio, "model": "m 1", "text": "ö", "duration": 1.0}
    row |= {"confidence": 0.5, "segments": [SEGMENT]}
    return Outcome(name, audio, json.dumps(row, ensure_ascii=False), seconds=1.0)


def rows(folder: Path) -> list[dict[str, Any]]:
    parts = sorted((folder / "jsonl").glob("*.jsonl"))
    return [json.loads(line) for part in parts for line in part.read_text().splitlines()]


def parquet_rows(folder: Path) -> list[dict[str, Any]]:
    parts = sorted((folder / "parquet").glob("*.parquet"))
    return [row for part in parts for row in pyarrow.parquet.read_table(part).to_pylist()]


def failed(folder: Path) -> list[dict[str, Any]]:
    file = folder / "failed.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def test_rows_are_json_lines_and_parquet(tmp_path: Path) -> None:
    with opened(tmp_path / "out", IDENTITY) as output:
        for name in ("a", "b"):
            output.add(outcome(name))
        output.add(outcome("c", failed=True))
    assert [row["id"] for row in rows(tmp_path / "out")] == ["a", "b"]
    segment = {**SEGMENT, "channel": None}
    assert parquet_rows(tmp_path / "out") == [
        {**row, "segments": [segment]} for row in rows(tmp_path / "out")
    ]
    assert failed(tmp_path / "out") == [{"id": "c", "audio": "/c.wav", "error": "broken"}]


def test_a_second_run_knows_what_is_done_and_tries_again_what_failed(tmp_path: Path) -> None:
    for names in ("ab", "cd"):
        with opened(tmp_path, IDENTITY) as output:
            for name in names:
                output.add(outcome(name))
            output.add(outcome("z", failed=True))
    with opened(tmp_path, IDENTITY) as output:
        assert output.done == {name: f"/{name}.wav" for name in "abcd"}
    assert failed(tmp_path) == []


def test_parts_are_written_by_rows_bytes_and_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def parts(folder: str, **limits: float) -> int:
        with monkeypatch.context() as patch, opened(tmp_path / folder, IDENTITY) as output:
            for name, value in limits.items():
                patch.setattr(module, name, value)
            for number in range(6):
                output.add(outcome(str(number)))
        return len(list((tmp_path / folder / "jsonl").iterdir()))

    assert parts("usual") == 1
    assert parts("rows", _PART_ROWS=2) == 3
    assert parts("bytes", _PART_BYTES=1) == 6
    assert parts("time", _PART_SECONDS=0.0) == 6


def test_what_was_done_is_written_when_a_run_fails(tmp_path: Path) -> None:
    def run() -> None:
        with opened(tmp_path, IDENTITY) as output:
            output.add(outcome("a"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()
    assert [row["id"] for row in parquet_rows(tmp_path)] == ["a"]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"model": "m 2"}, 'with other settings: model is "m 1" there, not "m 2"; choose another'),
        ({"hot_words": {}}, 'other settings: hot words is {"a": 1.0} there, not {}'),
    ],
)
def test_other_settings_are_refused(tmp_path: Path, other: dict[str, Any], message: str) -> None:
    with opened(tmp_path, IDENTITY) as output:
        output.add(outcome("a"))
    with pytest.raises(ConfigurationError) as caught, opened(tmp_path, {**IDENTITY, **other}):
        pass
    assert message in str(caught.value)


def test_two_runs_at_once_are_refused(tmp_path: Path) -> None:
    with (
        opened(tmp_path, IDENTITY),
        pytest.raises(ConfigurationError, match="another run is writing there"),
        opened(tmp_path, IDENTITY),
    ):
        pass
    with opened(tmp_path, IDENTITY):
        pass


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("mine")
    with pytest.raises(ConfigurationError, match="is not empty"), opened(tmp_path, IDENTITY):
        pass
    (tmp_path / "file").write_text("mine")
    with (
        pytest.raises(ConfigurationError, match="file: is a file; --output must be a folder"),
        opened(tmp_path / "file", IDENTITY),
    ):
        pass


def test_damaged_files_are_one_error(tmp_path: Path) -> None:
    with opened(tmp_path, IDENTITY) as output:
        output.add(outcome("a"))
    part = tmp_path / "parquet" / "part-00000.parquet"
    part.write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"is damaged: .*; delete it"), opened(tmp_path, IDENTITY):
        pass
    part.unlink()
    with opened(tmp_path, IDENTITY) as output:
        assert output.done == {"a": "/a.wav"}
    (tmp_path / "job.json").write_text("[")
    with pytest.raises(DataError, match=r"job.json: cannot be read"), opened(tmp_path, IDENTITY):
        pass


@pytest.mark.parametrize("content", ["{", '{"id": 3}\n'])
def test_damaged_rows_without_their_parquet_are_one_error(tmp_path: Path, content: str) -> None:
    with opened(tmp_path, IDENTITY) as output:
        output.add(outcome("a"))
    (tmp_path / "parquet" / "part-00000.parquet").unlink()
    (tmp_path / "jsonl" / "part-00000.jsonl").write_text(content)
    with pytest.raises(DataError, match=r"jsonl: is damaged"), opened(tmp_path, IDENTITY):
        pass


class Killed(BaseException):
    """The process ends here."""


def dying(call: Callable[..., Any], at: list[int]) -> Callable[..., Any]:
    """Return ``call``, which dies before or after its work when its turn has come."""

    def called(*arguments: Any) -> Any:
        at[0] -= 1
        if at[0] == 0:
            raise Killed
        result = call(*arguments)
        at[0] -= 1
        if at[0] == 0:
            raise Killed
        return result

    return called


@settings(max_examples=25)
@given(st.integers(1, 12), st.integers(1, 4), st.lists(st.integers(1, 15), max_size=4), st.data())
def test_nothing_is_lost_or_doubled_wherever_runs_end(
    items: int, part_rows: int, ends: list[int], data: st.DataObject
) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        for end in [*ends, 0]:
            at = [end]
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(module, "_PART_ROWS", part_rows)
                patch.setattr(module, "write_atomically", dying(write_atomically, at))
                patch.setattr(tables, "write_parquet", dying(tables.write_parquet, at))
                try:
                    output = Output(folder)
                    output.resume()
                    left = {str(n) for n in range(items)} - output.done.keys()
                    for name in data.draw(st.permutations(sorted(left))):
                        output.add(outcome(name, failed=int(name) % 5 == 4))
                    output.commit()
                except Killed:
                    pass
        ids = [row["id"] for row in [*rows(folder), *failed(folder)]]
        assert sorted(ids, key=int) == [str(n) for n in range(items)]
        assert [row["id"] for row in parquet_rows(folder)] == [row["id"] for row in rows(folder)]
    finally:
        shutil.rmtree(folder)
