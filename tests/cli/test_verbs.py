"""The list of verbs is what they say themselves, and is printed without them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from plainspeech import cli


@pytest.mark.parametrize("name", cli._VERBS)
def test_the_list_says_what_the_verb_does(name: str) -> None:
    verb = cli._verb(name)
    assert (verb.help or "").split("\n\n")[0].replace("\n", " ") == cli._VERBS[name]


def test_help_imports_no_verb() -> None:
    code = (
        "import sys; sys.argv = ['plainspeech', '--help']\n"
        "from plainspeech.cli import main\n"
        "try: main()\n"
        "finally: print([m for m in sys.modules if m.startswith('plainspeech.cli.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("['plainspeech.cli.interruption']\n")
    assert all(f" {name} " in done.stdout for name in cli._VERBS)


def test_only_the_program_itself_installs_completion() -> None:
    for verb, there in (([], True), (["data"], False), (["export"], False)):
        found = CliRunner().invoke(cli.app, [*verb, "--help"])
        assert found.exit_code == 0
        assert ("--install-completion" in found.stdout) == there


def test_a_verb_that_does_not_exist_is_told_the_nearest() -> None:
    found = CliRunner().invoke(cli.app, ["transcibe"])
    assert found.exit_code == 2
    assert "'transcribe'" in found.output


@pytest.mark.parametrize("chosen", [None, "3"])
def test_threads_of_linear_algebra_wait_for_no_work(
    monkeypatch: pytest.MonkeyPatch, chosen: str | None
) -> None:
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", chosen or "")
    if chosen is None:
        monkeypatch.delenv("OPENBLAS_NUM_THREADS")
    monkeypatch.setattr(cli, "app", lambda: None)
    cli.main()
    assert os.environ["OPENBLAS_NUM_THREADS"] == (chosen or "1")


@pytest.mark.parametrize(
    "arguments",
    [
        ["evaluate", "TEXT", "TEXT", "--json", "OUTPUT"],
        ["evaluate", "TEXT", "TEXT", "--sclite", "OUTPUT"],
        ["report", "TEXT", "-o", "OUTPUT"],
        ["data", "prepare", "TEXT", "-o", "OUTPUT"],
        ["data", "label", "TEXT", "-o", "OUTPUT"],
        ["lm", "build", "TEXT", "-o", "OUTPUT"],
        ["lm", "build", "TEXT", "-o", "scorer", "--arpa", "OUTPUT"],
        ["lm", "train", "bundled", "TEXT", "-o", "OUTPUT"],
    ],
    ids=" ".join,
)
def test_where_nothing_can_be_written_nothing_is_computed(
    arguments: list[str], tmp_path: Path, plainspeech: Callable[..., tuple[int, str]]
) -> None:
    """An input that is none would be found to be, later."""
    (tmp_path / "text").write_bytes(b"\xff")
    places = {
        "TEXT": tmp_path / "text",
        "OUTPUT": tmp_path / "text" / "output",
        "scorer": tmp_path / "scorer",
    }
    status, errors = plainspeech(*(places.get(each, each) for each in arguments))
    assert (status, errors.count("\n")) == (1, 1)
    assert "output" in errors
    assert errors.endswith("cannot be written: Not a directory\n")
