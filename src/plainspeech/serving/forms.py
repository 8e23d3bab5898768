"""Reads multipart forms in bounded memory: the uploaded file is spooled to the disk."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextlib import aclosing
from http import HTTPStatus
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from plainspeech.serving.api_errors import ApiError

_FIELDS = 32
_FIELD_BYTES = 64 * 1024
_MEMORY_BYTES = 64 * 1024  # of the file; what is more goes to the disk


class FormRoute(APIRoute):
    """A route whose forms are read by `FormRequest`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler of FastAPI for another class of requests."""
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            return await handler(FormRequest(request.scope, request.receive))

        return handle


class FormRequest(Request):
    """A request with a multipart form of one file and a few short fields.

    Other forms count as empty; whoever sends one is told that the file is missing.
    """

    async def form(self, **_: Any) -> FormData:  # type: ignore[override]  # nobody uses the context
        """Return the form.

        Raises:
            ApiError: it cannot be read, or does not keep to the limits.
        """
        if self._form is None:
            self._form = await self._parsed()
        return self._form

    async def _parsed(self) -> FormData:
        kind, _ = parse_options_header(self.headers.get("content-type"))
        if kind != b"multipart/form-data":
            return FormData()
        try:
            async with aclosing(self.stream()) as stream:
                return await _Parser(
                    self.headers,
                    stream,
                    max_files=1,
                    max_fields=_FIELDS,
                    max_part_size=_FIELD_BYTES,
                ).parse()
        except MultiPartException as error:
            message = f"The form cannot be read: {error.message.rstrip('.')}."
            raise ApiError(HTTPStatus.BAD_REQUEST, message, "bad_request") from error
        except OSError as error:
            raise ApiError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "The server has no room to store the upload; try again later.",
                "storage_full",
                retry_after=30,
            ) from error


class _Parser(MultiPartParser):
    """Takes the part ``file`` for a file also where it has no file name."""

    spool_max_size = _MEMORY_BYTES

    async def parse(self) -> FormData:
        """Return the form; one that ends within a file is an error, and its file is closed."""
        form = await super().parse()
        whole = {id(item.file) for _, item in form.multi_items() if isinstance(item, UploadFile)}
        cut = [file for file in self._files_to_close_on_error if id(file) not in whole]
        for file in cut:
            file.close()
        if cut:
            await form.close()
            raise MultiPartException("it ends within the file.")
        return form

    def on_headers_finished(self) -> None:
        part = self._current_part
        _, options = parse_options_header(part.content_disposition)
        if options.get(b"name") == b"file" and b"filename" not in options:
            part.content_disposition = b'form-data; name="file"; filename="file"'
        super().on_headers_finished()
