from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plainspeech.bulk.items import find_items, planned
from plainspeech.bulk.work import Item
from plainspeech.errors import DataError


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x" * len(name))


def test_the_ids_of_a_folder_are_paths_in_it(tmp_path: Path) -> None:
    write(tmp_path, "b.wav", "a/b.FLAC", "a/b.wav", "a/b.txt", "a/.hidden.wav", "readme")
    found = find_items(str(tmp_path))
    assert [(item.id, item.size) for item in found.items] == [
        ("a/b.FLAC", 8),
        ("a/b.wav", 7),
        ("b.wav", 5),
    ]
    assert all(item.audio == str(tmp_path / item.id) for item in found.items)
    assert found.skipped == 2


def test_a_folder_that_cannot_be_read_is_said(
    tmp_path: Path, private: Callable[[Path], str]
) -> None:
    write(tmp_path, "b.wav")
    said = private(tmp_path / "private")
    found = find_items(str(tmp_path))
    assert ([item.id for item in found.items], found.problems) == (["b.wav"], [said])


def test_a_link_that_leads_nowhere_is_left_to_who_reads_it(tmp_path: Path) -> None:
    write(tmp_path, "b.wav")
    (tmp_path / "lost.wav").symlink_to("nowhere.wav")
    found = find_items(str(tmp_path)).items
    assert [(item.id, item.size > 0) for item in found] == [("b.wav", True), ("lost.wav", False)]


def manifest(folder: Path, *records: object) -> str:
    file = folder / "m.jsonl"
    file.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(file)


def test_a_manifest_needs_no_texts(tmp_path: Path) -> None:
    write(tmp_path, "clips/a.wav")
    records = [{"audio": "clips/a.wav"}, {"id": "b", "audio_filepath": "/b.wav", "text": ""}]
    found = find_items(manifest(tmp_path, *records)).items
    assert [(item.id, item.audio) for item in found] == [
        ("clips/a", str(tmp_path / "clips/a.wav")),
        ("b", "/b.wav"),
    ]
    assert found[0].size == 11  # bytes
    assert math.isnan(found[1].size)


def test_durations_are_sizes_where_all_are_known(tmp_path: Path) -> None:
    records = [{"id": "a", "audio": "a", "duration": 2}, {"id": "b", "audio": "b", "duration": 3.5}]
    assert [item.size for item in find_items(manifest(tmp_path, *records)).items] == [2.0, 3.5]


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([], "the manifest has no utterance"),
        ([{"id": "a"}], "line 1: the key 'audio' is missing"),
        ([{"id": 3, "audio": "a"}], "line 1: the key 'id' is missing or not a string"),
        (
            [{"id": "a", "audio": "x"}, {"id": "b", "audio": "x"}, {"id": "a", "audio": "y"}],
            "line 3: the id 'a' is that of .*m.jsonl, line 1, too",
        ),
        ([{"id": "a", "audio": "a", "offset": 3}], "line 1: a recording from its 'offset' on"),
    ],
)
def test_what_cannot_be_done_is_one_error(
    tmp_path: Path, records: list[object], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        find_items(manifest(tmp_path, *records))


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names of files are Unicode")
def test_what_is_not_utf_8_in_a_name_is_escaped_in_its_id(tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff.wav")
    write(tmp_path, name)
    [item] = find_items(str(tmp_path)).items
    assert (item.id, item.audio) == (r"\udcff.wav", str(tmp_path / name))
    [item] = find_items(manifest(tmp_path, {"id": "\udcff", "audio": name})).items
    assert (item.id, item.audio) == (r"\udcff", str(tmp_path / name))


def test_a_recording_is_no_manifest(tmp_path: Path) -> None:
    write(tmp_path, "a.WAV")
    with pytest.raises(DataError, match="is a recording; name its folder"):
        find_items(str(tmp_path / "a.WAV"))


def test_a_folder_without_recordings_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, "a.txt")
    with pytest.raises(DataError, match=r"has no recording; by their extensions these count: .3g2"):
        find_items(str(tmp_path))


def test_a_missing_manifest_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no such manifest"):
        find_items(str(tmp_path / "m.jsonl"))


sizes = st.lists(st.one_of(st.just(math.nan), st.floats(0, 1e6)), max_size=20)


@given(sizes, st.integers(1, 5))
def test_a_plan_has_every_item_once_and_the_long_ones_first(
    sizes: list[float], workers: int
) -> None:
    items = [Item(str(n), f"/{n}", size) for n, size in enumerate(sizes)]
    plan = list(planned(items, workers))
    assert sorted((int(item.id), item.audio) for item in plan) == [
        (n, f"/{n}") for n in range(len(sizes))
    ]
    if not any(map(math.isnan, sizes)):
        assert [item.size for item in plan] == sorted(sizes, reverse=True)
    for place, item in enumerate(plan):
        left = [1.0 if any(map(math.isnan, sizes)) else other.size for other in plan[place:]]
        assert item.threads in (1, workers)
        if left[0] > 1.000001 * sum(left) / workers:
            assert item.threads == workers
        if left[0] < 0.999999 * sum(left) / workers:
            assert item.threads == 1


def test_a_long_recording_has_all_threads_where_the_others_are_few() -> None:
    hour, clips = Item("hour", "/h", 3600.0), [Item(str(n), f"/{n}", 6.0) for n in range(100)]
    assert [item.threads for item in planned([*clips, hour], 2)] == [2, *[1] * 99, 2]
    many = [Item(str(n), f"/{n}", 6.0) for n in range(1000)]
    assert next(planned([*many, hour], 2)) == hour
