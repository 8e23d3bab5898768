"""The beam search over time, and where the language model overruled the network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from plainspeech.decoding.beam_search import BeamSearchDecoder
from plainspeech.decoding.search_trace import SearchTrace, trace_search
from plainspeech.decoding.settings import BeamSettings
from plainspeech.decoding.text_scores import TextScorer
from plainspeech.errors import ConfigurationError
from plainspeech.evaluation.explanation import Explanation, explain_text
from plainspeech.figures.style import NEUTRAL, RIGHT, WRONG, axes_or_new
from plainspeech.runtime.analysis import AnalysedChunk
from plainspeech.runtime.decoders import search_of
from plainspeech.runtime.recognizer import Recognizer
from plainspeech.transcript import Transcript

_BINS = 48  # of the distance from the best hypothesis
_LEAST_RANGE = 10.0  # nats
_LONGEST_LABEL = 42  # characters of a line


@dataclass(frozen=True)
class Search:
    """The search of a chunk with its language model, beside what the network says alone.

    Attributes:
        start: seconds from the start of the recording to the first frame.
        frame_seconds: from one frame to the next.
        trace: of the search.
        transcript: that it found.
        alone: what a beam search without a language model finds.
        overruled: where the two differ: ``said`` holds the words of the network alone,
            ``recognised`` those that the language model brought about.
    """

    start: float
    frame_seconds: float
    trace: SearchTrace
    transcript: Transcript
    alone: Transcript
    overruled: tuple[Explanation, ...]


def watch_search(recognizer: Recognizer, chunk: AnalysedChunk) -> Search:
    """Return the search of ``chunk``, frame by frame.

    Args:
        recognizer: the model, with the beam search.
        chunk: of a recording, analysed by it.

    Raises:
        ConfigurationError: its decoder is not the beam search.
    """
    decoder = recognizer.decoder
    if not isinstance(decoder, BeamSearchDecoder):
        raise ConfigurationError(
            "decoder: greedy decoding has no search to draw; use the beam search (beam)"
        )
    rows = chunk.log_probabilities
    if decoder.spoken:
        plain = decoder.with_settings(alpha=0.0, beta=0.0)  # words of the lexicon, by their sound
    else:
        plain = search_of(recognizer.bundle, None, BeamSettings(merge="prefix"))
    alone = plain.decode(rows)
    text = chunk.transcript.text
    return Search(
        start=chunk.start,
        frame_seconds=decoder.frame_seconds,
        trace=trace_search(decoder, rows),
        transcript=chunk.transcript,
        alone=alone,
        overruled=tuple(explain_text(TextScorer(decoder), rows, alone.text, text)),
    )


def draw_beam(search: Search, axes: Axes | None = None) -> Axes:
    """Draw how far the hypotheses of each frame lie below its best one.

    Grey: how many hypotheses lie there. Blue: the text that wins in the end; where it is not at the
    top, the search preferred another. Orange: the text of the network alone, to the frame at which
    it has left the beam.

    Args:
        search: of a chunk.
        axes: to draw on; by default those of a new figure.
    """
    axes = axes_or_new(axes)
    gaps = search.trace.gaps()
    times = search.start + search.frame_seconds * (np.arange(len(gaps)) + 0.5)
    most = max([_LEAST_RANGE, *(float(gap[-1]) for gap in gaps)])
    counts = np.array([np.histogram(gap, _BINS, (0.0, most))[0] for gap in gaps]).T
    end = search.start + search.frame_seconds * len(gaps)
    axes.imshow(
        np.log1p(counts),
        origin="lower",
        aspect="auto",
        extent=(search.start, end, 0.0, most),
        cmap="Greys",
        interpolation="none",
        vmax=1.6 * float(np.log1p(counts.max(initial=1))),
    )
    for text, colour, name, thickness in (
        (
            search.alone.text,
            WRONG,
            "the text of the network alone, which leaves the beam at the x",
            1.4,
        ),
        (search.trace.text, RIGHT, "the text that wins", 1.8),
    ):
        gap = search.trace.gap_of(text)
        axes.plot(times, gap, color=colour, linewidth=thickness, label=name)
        left = np.flatnonzero(np.isnan(gap))
        if len(left) and left[0] > 0:
            at = left[0] - 1
            axes.plot(
                times[at], gap[at], marker="x", color=colour, markersize=7, mew=2, clip_on=False
            )
    axes.set(ylabel="nats below the best", xlabel="seconds", ylim=(most, -0.04 * most))
    handles, _ = axes.get_legend_handles_labels()
    handles.append(Patch(color="#b0b0b0", label="how many others"))
    axes.legend(
        handles=handles,
        loc="lower right",
        bbox_to_anchor=(1, 1),
        ncols=3,
        fontsize=7,
        frameon=False,
    )
    return axes


def draw_overruled(search: Search, axes: Axes | None = None) -> Axes:
    """Draw where the language model overruled the network, and by how much.

    A bar to the right of the zero line is what the language model gained by its words in place of
    the network's, one to the left is what that cost in the network.

    Args:
        search: of a chunk.
        axes: to draw on; by default those of a new figure.
    """
    axes = axes_or_new(axes, height=overruled_height(search.overruled))
    places = np.arange(len(search.overruled))
    gains = np.array([one.language for one in search.overruled])
    costs = np.array([one.acoustic for one in search.overruled])
    axes.barh(places, -gains, color=RIGHT, height=0.6, label="gained in the language model")
    axes.barh(places, -costs, color=WRONG, height=0.6, label="lost in the network")
    names = [_change(one) for one in search.overruled]
    axes.set_yticks(places, names, fontsize=8)
    axes.axvline(0, color=NEUTRAL, linewidth=0.8)
    axes.set(xlabel="nats", ylim=(len(places) - 0.4, -0.6))
    if len(places):
        # Below the words, where nothing is drawn.
        axes.legend(loc="upper right", bbox_to_anchor=(0, 0), fontsize=7, frameon=False)
    else:
        axes.text(0.5, 0.5, "The network alone finds the same words.", ha="center", va="center")
        axes.axis("off")
    return axes


def overruled_height(overruled: Sequence[Explanation]) -> float:
    """Return the inches that `draw_overruled` needs."""
    return 0.7 + _row_height(overruled) * max(1, len(overruled))


def _row_height(overruled: Sequence[Explanation]) -> float:
    lines = max((_change(one).count("\n") for one in overruled), default=0)
    return 0.24 + 0.13 * lines


def _change(one: Explanation) -> str:
    network = " ".join(one.difference.said) or "–"
    chosen = " ".join(one.difference.recognised) or "–"
    return fill(f"{network} → {chosen}", _LONGEST_LABEL)
