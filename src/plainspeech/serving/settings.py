"""The settings of a server."""

from __future__ import annotations

from dataclasses import dataclass, fields

from plainspeech.errors import ConfigurationError


@dataclass(frozen=True)
class ServerSettings:
    """Limits and secrets of a server.

    Attributes:
        token: that clients must send as ``Authorization: Bearer``; None accepts everyone.
        queue: most uploads at a time, and most live sessions; more are refused with 429.
        upload_bytes: largest request.
        audio_seconds: longest recording.
        request_seconds: from the first byte of a request to its response.
        silence_seconds: longest time without a byte in a request or a live session.
        drain_seconds: for accepted requests to finish when the server is told to stop.
        batching: whether chunks of several requests are recognised together.
    """

    token: str | None = None
    queue: int = 64
    upload_bytes: int = 200 * 2**20
    audio_seconds: float = 4 * 3600.0
    request_seconds: float = 1800.0
    silence_seconds: float = 30.0
    drain_seconds: float = 60.0
    batching: bool = True

    def __post_init__(self) -> None:
        """Refuse values with which the server would accept nobody."""
        for setting in fields(self):
            value = getattr(self, setting.name)
            if not isinstance(value, (str, bool, type(None))) and not value > 0:
                raise ConfigurationError(f"{setting.name} must be greater than zero, not {value}")
        if self.token is not None and not (self.token.isascii() and self.token.isprintable()):
            raise ConfigurationError("token: must be printable ASCII, as it is sent in a header")
        if self.token == "":
            raise ConfigurationError("token: is empty; leave the option out to accept everyone")
