"""Machine code that needs no numba does what numba's does, and only what this user has written."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import plainspeech
from plainspeech.compiling.lazy import compiled
from plainspeech.compiling.machine_code import machine_code
from programs import KeptScript

pytestmark = pytest.mark.skipif(os.name == "nt", reason="takes numba there")

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
SOURCE = str(Path(plainspeech.__file__).parents[1])
RECORD = np.dtype([("small", "i4"), ("large", "f8")], align=True)


class Settings(NamedTuple):
    name: int
    ratio: float
    small: Any
    single: Any
    on: bool


@compiled(error_model="numpy", _nrt=False)
def _written(rows: Any, settings: Settings, ends: bool, records: Any, out: Any) -> int:
    total = 0.0
    for row in range(rows.shape[0]):
        for column in range(rows.shape[1]):
            total += rows[row, column] * (row + 1)
    for place in range(len(records)):
        records[place].large = records[place].small * settings.ratio
    out[0] = total
    out[1] = settings.ratio + settings.small + settings.single + settings.on
    out[2] = ends
    return settings.name - len(records)


@compiled(error_model="numpy", _nrt=False)
def _refuses(number: int) -> int:
    if number < 0:
        raise ValueError("negative")
    return number


@compiled()
def _allocates(number: int) -> int:
    return int(np.ones(number).sum())


@compiled(error_model="numpy", _nrt=False)
def _halved(number: int) -> float:
    return number / 2


def arguments(rows: int, columns: int, name: int, ratio: float, small: int, on: bool) -> Any:
    values = np.arange(rows * columns, dtype=np.float32).reshape(rows, columns)
    settings = Settings(name, ratio, np.int32(small), np.float32(ratio), on)
    records = np.zeros(columns, RECORD)
    records["small"] = np.arange(columns) - small
    return values, settings, on, records, np.zeros(3)


@given(
    st.integers(0, 4),
    st.integers(0, 4),
    st.integers(-(2**62), 2**62),
    st.floats(-1e3, 1e3),
    st.integers(-(2**20), 2**20),
    st.booleans(),
)
def test_arguments_arrive_as_numba_passes_them(
    rows: int, columns: int, name: int, ratio: float, small: int, on: bool
) -> None:
    mine, theirs = (arguments(rows, columns, name, ratio, small, on) for _ in range(2))
    native = machine_code(_written, *arguments(1, 1, 0, 0.0, 0, False))
    assert native(*mine) == _written(*theirs)
    np.testing.assert_array_equal(mine[3], theirs[3])
    np.testing.assert_array_equal(mine[4], theirs[4])


def test_an_error_of_compiled_code_is_an_error() -> None:
    native = machine_code(_refuses, 1)
    assert native(3) == 3
    with pytest.raises(RuntimeError, match="status 1"):
        native(-1)
    assert native(5) == 5


def test_what_needs_numba_takes_numba() -> None:
    assert machine_code(_allocates, 1)(7) == 7
    assert machine_code(_halved, 1)(7) == 3.5
    turned = np.zeros((2, 3), np.float32).T
    example = arguments(3, 2, 5, 1.0, 1, True)
    native = machine_code(_written, turned, *example[1:])
    assert native(example[0], *example[1:]) == 3


def test_threads_share_it() -> None:
    def call(count: int) -> int:
        given_ = arguments(2, 3, count, 1.0, 1, True)
        return machine_code(_written, *given_)(*given_)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(call, range(200))) == [count - 3 for count in range(200)]


PROGRAM = """
import sys
import numpy as np
from plainspeech.compiling.lazy import compiled
from plainspeech.compiling.machine_code import machine_code

@compiled(error_model="numpy", _nrt=False)
def total(numbers):
    found = 0
    for number in numbers:
        found += number
    return found

numbers = np.arange(5)
print(machine_code(total, numbers)(numbers), "numba" in sys.modules)
"""
COMPILED, LOADED = "10 True", "10 False"


@pytest.fixture
def script(tmp_path: Path) -> KeptScript:
    path, folder = tmp_path / "script.py", tmp_path / "kept"
    path.write_text(PROGRAM)
    return KeptScript(path, folder, "o", {"NUMBA_CACHE_DIR": str(folder)})


def test_it_is_kept_for_this_user(script: KeptScript) -> None:
    assert [script.run(), script.run()] == [COMPILED, LOADED]
    assert script.file.stat().st_mode & 0o077 == 0


def test_damaged_files_are_compiled_again(script: KeptScript) -> None:
    script.run()
    whole = script.file.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    for damaged in (whole[: len(whole) // 2], bytes(flipped)):
        script.file.write_bytes(damaged)
        assert script.run() == COMPILED
        assert script.file.read_bytes() == whole


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="has no owners of files")
def test_what_others_can_write_is_not_used(script: KeptScript) -> None:
    script.run()
    script.file.chmod(0o666)
    assert script.run() == COMPILED
    assert script.file.stat().st_mode & 0o077 == 0
    script.folder.chmod(0o777)
    before = script.file.read_bytes()
    assert script.run() == COMPILED
    assert script.file.read_bytes() == before


def test_options_of_numba_count(script: KeptScript) -> None:
    script.run()
    assert script.run(NUMBA_BOUNDSCHECK="1") == COMPILED


def test_where_nothing_can_be_kept_it_is_compiled(script: KeptScript) -> None:
    script.folder.write_text("is no folder")
    assert script.run() == COMPILED


def test_a_second_start_of_the_default_decoder_does_without_numba() -> None:
    program = f"""
import sys
import plainspeech
print(plainspeech.load_model().transcribe({str(SAMPLES / "2803-154328-0001.flac")!r}).text)
print("numba" in sys.modules)
"""
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONPATH": SOURCE},
            capture_output=True,
            text=True,
            check=True,
        )
    text, imported = done.stdout.splitlines()
    assert text.startswith("they had one night")
    assert imported == "False"
