"""Errors as clients of OpenAI's interface expect them.

``{"error": {"message": ..., "type": ..., "param": ..., "code": ...}}``; neither paths nor stack
traces.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

INVALID, SERVER, RATE = "invalid_request_error", "server_error", "rate_limit_error"


class ApiError(HTTPException):
    """What a request is refused with.

    Args:
        status: of HTTP.
        message: one sentence, and what to do.
        code: a word for programs.
        param: the field of the request that is at fault.
        retry_after: seconds after which it may go better.
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
        """The object that says it in JSON."""
        return error_object(self.status_code, self.detail, self.code, self.param)

    def response(self) -> JSONResponse:
        """Return the answer that says it."""
        return JSONResponse({"error": self.error}, self.status_code, self.headers)


def error_object(
    status: int, message: str, code: str | None, param: str | None = None
) -> dict[str, Any]:
    """Return what stands in ``error``."""
    kind = INVALID if status < 500 else SERVER
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        kind = RATE
    return {"message": message, "type": kind, "param": param, "code": code}


def install_handlers(app: FastAPI) -> None:
    """Let every error of ``app`` have the one shape."""
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(Exception, _unexpected)


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    if isinstance(error, ApiError):
        return error.response()
    status, path = error.status_code, request.url.path
    if status == HTTPStatus.NOT_FOUND:
        message = f"There is no {request.method} {path} here."
    elif status == HTTPStatus.METHOD_NOT_ALLOWED:
        message = f"{path} does not take {request.method}."
    else:
        message = f"The request cannot be read: {error.detail}"
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


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    message = "The server failed at this request; its log tells why."
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    response = ApiError(status, message, "internal_error").response()
    # uvicorn closes the connection after it; a client that does not know would send its next
    # request into that.
    response.headers["Connection"] = "close"
    return response
