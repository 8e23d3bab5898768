"""Hooks of mkdocs (mkdocs.yml): pages from the project's top folder, and links out of docs/."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md")


def on_files(files: Files, *, config: Any) -> Files:
    """Add the pages that lie in the top folder of the project."""
    for name in PAGES:
        text = (ROOT / name).read_text(encoding="utf-8").replace("](docs/", "](")
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Point links to the top folder at its pages; of links to the source keep the text."""
    for name in PAGES:
        markdown = markdown.replace(f"](../{name}", f"]({name}")
    return re.sub(r"\[([^\]]*)\]\(\.\./src/[^)]*\)", r"\1", markdown)
