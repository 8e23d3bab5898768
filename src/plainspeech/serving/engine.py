"""What all requests of a server share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import anyio
import numpy as np
from anyio import CapacityLimiter

from plainspeech.cores import available_cores
from plainspeech.decoding.greedy import GreedyDecoder
from plainspeech.runtime.live import LiveModel
from plainspeech.runtime.recognizer import Recognizer
from plainspeech.runtime.voice import Detector
from plainspeech.serving import hot_words
from plainspeech.serving.admission import Admission
from plainspeech.serving.batching import LARGEST_BATCH, Batcher, HotWords
from plainspeech.serving.metrics import Metrics
from plainspeech.serving.settings import ServerSettings

_SHORTEST_HOT_WORD = 4  # letters, of a prompt's; short words would do harm: they are in everything


@dataclass(frozen=True)
class Engine:
    """A model that serves.

    Attributes:
        recognizer: the model.
        settings: of the server.
        metrics: of the server.
        admission: of the server.
        batcher: the one way to the recogniser.
        detector: makes a detector of voice activity for one stream.
        live: the model, for live sessions.
        hearers: the threads in which a streaming model hears live sessions, one a core.
        readers: the threads that read recordings and wait in the queue with them; of their own,
            for everything else must go on meanwhile.
    """

    recognizer: Recognizer
    settings: ServerSettings
    metrics: Metrics
    admission: Admission
    batcher: Batcher
    detector: Callable[[], Detector]
    live: LiveModel
    hearers: CapacityLimiter
    readers: CapacityLimiter

    @classmethod
    def build(
        cls, recognizer: Recognizer, settings: ServerSettings, detector: Callable[[], Detector]
    ) -> Engine:
        """Put one together.

        Args:
            recognizer: the model.
            settings: of the server.
            detector: makes a detector of voice activity for one stream.
        """
        metrics = Metrics()
        together = LARGEST_BATCH if settings.batching else 1
        rate = recognizer.bundle.features.sample_rate
        batcher = Batcher(recognizer, rate, metrics, together)
        return cls(
            recognizer,
            settings,
            metrics,
            Admission(settings, metrics),
            batcher,
            detector,
            LiveModel(recognizer, detector),
            CapacityLimiter(available_cores()),
            CapacityLimiter(settings.queue),
        )

    @property
    def name(self) -> str:
        """The model's."""
        return str(self.recognizer.bundle.card.get("name", "plainspeech"))

    @property
    def sample_rate(self) -> int:
        """Hz, that the model takes."""
        return self.recognizer.bundle.features.sample_rate

    @property
    def takes_hot_words(self) -> bool:
        """Whether they make a difference: to greedy decoding they make none."""
        return not isinstance(self.recognizer.decoder, GreedyDecoder)

    def hot_words(self, prompt: str = "", lines: str = "") -> HotWords | None:
        """Return the hot words of a request; None if there are none, or no use for any.

        Args:
            prompt: of which the longer words are taken; it is a hint, so that nothing is wrong.
            lines: as `plainspeech.serving.hot_words.parse` takes them.

        Raises:
            ApiError: ``lines`` are no hot words.
        """
        alphabet = self.recognizer.bundle.alphabet
        weighted = hot_words.parse(lines, alphabet)
        hints = [w for w in alphabet.normalise(prompt).split() if len(w) >= _SHORTEST_HOT_WORD]
        found = dict.fromkeys(hints[: hot_words.MOST], hot_words.USUAL_WEIGHT) | weighted
        return found if found and self.takes_hot_words else None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Recognise what requests bring until the block ends; begins when the model is warm."""
        task = asyncio.create_task(self.batcher.run())
        try:
            with self.batcher.lane() as lane:
                await lane.transcribe(np.zeros(self.sample_rate, np.float32))
            await anyio.to_thread.run_sync(self.live.warm_up)
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
