"""Colours, fonts and files of the figures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from plainspeech.errors import ConfigurationError, nearest
from plainspeech.files import replacing

# M. Okabe and K. Ito, "Color universal design", 2008: the colour-blind can tell these apart.
RIGHT = "#0072b2"
WRONG = "#d55e00"
SECOND = "#009e73"
NEUTRAL = "#7a7a7a"
INK = "#222222"
HEAT = "cividis"  # of equal steps of lightness for every kind of colour vision

FORMATS = (".png", ".svg")
DPI = 150

_STYLE: dict[Any, Any] = {
    "font.size": 9,
    # matplotlib's own; an SVG repeats the whole list with every text.
    "font.sans-serif": ["DejaVu Sans"],
    "font.monospace": ["DejaVu Sans Mono"],
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": NEUTRAL,
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "plainspeech",  # the same figure is the same file
}


@contextmanager
def styled() -> Iterator[None]:
    """Draw in the style of this package within the block; settings outside it stay."""
    with matplotlib.rc_context(_STYLE):
        yield


def axes_or_new(axes: Axes | None, height: float = 3.0) -> Axes:
    """Return ``axes``, or those of a new figure that is ``height`` inches high."""
    return axes or Figure(figsize=(9.0, height), layout="constrained").subplots()


def check_path(path: Path) -> None:
    """Check, before anything is computed, that a figure can be saved as ``path``.

    Raises:
        ConfigurationError: its suffix is neither ``.png`` nor ``.svg``.
    """
    if path.suffix.lower() not in FORMATS:
        raise ConfigurationError(
            f"{path}: figures are PNG or SVG; {nearest(path.suffix.lower(), FORMATS)}"
        )


def save_figure(figure: Figure, path: Path) -> None:
    """Write ``figure`` as PNG or SVG, by the suffix of ``path``, whole or not at all.

    Raises:
        ConfigurationError: the suffix is another, or ``path`` cannot be written.
    """
    check_path(path)
    kind = path.suffix.lower().removeprefix(".")
    try:
        with replacing(path) as temporary, styled():
            # Without a date, the same figure is the same file.
            metadata = {"Date": None} if kind == "svg" else None
            figure.savefig(temporary, dpi=DPI, format=kind, metadata=metadata)
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be written: {error.strerror}") from error
