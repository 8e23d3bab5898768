"""What the requests of a server share: the model, its queue and its threads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from itertools import accumulate, chain, islice
from typing import TYPE_CHECKING

import anyio
import numpy as np
from anyio import CapacityLimiter

from plainspeech.alphabet import Alphabet
from plainspeech.arrays import Array
from plainspeech.decoding.greedy import GreedyDecoder
from plainspeech.decoding.hot_words import (
    DEFAULT_WEIGHT,
    LONGEST_PHRASE,
    HotWords,
    parse_hot_words,
    validated_hot_words,
)
from plainspeech.errors import ConfigurationError, DecodingError
from plainspeech.numbers import check_language
from plainspeech.runtime.live import LiveModel
from plainspeech.runtime.recognizer import Recognizer
from plainspeech.runtime.vad import SpeechDetector
from plainspeech.serving.api_errors import ApiError, api_error
from plainspeech.serving.batching import LARGEST_BATCH, Batcher
from plainspeech.serving.capacity import Capacity
from plainspeech.serving.metrics import Metrics
from plainspeech.serving.server_settings import ServerSettings

if TYPE_CHECKING:
    from plainspeech.decoding.spoken import SpokenWords

_MOST_HINTS = 500

MOST_CONVERTED = 5_000
"""Letters of a request's words that the model's lexicon lacks: a second of a core, at most."""

_SHORTEST_HOT_WORD = 4  # letters, in a prompt; shorter words occur within too many others


@dataclass(frozen=True)
class Engine:
    """The model of a server, and everything that uses it.

    Attributes:
        recognizer: the model.
        settings: of the server.
        metrics: of the server.
        capacity: of the server.
        batcher: the queue of the recogniser.
        detector: makes a detector of speech for one stream.
        live: the model, for live sessions.
        streaming_threads: that run the streaming model for live sessions, as many as the model's.
        reader_threads: that read recordings and wait in the queue with them; with a separate limit,
            since everything else must continue meanwhile.
    """

    recognizer: Recognizer
    settings: ServerSettings
    metrics: Metrics
    capacity: Capacity
    batcher: Batcher
    detector: Callable[[], SpeechDetector]
    live: LiveModel
    streaming_threads: CapacityLimiter
    reader_threads: CapacityLimiter

    @classmethod
    def build(
        cls,
        recognizer: Recognizer,
        settings: ServerSettings,
        detector: Callable[[], SpeechDetector],
        paths: Iterable[str] = (),
    ) -> Engine:
        """Return the engine of a server.

        Args:
            recognizer: the model.
            settings: of the server.
            detector: makes a detector of speech for one stream.
            paths: of the server, for its metrics.
        """
        metrics = Metrics(paths)
        recognizer.observe = metrics.note_stage
        detector = _timed(detector, metrics)
        together = LARGEST_BATCH if settings.batching else 1
        rate = recognizer.bundle.features.sample_rate
        batcher = Batcher(recognizer, rate, metrics, together)
        return cls(
            recognizer,
            settings,
            metrics,
            Capacity(settings, metrics),
            batcher,
            detector,
            LiveModel(recognizer, detector),
            CapacityLimiter(recognizer.threads),
            CapacityLimiter(settings.queue),
        )

    @property
    def name(self) -> str:
        """Of the model."""
        return str(self.recognizer.bundle.card.get("name", "plainspeech"))

    @property
    def sample_rate(self) -> int:
        """Hz, of the model's input."""
        return self.recognizer.bundle.features.sample_rate

    @property
    def takes_hot_words(self) -> bool:
        """Whether the decoder uses them; greedy decoding does not."""
        return not isinstance(self.recognizer.decoder, GreedyDecoder)

    @property
    def writes_digits(self) -> bool:
        """Whether it can write numbers in digits, which depends on the model's language."""
        try:
            self.check_digits()
        except ApiError:
            return False
        return True

    def check_digits(self) -> None:
        """Check that numbers can be written in digits.

        Raises:
            ApiError: the language of the model is another than English.
        """
        try:
            check_language(self.recognizer.bundle.card.get("language"))
        except ConfigurationError as error:
            raise ApiError(
                HTTPStatus.BAD_REQUEST, f"{error}.", "invalid_field", "numbers"
            ) from error

    def hot_words(self, prompt: str = "", lines: str = "") -> HotWords | None:
        """Return the hot words of a request; None if there are none, or it is a greedy decoder.

        Args:
            prompt: whose longer words are taken; it is a hint, so that no prompt is an error.
            lines: see `plainspeech.decoding.hot_words.parse_hot_words`.

        Raises:
            ApiError: ``lines`` are not hot words, have more than `MOST_CONVERTED` letters to
                convert to phones, or are for greedy decoding, which takes none.
        """
        alphabet = self.recognizer.bundle.alphabet
        try:
            weighted = validated_hot_words(parse_hot_words(lines), alphabet)
        except DecodingError as error:
            named = str(error).removeprefix("hot_words: ")
            raise api_error(DecodingError(f"hot_words: {named}")) from error
        if weighted and not self.takes_hot_words:
            raise api_error(
                DecodingError(
                    "hot_words: this server decodes greedily, without them; leave them out"
                )
            )
        left = MOST_CONVERTED - sum(map(len, self._lacking(weighted)))
        if left < 0:
            raise _too_many(MOST_CONVERTED - left)
        hints = list(islice(_hints(prompt, alphabet), _MOST_HINTS))
        lacking = self._lacking(hints)
        ends = accumulate(map(len, lacking))
        beyond = {word for word, end in zip(lacking, ends, strict=True) if end > left}
        found = {word: DEFAULT_WEIGHT for word in hints if word not in beyond} | weighted
        return found if found and self.takes_hot_words else None

    def prepare(self, hot_words: HotWords | None) -> None:
        """Find out how hot words sound that the lexicon lacks; not for the thread of the loop.

        The thread that recognises knows it then, and the chunks of others do not wait for it.
        """
        if hot_words and (spoken := self._spoken):
            for word in self._lacking(hot_words):
                spoken.pronunciations.of(word, wide=True)

    @property
    def _spoken(self) -> SpokenWords | None:
        """How words sound, where the search is over phones."""
        return getattr(self.recognizer.decoder, "spoken", None)

    def _lacking(self, phrases: Iterable[str]) -> list[str]:
        """Return the words of ``phrases`` that have to be converted to phones."""
        words = chain.from_iterable(map(str.split, phrases))
        return self._spoken.pronunciations.lacking(words) if self._spoken else []

    @property
    def is_stuck(self) -> bool:
        """Whether a batch has been computing for longer than a request may take."""
        return self.batcher.busy_seconds > self.settings.request_seconds

    def warm_up(self) -> None:
        """Do now what takes long the first time."""
        self.recognizer.transcribe_waveforms([np.zeros(self.sample_rate, np.float32)])
        self.live.warm_up()
        # The first hot words would wait for the lexicon, and for what is learned from it.
        if spoken := self._spoken:
            spoken.pronunciations.prepare()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Recognise the audio of requests until the block ends; begins when the model is warm."""
        task = asyncio.create_task(self.batcher.run())
        try:
            await anyio.to_thread.run_sync(self.warm_up)
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def _hints(prompt: str, alphabet: Alphabet) -> Iterator[str]:
    """Yield the longer words of ``prompt``.

    It is normalised piece by piece, for many combining marks in a row take time with their square.
    """
    lengths = range(_SHORTEST_HOT_WORD, LONGEST_PHRASE + 1)
    for piece in prompt.split():
        if len(piece) <= LONGEST_PHRASE:
            yield from (word for word in alphabet.normalise(piece).split() if len(word) in lengths)


def _too_many(letters: int) -> ApiError:
    return ApiError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"hot_words: words that the model's lexicon lacks have {letters:,} letters together; at "
        f"most {MOST_CONVERTED:,}, for how they sound has to be found out; send fewer.",
        "too_many_hot_words",
        "hot_words",
    )


def _timed(make: Callable[[], SpeechDetector], metrics: Metrics) -> Callable[[], SpeechDetector]:
    """Return ``make`` of detectors whose time is measured."""

    def made() -> SpeechDetector:
        detect = make()

        def measured(windows: Array) -> Array:
            started = time.perf_counter()
            probabilities = detect(windows)
            metrics.note_stage("detection", time.perf_counter() - started)
            return probabilities

        return measured

    return made
