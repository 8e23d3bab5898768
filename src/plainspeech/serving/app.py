"""The application: its routes, middleware and web page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.staticfiles import StaticFiles

from plainspeech.runtime import vad
from plainspeech.runtime.recognizer import Recognizer
from plainspeech.runtime.vad import SpeechDetector
from plainspeech.serving import live_endpoint, transcriptions
from plainspeech.serving.access import AccessMiddleware
from plainspeech.serving.api_errors import install_handlers, unexpected
from plainspeech.serving.engine import Engine
from plainspeech.serving.limits import LimitsMiddleware
from plainspeech.serving.request_log import HEADER, RequestMiddleware, log_request
from plainspeech.serving.server_settings import ServerSettings

PAGE = Path(__file__).with_name("page")
"""The folder of the web page's files."""

_PAGE_HEADERS = {
    # The page plays files that its user chooses, whose addresses have the scheme blob.
    "Content-Security-Policy": "default-src 'self'; media-src blob:; "
    "base-uri 'none'; object-src 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}
_HANDLED = ("/v1/models", "/health", "/health/live", "/health/ready", "/metrics")
_PATHS = (*_HANDLED, transcriptions.PATH)


def create_app(
    recognizer: Recognizer,
    settings: ServerSettings,
    detector: Callable[[], SpeechDetector] | None = None,
) -> FastAPI:
    """Return the server's application.

    Args:
        recognizer: the model; used by the application alone from now on.
        settings: of the server.
        detector: makes a detector of speech for one stream; None takes Silero's.
    """
    engine = Engine.build(recognizer, settings, detector or vad.silero_detector, _PATHS)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with engine.running():
            yield

    # FastAPI's documentation pages would load scripts from other hosts.
    app = FastAPI(title="plainspeech", docs_url=None, redoc_url=None, lifespan=lifespan)
    app.state.engine = engine
    app.include_router(transcriptions.router)
    app.include_router(live_endpoint.router)
    paths = (*_HANDLED, "/v1/models/{id:path}")
    handlers: list[Callable[..., Any]] = [_models, _ready, _live, _ready, _metrics, _model]
    for path, handler in zip(paths, handlers, strict=True):
        app.add_api_route(path, handler, methods=["GET"])
        app.add_api_route(path, handler, methods=["HEAD"], include_in_schema=False)
    _add_page(app)
    install_handlers(app)
    app.add_middleware(
        LimitsMiddleware,
        capacity=engine.capacity,
        uploads=transcriptions.PATH,
        protected=("/v1/", "/metrics", "/openapi.json"),
    )
    # Within those that follow, which give its answer their headers, too: Starlette's own is not.
    app.add_middleware(ServerErrorMiddleware, handler=unexpected)
    if settings.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=[origin.lower() for origin in settings.origins],
            allow_methods=["GET", "HEAD", "POST"],
            allow_headers=["*"],
            expose_headers=["Retry-After", HEADER],
        )
    app.add_middleware(AccessMiddleware, settings=settings)
    observers = [engine.metrics.note_request, *([log_request] if settings.json_logs else [])]
    app.add_middleware(RequestMiddleware, observers=observers)
    return app


async def _models(request: Request) -> dict[str, Any]:
    """List the model in OpenAI's format, and what of the options it can do."""
    return {"object": "list", "data": [_described(request.app.state.engine)]}


async def _model(request: Request, id: str) -> dict[str, Any]:  # noqa: A002  # as OpenAI calls it
    """Return the model in OpenAI's format, by any name that transcriptions take."""
    engine: Engine = request.app.state.engine
    transcriptions.check_model(id, engine)
    return _described(engine)


def _described(engine: Engine) -> dict[str, Any]:
    model = {"id": engine.name, "object": "model", "created": 0, "owned_by": "plainspeech"}
    return model | {"hot_words": engine.takes_hot_words, "digits": engine.writes_digits}


async def _live(request: Request) -> JSONResponse:
    """Return whether the process works; one that does not is to be started anew."""
    engine: Engine = request.app.state.engine
    if engine.is_stuck:
        return JSONResponse({"status": "stuck", "model": engine.name}, 503)
    return JSONResponse({"status": "alive", "model": engine.name})


async def _ready(request: Request) -> JSONResponse:
    """Return whether the server accepts requests."""
    engine: Engine = request.app.state.engine
    if engine.capacity.draining.is_set():
        return JSONResponse({"status": "draining", "model": engine.name}, 503)
    return JSONResponse({"status": "ready", "model": engine.name})


async def _metrics(request: Request) -> Response:
    """Return the metrics for Prometheus."""
    engine: Engine = request.app.state.engine
    return Response(engine.metrics.exposition(), media_type=CONTENT_TYPE_LATEST)


def _add_page(app: FastAPI) -> None:
    """Serve the static files of the web page, which may load nothing from other hosts."""
    files = StaticFiles(directory=PAGE)

    async def page(request: Request) -> Response:
        name = request.url.path.removeprefix("/") or "index.html"
        response = await files.get_response(name, request.scope)
        response.headers.update(_PAGE_HEADERS)
        return response

    app.add_route("/", page)
    # Each by its name: a path that is none of them does not exist, by whatever method.
    for file in PAGE.iterdir():
        app.add_route(f"/{file.name}", page)
