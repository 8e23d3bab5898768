"""Spectrogram, log-probabilities and words over the time of a recording."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator

from plainspeech.arrays import Array
from plainspeech.decoding.validation import own_columns
from plainspeech.evaluation.error_rates import Operation, Pair, align_words
from plainspeech.features import FeatureSettings, LogMel, mel
from plainspeech.figures.style import HEAT, INK, NEUTRAL, RIGHT, WRONG, axes_or_new
from plainspeech.runtime.analysis import Analysis
from plainspeech.transcript import Word

_TICKS = (250, 500, 1000, 2000, 4000, 8000)  # Hz
_RANGE_DB = 60.0  # of levels that are told apart
_DECIBELS = 10 / np.log(10)  # of the natural logarithm of an energy
_LEAST = -8.0  # log-probability below which all are the same
_CHARACTER = 4.6  # points, the mean width of one of these words
_LEVELS = 3  # rows over which words are spread that would overlap


def draw_spectrogram(waveform: Array, settings: FeatureSettings, axes: Axes | None = None) -> Axes:
    """Draw the energies of the mel filters over time, from the first sample to the last.

    Args:
        waveform: ``(samples,)`` float32, at the settings' sample rate.
        settings: of the features that the model gets.
        axes: to draw on; by default those of a new figure.

    Returns:
        The axes: seconds, and Hz on the mel scale.
    """
    axes = axes_or_new(axes)
    energies = LogMel(replace(settings, normalise="none"))(waveform) * _DECIBELS
    seconds = len(waveform) / settings.sample_rate
    low, high = mel(settings.low_hz), mel(settings.high_hz)
    if len(energies):
        loudest = float(np.quantile(energies, 0.999))
        axes.imshow(
            energies.T,
            origin="lower",
            aspect="auto",
            extent=(0.0, seconds, float(low), float(high)),
            cmap=HEAT,
            vmin=loudest - _RANGE_DB,
            vmax=loudest,
            interpolation="none",
        )
    ticks = [hz for hz in _TICKS if settings.low_hz <= hz <= settings.high_hz]
    axes.set_yticks(mel(ticks), [f"{hz:,}" for hz in ticks])
    axes.set(ylabel="Hz", ylim=(low, high))
    return over_seconds(axes, seconds)


def over_seconds(axes: Axes, duration: float) -> Axes:
    """Make the horizontal axis that of the time of a recording of ``duration`` seconds."""
    axes.set(xlabel="seconds", xlim=(0, max(duration, 1e-3)))
    axes.xaxis.set_major_locator(MaxNLocator(25, steps=[1, 2, 5, 10], integer=duration > 2))
    return axes


def draw_log_probabilities(analysis: Analysis, axes: Axes | None = None) -> Axes:
    """Draw the network's log-probabilities as a heat map of symbols, with the best path.

    They are characters, or the phones of a model whose search takes these.

    Args:
        analysis: of a recording.
        axes: to draw on; by default those of a new figure.

    Returns:
        The axes: seconds, and symbols from the bottom up in their order; the blank is the top row.
    """
    axes = axes_or_new(axes, height=4.5)
    names = [_name(symbol) for symbol in analysis.symbols] + ["blank"]
    step = analysis.frame_seconds
    for chunk in analysis.chunks:
        rows = np.asarray(own_columns(chunk.log_probabilities, analysis.columns))
        end = chunk.start + step * len(rows)
        image = axes.imshow(
            np.maximum(rows, _LEAST).T,
            origin="lower",
            aspect="auto",
            extent=(chunk.start, end, -0.5, len(names) - 0.5),
            cmap=HEAT,
            vmin=_LEAST,
            vmax=0.0,
            interpolation="none",
        )
        best = rows.argmax(axis=1)
        centres = chunk.start + step * (np.arange(len(rows)) + 0.5)
        written = best != len(analysis.symbols)
        axes.plot(centres, best, color=WRONG, linewidth=0.5, alpha=0.35)
        axes.plot(
            centres[written],
            best[written],
            linestyle="none",
            marker="o",
            markersize=3,
            color=WRONG,
            markeredgecolor="white",
            markeredgewidth=0.4,
        )
        if chunk is analysis.chunks[0]:
            _draw_scale(axes, image)
    axes.set_yticks(range(len(names)), names, fontsize=6.5, family="monospace")
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(-0.5, len(names) - 0.5)
    return over_seconds(axes, analysis.duration)


def _draw_scale(axes: Axes, image: AxesImage) -> None:
    """Draw the scale of a heat map beside ``axes``, which stay as wide as others of that time."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    inch = 1 / (figure.get_figwidth() * axes.get_position().width)
    scale = axes.inset_axes((1 + 0.07 * inch, 0.0, 0.1 * inch, 1.0))
    figure.colorbar(image, cax=scale, label="log-probability, nats")


def draw_words(
    words: Sequence[Word],
    duration: float,
    reference: str | None = None,
    axes: Axes | None = None,
) -> Axes:
    """Draw words at their times: blue where right, orange and slanted where wrong.

    The fuller the colour of a box, the surer was the recogniser (its confidence is the opacity).
    Without a reference all boxes are grey.

    Args:
        words: that were recognised.
        duration: seconds, of the recording.
        reference: what was said, as `words` are written; None where it is not known.
        axes: to draw on; by default those of a new figure.
    """
    axes = axes_or_new(axes, height=1.2)
    operations = word_operations(words, reference)
    levels = _levels(words, duration, _points_wide(axes))
    for word, operation, level in zip(words, operations, levels, strict=True):
        wrong = operation not in (None, "hit")
        colour = NEUTRAL if operation is None else WRONG if wrong else RIGHT
        axes.axvspan(
            word.start,
            word.end,
            0.84,
            1.0,
            facecolor=colour,
            alpha=0.15 + 0.85 * word.confidence,
            linewidth=0,
        )
        axes.text(
            (word.start + word.end) / 2,
            0.68 - 0.26 * level,
            word.text,
            ha="center",
            va="center",
            fontsize=8,
            color=colour if operation else INK,
            fontweight="bold" if wrong else "normal",
            fontstyle="italic" if wrong else "normal",
            clip_on=True,
        )
    axes.set(xlim=(0, max(duration, 1e-3)), ylim=(0, 1))
    axes.axis("off")
    return axes


def word_operations(words: Sequence[Word], reference: str | None) -> list[Operation | None]:
    """Return whether each of ``words`` is a hit, a substitution or an insertion.

    None for each where ``reference`` is None.
    """
    if reference is None:
        return [None] * len(words)
    text = " ".join(word.text for word in words)
    steps = align_words(Pair("", "", reference, text))
    return [step.operation for step in steps if step.operation != "deletion"]


def _points_wide(axes: Axes) -> float:
    figure = axes.get_figure(root=True)
    assert figure is not None
    return float(figure.get_figwidth()) * 72 * 0.9


def _levels(words: Sequence[Word], duration: float, points: float) -> list[int]:
    """Return the row of each word, the first in which it does not touch the one before."""
    ends, levels = [-np.inf] * _LEVELS, []
    for word in words:
        half = 0.5 * (len(word.text) + 0.8) * _CHARACTER * duration / points
        centre = (word.start + word.end) / 2
        level = next(
            (row for row in range(_LEVELS) if centre - half >= ends[row]),
            int(np.argmin(ends)),
        )
        ends[level] = centre + half
        levels.append(level)
    return levels


def _name(symbol: str) -> str:
    return "space" if symbol == " " else symbol
