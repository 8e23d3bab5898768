"""Errors in the format of OpenAI's interface, without paths or stack traces.

``{"error": {"message": ..., "type": ..., "param": ..., "code": ...}}``
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import anyio
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import Receive, Send

from plainspeech.errors import (
    AudioError,
    ConfigurationError,
    DataError,
    DecodingError,
    LanguageModelError,
    ModelError,
    PlainspeechError,
)
from plainspeech.serving.events import event

INVALID, SERVER, RATE = "invalid_request_error", "server_error", "rate_limit_error"

_CAUSES: dict[type[PlainspeechError], tuple[HTTPStatus, str, str | None]] = {
    AudioError: (HTTPStatus.BAD_REQUEST, "invalid_audio", "file"),
    DecodingError: (HTTPStatus.BAD_REQUEST, "invalid_hot_words", "hot_words"),
    # What is wrong with the server is not its clients' business, and may name its files.
    DataError: (HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", None),
    ModelError: (HTTPStatus.INTERNAL_SERVER_ERROR, "model_error", None),
    LanguageModelError: (HTTPStatus.INTERNAL_SERVER_ERROR, "model_error", None),
    ConfigurationError: (HTTPStatus.INTERNAL_SERVER_ERROR, "configuration_error", None),
}
"""Status, code and request field of each kind of error."""

_LINGER_SECONDS = 2.0
_SERVER_FAILED = "The server could not process the request; its log has the cause."


class ApiError(HTTPException):
    """The reason why a request is refused.

    Args:
        status: of HTTP.
        message: one sentence, with the remedy.
        code: a word for programs.
        param: the field of the request that is at fault.
        retry_after: seconds after which the client may try again.
    """

    def __init__(
        self,
        status: int,
        message: str,
        code: str,
        param: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
        if status == HTTPStatus.UNAUTHORIZED:
            headers["WWW-Authenticate"] = "Bearer"
        super().__init__(status, message, headers)
        self.code = code
        self.param = param

    @property
    def error(self) -> dict[str, Any]:
        """The error as a JSON object."""
        return error_object(self.status_code, self.detail, self.code, self.param)

    @property
    def event(self) -> str:
        """The error as the last event of a stream, whose status has been sent already."""
        return event({"error": self.error}, "error")

    def response(self) -> JSONResponse:
        """Return the response."""
        return JSONResponse({"error": self.error}, self.status_code, self.headers)


def error_object(
    status: int, message: str, code: str | None, param: str | None = None
) -> dict[str, Any]:
    """Return the value of ``error``."""
    kind = INVALID if status < 500 else SERVER
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        kind = RATE
    return {"message": message, "type": kind, "param": param, "code": code}


def api_error(error: PlainspeechError) -> ApiError:
    """Return the response to an error of this package.

    Only errors that the client caused are explained to it.
    """
    status, code, param = _CAUSES.get(
        type(error), (HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", None)
    )
    message = f"{str(error).rstrip('.')}." if status < 500 else _SERVER_FAILED
    return ApiError(status, message, code, param)


def our_failure() -> ApiError:
    """Return what clients are told of an error that nobody foresaw."""
    return ApiError(HTTPStatus.INTERNAL_SERVER_ERROR, _SERVER_FAILED, "internal_error")


async def refuse(error: ApiError, receive: Receive, send: Send) -> None:
    """Respond with ``error`` before a body is read, and close the connection.

    What the client still sends is read for a moment: one whose connection is reset sees no answer.
    """
    response = error.response()
    response.headers["Connection"] = "close"
    await send(
        {
            "type": "http.response.start",
            "status": response.status_code,
            "headers": response.raw_headers,
        }
    )
    await send({"type": "http.response.body", "body": response.body, "more_body": True})
    with anyio.move_on_after(_LINGER_SECONDS):
        while (message := await receive())["type"] == "http.request":
            if not message.get("more_body", False):
                break
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def install_handlers(app: FastAPI) -> None:
    """Give every error that ``app`` knows the one format; `unexpected` is for all others."""
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(PlainspeechError, _package)


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    if isinstance(error, ApiError):
        return error.response()
    status, path = error.status_code, request.url.path
    if status == HTTPStatus.NOT_FOUND:
        message = f"{request.method} {path} does not exist."
    elif status == HTTPStatus.METHOD_NOT_ALLOWED:
        message = f"{path} does not accept {request.method}."
    else:
        message = f"The request cannot be read: {error.detail}."
    code = HTTPStatus(status).name.lower()
    return JSONResponse({"error": error_object(status, message, code)}, status, error.headers)


async def _validation(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    param = str(first["loc"][1]) if len(first["loc"]) > 1 else None
    if first["type"] == "missing":
        message = f"The field '{param}' is missing; send a multipart form with it."
    else:
        message = f"The field '{param}' is not valid: {first['msg']}."
    return ApiError(HTTPStatus.BAD_REQUEST, message, "invalid_field", param).response()


async def _package(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, PlainspeechError)
    return api_error(error).response()


async def unexpected(request: Request, error: Exception) -> JSONResponse:
    """Return the response to an error that nobody foresaw."""
    response = our_failure().response()
    # uvicorn closes the connection afterwards; a client that is not told would lose its next
    # request.
    response.headers["Connection"] = "close"
    return response
