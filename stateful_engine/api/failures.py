"""Errors that only the JSON door knows, and those of Werkzeug in our words."""

from __future__ import annotations

from collections.abc import Sequence

from werkzeug.exceptions import HTTPException

from stateful_engine.errors import NotFoundError, StatefulEngineError

CHALLENGE = 'Bearer realm="stateful_engine"'

_WORDS = {
    400: ("MALFORMED_REQUEST", "the request could not be read; check its body and headers and send it again"),
    401: ("UNAUTHORIZED", "this app did not let the request in; send the credentials that it asks for"),
    403: ("FORBIDDEN", "this app does not allow the request; ask its developer for access"),
    404: ("NOT_FOUND", "nothing is here; check the path"),
    405: ("METHOD_NOT_ALLOWED", "this path does not take the method; use one from the header Allow"),
    408: ("REQUEST_TIMEOUT", "the request took too long to arrive; send it again"),
    411: ("LENGTH_REQUIRED", "the length of the body is not known; send a Content-Length"),
    413: ("PAYLOAD_TOO_LARGE", "the body is larger than this app accepts; send less at a time"),
    415: ("UNSUPPORTED_MEDIA_TYPE", "the body is not declared as JSON; send it with Content-Type: application/json"),
    422: ("VALIDATION_ERROR", "the request cannot be meant; correct it and send it again"),
    429: ("RATE_LIMITED", "too many requests; wait as long as Retry-After says and send it again"),
    503: ("UNAVAILABLE", "this app cannot answer now; send the request again later"),
}
_OTHER = ("INTERNAL_ERROR", "something went wrong here and was logged under request_id; tell the developer of this app")


class DisabledError(StatefulEngineError):
    """The engine is switched off; set `STATEFUL_ENABLED=true`."""

    code = "DISABLED"
    status = 503


class HttpError(StatefulEngineError):
    """An error that a framework raised by its status; do what its message says."""

    def __init__(self, status: int, *, headers: dict[str, str] | None = None) -> None:
        code, message = _WORDS.get(status, _OTHER)
        super().__init__(message, code=code)
        self.status = status
        self.headers = headers or {}


class EndpointNotFoundError(NotFoundError):
    """No operation has this path; use one of `available_endpoints`."""

    code = "ENDPOINT_NOT_FOUND"

    def __init__(self, endpoints: list[str]) -> None:
        super().__init__("there is no such endpoint; use one of available_endpoints")
        self.members = {"available_endpoints": endpoints}


class MethodNotAllowedError(HttpError):
    """The path exists, the method does not; use one of those in `Allow`."""

    def __init__(self, method: str, allowed: Sequence[str]) -> None:
        super().__init__(405, headers={"Allow": ", ".join(allowed)})
        self.message = f"this path does not take {method[:16]}; use {' or '.join(allowed)}"


def from_http(error: HTTPException) -> HttpError:
    """The same error in our words; what Werkzeug or the host wrote into it is not repeated."""
    kept = {name: value for name, value in error.get_headers() if name in {"Allow", "Retry-After", "WWW-Authenticate"}}
    return HttpError(error.code or 500, headers=kept)


def headers_of(error: StatefulEngineError) -> dict[str, str]:
    """The headers that go with an error."""
    headers: dict[str, str] = dict(getattr(error, "headers", {}))
    if error.status == 401:
        headers.setdefault("WWW-Authenticate", CHALLENGE)
    return headers
