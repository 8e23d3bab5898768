"""Actual and predicted text beneath each other, word by word."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from matplotlib.axes import Axes

from plainspeech.evaluation.error_rates import Operation, Pair, Step, align_words
from plainspeech.figures.style import INK, NEUTRAL, RIGHT, SECOND, WRONG, axes_or_new

_CHARACTER = 0.602  # width of a monospaced character, of its size
_LABELS = ("actual", "predicted")
_INDENT = 11  # characters, of the labels
_SIZE = 8.5  # points
_LINE = 1.45  # of the size
COLOURS: dict[Operation, str] = {
    "hit": INK,
    "substitution": WRONG,
    "deletion": RIGHT,
    "insertion": SECOND,
}
"""Of the words; those that are wrong are bold besides, for who cannot tell colours apart."""


def draw_texts(reference: str, hypothesis: str, axes: Axes | None = None) -> Axes:
    """Write what was said and, aligned beneath it, what was recognised, errors coloured.

    Substitutions are orange, words that were left out blue, words that were put in green; all of
    them are bold, and a dash holds the place of the word that is not there.

    Args:
        reference: what was said.
        hypothesis: what was recognised.
        axes: to draw on, whose figure tells how many words a line has; by default new ones.
    """
    axes = axes_or_new(axes, height=texts_height(reference, hypothesis, 9.0))
    width, height = _inches(axes)
    y = height * 72 - _SIZE
    lines = list(_lines(reference, hypothesis, width))
    for steps in lines:
        for place, label in enumerate(_LABELS):
            _write(axes, 0, y, label, NEUTRAL)
            column = _INDENT
            for step in steps:
                word = (step.reference, step.hypothesis)[place] or "–"
                _write(axes, column, y, word, COLOURS[step.operation], step.operation != "hit")
                column += _columns(step)
            y -= _SIZE * _LINE
        y -= _SIZE * 0.6
    axes.set(xlim=(0, width * 72), ylim=(0, height * 72))
    axes.axis("off")
    return axes


def texts_height(reference: str, hypothesis: str, width: float) -> float:
    """Return the inches that `draw_texts` needs in a figure ``width`` inches wide."""
    lines = sum(1 for _ in _lines(reference, hypothesis, width))
    return max(1, lines) * _SIZE * (2 * _LINE + 0.6) / 72 + 0.05


def _write(axes: Axes, column: int, y: float, word: str, colour: str, bold: bool = False) -> None:
    axes.text(
        column * _CHARACTER * _SIZE,
        y,
        word,
        family="monospace",
        fontsize=_SIZE,
        color=colour,
        fontweight="bold" if bold else "normal",
        va="center",
    )


def _lines(reference: str, hypothesis: str, width: float) -> Iterator[Sequence[Step]]:
    """Yield runs of steps that fit into ``width`` inches, each with one word at least."""
    most = int(width * 72 / (_CHARACTER * _SIZE)) - _INDENT
    line: list[Step] = []
    used = 0
    for step in align_words(Pair("", "", reference, hypothesis)):
        if line and used + _columns(step) > most:
            yield line
            line, used = [], 0
        line.append(step)
        used += _columns(step)
    if line:
        yield line


def _columns(step: Step) -> int:
    return max(len(step.reference), len(step.hypothesis)) + 1


def _inches(axes: Axes) -> tuple[float, float]:
    figure = axes.get_figure(root=True)
    assert figure is not None
    box = axes.get_position()
    return float(figure.get_figwidth()) * box.width, float(figure.get_figheight()) * box.height
