"""Curves of a run: training loss and error rates over the epochs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from plainspeech.errors import DataError
from plainspeech.figures.style import NEUTRAL, RIGHT, WRONG, axes_or_new, styled

Epochs = Sequence[Mapping[str, float]]
"""One mapping an epoch, with ``epoch``, ``train_loss``, ``dev_wer`` and ``dev_cer``.

``train_wer``, of a fixed sample of the training data, is there too but in older runs.
"""

_KEYS = ("epoch", "train_loss", "dev_wer", "dev_cer")
_RATES = (
    ("dev_wer", "dev WER", RIGHT, "o", "-"),
    ("dev_cer", "dev CER", WRONG, "s", "-"),
    ("train_wer", "train WER", NEUTRAL, "^", "--"),
)
"""The key of a rate with its name, colour, marker and line."""


def read_epochs(path: Path) -> list[dict[str, float]]:
    """Read the epochs of a run from its folder, or from its ``history.jsonl``.

    Raises:
        DataError: they cannot be read, or are not what training writes.
    """
    file = path / "history.jsonl" if path.is_dir() else path
    try:
        epochs = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file}: is not the history of a run, one JSON object a line") from error
    if not epochs:
        raise DataError(f"{file}: has no epoch yet")
    for number, epoch in enumerate(epochs, start=1):
        if not isinstance(epoch, dict) or not all(_is_number(epoch.get(key)) for key in _KEYS):
            raise DataError(f"{file}, line {number}: must have the numbers {', '.join(_KEYS)}")
    return epochs


def draw_loss(epochs: Epochs, axes: Axes | None = None) -> Axes:
    """Draw the training loss of each epoch."""
    axes = axes_or_new(axes)
    numbers = [row["epoch"] for row in epochs]
    axes.plot(numbers, [row["train_loss"] for row in epochs], marker=".", color=RIGHT)
    axes.set(xlabel="epoch", ylabel="CTC loss, nats a symbol", title="Training, augmented")
    return _over_epochs(axes)


def draw_error_rates(epochs: Epochs, axes: Axes | None = None) -> Axes:
    """Draw the word and character error rates on dev after each epoch.

    The word error rate of the training data is drawn where it was measured: how far it lies below
    that of dev shows overfitting.
    """
    axes = axes_or_new(axes)
    for key, name, colour, marker, line in _RATES:
        known = [row for row in epochs if _is_number(row.get(key))]
        if not known and key not in _KEYS:
            continue
        numbers, rates = [row["epoch"] for row in known], [100 * row[key] for row in known]
        # Not clipped: at 0 % a marker would be half a marker, and a line none.
        style: Any = {"marker": marker, "markersize": 4, "color": colour, "clip_on": False}
        axes.plot(numbers, rates, line, label=name, **style)
        for number, last in list(zip(numbers, rates, strict=True))[-1:]:
            axes.annotate(
                f"{last:.1f}",
                (number, last),
                xytext=(0, 5),
                textcoords="offset points",
                ha="right",
                fontsize=8,
            )
    axes.set(xlabel="epoch", ylabel="%", title="Greedy, averaged weights", ylim=(0, None))
    axes.legend(loc="best", fontsize=8)
    return _over_epochs(axes)


def training_figure(epochs: Epochs) -> Figure:
    """Return a figure of both."""
    with styled():
        figure = Figure(figsize=(7.2, 2.88), layout="constrained")
        loss, rates = figure.subplots(1, 2)
        draw_loss(epochs, loss)
        draw_error_rates(epochs, rates)
        return figure


def _over_epochs(axes: Axes) -> Axes:
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    return axes


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
