"""Finds the utterances of live audio.

`plainspeech.runtime.chunking` cuts recordings into chunks of a length that suits a model; here the
speaker waits for an answer, so that every pause ends an utterance and audio is passed on at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from plainspeech.arrays import Array
from plainspeech.runtime.vad import SpeechDetector, SpeechSegmenter

LONGEST = 625
"""Windows of an utterance: 20 s."""

_LONG = 250  # windows, 8 s; a longer utterance ends at ever shorter pauses
_PAUSE = 20  # windows without speech that end an utterance: 0.64 s
_BEFORE, _AFTER = 10, 6  # windows of silence around speech that belong to the utterance


@dataclass(frozen=True)
class UtterancePart:
    """The next samples of an utterance.

    Attributes:
        start: samples from the start of the audio.
        waveform: ``(samples,)``; may be empty at the end of an utterance.
        is_last: whether the utterance ends with them.
        padding: how many of the samples, at their end, are silence after the end of the audio.
    """

    start: int
    waveform: Array
    is_last: bool = False
    padding: int = 0


class Endpointer(SpeechSegmenter[UtterancePart]):
    """Finds where the utterances of one stream begin and end, and passes them on as they come.

    A pause ends an utterance, a shorter one as the utterance grows long. Unlike a chunk it is not
    cut at an earlier, longer pause: a streaming model has processed the audio after that already.

    Args:
        rate: Hz, of the stream.
        detector: of speech, new.
    """

    def __init__(self, rate: int, detector: SpeechDetector) -> None:
        super().__init__(rate, detector)
        self._length = 0  # windows of the current utterance; 0 between utterances

    def finish(self) -> list[UtterancePart]:
        """Return the rest of the utterance that the end of the stream ends, if there is one.

        It is padded to the silence that other utterances end with: audio that ends with its last
        word could lose it, since a model recognises the end of a word by the audio after it.
        """
        if not self._length:
            return []
        padding = self._sample(max(0, _AFTER - self._silent)) - self._start
        waveform = np.append(self._waveform, np.zeros(padding, np.float32))
        return [UtterancePart(self._start, waveform, is_last=True, padding=padding)]

    def _window(self, speech: bool) -> Iterator[UtterancePart]:
        if self._length:
            self._length += 1
        elif speech:
            self._length = self._pending
        if not self._length:
            self._discard(self._pending - _BEFORE)
        elif self._is_over():
            yield self._part(self._pending if self._silent <= _AFTER else 0, is_last=True)
            self._length = 0
        elif self._silent <= _AFTER:  # more silence is held back until there is speech again
            yield self._part(self._pending)
        self._in_speech = speech or self._length > 0

    def _is_over(self) -> bool:
        left = LONGEST - self._length
        share = min(1.0, left / (LONGEST - _LONG))
        return left == 0 or self._silent >= max(1, round(_PAUSE * share**2))

    def _part(self, windows: int, is_last: bool = False) -> UtterancePart:
        """Return the first ``windows`` and discard them."""
        part = UtterancePart(self._start, self._head(windows), is_last)
        self._discard(windows)
        return part
