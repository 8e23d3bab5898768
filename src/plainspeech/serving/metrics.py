"""Metrics for Prometheus: of one process, or of all workers of a server together.

Workers share a folder of small mapped files, as `prometheus_client.multiprocess` has it; any of
them answers for all.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from plainspeech.serving.request_log import FinishedRequest
from plainspeech.serving.server_settings import WORKERS_FOLDER

_Item = TypeVar("_Item")

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800)
_STAGE_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_BATCH_SIZES = (1, 2, 4, 8, 16, 32)


class Metrics:
    """Counters of one process.

    Args:
        paths: that have a label each; all others share one, since clients can invent any number.
    """

    def __init__(self, paths: Iterable[str] = ()) -> None:
        self._paths = frozenset(paths)
        self._registry = registry = CollectorRegistry()
        self.requests = Counter(
            "plainspeech_requests",
            "HTTP requests answered.",
            ["path", "status"],
            registry=registry,
        )
        self.latency = Histogram(
            "plainspeech_request_seconds",
            "From the first byte of a request to the last of its response.",
            ["path"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.stages = Histogram(
            "plainspeech_stage_seconds",
            "Read and decode a block of audio, detect speech in it; wait, features, network and "
            "search of chunks.",
            ["stage"],
            buckets=_STAGE_SECONDS,
            registry=registry,
        )
        self.audio = Counter(
            "plainspeech_audio_seconds",
            "Audio recognised, partial results included.",
            registry=registry,
        )
        self.in_flight = self._gauge("requests_in_flight", "Transcriptions in progress.")
        self.live = self._gauge("live_sessions", "Live sessions open.")
        self.queue = self._gauge("queue_length", "Chunks of audio that are waiting.")
        self.batch = Histogram(
            "plainspeech_batch_size",
            "Chunks of audio recognised together.",
            buckets=_BATCH_SIZES,
            registry=registry,
        )

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(
            f"plainspeech_{name}", text, multiprocess_mode="livesum", registry=self._registry
        )

    def note_request(self, request: FinishedRequest) -> None:
        """Count and time an HTTP request."""
        if request.method == "WEBSOCKET":
            return
        path = request.path if request.path in self._paths else "other"
        self.requests.labels(path, str(request.status)).inc()
        self.latency.labels(path).observe(request.seconds)

    def note_stage(self, stage: str, seconds: float) -> None:
        """Note how long a stage of recognition took; from any thread."""
        self.stages.labels(stage).observe(seconds)

    def timed(self, stage: str, items: Iterable[_Item]) -> Iterator[_Item]:
        """Yield ``items``, and measure how long each takes to come."""
        started = time.perf_counter()
        for item in items:
            self.note_stage(stage, time.perf_counter() - started)
            yield item
            started = time.perf_counter()

    def exposition(self) -> bytes:
        """Return all metrics in Prometheus's text format, those of all workers together."""
        if WORKERS_FOLDER not in os.environ:
            return generate_latest(self._registry)
        every = CollectorRegistry()
        MultiProcessCollector(every)  # type: ignore[no-untyped-call]
        return generate_latest(every)
