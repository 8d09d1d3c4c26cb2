"""How answers look: the envelope of SPEC 7 around every success, and one form for every error.

Both are serialised here, so that the JSON provider of the host does not matter. Errors carry the members of RFC 9457
(`type`, `title`, `status`, `detail`, `instance`) beside ours and are sent as `application/json`, because the callers
(ChatGPT Actions, browsers, older clients) look for exactly that type before they read a body.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import orjson
from flask import Response, request

from stateful_engine.api.contract import Reply
from stateful_engine.api.schemas import API_VERSION
from stateful_engine.domain import clock
from stateful_engine.domain.redaction import clean_json

if TYPE_CHECKING:
    from stateful_engine.errors import StatefulEngineError

JSON = "application/json"
_KEY = "stateful_engine.api"
_GIVEN_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


@dataclass(slots=True)
class Timing:
    """When the request reached us and what it is called."""

    started: float
    request_id: str
    headers: dict[str, str] = field(default_factory=dict)
    """Headers that every answer to this request carries."""


def timing() -> Timing:
    """The timing of the current request, begun by the first call."""
    # In the environ and not in g: a test that holds an application context shares g between its requests.
    found: Timing | None = request.environ.get(_KEY)
    if found is None:
        given = request.headers.get("X-Request-ID", "")
        request_id = given if _GIVEN_ID.fullmatch(given) else uuid4().hex
        found = request.environ[_KEY] = Timing(time.perf_counter(), request_id)
    return found


def success(reply: Reply) -> Response:
    """The response for what a handler returned."""
    if not reply.enveloped:
        content = reply.body if isinstance(reply.body, str) else dumps(reply.body)
        return _response(content, reply.status, reply.content_type, reply.headers)
    fields = reply.body if isinstance(reply.body, Mapping) else {}
    return _response(dumps({"success": True, **fields, **_stamp()}), reply.status, JSON, reply.headers)


def failure(
    error: StatefulEngineError, *, more: Mapping[str, Any] | None = None, headers: Mapping[str, str]
) -> Response:
    """The response for an error; `more` are members that only this error has."""
    body = {
        "success": False,
        "error": error.code,
        "message": error.message,
        "errors": [{"pointer": f.pointer, "detail": f.detail, "code": f.code} for f in error.errors],
        "type": "about:blank",
        "title": _title(error.status),
        "status": error.status,
        "detail": error.message,
        "instance": request.path,
        **(more or {}),
        **_stamp(),
    }
    kept = dict(headers)
    if error.retry_after is not None or error.status == 503:
        kept["Retry-After"] = str(error.retry_after or 5)
    return _response(dumps(body), error.status, JSON, kept)


def dumps(value: Any) -> bytes:
    """JSON bytes; what orjson refuses (lone surrogates, integers beyond 64 bits) is brought into a form it has."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(clean_json(value)[0], default=str, allow_nan=False).encode()


def _response(content: str | bytes, status: int, content_type: str, headers: Mapping[str, str]) -> Response:
    seen = timing()
    all_headers = {
        "X-Request-ID": seen.request_id,
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        **seen.headers,
        **headers,
    }
    return Response(content, status=status, headers=all_headers, content_type=content_type)


def _stamp() -> dict[str, Any]:
    seen = timing()
    spent = (time.perf_counter() - seen.started) * 1000
    return {
        "api_version": API_VERSION,
        "server_time": clock.now().isoformat(),
        "processing_time_ms": math.ceil(spent * 100) / 100,
        "request_id": seen.request_id,
    }


def _title(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"
