"""``plainspeech align``."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from plainspeech.cli.options import ModelOption, load_recognizer
from plainspeech.cli.output_files import write_text
from plainspeech.cli.terminal import ProgressBars, silent_libraries, stderr
from plainspeech.errors import ConfigurationError, DataError, counted, why_unreadable

if TYPE_CHECKING:
    from plainspeech.alignment.aligned_text import Alignment, Disagreement

_LISTED = 20  # disagreements; JSON has all
_SHOWN = 60  # characters of each


def align(
    recording: Annotated[Path, typer.Argument(metavar="AUDIO", help="A recording of any length.")],
    text: Annotated[
        Path,
        typer.Argument(
            metavar="TEXT", help="What is spoken in it: plain text in UTF-8, as it is printed."
        ),
    ],
    model: ModelOption = None,
    formats: Annotated[
        str | None,
        typer.Option(
            "--format",
            "-f",
            help="json, srt, vtt, tsv, textgrid or txt, or several: srt,json. Default: json.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Folder for the files, which have the recording's name; else one is printed.",
            show_default=False,
        ),
    ] = None,
    manifest: Annotated[
        Path | None,
        typer.Option(
            help="Cut the recording into utterances for training, in a folder of this name without "
            "suffix, and write their manifest (JSONL).",
            show_default=False,
        ),
    ] = None,
    min_confidence: Annotated[
        float,
        typer.Option(
            help="Leave sentences that are less sure out of the manifest, 0 to 1.", min=0.0, max=1.0
        ),
    ] = 0.0,
) -> None:
    """Align a known text with a recording of it, and cut it into utterances for training.

    Words and sentences get times and confidences; where text and recording disagree, it is said.
    """
    from plainspeech.alignment import cutting
    from plainspeech.alignment.aligner import align as aligned

    chosen = _formats(formats, output, manifest)
    if manifest:
        cutting.utterance_folder(manifest)
    content = _read(text)
    folder = _folder(output, chosen)
    recognizer = load_recognizer(model, decoder="greedy")
    with silent_libraries() as terminal, ProgressBars(terminal, sys.stderr.isatty()) as bars:
        with bars.bar(recording.name) as update:
            try:
                found = aligned(recording, content, recognizer, progress=update)
            except DataError as error:
                raise DataError(f"{text}: {error}") from error
        utterances = cutting.cuts(found, min_confidence) if manifest else []
        if manifest:
            rate = recognizer.bundle.features.sample_rate
            cutting.write_utterances(recording, utterances, manifest, rate)
    for name in chosen:
        if folder:
            write_text(folder / f"{recording.stem}.{name}", found.render(name))
        else:
            typer.echo(found.render(name), nl=False)
    _report(found, recognizer.bundle.alphabet.symbols)
    if manifest:
        seconds = sum(cut.end - cut.start for cut in utterances)
        stderr().print(
            f"{manifest}: {counted(len(utterances), 'utterance')}, {seconds / 60:.1f} of "
            f"{found.duration / 60:.1f} min"
        )


def _formats(formats: str | None, output: Path | None, manifest: Path | None) -> list[str]:
    from plainspeech.writers import check_format

    if formats is None and output is None and manifest is not None:
        return []
    chosen = list(dict.fromkeys((formats or "json").split(",")))
    for name in chosen:
        check_format(name)
    if len(chosen) > 1 and output is None:
        raise ConfigurationError("--format: standard output holds one format; add --output FOLDER")
    return chosen


def _folder(output: Path | None, formats: list[str]) -> Path | None:
    """Return the folder of the files, which can be written to."""
    from plainspeech.cli.transcript_files import Folder

    if output is not None:
        Folder(output, formats)
    return output


def _read(text: Path) -> str:
    try:
        return text.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = why_unreadable(error)
        raise DataError(f"{text}: the text cannot be read: {reason}") from error


def _report(found: Alignment, symbols: tuple[str, ...]) -> None:
    """Say on stderr what was aligned and what was not."""
    console = stderr()
    words = found.words
    spoken = [word for word in words if word.spoken]
    sure = sum(word.confidence for word in spoken) / max(1, len(spoken))
    unwritten = sum(not word.spelling for word in words)
    if unwritten:
        console.print(
            f"{counted(unwritten, 'word')} with characters that the model's alphabet "
            f"({''.join(symbols)!r}) "
            f"lacks ({' '.join(found.foreign)}): spell them out, for such words get the time that "
            f"their neighbours leave",
            style="yellow",
        )
    console.print(
        f"{len(spoken)} of {len(words)} words found, mean confidence {sure:.2f}; "
        f"{counted(len(found.disagreements), 'disagreement')}"
    )
    for stretch in found.disagreements[:_LISTED]:
        console.print(f"  {_line(stretch)}")
    if len(found.disagreements) > _LISTED:
        kinds = Counter(stretch.kind for stretch in found.disagreements[_LISTED:])
        others = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
        console.print(f"  and {others}; the JSON has all")


def _line(stretch: Disagreement) -> str:
    times = f"{_clock(stretch.start)} to {_clock(stretch.end)}"
    text, heard = _short(stretch.text), _short(stretch.heard)
    return {
        "not spoken": f"{times}: not spoken: {text}",
        "not in the text": f"{times}: not in the text: {heard}",
        "different": f"{times}: the text has {text}, heard is {heard}",
    }[stretch.kind]


def _short(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f"{text[: _SHOWN - 4]} ...")


def _clock(seconds: float) -> str:
    tenths = round(seconds * 10)
    return f"{tenths // 36000}:{tenths // 600 % 60:02}:{tenths // 10 % 60:02}.{tenths % 10}"
