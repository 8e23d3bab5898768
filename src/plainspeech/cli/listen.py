"""``plainspeech listen``."""

from __future__ import annotations

import json
import math
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.live import Live
from rich.text import Text

from plainspeech.cli.audio_sources import AudioSource, Microphone, Playback, StandardInput
from plainspeech.cli.options import (
    DecoderOption,
    HotWordOption,
    HotWordsOption,
    LanguageModelOption,
    ModelOption,
    NumbersOption,
    load_recognizer,
    read_hot_words,
    wants_digits,
)
from plainspeech.cli.terminal import standard_input, stderr, stdout
from plainspeech.errors import ConfigurationError, nearest

if TYPE_CHECKING:
    from plainspeech.runtime.live import LiveTranscriber
    from plainspeech.runtime.live_core import FinalResult, LiveEvent, PartialResult


_FORMATS = ("txt", "json")
Show = Callable[["LiveEvent"], None]
"""Displays an event."""


class Latency:
    """Measures the wall-clock time from the end of each word to its first display.

    A word counts as displayed when a result first has it at the place where the final text has it.
    """

    def __init__(self) -> None:
        self._ahead = 0.0  # of the clock relative to the seconds of the audio
        self._seen: dict[tuple[int, str], float] = {}  # in the current utterance
        self._words: list[float] = []
        self._finals: list[float] = []

    def spoken(self, seconds: float, when: float) -> None:
        """Record that the audio was ``seconds`` long at the clock time ``when``."""
        self._ahead = when - seconds

    def shown(self, event: LiveEvent, when: float) -> None:
        """Record that ``event`` was displayed at the clock time ``when``."""
        from plainspeech.runtime.live_core import FinalResult

        if isinstance(event, FinalResult):
            self._end(event, when)
        else:
            for place, word in enumerate(event.text.split()):
                self._seen.setdefault((place, word), when)

    def summary(self) -> str | None:
        """Return one line for the user; None if there was no word."""
        if not self._words:
            return None
        return (
            f"latency: words appeared {_times(self._words)} after they were spoken, "
            f"final results {_times(self._finals)} after the last word of an utterance"
        )

    def _end(self, final: FinalResult, when: float) -> None:
        for place, word in enumerate(final.words):
            shown = self._seen.get((place, word.text), when)
            self._words.append(shown - self._ahead - word.end)
        if final.words:
            self._finals.append(when - self._ahead - final.words[-1].end)
        self._seen.clear()


def _times(seconds: Sequence[float]) -> str:
    """Return the median and the 95th percentile, by nearest rank."""
    ordered = sorted(seconds)
    median, most = (ordered[math.ceil(share * len(ordered)) - 1] for share in (0.5, 0.95))
    return f"{median:.2f} s (95th percentile {most:.2f} s)"


def listen(
    file: Annotated[
        Path | None,
        typer.Argument(
            help="Instead of the microphone: a recording to play in real time; or -, standard "
            "input as it arrives, WAV or raw samples (16 kHz, 16 bits, one channel).",
            show_default=False,
        ),
    ] = None,
    model: ModelOption = None,
    decoder: DecoderOption = None,
    language_model: LanguageModelOption = None,
    device: Annotated[
        str | None,
        typer.Option(help="Microphone: its number or part of its name.", show_default=False),
    ] = None,
    form: Annotated[
        str, typer.Option("--format", "-f", help="txt, or json: an object per utterance.")
    ] = "txt",
    hot_word: HotWordOption = None,
    hot_words: HotWordsOption = None,
    numbers: NumbersOption = "words",
) -> None:
    """Transcribe live speech until Ctrl+C, and print the latency at the end.

    On a terminal, text appears while it is spoken, dim where it may still change; numbers become
    digits when an utterance has ended.
    """
    digits = wants_digits(numbers)
    if form not in _FORMATS:
        raise ConfigurationError(f"unknown format {form!r}; {nearest(form, _FORMATS)}")
    if file is not None and device is not None:
        raise ConfigurationError("--device: cannot be used with a recording; leave one of them out")
    from plainspeech.runtime.live_core import with_digits

    words = read_hot_words(hot_word or [], hot_words, model)
    source = _source(file, device)
    live, rate = _begin(model, decoder, language_model, words, digits)
    latency = Latency()
    with _stopped_by_ctrl_c(source), _shown(form) as display:
        show = (lambda event: display(with_digits(event))) if digits else display
        stderr().print(f"listening to {source.name}; press Ctrl+C to stop")
        _transcribe(source, live, rate, show, latency)
    if (summary := latency.summary()) is not None:
        stderr().print(summary)


