"""Machine code on disk: what is damaged, foreign or another's is compiled again."""

from __future__ import annotations

import hashlib
import os
import pickle
import random
import subprocess
import sys
from pathlib import Path

import pytest

import plainspeech
from plainspeech.compiling.dispatchers import _VerifiedFiles
from plainspeech.compiling.kept_code import COMPILED as FOLDERS
from programs import KeptScript

PROGRAM = """
import sys
from plainspeech.compiling.lazy import compiled

@compiled()
def add(left, right):
    return left + right

sum_ = add(1, 2)
stats = add.stats
print(sum_, sum(stats.cache_hits.values()), sum(stats.cache_misses.values()))
"""
COMPILED, LOADED = "3 0 1", "3 1 0"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The user's cache, where the folder of the script cannot be trusted."""
    return tmp_path / "home"


@pytest.fixture
def script(tmp_path: Path, home: Path) -> KeptScript:
    path = tmp_path / "script.py"
    path.write_text(PROGRAM)
    variables = {"XDG_CACHE_HOME": str(home), "NUMBA_CACHE_DIR": None}
    return KeptScript(path, tmp_path / "__pycache__", "nbc", variables)


def test_machine_code_is_kept(script: KeptScript, home: Path) -> None:
    assert script.run() == COMPILED
    assert script.run() == LOADED
    assert script.file.stat().st_mode & 0o077 == 0
    assert not home.exists()


def test_damaged_files_are_compiled_again(script: KeptScript) -> None:
    script.run()
    whole, draw = script.file.read_bytes(), random.Random(0)
    flipped = bytearray(whole)
    flipped[draw.randrange(len(whole))] ^= 1
    for damaged in (b"", whole[: len(whole) // 2], bytes(flipped), whole + b"x", b"\x80\x04."):
        script.file.write_bytes(damaged)
        assert script.run() == COMPILED
        assert script.run() == LOADED


def test_what_is_kept_and_what_is_compiled_call_each_other(script: KeptScript) -> None:
    """The compiler comes after machine code of functions that it did not compile."""
    text = script.path.read_text().replace("sum_ =", "plus = add\n\nsum_ =")
    script.path.write_text(text)
    assert script.run() == COMPILED
    more = "\n@compiled()\ndef twice(number):\n    return plus(number, number)\n\nprint(twice(2))\n"
    script.path.write_text(text + more)
    assert script.run() == f"{LOADED}\n4"
    script.path.write_text(text + more.replace("twice(2)", "twice(2.0)"))
    assert script.run().endswith("4.0")


def test_an_edit_of_any_compiled_function_is_noticed() -> None:
    package = Path(plainspeech.__file__).parent
    uses = "plainspeech.decoding.kernels.jit import", "plainspeech.compiling.lazy import compiled"
    for file in package.rglob("*.py"):
        if any(use in file.read_text(encoding="utf-8") for use in uses):
            assert file.parent.relative_to(package).as_posix() in FOLDERS


def test_every_flipped_bit_is_found(tmp_path: Path) -> None:
    files, draw = _VerifiedFiles(tmp_path, "function"), random.Random(0)
    files.save("key", list(range(100)))
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    assert files.load("key") == list(range(100))
    assert files.load("other") is None
    for _ in range(500):
        damaged = bytearray(whole)
        damaged[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
        path.write_bytes(damaged)
        assert files.load("key") is None


@pytest.mark.skipif(os.name == "nt", reason="nothing is removed where there are no locks")
def test_what_a_killed_run_left_is_removed_by_the_next(tmp_path: Path) -> None:
    program = """
import os, signal, sys
from pathlib import Path
from plainspeech.compiling.dispatchers import _VerifiedFiles

def die(event, arguments):
    if event == "os.rename":
        os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(die)
_VerifiedFiles(Path(sys.argv[1]), "function").save("key", 1)
"""
    source = str(Path(plainspeech.__file__).parents[1])
    killed = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": source},
        check=False,
    )
    assert killed.returncode < 0
    assert len(list(tmp_path.iterdir())) == 1
    files = _VerifiedFiles(tmp_path, "function")
    files.save("key", 2)
    assert files.load("key") == 2
    assert len(list(tmp_path.iterdir())) == 1


def test_a_file_that_refers_to_what_is_no_more_is_compiled_again(script: KeptScript) -> None:
    script.run()
    content = pickle.dumps(KeptScript, protocol=0).replace(b"KeptScript", b"Removed")
    script.file.write_bytes(hashlib.sha256(content).digest() + content)
    assert script.run() == COMPILED


def test_numbas_own_files_are_not_read(script: KeptScript) -> None:
    script.run()
    name = script.file.name.split(".py3")[0]
    version = f"py3{sys.version_info.minor}"
    index = script.folder / f"{name}.{version}.nbi"
    index.write_bytes(b"\x80")
    assert script.run() == LOADED
    script.file.unlink()
    assert script.run() == COMPILED
    assert not index.exists()  # superseded


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="has no owners of files")
def test_what_others_can_write_is_not_used(script: KeptScript, home: Path) -> None:
    script.run()
    script.file.chmod(0o666)
    assert script.run() == COMPILED
    assert script.file.stat().st_mode & 0o077 == 0
    script.folder.chmod(0o777)
    before = script.file.read_bytes()
    script.file.write_bytes(b"of another user")
    assert script.run() == COMPILED
    assert script.run() == LOADED  # from the user's own folder
    assert script.file.read_bytes() == b"of another user" != before
    (kept,) = home.rglob("*.nbc")
    assert kept.parent.stat().st_mode & 0o077 == 0
