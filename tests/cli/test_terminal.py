from __future__ import annotations

import pytest
from rich.table import Table

from plainspeech.cli.terminal import stderr, stdout

NAMES = "http://[fe80::1]:8000 [/x] a[b]c :smile:"


def test_text_is_shown_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    """Rich would leave out [fe80::1], for it looks like a style, and fail at [/x]."""
    table = Table(NAMES, title=NAMES)
    table.add_row(NAMES)
    for console in (stderr(), stdout(width=100)):
        console.print(NAMES)
        console.print(table)
    for shown in capsys.readouterr():
        assert shown.count(NAMES) == 4


def test_a_quiet_console_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    stderr(quiet=True).print(NAMES)
    assert capsys.readouterr() == ("", "")
