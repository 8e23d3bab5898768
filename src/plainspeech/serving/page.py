"""The web page at ``/``: static files that may load nothing from elsewhere."""

from __future__ import annotations

from pathlib import Path

from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

FOLDER = Path(__file__).with_name("page")

_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; object-src 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


class Page(StaticFiles):
    """The folder of the page."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Return the file at ``path``."""
        response = await super().get_response(path, scope)
        response.headers.update(_HEADERS)
        return response
