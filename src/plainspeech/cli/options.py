"""Options that several commands share, and loading of the model and hot words they name."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from plainspeech.cli.terminal import stderr
from plainspeech.errors import (
    ConfigurationError,
    DataError,
    DecodingError,
    nearest,
    why_unreadable,
)

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from plainspeech.runtime.recognizer import Recognizer

AlphabetOption = Annotated[
    str,
    typer.Option(
        help="What the model writes: a language (de, en, es, fr, it, pl, pt, ru, sv, tr, uk), a "
        "file NAME.txt with a letter a line, or the letters."
    ),
]
ModelOption = Annotated[
    Path | None,
    typer.Option(help="Model bundle, folder or zip; the English model by default."),
]
# ``parser=str``: load_model refuses other names, in one line that suggests the nearest.
DecoderOption = Annotated[
    Literal["greedy", "beam"] | None,
    typer.Option(
        parser=str,
        metavar="NAME",
        help="greedy or beam; by default the beam search if there is a language model.",
        show_default=False,
    ),
]
PrecisionOption = Annotated[
    Literal["int8", "float32"] | None,
    typer.Option(
        parser=str,
        metavar="NAME",
        help="Precision of the network: int8 or float32; by default int8 if the model has it.",
        show_default=False,
    ),
]
FrequencyWarpsOption = Annotated[
    str | None,
    typer.Option(
        metavar="FACTORS",
        help="Factors by which the network hears the frequencies warped, once for each, such as "
        "0.9,1.05; by default the model's own. 1 is the fastest, and errs more.",
        show_default=False,
    ),
]
DeviceOption = Annotated[
    Literal["cpu", "cuda"],
    typer.Option(
        parser=str,
        metavar="NAME",
        help="Where the network runs: cpu, or cuda where onnxruntime-gpu is installed.",
    ),
]
LanguageModelOption = Annotated[
    str | None,
    typer.Option(
        metavar="SCORER",
        help="A scorer in place of the model's own: a folder, zip or ARPA file, or 'bundled', the "
        "English model's; 'none' uses no language model.",
        show_default=False,
    ),
]
HotWordOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PHRASE[:WEIGHT]",
        help="A word or phrase to expect, with its weight in nats, 5 by default: 'plain speech:8'. "
        "Can be repeated.",
        show_default=False,
    ),
]
HotWordsOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="A file of hot words, one per line.", show_default=False),
]
NumbersOption = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="words: as they are spoken; digits: in digits, dates and times too (English).",
    ),
]
_NUMBERS = ("words", "digits")


def wants_digits(numbers: str) -> bool:
    """Return whether the value of ``--numbers`` asks for digits.

    Raises:
        ConfigurationError: it is neither of the two.
    """
    if numbers not in _NUMBERS:
        raise ConfigurationError(f"--numbers: unknown {numbers!r}; {nearest(numbers, _NUMBERS)}")
    return numbers == "digits"


def parse_warps(factors: str | None) -> list[float] | None:
    """Return the value of ``--frequency-warps``.

    Raises:
        ConfigurationError: it is not numbers with commas between them.
    """
    return None if factors is None else parse_numbers("--frequency-warps", factors, "0.9,1.05")


def parse_numbers(option: str, given: str, example: str) -> list[float]:
    """Return numbers with commas between them.

    Raises:
        ConfigurationError: ``given`` to ``option`` is not such; the message has an example.
    """
    try:
        return [float(number) for number in given.split(",")]
    except ValueError as error:
        raise ConfigurationError(
            f"{option} is {given!r}; it must be numbers such as {example}"
        ) from error


def load_recognizer(
    model: Path | None, loader: Executor | None = None, **options: Any
) -> Recognizer:
    """Load a model without garbage collection, which would take a seventh of the time.

    What is there then, a hundred thousand objects, is not looked through later either.

    Args:
        model: a bundle; None takes the English model.
        loader: of one thread; see `plainspeech.runtime.recognizer.load_model`.
        options: of `plainspeech.runtime.recognizer.load_model`.
    """
    gc.disable()
    try:
        from plainspeech.runtime.recognizer import load_model

        with device_warnings():
            return load_model(model, loader=loader, **options)
    finally:
        if loader:
            loader.submit(_collect_garbage)  # after the decoder
        else:
            _collect_garbage()


def _collect_garbage() -> None:
    gc.freeze()
    gc.enable()


@contextmanager
def device_warnings() -> Iterator[None]:
    """Show a `plainspeech.runtime.devices.DeviceWarning` of the block as one line."""
    from plainspeech.runtime.devices import DeviceWarning

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DeviceWarning)
        yield
    for warning in caught:
        if issubclass(warning.category, DeviceWarning):
            stderr().print(f"warning: --device: {warning.message}")
        else:
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )


def read_hot_words(given: Sequence[str], file: Path | None, model: Path | None) -> dict[str, float]:
    """Return the weight of each phrase; one that is ``given`` has precedence over the file's.

    Args:
        given: ``phrase`` or ``phrase:weight`` each.
        file: one a line, see `plainspeech.decoding.hot_words.parse_hot_words`.
        model: whose alphabet must be able to write them, which is checked before its decoder is
            loaded: the first time that takes seconds.

    Raises:
        DataError: the file cannot be read.
        DecodingError: something is neither a phrase nor ``phrase:weight``, or cannot be written.
        ModelError: there is no such model.
    """
    from plainspeech.decoding.hot_words import parse_hot_word

    found = {} if file is None else _read(file)
    for text in given:
        try:
            phrase, weight = parse_hot_word(text)
        except DecodingError as error:
            raise DecodingError(f"--hot-word: {error}") from error
        found[phrase] = weight
    if found:
        from plainspeech.decoding.hot_words import validated_hot_words
        from plainspeech.runtime.bundle import Bundle, named_model

        validated_hot_words(found, Bundle.load(named_model(model)).alphabet)
    return found


def _read(file: Path) -> dict[str, float]:
    from plainspeech.decoding.hot_words import parse_hot_words

    try:
        return parse_hot_words(file.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: cannot be read: {why_unreadable(error)}") from error
    except DecodingError as error:
        raise DecodingError(f"{file}, {error}") from error
