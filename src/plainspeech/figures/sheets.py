"""Whole figures of a recording: each is made of the drawings of this package."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from plainspeech.errors import counted
from plainspeech.evaluation.error_rates import Pair, word_counts
from plainspeech.figures.recording import (
    draw_log_probabilities,
    draw_spectrogram,
    draw_words,
    over_seconds,
)
from plainspeech.figures.searching import (
    Search,
    draw_beam,
    draw_overruled,
    overruled_height,
    watch_search,
)
from plainspeech.figures.style import styled
from plainspeech.figures.texts import draw_texts, texts_height
from plainspeech.runtime.analysis import Analysis
from plainspeech.runtime.recognizer import Recognizer
from plainspeech.transcript import Word

_LEFT, _RIGHT, _TOP, _BOTTOM = 0.75, 0.2, 0.35, 0.1  # inches, margins
_BAR = 0.75  # inches at the right, for a colour bar
_AXIS = 0.45  # inches, numbers and name of a time axis
_GAP = 0.12
_NARROWEST, _WIDEST, _SECOND = 7.0, 24.0, 1.15  # inches
_COLUMN, _SHEET_GAP = 6.2, 0.5


@dataclass(frozen=True)
class AnalysedRecording:
    """A recording, what was said in it and what a model made of it.

    Attributes:
        name: of the recording.
        analysis: by the model.
        reference: what was said, normalised to the model's alphabet; None where it is not known.
    """

    name: str
    analysis: Analysis
    reference: str | None = None

    @property
    def said(self) -> str:
        """The reference; what was recognised, where that is not known."""
        return self.analysis.text if self.reference is None else self.reference

    @property
    def title(self) -> str:
        """The name, and how many words are wrong."""
        if self.reference is None:
            return f"{self.name}, {self.analysis.duration:.1f} s"
        counts = word_counts([Pair("", "", self.reference, self.analysis.text)])[0]
        wrong, said = counted(counts.errors, "error"), counted(counts.reference_length, "word")
        return f"{self.name}, {self.analysis.duration:.1f} s: {wrong} in {said}"


def utterance_figure(analysed: AnalysedRecording) -> Figure:
    """Return the spectrogram, with the actual and the predicted text beneath."""
    with styled():
        page = _Page(_width(analysed), _TOP + 2.0 + _AXIS + _texts(analysed), _RIGHT)
        _spectrogram(page, analysed, 2.0)
        page.skip(_AXIS)
        _write_texts(page, analysed)
        return page.figure


def alignment_figure(analysed: AnalysedRecording) -> Figure:
    """Return spectrogram, log-probabilities with the best path, words at their times and texts."""
    words, heat = 0.75, 3.6
    height = _TOP + 1.5 + words + heat + _AXIS + 2 * _GAP + _texts(analysed)
    with styled():
        page = _Page(_width(analysed), height, _BAR)
        _hide_times(_spectrogram(page, analysed, 1.5))
        page.skip(_GAP)
        analysis = analysed.analysis
        draw_words(
            analysis.transcript.words, analysis.duration, analysed.reference, page.place(words)
        )
        page.skip(_GAP)
        draw_log_probabilities(analysis, page.place(heat))
        page.skip(_AXIS)
        _write_texts(page, analysed)
        return page.figure


def search_figure(analysed: AnalysedRecording, recognizer: Recognizer) -> Figure:
    """Return the beam over time, the words at their times, and what the language model overruled.

    Args:
        analysed: with the beam search of ``recognizer``.
        recognizer: the model.

    Raises:
        ConfigurationError: its decoder is not the beam search.
    """
    searches = [watch_search(recognizer, chunk) for chunk in analysed.analysis.chunks]
    tables = [overruled_height(search.overruled) for search in searches]
    words, beam = 0.75, 2.6
    height = _TOP + 2 * words + beam + _AXIS + 2 * _GAP + 0.1 + sum(tables) + 0.3 * len(tables)
    with styled():
        page = _Page(_width(analysed), height, _RIGHT)
        analysis = analysed.analysis
        alone = [word for search in searches for word in _shifted(search)]
        page.write(analysed.title)
        for name, found in (
            ("network\nalone", alone),
            ("with the\nlanguage\nmodel", analysis.transcript.words),
        ):
            axes = draw_words(found, analysis.duration, analysed.reference, page.place(words))
            axes.text(-0.01, 1, name, transform=axes.transAxes, ha="right", va="top", fontsize=7)
            page.skip(_GAP)
        page.skip(0.1)
        axes = page.place(beam)
        for search in searches:
            draw_beam(search, axes)
        over_seconds(axes, analysis.duration)
        page.skip(_AXIS)
        for search, table in zip(searches, tables, strict=True):
            page.skip(0.3)
            page.write("Where the language model overruled the network: network alone → chosen")
            draw_overruled(search, page.place(table - 0.45, left=3.2, most=9.0))
            page.skip(0.45)
        return page.figure


def contact_sheet(analysed: Sequence[AnalysedRecording]) -> Figure:
    """Return the spectrograms and texts of several recordings in two columns."""
    rows = [
        max(_sheet_height(one) for one in analysed[place : place + 2])
        for place in range(0, len(analysed), 2)
    ]
    height = sum(rows) + 0.2
    with styled():
        figure = Figure(figsize=(2 * _COLUMN + _SHEET_GAP + 0.3, height))
        for place, one in enumerate(analysed):
            row, column = divmod(place, 2)
            left = 0.15 + column * (_COLUMN + _SHEET_GAP)
            _sheet_entry(figure, one, left, height - 0.1 - sum(rows[:row]))
        return figure


def _sheet_entry(figure: Figure, analysed: AnalysedRecording, left: float, top: float) -> None:
    picture, width = 0.95, _COLUMN - 0.5
    axes = _axes(figure, left + 0.5, top - 0.22 - picture, width, picture)
    draw_spectrogram(analysed.analysis.waveform, analysed.analysis.features, axes)
    axes.set(xlabel="", title=analysed.title)
    axes.xaxis.set_major_locator(MaxNLocator(12, steps=[1, 2, 5, 10], integer=True))
    axes.tick_params(labelsize=6.5)
    axes.set_yticks(axes.get_yticks()[1::2])
    if analysed.reference is not None:
        texts = texts_height(analysed.reference, analysed.analysis.text, _COLUMN)
        bottom = top - 0.22 - picture - 0.25 - texts
        draw_texts(
            analysed.reference,
            analysed.analysis.text,
            _axes(figure, left, bottom, _COLUMN, texts),
        )


def _sheet_height(analysed: AnalysedRecording) -> float:
    texts = 0.0
    if analysed.reference is not None:
        texts = texts_height(analysed.reference, analysed.analysis.text, _COLUMN)
    return 0.22 + 0.95 + 0.25 + texts + 0.18


class _Page:
    """A figure that is filled from the top; every part is as wide as the time axis.

    Args:
        width: inches.
        height: inches.
        right: margin, inches.
    """

    def __init__(self, width: float, height: float, right: float) -> None:
        self.figure = Figure(figsize=(width, height + _BOTTOM))
        self._width, self._right = width, right
        self._top = height + _BOTTOM - _TOP

    def place(self, height: float, left: float = _LEFT, most: float = np.inf) -> Axes:
        """Return axes of ``height`` inches beneath what is there."""
        self._top -= height
        width = min(most, self._width - left - self._right)
        return _axes(self.figure, left, self._top, width, height)

    def write(self, line: str) -> None:
        """Write a heading above what follows."""
        whole, high = self.figure.get_size_inches()
        self.figure.text(0.15 / whole, (self._top + 0.08) / high, line)

    def skip(self, height: float) -> None:
        """Leave so many inches empty."""
        self._top -= height


def _axes(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Return axes at so many inches from the lower left corner."""
    whole, high = figure.get_size_inches()
    return figure.add_axes((left / whole, bottom / high, width / whole, height / high))


def _width(analysed: AnalysedRecording) -> float:
    wanted = _LEFT + _BAR + _SECOND * analysed.analysis.duration
    return float(np.clip(wanted, _NARROWEST, _WIDEST))


def _spectrogram(page: _Page, analysed: AnalysedRecording, height: float) -> Axes:
    axes = draw_spectrogram(
        analysed.analysis.waveform, analysed.analysis.features, page.place(height)
    )
    axes.set_title(analysed.title)
    return axes


def _hide_times(axes: Axes) -> None:
    axes.set_xlabel("")
    axes.tick_params(axis="x", labelbottom=False)


def _texts(analysed: AnalysedRecording) -> float:
    return texts_height(analysed.said, analysed.analysis.text, _width(analysed) - 0.3)


def _write_texts(page: _Page, analysed: AnalysedRecording) -> None:
    axes = page.place(_texts(analysed), left=0.15, most=_width(analysed) - 0.3)
    draw_texts(analysed.said, analysed.analysis.text, axes)


def _shifted(search: Search) -> list[Word]:
    segments = (segment.shifted(search.start) for segment in search.alone.segments)
    return [word for segment in segments for word in segment.words]