def _source(file: Path | None, device: str | None) -> AudioSource:
    if file is None:
        return Microphone(device)
    return StandardInput(standard_input()) if str(file) == "-" else Playback(file)


def _begin(
    model: Path | None,
    decoder: DecoderOption,
    language_model: str | None,
    words: dict[str, float],
    digits: bool,
) -> tuple[LiveTranscriber, int]:
    from plainspeech.numbers import check_language
    from plainspeech.runtime.live import LiveModel

    recognizer = load_recognizer(model, decoder=decoder, language_model=language_model)
    if digits:
        check_language(recognizer.bundle.card.get("language"))
    live = LiveModel(recognizer)
    live.warm_up()
    return live.begin(words or None), live.sample_rate


def _transcribe(
    source: AudioSource,
    live: LiveTranscriber,
    rate: int,
    show: Show,
    latency: Latency,
) -> None:
    def display(events: list[LiveEvent]) -> None:
        for event in events:
            show(event)
            latency.shown(event, time.monotonic())

    samples, warned = 0, False
    with closing(source.blocks(rate)) as blocks:
        for block in blocks:
            samples += len(block.waveform)
            latency.spoken(samples / rate, block.recorded)
            display(live.feed(block.waveform))
            if source.lost and not warned:
                warned = True
                stderr().print("warning: audio was lost: this machine is too slow or too busy")
    display(live.finish())


def _shown(form: str) -> AbstractContextManager[Show]:
    if form == "json":
        return nullcontext(show_json)
    return on_terminal(stdout()) if sys.stdout.isatty() else nullcontext(show_line)


@contextmanager
def _stopped_by_ctrl_c(source: AudioSource) -> Iterator[None]:
    """Stop ``source`` at Ctrl+C; a second one interrupts what is still being transcribed."""
    pressed = False

    def press(number: int, frame: FrameType | None) -> None:
        nonlocal pressed
        if pressed:
            raise KeyboardInterrupt
        pressed = True
        source.stop()

    before = signal.signal(signal.SIGINT, press)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def show_line(event: LiveEvent) -> None:
    """Print the text of an utterance."""
    from plainspeech.runtime.live_core import FinalResult

    if isinstance(event, FinalResult) and event.text:
        typer.echo(event.text)


def show_json(event: LiveEvent) -> None:
    """Print an utterance as JSON with words and times, as the server sends it."""
    from plainspeech.runtime.live_core import FinalResult, json_values

    if isinstance(event, FinalResult) and event.text:
        typer.echo(json.dumps(json_values(event), ensure_ascii=False))


@contextmanager
def on_terminal(console: Console) -> Iterator[Show]:
    """Show the current utterance on the last line, and the ones before above it."""
    from plainspeech.runtime.live_core import FinalResult

    with Live(console=console, auto_refresh=False, transient=True) as line:

        def show(event: LiveEvent) -> None:
            if not isinstance(event, FinalResult):
                line.update(end_of(event, console.width - 1), refresh=True)
                return
            line.update("", refresh=True)
            if event.text:
                time = Text(str(timedelta(seconds=int(event.start))), "dim")
                console.print(time, Text(event.text), soft_wrap=True)

        yield show


def end_of(partial: PartialResult, room: int) -> Text:
    """Return as much of the end as ``room`` cells hold; text that may still change is dim."""
    text = Text(partial.text, no_wrap=True)
    text.stylize("dim", len(partial.stable))
    if text.cell_len <= room:
        return text
    return Text("…", "dim", no_wrap=True).append_text(text[len(text) - room + 1 :])
