"""The word error rate over alpha and beta, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.tri import Triangulation

from plainspeech.decoding.settings import BeamSettings
from plainspeech.errors import ConfigurationError
from plainspeech.files import replacing
from plainspeech.tuning.optimisation import RANGES, Trial

Floats = npt.NDArray[np.float64]

_SMOOTHING = 0.02  # of the squared errors, as a share of the range of the kernel
_POINTS = 200  # of the picture, along each axis
_SHOWN = 10.0  # points of word error rate above the best that are distinguished by colour


def draw_surface(path: Path, trials: Sequence[Trial], chosen: BeamSettings, title: str) -> None:
    """Draw the word error rate over alpha and beta into a PNG, with the trials and the best.

    The surface is a smoothing spline through the trials, at the chosen values of the other weights,
    within their convex hull.

    Args:
        path: of the picture.
        trials: of the weights.
        chosen: the weights that are marked.
        title: of the picture.

    Raises:
        ConfigurationError: ``path`` cannot be written.
    """
    figure = Figure(figsize=(7.2, 5.4), layout="constrained")
    axes = figure.subplots()
    places = np.array([_place(trial.settings) for trial in trials])
    rates = np.array([100 * trial.word_error_rate for trial in trials])
    if _span_a_plane(places[:, :2]):
        _draw_contours(figure, axes, places, rates, _place(chosen))
    alpha, beta = places.T[:2]
    axes.plot(
        alpha, beta, ".", color="black", markersize=4, alpha=0.6, label=f"{len(trials)} trials"
    )
    best = f"chosen: alpha {chosen.alpha:g}, beta {chosen.beta:g}"
    axes.plot(chosen.alpha, chosen.beta, "*", color="white", mec="black", markersize=17, label=best)
    axes.set(xlabel="alpha, weight of the language model", ylabel="beta, nats a word", title=title)
    axes.use_sticky_edges = False  # the outermost trials whole
    axes.margins(0.04)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    try:
        with replacing(path) as temporary:
            figure.savefig(temporary, dpi=150, format="png")
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be written: {error.strerror}") from error


def _draw_contours(
    figure: Figure, axes: Axes, places: Floats, rates: Floats, chosen: Floats
) -> None:
    lows, highs = places.min(axis=0), places.max(axis=0)
    alpha, beta = np.meshgrid(*np.linspace(lows[:2], highs[:2], _POINTS).T)
    others = np.broadcast_to(chosen[2:], (*alpha.shape, len(chosen) - 2))
    surface = _smooth(places, rates, np.dstack([alpha, beta, others]))
    triangle = Triangulation(places[:, 0], places[:, 1]).get_trifinder()(alpha, beta)
    masked = np.ma.array(surface, mask=np.asarray(triangle) < 0)
    lowest = np.floor(2 * rates.min()) / 2
    levels = np.arange(lowest, lowest + _SHOWN + 0.25, 0.5)
    whole = levels[levels == np.floor(levels)]
    filled = axes.contourf(alpha, beta, masked, levels=levels, cmap="viridis_r", extend="both")
    lines = axes.contour(alpha, beta, masked, levels=whole, colors="white", linewidths=0.7)
    axes.clabel(lines, fmt="%.0f", fontsize=8)
    figure.colorbar(filled, label="word error rate, %", ticks=whole)


def _span_a_plane(points: Floats) -> bool:
    """Return whether ``points`` are not all on one line."""
    rank: int = np.linalg.matrix_rank(points - points[0])
    return rank == 2


def _smooth(places: Floats, values: Floats, wanted: Floats) -> Floats:
    """Return a surface near ``values`` at ``places``, at ``wanted``.

    A smoothing polyharmonic spline (Wahba, "Spline models for observational data", 1990): the
    kernel -r and a plane.

    Args:
        places: ``(points, dimensions)``.
        values: ``(points,)``.
        wanted: ``(..., dimensions)``.

    Returns:
        ``(...)``.
    """
    scale = np.array([limits.high - limits.low for limits in RANGES.values()])
    known, asked = places / scale, wanted / scale
    count, plane = len(known), np.column_stack([np.ones(len(known)), known])
    system = np.zeros((count + plane.shape[1],) * 2)
    system[:count, :count] = _kernel(known, known) + _SMOOTHING * np.eye(count)
    system[:count, count:] = plane
    system[count:, :count] = plane.T
    # Least squares: where a weight was not tuned the plane has a direction too many.
    right = np.append(values, np.zeros(plane.shape[1]))
    weights = np.linalg.lstsq(system, right, rcond=None)[0]
    return np.asarray(
        _kernel(asked, known) @ weights[:count] + weights[count] + asked @ weights[count + 1 :]
    )


def _kernel(left: Floats, right: Floats) -> Floats:
    return np.asarray(-np.linalg.norm(left[..., None, :] - right, axis=-1))


def _place(settings: BeamSettings) -> Floats:
    return np.array([getattr(settings, name) for name in RANGES])
