from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import plainspeech
from plainspeech import files
from plainspeech.files import (
    check_file,
    exclusive,
    files_below,
    replacing,
    replacing_folder,
    write_atomically,
)

SOURCE = Path(plainspeech.__file__).parents[1]


def permissions(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_written_and_its_folders_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file.txt"
    write_atomically(path, b"content")
    assert path.read_bytes() == b"content"
    assert names(path.parent) == ["file.txt"]


@pytest.fixture
def umask() -> Iterator[Callable[[int], int]]:
    """Sets the umask, for one test."""
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_a_new_file_has_the_permissions_that_the_umask_leaves(
    tmp_path: Path, umask: Callable[[int], int], mask: int, mode: int
) -> None:
    umask(mask)
    write_atomically(tmp_path / "file", b"content")
    assert permissions(tmp_path / "file") == mode


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o444])
def test_a_file_that_is_written_again_keeps_its_permissions(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "private.txt"
    path.touch()
    path.chmod(mode)
    with replacing(path) as temporary:
        temporary.write_bytes(b"content")
        assert permissions(temporary) == 0o600  # while it is written, nobody else can read it
    assert permissions(path) == mode


def test_until_the_block_ends_the_old_file_is_there(tmp_path: Path) -> None:
    path = tmp_path / "file.png"
    path.write_bytes(b"old")
    with replacing(path) as temporary:
        temporary.write_bytes(b"new")
        assert path.read_bytes() == b"old"
        assert (temporary.parent, temporary.suffix) == (path.parent, ".png")
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["file.png"]


@pytest.mark.parametrize("old", [b"old", None])
def test_a_link_stays_and_what_it_leads_to_is_written(tmp_path: Path, old: bytes | None) -> None:
    target, link = tmp_path / "there" / "file", tmp_path / "link"
    if old is not None:
        write_atomically(target, old)
    link.symlink_to(target)
    write_atomically(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    assert (names(tmp_path), names(target.parent)) == (["link", "there"], ["file"])


def test_whether_a_file_can_be_written_is_known_before(tmp_path: Path) -> None:
    write_atomically(tmp_path / "file", b"old")
    (tmp_path / "link").symlink_to(tmp_path / "there" / "file")
    for path in (tmp_path / "file", tmp_path / "new", tmp_path / "link", Path(os.devnull)):
        check_file(path)
    assert names(tmp_path) == ["file", "link", "there"]
    assert (tmp_path / "file").read_bytes() == b"old"
    for path, error in ((tmp_path, IsADirectoryError), (tmp_path / "file" / "a", OSError)):
        with pytest.raises(error):
            check_file(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_written_to_and_stays(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.json"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    with pytest.raises(FileNotFoundError), replacing(pipe) as temporary:
        temporary.unlink()
    write_atomically(pipe, b"content")
    assert os.read(reader, 100) == b"content"
    os.close(reader)
    assert pipe.is_fifo()
    assert names(tmp_path) == ["pipe.json"]


@pytest.mark.parametrize("fault", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("old", [b"old", None])
def test_a_block_that_raises_leaves_nothing(
    tmp_path: Path, fault: type[BaseException], old: bytes | None
) -> None:
    path = tmp_path / "file"
    if old is not None:
        path.write_bytes(old)

    def write_half() -> None:
        with replacing(path) as temporary:
            temporary.write_bytes(b"half of it")
            raise fault

    with pytest.raises(fault):
        write_half()
    assert names(tmp_path) == ([] if old is None else ["file"])
    assert old is None or path.read_bytes() == old


def test_a_block_that_removes_its_file_is_an_error_and_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(FileNotFoundError), replacing(path) as temporary:
        temporary.unlink()
    assert path.read_bytes() == b"old"


def test_a_reader_keeps_the_file_it_opened(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")
    with path.open("rb") as reader:
        write_atomically(path, b"new")
        assert reader.read() == b"old"
    assert path.read_bytes() == b"new"


def test_a_folder_is_locked_without_a_file_in_it(tmp_path: Path) -> None:
    with exclusive(tmp_path) as alone:
        assert alone
        with exclusive(tmp_path) as again:
            assert not again
        assert not [*tmp_path.iterdir()]
    with exclusive(tmp_path) as alone:
        assert alone


def test_names_as_long_as_they_may_be(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 251 + ".txt")
    write_atomically(path, b"content")
    assert path.read_bytes() == b"content"
    assert names(tmp_path) == [path.name]


@pytest.fixture(params=[True, False], ids=["exchange", "two renames"])
def exchange(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the system can exchange two folders."""
    if not request.param:
        monkeypatch.setattr(files, "_exchange_call", lambda: None)
    elif files._exchange_call() is None:
        pytest.skip("this system cannot exchange folders")
    return bool(request.param)


@pytest.mark.usefixtures("exchange")
def test_a_folder_takes_the_place_of_another(tmp_path: Path) -> None:
    path = tmp_path / "model"
    for content in (b"first", b"second"):
        with replacing_folder(path) as fresh:
            (fresh / "file").write_bytes(content)
            (fresh / f"only {content.decode()}").touch()
        assert (path / "file").read_bytes() == content
        assert names(path) == ["file", f"only {content.decode()}"]
        assert names(tmp_path) == ["model"]
        path.chmod(0o700)
    assert permissions(path) == 0o700


@pytest.mark.usefixtures("exchange")
def test_a_folder_that_is_not_finished_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "model"
    with replacing_folder(path) as fresh:
        (fresh / "file").write_bytes(b"old")

    def write_half() -> None:
        with replacing_folder(path) as fresh:
            (fresh / "file").write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert (path / "file").read_bytes() == b"old"
    assert names(tmp_path) == ["model"]


def test_what_others_are_writing_is_left_alone(tmp_path: Path) -> None:
    with replacing(tmp_path / "a") as one, replacing_folder(tmp_path / "b") as two:
        files._tidy_once.cache_clear()
        write_atomically(tmp_path / "c", b"content")
        assert one.exists()
        assert two.exists()
        one.write_bytes(b"a")
    assert names(tmp_path) == ["a", "b", "c"]


@pytest.mark.parametrize(
    "name", [".a.12345678.txt", ".partial", ".a.1234567g.partial", "a.partial"]
)
def test_files_of_other_names_are_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    write_atomically(tmp_path / "b", b"content")
    assert names(tmp_path) == sorted([name, "b"])


KILLED = """
import os, signal, sys
from pathlib import Path
from plainspeech import files

exchange, folder = sys.argv[1] == "exchange", Path(sys.argv[2])
if not exchange:
    files._exchange_call = lambda: None

def write(content):
    with files.replacing_folder(folder / "model") as fresh:
        files.write_atomically(fresh / "one", content)
        files.write_atomically(fresh / "two", content)
    files.write_atomically(folder / "file.txt", content)

def killed_at(number):
    count = 0
    def hook(event, _):
        nonlocal count
        if event.split(".")[0] in ("open", "os", "shutil", "fcntl", "ctypes"):
            count += 1
            if count == number:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)
    write(b"new")

def whole():
    one, two = ((folder / "model" / name).read_bytes() for name in ("one", "two"))
    assert one == two and one in (b"old", b"new"), (one, two)
    assert (folder / "file.txt").read_bytes() in (b"old", b"new")

write(b"old")
for number in range(1, 1000):
    files._tidy_once.cache_clear()
    child = os.fork()
    if child == 0:
        killed_at(number)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    if exchange:  # there is no moment without one
        whole()
    files._tidy_once.cache_clear()
    write(b"old")
    whole()
    assert sorted(os.listdir(folder)) == ["file.txt", "model"], os.listdir(folder)
    if status == 0:
        print(number)
        break
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills processes that it forks")
@pytest.mark.parametrize("way", ["exchange", "two renames"])
def test_a_run_that_is_killed_at_any_step_loses_nothing(tmp_path: Path, way: str) -> None:
    found = subprocess.run(
        [sys.executable, "-c", KILLED, way, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    assert int(found.stdout) > 20  # steps


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs locks on files")
def test_a_folder_that_a_killed_run_moved_aside_is_put_back(tmp_path: Path) -> None:
    leftover = tmp_path / ".model.12345678.partial"
    (leftover / "old").mkdir(parents=True)
    (leftover / "old" / "file").write_bytes(b"old")
    write_atomically(tmp_path / "another", b"content")
    assert (tmp_path / "model" / "file").read_bytes() == b"old"
    assert names(tmp_path) == ["another", "model"]


def test_files_are_found_behind_links_once_and_what_cannot_be_read_is_said(
    tmp_path: Path, private: Callable[[Path], str]
) -> None:
    top = tmp_path / "top"
    for path in (top / "b" / "x", top / "a", tmp_path / "elsewhere" / "z"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (top / "b" / "back").symlink_to(top)
    (top / "linked").symlink_to(tmp_path / "elsewhere")
    (top / "broken").symlink_to(tmp_path / "nothing")
    said = private(top / "private")
    found, problems = files_below(top)
    assert found == [top / "a", top / "b" / "x", top / "broken", top / "linked" / "z"]
    assert problems == [said]
