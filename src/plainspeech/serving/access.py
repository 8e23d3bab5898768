"""Who may use a server."""

from __future__ import annotations

import hmac
from http import HTTPStatus

from plainspeech.serving.errors import ApiError


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
