"""The web page at ``/``: static files that may load nothing from elsewhere."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

FOLDER = Path(__file__).with_name("page")

_HEADERS = {
    # The page plays the files that its user gives it, whose addresses have the scheme blob.
    "Content-Security-Policy": "default-src 'self'; media-src blob:; "
    "base-uri 'none'; object-src 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


def add_page(app: FastAPI) -> None:
    """Let ``app`` serve the files of the page, which are all in one folder."""
    files = StaticFiles(directory=FOLDER)

    async def page(request: Request) -> Response:
        name = request.path_params.get("name", "index.html")
        response = await files.get_response(name, request.scope)
        response.headers.update(_HEADERS)
        return response

    app.add_route("/", page)
    app.add_route("/{name}", page)
