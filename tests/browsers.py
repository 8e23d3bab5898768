"""Chromium without a window, and the page in it.

Chromium comes with Debian's package chromium; Playwright, which drives it, is in the dev extra.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = next((name for name in ("chromium", "google-chrome") if shutil.which(name)), None)
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="Chromium is not on the PATH: apt-get install chromium"
)

_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",  # which lets pages have the microphone
]
_PATIENCE = 120_000  # milliseconds, since machines that test may be busy


@contextmanager
def chromium(heard: Path | None = None) -> Iterator[Browser]:
    """Run Chromium until the block ends; its microphone hears the WAV file ``heard``, once."""
    microphone = [] if heard is None else [f"--use-file-for-fake-audio-capture={heard}%noloop"]
    assert CHROMIUM is not None
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which(CHROMIUM), args=[*_FLAGS, *microphone]
        )
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def visit(browser: Browser, url: str, **options: Any) -> Iterator[Page]:
    """Open the page in a new profile until the block ends; nothing may have gone wrong in it.

    Scripts that fail, what the policy forbids, and requests to elsewhere are wrong; answers that
    are errors are not.
    """
    wrong: list[str] = []
    with browser.new_context(permissions=["microphone"], **options) as context:
        page = context.new_page()
        page.set_default_timeout(_PATIENCE)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda line: wrong.append(line.text) if _is_wrong(line) else None)
        page.on("request", lambda r: None if _is_own(r.url, url) else wrong.append(r.url))
        page.goto(url)
        yield page
    assert wrong == []


def _is_wrong(line: Any) -> bool:
    return line.type == "error" and "Failed to load resource" not in line.text


def _is_own(address: str, url: str) -> bool:
    return address.removeprefix("blob:").startswith((url, url.replace("http", "ws"), "data:"))


def said(page: Page) -> str:
    """Return the transcript that the page shows, without times and channels."""
    words: list[str] = page.locator("#text p span:not(.time, .channel)").all_text_contents()
    return " ".join(words)


def wait_for(page: Page, selector: str, text: str) -> None:
    """Wait until ``selector`` shows ``text``."""
    page.locator(selector, has_text=text).wait_for()


def wait_until(page: Page, script: str, arg: Any = None) -> None:
    """Wait until ``script`` is true, asking again and again from here.

    Playwright's own waiting evaluates in the page where the first answer is no, which the page's
    policy forbids.
    """
    ends = time.monotonic() + _PATIENCE / 1000
    while not page.evaluate(script, arg):
        assert time.monotonic() < ends, script
        page.wait_for_timeout(20)
