"""The documentation as a site: it builds without a warning, and loads nothing from elsewhere."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import plainspeech

ROOT = Path(__file__).resolve().parents[1]
LOADED = re.compile(r"<(?:script|img|link|iframe|source)\b[^>]*\b(?:src|href)=\"?([^\s\">]+)")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        # Not --quiet, which hides warnings from --strict, too.
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    return folder


def test_every_page_is_there(site: Path) -> None:
    pages = {*(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "decisions").glob("*.md")}
    assert not [page for page in pages if not (site / _html(page)).is_file()]


def test_the_reference_has_every_public_method(site: Path) -> None:
    """mkdocstrings leaves out, without a warning, what its filters do not let through."""
    shown = set(
        re.findall(r'id="plainspeech\.([\w.]+)"', (site / "reference.html").read_text("utf-8"))
    )
    for name in set(plainspeech.__all__) - {"__version__"}:
        value = getattr(plainspeech, name)
        own = vars(value) if inspect.isclass(value) else ()
        methods = [m for m in own if m[0] != "_" and inspect.isroutine(getattr(value, m))]
        assert {name, *(f"{name}.{method}" for method in methods)} <= shown


def test_nothing_is_loaded_from_other_hosts(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    loaded = {name for page in pages for name in LOADED.findall(page.read_text(encoding="utf-8"))}
    assert len(loaded) > 5
    assert not [name for name in loaded if re.match(r"(?:\w+:)?//", name)]
    styles = "".join(file.read_text(encoding="utf-8") for file in site.rglob("*.css"))
    assert not re.search(r"(?:url\(|@import )[\"']?(?:https?:)?//", styles)


def _html(page: Path) -> Path:
    return page.relative_to(ROOT / "docs").with_suffix(".html")
