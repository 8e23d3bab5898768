"""``plainspeech transcribe``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated, Any

import typer

from plainspeech.cli.destinations import Destination, Document, Folder, Line, NamedLines
from plainspeech.cli.hot_words import read_hot_words
from plainspeech.cli.listening import Bars, silent_libraries
from plainspeech.cli.loading import loading
from plainspeech.cli.options import (
    DecoderOption,
    HotWordOption,
    HotWordsOption,
    LanguageModelOption,
    ModelOption,
    PrecisionOption,
)
from plainspeech.cli.recordings import STDIN, Recording, find_recordings
from plainspeech.cli.terminal import stderr
from plainspeech.errors import PlainspeechError

if TYPE_CHECKING:
    from plainspeech.runtime.long_audio import Heard
    from plainspeech.runtime.recognizer import Recognizer


def transcribe(
    files: Annotated[
        list[str],
        typer.Argument(
            help="Recordings: WAV, FLAC, MP3, Ogg, any rate, channels and length; folders of them; "
            "- is standard input.",
            metavar="FILE...",
            show_default=False,
        ),
    ],
    model: ModelOption = None,
    decoder: DecoderOption = None,
    language_model: LanguageModelOption = None,
    precision: PrecisionOption = None,
    formats: Annotated[
        str | None,
        typer.Option(
            "--format",
            "-f",
            help="txt, srt, vtt, tsv, json, or several: srt,json.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Folder to write to, which mirrors a folder of recordings; what is there already "
            "is not transcribed again.",
            show_default=False,
        ),
    ] = None,
    n_best: Annotated[
        int | None,
        typer.Option(
            help="Write up to so many readings of each segment to JSON, with their scores.",
            min=1,
            show_default=False,
        ),
    ] = None,
    hot_word: HotWordOption = None,
    hot_words: HotWordsOption = None,
) -> None:
    """Print what is said in recordings, one line each; after its name where there are several.

    With --format or --output, write text, subtitles, tables or JSON instead.
    """
    words = read_hot_words(hot_word or [], hot_words)
    target = _destination(files, formats, output)
    if n_best is not None and "json" not in (formats or "").split(","):
        raise PlainspeechError("n-best: readings are written to JSON only; add --format json")
    found = list(find_recordings(files, one_target_each=output is not None))
    waiting = [each for each in found if isinstance(each, PlainspeechError) or not target.has(each)]
    if len(waiting) < len(found):
        kept = len(found) - len(waiting)
        stderr().print(f"{output}: has {kept} of {len(found)} already", markup=False)
    if waiting:
        recognizer = _load(
            model,
            words,
            decoder=decoder,
            language_model=language_model,
            precision=precision,
            n_best=n_best,
        )
        # Text that goes to the terminal shows itself how far it is.
        with_bar = sys.stderr.isatty() and not (output is None and sys.stdout.isatty())
        with silent_libraries() as terminal, Bars(terminal, with_bar) as bars:
            failed = _Run(recognizer, words, target, bars).transcribe(waiting)
        if failed:
            raise typer.Exit(1)


def _destination(files: Sequence[str], formats: str | None, output: Path | None) -> Destination:
    from plainspeech.writers import check_format

    chosen = list(dict.fromkeys((formats or "txt").split(",")))
    for name in chosen:
        check_format(name)
    if output is not None:
        return Folder(output, chosen)
    alone = len(files) == 1 and not Path(files[0]).is_dir()
    if formats is None:
        return Line() if alone else NamedLines()
    if len(chosen) > 1 or not alone:
        raise PlainspeechError(
            "format: standard output takes one format of one recording; give --output FOLDER"
        )
    return Document(chosen[0])


def _load(model: Path | None, words: dict[str, float], **options: Any) -> Recognizer:
    with loading():
        from plainspeech.runtime.recognizer import load_model

        recognizer = load_model(model, **options)
    recognizer.transcribe_waveforms([], words)  # bad ones are refused once, not at each recording
    return recognizer


class _Run:
    """How recordings are transcribed: side by side, an error to each, written in order."""

    def __init__(
        self, recognizer: Recognizer, words: dict[str, float], target: Destination, bars: Bars
    ) -> None:
        self._recognizer = recognizer
        self._words = words
        self._target = target
        self._bars = bars
        self._given_up = Event()

    def transcribe(self, recordings: Sequence[Recording | PlainspeechError]) -> int:
        """Transcribe ``recordings``; return how many could not be."""
        if len(recordings) == 1:  # in this thread, whose text comes as it is heard
            return self._tell(lambda: self._written(recordings[0], ""))
        from plainspeech.cores import available_cores

        with ThreadPoolExecutor(available_cores()) as pool:
            places = (f" ({number} of {len(recordings)})" for number in count(1))
            writing = [
                pool.submit(self._written, *each) for each in zip(recordings, places, strict=False)
            ]
            try:
                return sum(self._tell(one.result) for one in writing)
            finally:
                self._given_up.set()
                pool.shutdown(cancel_futures=True)

    def _tell(self, written: Callable[[], str]) -> bool:
        """Print what is to be printed of a recording, or what is wrong; return whether it is."""
        try:
            typer.echo(written(), nl=False)
        except PlainspeechError as error:
            typer.echo(f"error: {error}", err=True)
            return True
        return False

    def _written(self, found: Recording | PlainspeechError, place: str) -> str:
        if isinstance(found, PlainspeechError):
            raise found
        name = f"{typer.format_filename(found.source)}{place}"
        return self._target.write(found, self._bars.tracked(self._heard(found.source), name))

    def _heard(self, source: str) -> Iterator[Heard]:
        file = sys.stdin.buffer if source == STDIN else source
        for heard in self._recognizer.listen(file, hot_words=self._words or None):
            if self._given_up.is_set():  # what has been heard is not all, and is not written
                raise PlainspeechError(f"{source}: given up")
            yield heard
