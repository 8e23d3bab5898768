"""The application: routes, and what stands before them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST

from plainspeech.runtime.recognizer import Recognizer
from plainspeech.runtime.voice import Detector, silero
from plainspeech.serving import live, page, transcriptions
from plainspeech.serving.engine import Engine
from plainspeech.serving.errors import install_handlers
from plainspeech.serving.gate import Gate
from plainspeech.serving.metrics import Measured
from plainspeech.serving.settings import ServerSettings

_PATHS = ("/health", "/metrics", "/v1/models", transcriptions.PATH)


def create_app(
    recognizer: Recognizer,
    settings: ServerSettings,
    detector: Callable[[], Detector] = silero,
) -> FastAPI:
    """Return the server's application.

    Args:
        recognizer: the model that it serves; it belongs to the application from now on.
        settings: limits and secrets.
        detector: makes a detector of voice activity for one stream.
    """
    engine = Engine.build(recognizer, settings, detector)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with engine.running():
            yield

    # The pages that explain the interface would load scripts from elsewhere.
    app = FastAPI(title="plainspeech", docs_url=None, redoc_url=None, lifespan=lifespan)
    app.state.engine = engine
    app.include_router(transcriptions.router)
    app.include_router(live.router)
    app.add_api_route("/v1/models", _models)
    app.add_api_route("/health", _health)
    app.add_api_route("/metrics", _metrics)
    page.add_page(app)
    install_handlers(app)
    app.add_middleware(
        Gate,
        admission=engine.admission,
        uploads=transcriptions.PATH,
        guarded=("/v1/", "/metrics"),
    )
    app.add_middleware(Measured, metrics=engine.metrics, paths=_PATHS)
    return app


async def _models(request: Request) -> dict[str, Any]:
    """List the model, as OpenAI does, and tell whether hot words are of use to it."""
    engine: Engine = request.app.state.engine
    model = {"id": engine.name, "object": "model", "created": 0, "owned_by": "plainspeech"}
    return {"object": "list", "data": [model | {"hot_words": engine.takes_hot_words}]}


async def _health(request: Request) -> JSONResponse:
    """Tell whether the server takes requests."""
    engine: Engine = request.app.state.engine
    if engine.admission.draining.is_set():
        return JSONResponse({"status": "draining", "model": engine.name}, 503)
    return JSONResponse({"status": "ready", "model": engine.name})


async def _metrics(request: Request) -> Response:
    """Tell Prometheus how the server does."""
    engine: Engine = request.app.state.engine
    return Response(engine.metrics.exposition(), media_type=CONTENT_TYPE_LATEST)
