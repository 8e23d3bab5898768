"""Server-sent events (WHATWG HTML, section 9.2), whose data is JSON."""

from __future__ import annotations

import json
from typing import Any

MEDIA_TYPE = "text/event-stream"

HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
"""With which proxies pass on each event as it comes; the latter is nginx's."""


def event(values: dict[str, Any], kind: str | None = None) -> str:
    """Return ``values`` as an event; ``kind`` is its type, None for the usual one."""
    head = "" if kind is None else f"event: {kind}\n"
    return f"{head}data: {json.dumps(values, ensure_ascii=False)}\n\n"
