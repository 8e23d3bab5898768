"""The settings of a server."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace

from plainspeech.errors import ConfigurationError

WORKERS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""The environment variable that names the folder of the metrics that workers share.

`prometheus_client` reads it when it is imported.
"""


@dataclass(frozen=True)
class ServerSettings:
    """Limits and secrets of a server.

    Attributes:
        token: that clients must send as ``Authorization: Bearer``; None accepts everyone.
        hosts: names by which clients may call the server, besides localhost and addresses.
        origins: of other sites whose pages may use it, such as ``https://example.org``.
        queue: most uploads at a time, and most live sessions.
        wait_seconds: that an upload waits when there are as many, before it is refused with 429.
        upload_bytes: largest request.
        upload_seconds: longest time for the body of a request.
        upload_rate: bytes a second that it must have on average once ``silence_seconds`` are over.
        spool_bytes: most bytes of uploads of all requests together, in the temporary folder.
        audio_seconds: longest recording.
        request_seconds: from the first byte of a request to its response.
        silence_seconds: longest time without a byte in a request or a live session.
        drain_seconds: for accepted requests to finish when the server is told to stop.
        batching: whether chunks of several requests are recognised together.
        json_logs: whether the log is lines of JSON, with one for each request.
    """

    token: str | None = None
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    queue: int = 64
    wait_seconds: float = 20.0
    upload_bytes: int = 200 * 2**20
    upload_seconds: float = 900.0
    upload_rate: float = 1000.0
    spool_bytes: int = 10 * 200 * 2**20
    audio_seconds: float = 4 * 3600.0
    request_seconds: float = 1800.0
    silence_seconds: float = 30.0
    drain_seconds: float = 60.0
    batching: bool = True
    json_logs: bool = False

    def __post_init__(self) -> None:
        """Refuse values with which the server would accept nobody."""
        for setting in fields(self):
            value = getattr(self, setting.name)
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                self._check_number(setting.name, value)
        if self.spool_bytes < self.upload_bytes:
            raise ConfigurationError(
                f"spool_bytes is {self.spool_bytes}; it must be at least upload_bytes, "
                f"{self.upload_bytes}"
            )
        for host in self.hosts:
            if not re.fullmatch(r"[^\s/:]+", host):
                raise ConfigurationError(f"allowed host: {host!r} must be a name without port")
        for origin in self.origins:
            if not re.fullmatch(r"https?://[^\s/]+", origin):
                raise ConfigurationError(
                    f"allowed origin: {origin!r} must be like 'https://example.org', without path"
                )
        if self.token is not None and not (self.token.isascii() and self.token.isprintable()):
            raise ConfigurationError("token: must be printable ASCII, as it is sent in a header")
        if self.token == "":
            raise ConfigurationError("token: is empty; leave the option out to accept everyone")

    def share(self, workers: int) -> ServerSettings:
        """Return the settings of one of ``workers``, which together keep to these.

        Each has its part of the slots, rounded up, and of the room for uploads, which is at least
        enough for one.

        Raises:
            ConfigurationError: there are fewer slots than workers.
        """
        if self.queue < workers:
            raise ConfigurationError(
                f"--queue is {self.queue}; with {workers} workers it must be at least {workers}"
            )
        return replace(
            self,
            queue=-(-self.queue // workers),
            spool_bytes=max(self.upload_bytes, self.spool_bytes // workers),
        )

    def _check_number(self, name: str, value: float) -> None:
        if not (value > 0 or (value == 0 and name == "wait_seconds")):
            raise ConfigurationError(f"{name} must be greater than zero, not {value}")
