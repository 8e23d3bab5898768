"""``plainspeech listen``."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from plainspeech.cli.hot_words import read_hot_words
from plainspeech.cli.latency import Latency
from plainspeech.cli.live_text import Show, on_terminal, show_json, show_line
from plainspeech.cli.loading import loading
from plainspeech.cli.options import (
    DecoderOption,
    HotWordOption,
    HotWordsOption,
    LanguageModelOption,
    ModelOption,
)
from plainspeech.cli.sounds import Microphone, Playback, Source
from plainspeech.cli.terminal import stderr
from plainspeech.errors import PlainspeechError, nearest

if TYPE_CHECKING:
    from plainspeech.runtime.events import Event
    from plainspeech.runtime.live import LiveTranscriber

_FORMATS = ("txt", "json")


def listen(
    file: Annotated[
        Path | None,
        typer.Argument(
            help="A recording to hear as if it were spoken now; the microphone if not given.",
            show_default=False,
        ),
    ] = None,
    model: ModelOption = None,
    decoder: DecoderOption = None,
    language_model: LanguageModelOption = None,
    device: Annotated[
        str | None,
        typer.Option(help="Microphone, by its number or a part of its name.", show_default=False),
    ] = None,
    form: Annotated[
        str, typer.Option("--format", "-f", help="txt, or json: an object an utterance.")
    ] = "txt",
    hot_word: HotWordOption = None,
    hot_words: HotWordsOption = None,
) -> None:
    """Print what is said while it is said, until Ctrl+C; at the end, how late that was.

    On a terminal, text appears while an utterance goes on, dim where it may change yet.
    """
    if form not in _FORMATS:
        raise PlainspeechError(f"format: {form!r} is none; {nearest(form, _FORMATS)}")
    if file is not None and device is not None:
        raise PlainspeechError("--device: there is a recording to hear; leave one of them out")
    words = read_hot_words(hot_word or [], hot_words)
    source = Microphone(device) if file is None else Playback(file)
    live, rate = _begin(model, decoder, language_model, words)
    latency = Latency()
    with _until_interrupted() as interrupted, _shown(form) as show:
        stderr().print(f"listening to {source.name}; Ctrl+C ends it", markup=False)
        _transcribe(source, live, rate, show, latency, interrupted)
    if (summary := latency.summary()) is not None:
        stderr().print(summary)


def _begin(
    model: Path | None,
    decoder: DecoderOption,
    language_model: str | None,
    words: dict[str, float],
) -> tuple[LiveTranscriber, int]:
    with loading():
        from plainspeech.runtime.live import LiveModel
        from plainspeech.runtime.recognizer import load_model

        live = LiveModel(load_model(model, decoder=decoder, language_model=language_model))
    live.warm_up()
    return live.begin(words or None), live.sample_rate


def _transcribe(
    source: Source,
    live: LiveTranscriber,
    rate: int,
    show: Show,
    latency: Latency,
    interrupted: Callable[[], bool],
) -> None:
    def tell(events: list[Event]) -> None:
        for event in events:
            show(event)
            latency.shown(event, time.monotonic())

    samples, warned = 0, False
    with closing(source.sounds(rate)) as sounds:
        for sound in sounds:
            samples += len(sound.waveform)
            latency.spoken(samples / rate, sound.spoken)
            tell(live.feed(sound.waveform))
            if source.lost and not warned:
                warned = True
                stderr().print("warning: sound was lost: this machine is too slow or too busy")
            if interrupted():
                break
    tell(live.finish())


def _shown(form: str) -> AbstractContextManager[Show]:
    if form == "json":
        return nullcontext(show_json)
    return on_terminal(Console(highlight=False)) if sys.stdout.isatty() else nullcontext(show_line)


@contextmanager
def _until_interrupted() -> Iterator[Callable[[], bool]]:
    """Yield what tells whether Ctrl+C was pressed; pressed again, it ends everything."""
    pressed = False

    def press(number: int, frame: FrameType | None) -> None:
        nonlocal pressed
        if pressed:
            raise KeyboardInterrupt
        pressed = True

    before = signal.signal(signal.SIGINT, press)
    try:
        yield lambda: pressed
    finally:
        signal.signal(signal.SIGINT, before)
