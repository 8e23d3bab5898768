"""Who may use a server: hosts, origins and the token.

A web page of another site can make a browser send requests here. The host check refuses pages that
reach the server by a name of the attacker's (DNS rebinding), which the browser sends as ``Host``.
The origin check refuses all other pages, except those of allowed origins.
"""

from __future__ import annotations

import hmac
import re
from http import HTTPStatus
from ipaddress import ip_address

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from plainspeech.serving.api_errors import ApiError, refuse
from plainspeech.serving.server_settings import ServerSettings


class AccessMiddleware:
    """Refuses HTTP requests of foreign hosts and origins, and ambiguous ones.

    Args:
        app: the application.
        settings: of the server.
    """

    def __init__(self, app: ASGIApp, settings: ServerSettings) -> None:
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, as ASGI has it."""
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            try:
                check_site(headers, self._settings)
                _check_framing(headers)
            except ApiError as error:
                return await refuse(error, receive, send)
        return await self._app(scope, receive, send)


def check_site(headers: Headers, settings: ServerSettings) -> None:
    """Refuse a request for a foreign host, or of a page of a foreign origin.

    Args:
        headers: of the request.
        settings: of the server.

    Raises:
        ApiError: it is one.
    """
    host, origin = headers.get("host"), headers.get("origin")
    if host is not None and not _is_own(host, settings):
        raise ApiError(
            HTTPStatus.MISDIRECTED_REQUEST,
            "This server does not serve that host; its operator can add it with --allowed-host.",
            "unknown_host",
        )
    allowed = (f"http://{host}", f"https://{host}", *settings.origins)
    if origin is not None and origin.lower() not in map(str.lower, allowed):
        raise ApiError(
            HTTPStatus.FORBIDDEN,
            "Pages of other sites may not use this server; its operator can add them with "
            "--allowed-origin.",
            "foreign_origin",
        )


def check_token(token: str | None, authorization: str | None) -> None:
    """Refuse a wrong ``Authorization`` header, in a time that says nothing of the right one.

    Args:
        token: of the server; None accepts everyone.
        authorization: the header; None if there is none.

    Raises:
        ApiError: it does not carry the token.
    """
    if token is None:
        return
    scheme, _, given = (authorization or "").partition(" ")
    same = hmac.compare_digest(given.strip().encode(), token.encode())
    if scheme.lower() != "bearer" or not same:
        raise ApiError(
            HTTPStatus.UNAUTHORIZED,
            "The token is missing or wrong; send the header 'Authorization: Bearer TOKEN'.",
            "invalid_api_key",
        )


def _is_own(host: str, settings: ServerSettings) -> bool:
    """Return whether ``host``, a header, is a name of the server, or an address.

    An address is safe: whoever sends it did not need a name of their own to get here.
    """
    name = re.sub(r":\d*$", "", host)
    try:
        ip_address(re.sub(r"^\[(.*)\]$", r"\1", name))
    except ValueError:
        return name.lower() in map(str.lower, ("localhost", *settings.hosts))
    return True


def _check_framing(headers: Headers) -> None:
    """Refuse two lengths of one body, of which a proxy may believe the other (RFC 9112, 6.1)."""
    if "transfer-encoding" in headers and "content-length" in headers:
        raise ApiError(
            HTTPStatus.BAD_REQUEST,
            "The request has both Content-Length and Transfer-Encoding; send one of them.",
            "bad_request",
        )
