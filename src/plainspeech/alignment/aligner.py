"""Aligns a text with a recording: outputs of the network, anchors, and Viterbi between them."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

import numpy as np
import numpy.typing as npt

from plainspeech import audio
from plainspeech.alignment.aligned_text import (
    AlignedSentence,
    AlignedWord,
    Alignment,
    Disagreement,
)
from plainspeech.alignment.anchors import Symbols, anchors
from plainspeech.alignment.recording_outputs import Progress, RecordingOutputs, Source, computed
from plainspeech.alignment.text import Text, parse_text
from plainspeech.alignment.viterbi import (
    Unmatched,
    WordAlignment,
    WordPath,
    lattice_bytes,
    places_of,
    viterbi_alignment,
)
from plainspeech.alphabet import Alphabet
from plainspeech.arrays import Array
from plainspeech.errors import ConfigurationError, DataError, wrong_type
from plainspeech.runtime.recognizer import Recognizer, load_model

LATTICE = 1 << 26
"""Bytes of a search, at most, whatever the recording and the text."""

_MOST_FRAMES, _MOST_PLACES = 40_000, 32_000
"""Of a search between two anchors that would be larger; the middle of it disagrees."""

_SPACING = 30.0  # seconds between two cuts
_EDGE = 4  # symbols of an anchor on both sides of a cut
_RELEASE = 0.05
"""Seconds by which words end after the last frame of their last symbol, where there is room: CTC
writes a symbol early in its sound."""

_LEAST_HEARD = 4  # symbols that are not in the text, to be a disagreement


def align(
    source: Source,
    text: str,
    model: Recognizer | None = None,
    *,
    sample_rate: int = audio.SAMPLE_RATE,
    progress: Progress = lambda done, duration: None,
) -> Alignment:
    """Align a known text with a recording of it, of any length, by CTC.

    The best alignment of the model's outputs with the text (Kürzinger et al., SPECOM 2020), in
    which words may be left out and speech added. `plainspeech.alignment.viterbi` describes the
    search, which is cut at places where text and recording surely agree.

    Args:
        source: path, binary file, or waveform ``(samples,)`` or ``(samples, channels)``.
        text: what is spoken, as it is printed.
        model: any; by default the English model of the package.
        sample_rate: Hz, of a waveform; files declare theirs.
        progress: is told how many seconds of the recording are done, and of how many (or None).

    Raises:
        AudioError: the recording cannot be read.
        ConfigurationError: ``model`` is none.
        DataError: ``text`` is no string, or has no word that the model's alphabet can write.
    """
    if not isinstance(text, str):
        raise DataError(wrong_type("text", text, "pass what is spoken, a string"))
    if model is None:
        model = load_model(decoder="greedy")
    if not isinstance(model, Recognizer):
        raise ConfigurationError(wrong_type("model", model, "pass load_model(path)"))
    alphabet = model.bundle.alphabet
    parsed = parse_text(text, alphabet)
    with computed(source, sample_rate, model, progress) as outputs:
        found = align_outputs(outputs, [word.ids for word in parsed.words], alphabet)
        return _Composition(outputs, parsed, alphabet, found).alignment()


def align_outputs(
    outputs: RecordingOutputs, words: Sequence[Sequence[int]], alphabet: Alphabet
) -> WordAlignment:
    """Align ``words``, ids of each, with the outputs of a recording."""
    frames, symbols = collapsed(outputs.best, alphabet)
    cuts = _cuts(frames, symbols, words, alphabet, _SPACING / outputs.frame_seconds)
    edges = [(0, 0), *cuts, (len(outputs), len(words))]
    found = WordAlignment([], [], 0.0)
    for (start, first), (end, last) in pairwise(edges):
        part = _aligned_part(_Part(outputs, start, end), words[first:last], alphabet)
        found.words.extend(_shifted(word, start) for word in part.words)
        found.unmatched.extend(
            Unmatched(unmatched.word + first, unmatched.start + start, unmatched.end + start)
            for unmatched in part.unmatched
        )
    return found


def collapsed(best: Symbols, alphabet: Alphabet) -> tuple[npt.NDArray[np.intp], Symbols]:
    """Return the symbols that greedy decoding writes, and the first frame of each."""
    frames = np.flatnonzero((np.diff(best, prepend=-1) != 0) & (best != alphabet.blank_id))
    symbols = best[frames]
    if " " in alphabet.symbols:
        space = alphabet.symbols.index(" ")
        repeated = (symbols == space) & (np.concatenate([[space], symbols[:-1]]) == space)
        frames, symbols = frames[~repeated], symbols[~repeated]
    return frames, symbols


def _cuts(
    frames: npt.NDArray[np.intp],
    heard: Symbols,
    words: Sequence[Sequence[int]],
    alphabet: Alphabet,
    spacing: float,
) -> Iterator[tuple[int, int]]:
    """Yield the frames at which a word surely begins, and the number of the word."""
    written: list[int] = []
    number_at: dict[int, int] = {}
    for number, ids in enumerate(words):
        number_at[len(written)] = number
        written += ids or [alphabet.size]
        if " " in alphabet.symbols:
            written.append(alphabet.symbols.index(" "))
    last = 0
    for mine, theirs, length in anchors(heard, np.array(written, np.int32)):
        for offset in range(_EDGE, length - _EDGE):
            word, frame = number_at.get(theirs + offset), int(frames[mine + offset])
            if word is not None and frame - last >= spacing:
                yield frame, word
                last = frame


@dataclass(frozen=True)
class _Part:
    """The frames of ``outputs`` from ``start`` to ``end``, without ``removed`` from ``join`` on."""

    outputs: RecordingOutputs
    start: int
    end: int
    join: int = 0
    removed: int = 0

    def __len__(self) -> int:
        return self.end - self.start - self.removed

    def __getitem__(self, frames: slice) -> Array:
        first, last, _ = frames.indices(len(self))
        edge = min(max(first, self.join), last) if self.removed else last
        after = self.start + self.removed
        left = self.outputs[self.start + first : self.start + edge]
        return np.concatenate([left, self.outputs[after + edge : after + last]])


def _aligned_part(part: _Part, words: Sequence[Sequence[int]], alphabet: Alphabet) -> WordAlignment:
    """Align what is between two cuts; of what is too long for that, the two ends."""
    frames, places = len(part), places_of(words)
    if lattice_bytes(frames, places) <= LATTICE:
        return viterbi_alignment(part, words, alphabet)
    removed = max(0, frames - _MOST_FRAMES)
    join = (frames - removed) // 2
    head, tail = _ends(words)
    part = replace(part, join=join, removed=removed)
    found = viterbi_alignment(part, [*words[:head], *words[tail:]], alphabet)
    dropped: list[WordPath | None] = [None] * (tail - head)

    def moved(frame: int) -> int:
        return frame + (removed if frame > join else 0)

    paths = [
        word and replace(word, start=moved(word.start + 1) - 1, end=moved(word.end))
        for word in found.words
    ]
    whole: list[WordPath | None] = [*paths[:head], *dropped, *paths[head:]]
    unmatched = [
        Unmatched(
            w.word + (tail - head if w.word > head else 0), moved(w.start + 1) - 1, moved(w.end)
        )
        for w in found.unmatched
    ]
    if removed:
        after = (n for n, word in enumerate(whole) if word and word.start >= join)
        unmatched.append(Unmatched(next(after, len(whole)), join, join + removed))
    return WordAlignment(whole, sorted(unmatched, key=lambda w: w.start), found.score)


def _ends(words: Sequence[Sequence[int]]) -> tuple[int, int]:
    """Return how many words at the beginning, and from which one to the end, a search may have."""
    sizes = [max(1, len(ids)) + 1 for ids in words]
    head = bisect_right(list(accumulate(sizes)), _MOST_PLACES // 2)
    tail = len(words) - bisect_right(list(accumulate(sizes[::-1])), _MOST_PLACES // 2)
    return head, max(head, tail)


def _shifted(word: WordPath | None, frames: int) -> WordPath | None:
    return word and replace(word, start=word.start + frames, end=word.end + frames)


class _Composition:
    """Makes the result of an alignment of frames."""

    def __init__(
        self, outputs: RecordingOutputs, text: Text, alphabet: Alphabet, found: WordAlignment
    ) -> None:
        self._outputs = outputs
        self._text = text
        self._alphabet = alphabet
        self._paths = found.words
        self._unmatched = found.unmatched

    def alignment(self) -> Alignment:
        """Return it."""
        words = self._released(list(self._words()))
        sentences = [
            AlignedSentence(tuple(words[first:last]))
            for first, last in pairwise([0, *self._text.sentence_ends])
        ]
        stretches = tuple(self._disagreements(words))
        return Alignment(tuple(sentences), stretches, self._outputs.duration, self._text.foreign)

    def _words(self) -> Iterator[AlignedWord]:
        time = 0.0
        for word, path in zip(self._text.words, self._paths, strict=True):
            spelling = self._alphabet.decode(word.ids)
            if path is None:
                yield AlignedWord(word.text, spelling, time, time, 0.0, False)
                continue
            start, end = self._times(path.start, path.end)
            start = max(start, time)
            sure = min(1.0, math.exp(path.log_probability)) if word.ids else 0.0
            yield AlignedWord(word.text, spelling, start, end, sure, True)
            time = end

    def _released(self, words: list[AlignedWord]) -> list[AlignedWord]:
        """Return ``words`` with ends of which no frame tells, but that do not overlap."""
        following = self._outputs.duration
        for number in range(len(words) - 1, -1, -1):
            word = words[number]
            if word.spoken:
                end = max(word.end, min(word.end + _RELEASE, following))
                words[number] = replace(word, end=end)
            following = min(following, word.start)
        return words

    def _times(self, start: int, end: int) -> tuple[float, float]:
        """Return the seconds of the frames from ``start`` to ``end``, within the recording."""
        last = self._outputs.time(end - 1) + self._outputs.frame_seconds
        return self._outputs.time(start), min(last, self._outputs.duration)

    def _disagreements(self, words: Sequence[AlignedWord]) -> Iterator[Disagreement]:
        unmatched: dict[int, tuple[int, int]] = {}
        for each in self._unmatched:
            start, end = unmatched.get(each.word, (each.start, each.end))
            unmatched[each.word] = min(start, each.start), max(end, each.end)
        first = 0
        while first <= len(words):
            last = first
            while last < len(words) and not words[last].spoken:
                last += 1
            spans = [unmatched[number] for number in range(first, last + 1) if number in unmatched]
            stretch = self._disagreement(words, first, last, spans)
            if stretch.words or len(stretch.heard) >= _LEAST_HEARD:
                yield stretch
            first = last + 1

    def _disagreement(
        self,
        words: Sequence[AlignedWord],
        first: int,
        last: int,
        spans: Sequence[tuple[int, int]],
    ) -> Disagreement:
        """Return what is before word ``last``, of which those from ``first`` on are not spoken."""
        start = words[first - 1].end if first else 0.0
        end = words[last].start if last < len(words) else self._outputs.duration
        heard = ""
        if spans:
            start, end = self._times(spans[0][0], spans[-1][1])
            _, symbols = collapsed(self._outputs.best[spans[0][0] : spans[-1][1]], self._alphabet)
            heard = " ".join(self._alphabet.decode(symbols.tolist()).split())
        text = " ".join(word.text for word in words[first:last])
        return Disagreement(start, max(start, end), first, last - first, text, heard)
