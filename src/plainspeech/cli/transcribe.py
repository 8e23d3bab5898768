"""``plainspeech transcribe``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from plainspeech.cli.interruption import Interrupted
from plainspeech.cli.options import (
    DecoderOption,
    DeviceOption,
    FrequencyWarpsOption,
    HotWordOption,
    HotWordsOption,
    LanguageModelOption,
    ModelOption,
    NumbersOption,
    PrecisionOption,
    load_recognizer,
    parse_warps,
    read_hot_words,
    wants_digits,
)
from plainspeech.cli.terminal import ProgressBars, silent_libraries, standard_input, stderr
from plainspeech.cli.transcript_files import (
    STDIN,
    Destination,
    Document,
    Folder,
    InputFile,
    Line,
    NamedLines,
    find_inputs,
)
from plainspeech.errors import ConfigurationError, PlainspeechError

if TYPE_CHECKING:
    from plainspeech.audio.channels import Channels
    from plainspeech.runtime.long_audio import TranscriptPart
    from plainspeech.runtime.recognizer import Recognizer


def transcribe(
    files: Annotated[
        list[str],
        typer.Argument(
            help="Recordings: WAV, FLAC, MP3, Ogg, m4a, MP4 and more, of any sample rate, number "
            "of channels and length; folders of them; - for standard input.",
            metavar="FILE...",
            show_default=False,
        ),
    ],
    model: ModelOption = None,
    decoder: DecoderOption = None,
    language_model: LanguageModelOption = None,
    precision: PrecisionOption = None,
    frequency_warps: FrequencyWarpsOption = None,
    device: DeviceOption = "cpu",
    formats: Annotated[
        str | None,
        typer.Option(
            "--format",
            "-f",
            help="txt, srt, vtt, tsv, textgrid or json, or several: srt,json.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Folder for the transcripts, which mirrors a folder of recordings; recordings "
            "whose transcripts exist there are skipped.",
            show_default=False,
        ),
    ] = None,
    n_best: Annotated[
        int | None,
        typer.Option(
            help="Length of the n-best list of each segment in JSON, with scores.",
            min=1,
            show_default=False,
        ),
    ] = None,
    hot_word: HotWordOption = None,
    hot_words: HotWordsOption = None,
    channels: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="mixed: one transcript, of the mean of the channels where they agree, else of the "
            "one with the speech; separate: each channel by itself, labelled with its number.",
        ),
    ] = "mixed",
    numbers: NumbersOption = "words",
    min_confidence: Annotated[
        float,
        typer.Option(help="Leave out segments that are less sure, 0 to 1.", min=0.0, max=1.0),
    ] = 0.0,
) -> None:
    """Transcribe recordings and print a line of text for each, after its name if there are several.

    With --format or --output, write text, subtitles, tables or JSON instead.
    """
    from plainspeech.audio.channels import validated_channels
    from plainspeech.numbers import check_language

    words = read_hot_words(hot_word or [], hot_words, model)
    target = _destination(files, formats, output)
    chosen = validated_channels(channels)
    digits = wants_digits(numbers)
    if n_best is not None and "json" not in (formats or "").split(","):
        raise ConfigurationError("--n-best: lists are written to JSON only; add --format json")
    found = list(find_inputs(files, one_target_each=output is not None))
    waiting = [each for each in found if isinstance(each, PlainspeechError) or not target.has(each)]
    if len(waiting) < len(found):
        kept = len(found) - len(waiting)
        message = f"{output}: {kept} of {len(found)} transcripts exist already"
        stderr().print(message)
    if waiting:
        recognizer = _load(
            model,
            words,
            alone=len(waiting) == 1,
            decoder=decoder,
            language_model=language_model,
            precision=precision,
            frequency_warps=parse_warps(frequency_warps),
            n_best=n_best,
            device=device,
        )
        if digits:
            check_language(recognizer.bundle.card.get("language"))
        # Text on the terminal shows the progress itself.
        with_bar = sys.stderr.isatty() and not (output is None and sys.stdout.isatty())
        with silent_libraries() as terminal, ProgressBars(terminal, with_bar) as bars:
            run = _Run(recognizer, words, chosen, min_confidence, digits, target, bars)
            failed = run.transcribe(waiting)
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
        raise ConfigurationError(
            "--format: standard output holds one recording in one format; add --output FOLDER"
        )
    return Document(chosen[0])


def _load(model: Path | None, words: dict[str, float], alone: bool, **options: Any) -> Recognizer:
    from plainspeech.cores import available_cores

    # What the user has chosen may be wrong, which is said before anything is read.
    chosen = words or any(options[name] for name in ("decoder", "language_model", "n_best"))
    if alone and not chosen and available_cores() > 1:
        # One core reads the recording while the other still loads the decoder.
        return load_recognizer(model, ThreadPoolExecutor(1, "loader"), **options)
    recognizer = load_recognizer(model, **options)
    recognizer.transcribe_waveforms([], words)  # an invalid hot word is one error, not one per file
    return recognizer


class _Run:
    """Transcribes recordings in parallel, with an error for each, and writes them in order."""

    def __init__(
        self,
        recognizer: Recognizer,
        words: dict[str, float],
        channels: Channels,
        min_confidence: float,
        digits: bool,
        target: Destination,
        bars: ProgressBars,
    ) -> None:
        self._recognizer = recognizer
        self._words = words
        self._channels = channels
        self._min_confidence = min_confidence
        self._digits = digits
        self._target = target
        self._bars = bars
        self._stopped = False

    def transcribe(self, recordings: Sequence[InputFile | PlainspeechError]) -> int:
        """Transcribe ``recordings``; return how many failed."""
        if len(recordings) == 1:  # in this thread, so that text is printed as it is recognised
            return self._report(lambda: self._written(recordings[0], "", None))
        from plainspeech.cores import available_cores

        cores = available_cores()
        # Each by one thread, but for the last ones, which would leave cores without work.
        alone = len(recordings) - cores + 1
        with ThreadPoolExecutor(cores) as pool:
            try:
                writing = [
                    pool.submit(
                        self._written,
                        each,
                        f" ({number} of {len(recordings)})",
                        1 if number <= alone else None,
                    )
                    for number, each in enumerate(recordings, start=1)
                ]
                return sum(self._report(one.result) for one in writing)
            finally:
                # An assignment: a second interrupt could come between the steps of a call.
                self._stopped = True
                pool.shutdown(cancel_futures=True)

    def _report(self, written: Callable[[], str]) -> bool:
        """Print the text or the error of a recording; return whether it failed."""
        try:
            typer.echo(written(), nl=False)
        except PlainspeechError as error:
            typer.echo(f"error: {error}", err=True)
            return True
        return False

    def _written(self, found: InputFile | PlainspeechError, place: str, threads: int | None) -> str:
        if isinstance(found, PlainspeechError):
            raise found
        name = f"{typer.format_filename(found.source)}{place}"
        parts = self._parts(found.source, threads)
        return self._target.write(found, self._bars.tracked(parts, name))

    def _parts(self, source: str, threads: int | None) -> Iterator[TranscriptPart]:
        from plainspeech.numbers import in_digits

        file = standard_input() if source == STDIN else source
        words = self._words or None
        for part in self._recognizer.transcribe_parts(
            file, hot_words=words, channels=self._channels, threads=threads
        ):
            if self._stopped:  # an incomplete transcript is not written
                raise Interrupted(f"{source}: not finished")
            least = self._min_confidence
            sure = [segment for segment in part.segments if segment.confidence >= least]
            yield replace(part, segments=tuple(map(in_digits, sure) if self._digits else sure))
