"""What the operator of a server decides."""

from __future__ import annotations

from dataclasses import dataclass, fields

from plainspeech.errors import PlainspeechError


@dataclass(frozen=True)
class ServerSettings:
    """Limits and secrets of a server.

    Attributes:
        token: that clients must send as ``Authorization: Bearer``; None lets everyone in.
        queue: most uploads taken in at a time, and most live sessions; more are told to come back.
        upload_bytes: largest request.
        audio_seconds: longest recording.
        request_seconds: from a request's first byte to its answer.
        silence_seconds: that a client may keep a request or a live session without a byte.
        drain_seconds: that accepted requests have to finish when the server is told to stop.
        batching: whether pieces of several requests are recognised together.
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
        """Refuse what would let nobody in."""
        for setting in fields(self):
            value = getattr(self, setting.name)
            if not isinstance(value, (str, bool, type(None))) and not value > 0:
                raise PlainspeechError(f"{setting.name} must be greater than zero, not {value}")
        if self.token is not None and not (self.token.isascii() and self.token.isprintable()):
            raise PlainspeechError("token: only printable ASCII characters can be sent in a header")
        if self.token == "":
            raise PlainspeechError("token: is empty; leave it out to let everyone in")
