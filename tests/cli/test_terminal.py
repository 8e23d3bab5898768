from __future__ import annotations

import io
import time

import pytest
from rich.console import Console
from rich.table import Table

from plainspeech.cli.terminal import ProgressLines, counted, progress, stderr, stdout, track

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


def test_a_line_tells_of_the_progress_once_a_minute(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    lines = ProgressLines(stderr())
    for now in (1.0, 59.0, 61.0, 62.0, 120.0, 122.0):
        lines.update(str(now).strip)
    assert capsys.readouterr().err == "61.0\n122.0\n"


@pytest.mark.parametrize("terminal", [True, False])
def test_bars_are_for_terminals_and_lines_for_what_is_none(
    terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("plainspeech.cli.terminal._SECONDS_BETWEEN_LINES", 0.0)
    console = Console(file=io.StringIO(), force_terminal=terminal, color_system=None)
    lines = ProgressLines(console)
    with progress(console, "loss {task.fields[loss]:.1f}", transient=False) as bars:
        bar = bars.add_task("training", total=8, loss=0.0)
        lines.update(lambda: "a line")
        bars.update(bar, completed=3, loss=2.5)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert ("3/8 loss 2.5" in shown, "a line\n" in shown) == (terminal, not terminal)


@pytest.mark.parametrize("terminal", [True, False])
def test_what_is_counted_is_a_bar_or_lines(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plainspeech.cli.terminal._SECONDS_BETWEEN_LINES", 0.0)
    console = Console(file=io.StringIO(), force_terminal=terminal, color_system=None)
    with counted(console, "reading", 8) as advance:
        advance(3)
        advance(4)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert ("7/8" in shown, "reading: 3 of 8\nreading: 7 of 8\n" in shown) == (
        terminal,
        not terminal,
    )


def test_recordings_are_counted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("plainspeech.cli.terminal._SECONDS_BETWEEN_LINES", 0.0)
    assert list(track(iter("ab"), 2)) == ["a", "b"]
    assert capsys.readouterr().err == "reading recordings: 1 of 2\nreading recordings: 2 of 2\n"
