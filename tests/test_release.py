"""What a release tells of itself: versions that agree, and a Dockerfile without faults."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def found(pattern: str, file: str) -> list[str]:
    """Return what the group of ``pattern`` matches in ``file``, in order."""
    return re.findall(pattern, (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE)


def test_the_versions_agree() -> None:
    (version,) = found(r'^version = "(.*)"$', "pyproject.toml")
    assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    assert found(r"^version: (.*)$", "CITATION.cff") == [version]
    unreleased, newest, *_ = found(r"^## \[(.*?)\]", "CHANGELOG.md")
    assert (unreleased, newest) == ("Unreleased", version)


def test_the_dates_agree() -> None:
    (cited,) = found(r'^date-released: "(.*)"$', "CITATION.cff")
    assert found(r"^## \[\d.*\] - (.*)$", "CHANGELOG.md")[0] == cited


@pytest.mark.skipif(shutil.which("hadolint") is None, reason="hadolint is not on the PATH")
def test_the_dockerfile_has_no_faults() -> None:
    lint = subprocess.run(
        ["hadolint", ROOT / "Dockerfile"], capture_output=True, text=True, check=False
    )
    assert (lint.returncode, lint.stdout) == (0, "")


def test_the_dockerfile_copies_what_is_there() -> None:
    copied = found(r"^COPY (?!--from)(\S+) ", "Dockerfile")
    assert copied
    assert [name for name in copied if not (ROOT / name).exists()] == []
