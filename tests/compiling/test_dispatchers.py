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
from programs import output_of

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


class Scripts:
    """Runs a script whose function is cached beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.script = folder / "script.py"
        self.script.write_text(PROGRAM)
        self.cache = folder / "__pycache__"
        self.home = folder / "home"

    def run(self) -> str:
        return output_of(self.script, {"XDG_CACHE_HOME": str(self.home), "NUMBA_CACHE_DIR": None})

    @property
    def file(self) -> Path:
        (file,) = self.cache.glob("*.nbc")
        return file


@pytest.fixture
def scripts(tmp_path: Path) -> Scripts:
    return Scripts(tmp_path)


def test_machine_code_is_kept(scripts: Scripts) -> None:
    assert scripts.run() == COMPILED
    assert scripts.run() == LOADED
    assert scripts.file.stat().st_mode & 0o077 == 0
    assert not scripts.home.exists()


def test_damaged_files_are_compiled_again(scripts: Scripts) -> None:
    scripts.run()
    whole, draw = scripts.file.read_bytes(), random.Random(0)
    flipped = bytearray(whole)
    flipped[draw.randrange(len(whole))] ^= 1
    for damaged in (b"", whole[: len(whole) // 2], bytes(flipped), whole + b"x", b"\x80\x04."):
        scripts.file.write_bytes(damaged)
        assert scripts.run() == COMPILED
        assert scripts.run() == LOADED


def test_what_is_kept_and_what_is_compiled_call_each_other(scripts: Scripts) -> None:
    """The compiler comes after machine code of functions that it did not compile."""
    text = scripts.script.read_text().replace("sum_ =", "plus = add\n\nsum_ =")
    scripts.script.write_text(text)
    assert scripts.run() == COMPILED
    more = "\n@compiled()\ndef twice(number):\n    return plus(number, number)\n\nprint(twice(2))\n"
    scripts.script.write_text(text + more)
    assert scripts.run() == f"{LOADED}\n4"
    scripts.script.write_text(text + more.replace("twice(2)", "twice(2.0)"))
    assert scripts.run().endswith("4.0")


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


def test_a_file_that_refers_to_what_is_no_more_is_compiled_again(scripts: Scripts) -> None:
    scripts.run()
    content = pickle.dumps(Scripts, protocol=0).replace(b"Scripts", b"Removed")
    scripts.file.write_bytes(hashlib.sha256(content).digest() + content)
    assert scripts.run() == COMPILED


def test_numbas_own_files_are_not_read(scripts: Scripts) -> None:
    scripts.run()
    name = scripts.file.name.split(".py3")[0]
    version = f"py3{sys.version_info.minor}"
    index = scripts.cache / f"{name}.{version}.nbi"
    index.write_bytes(b"\x80")
    assert scripts.run() == LOADED
    scripts.file.unlink()
    assert scripts.run() == COMPILED
    assert not index.exists()  # superseded


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="has no owners of files")
def test_what_others_can_write_is_not_used(scripts: Scripts) -> None:
    scripts.run()
    scripts.file.chmod(0o666)
    assert scripts.run() == COMPILED
    assert scripts.file.stat().st_mode & 0o077 == 0
    scripts.cache.chmod(0o777)
    before = scripts.file.read_bytes()
    scripts.file.write_bytes(b"of another user")
    assert scripts.run() == COMPILED
    assert scripts.run() == LOADED  # from the user's own folder
    assert scripts.file.read_bytes() == b"of another user" != before
    (kept,) = scripts.home.rglob("*.nbc")
    assert kept.parent.stat().st_mode & 0o077 == 0
