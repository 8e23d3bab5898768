"""Metrics for Prometheus."""

from __future__ import annotations

import time
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800)
_BATCH_SIZES = (1, 2, 4, 8, 16, 32)


class Metrics:
    """Counters of one server."""

    def __init__(self) -> None:
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
        self.audio = Counter(
            "plainspeech_audio_seconds",
            "Audio recognised, partial results included.",
            registry=registry,
        )
        self.in_flight = Gauge(
            "plainspeech_requests_in_flight", "Transcriptions in progress.", registry=registry
        )
        self.live = Gauge("plainspeech_live_sessions", "Live sessions open.", registry=registry)
        self.queue = Gauge(
            "plainspeech_queue_length", "Chunks of audio that are waiting.", registry=registry
        )
        self.batch = Histogram(
            "plainspeech_batch_size",
            "Chunks of audio recognised together.",
            buckets=_BATCH_SIZES,
            registry=registry,
        )

    def exposition(self) -> bytes:
        """Return all metrics in Prometheus's text format."""
        return generate_latest(self._registry)


class MetricsMiddleware:
    """Counts and times HTTP requests.

    Args:
        app: the application.
        metrics: of the server.
        paths: that have a label each; all others share one, since clients can invent any number.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, paths: Iterable[str]) -> None:
        self._app = app
        self._metrics = metrics
        self._paths = frozenset(paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, as ASGI has it."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        path = scope["path"] if scope["path"] in self._paths else "other"
        status, started = 499, time.perf_counter()  # nginx's number for a client that disconnected

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watch)
        except Exception:
            status = 500  # the response comes from outside of this
            raise
        finally:
            self._metrics.requests.labels(path, str(status)).inc()
            self._metrics.latency.labels(path).observe(time.perf_counter() - started)
        return None
