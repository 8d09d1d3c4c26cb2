"""Looking at what a view answered without changing it, and giving the ids to the client without changing the rest.

A response object may be shared (a host that keeps one and returns it for every request), so ids go onto a copy.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from copy import copy
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import orjson
from werkzeug.datastructures import Headers
from werkzeug.wrappers import Response as BaseResponse

from stateful_engine.domain.extraction import located
from stateful_engine.domain.recent import Recent
from stateful_engine.domain.redaction import clean_json
from stateful_engine.recording.records import BODY_LIMIT

if TYPE_CHECKING:
    from flask import Flask, Response

CopiedT = TypeVar("CopiedT")

SIGNAL_HEADER = "X-Signal-ID"
QUERY_HEADER = "X-Query-ID"

MAX_INFLATED_BYTES = 8 * 2**20
RECENT_BODIES = 32
MAX_RECENT_BYTES = 8 * 2**10

_FIXED_BODY = frozenset(
    ("etag", "content-encoding", "content-range", "content-md5", "digest", "content-digest", "repr-digest")
)
_WHITESPACE = b" \t\r\n"


class Answer:
    """What a view answered: the status, and the JSON body where there is one that may be read.

    `data` is that body as strict UTF-8 JSON; None for streams, files, other types and JSON that does not parse. `raw`
    is the body as the client gets it, where a member may be written into it; `can_wait` tells that a record may hold
    it just as it is, `has_one` that `places` has found exactly one signal in it, `is_usual` both, of a success.
    For reading only: until a candle closes, most hosts give the same answer to everybody, and all share one object.
    """

    __slots__ = ("_gap", "_places", "body", "can_wait", "data", "has_one", "is_usual", "raw", "status", "successful")

    def __init__(self, status: int, data: bytes | None = None, body: Any = None, raw: bytes | None = None) -> None:
        self.status = status
        self.data = data
        self.body = body
        self.raw = raw
        self.successful = 200 <= status < 300
        self.can_wait = raw is data is not None and len(data) <= BODY_LIMIT
        self.has_one = self.is_usual = False
        self._places: Places | None = None
        self._gap: tuple[bytes, bytes] | None = None

    def with_status(self, status: int) -> Answer:
        """The same body under another status."""
        return Answer(status, self.data, self.body, self.raw)

    def places(self) -> Places:
        """How many signals there are in the body, and whether its shape is known."""
        if self._places is None:
            locator = located(self.body)
            self._places = Places(len(locator.candidates), locator.recognised)
            self.has_one = self._places.number == 1
            self.is_usual = self.has_one and self.can_wait and self.successful
        return self._places

    def gap(self) -> tuple[bytes, bytes] | None:
        """What stands before and behind one more last member of the body; None where there is no place for one."""
        if self._gap is None:
            data, body = self.raw, self.body
            if data is None or not self.successful or self.status == 206:
                return None
            if not isinstance(body, dict) or "signal_id" in body or "signal_ids" in body:
                return None
            end = data.rindex(b"}")
            while data[end - 1] in _WHITESPACE:
                end -= 1
            separator = b"" if data[end - 1 : end] == b"{" else b","
            self._gap = data[:end] + separator, data[end:]
        return self._gap


class Places(NamedTuple):
    """How many signals there are in a body, and whether its shape is known."""

    number: int
    recognised: bool


class Ids(NamedTuple):
    """The ids of what was recorded of a call."""

    query_id: str | None = None
    signal_ids: tuple[str, ...] = ()


NO_IDS = Ids()


def lowered(response: BaseResponse) -> dict[str, str]:
    """The headers by their name in lower case: one pass, where each look-up in Werkzeug's headers is one."""
    return {name.lower(): value for name, value in response.headers}


def read(response: BaseResponse, headers: Mapping[str, str] | None = None) -> Answer:
    """What `response` says; consumes nothing: streams, `direct_passthrough` and other types than JSON are not read.

    `headers` are its headers as `lowered` gives them, where they are at hand.
    """
    status = response.status_code
    chunks = response.response
    if response.direct_passthrough or not isinstance(chunks, (list, tuple)):
        return Answer(status)
    if headers is None:
        headers = lowered(response)
    if not is_json(headers.get("content-type")):
        return Answer(status)
    whole = len(chunks) == 1 and isinstance(chunks[0], bytes)
    data: bytes | None = chunks[0] if whole else response.get_data()
    if "content-encoding" in headers:
        data = _inflated(data, headers["content-encoding"])
    return parsed(status, data)


def is_json(content_type: str | None) -> bool:
    """Whether a Content-Type means JSON: `application/json` or any `application/…+json`."""
    if content_type is None:
        return False
    if content_type == "application/json":
        return True
    mimetype = content_type.partition(";")[0].strip().lower()
    return mimetype == "application/json" or (mimetype.startswith("application/") and mimetype.endswith("+json"))


def parsed(status: int, data: bytes | None) -> Answer:
    """The answer for `data`, also where it holds what strict JSON has not: NaN, lone surrogates, another encoding."""
    if not data:
        return Answer(status)
    known = recent.get(data)
    if known is not None and known.status == status:
        return known
    try:
        answer = Answer(status, data, orjson.loads(data), data)
    except orjson.JSONDecodeError:
        return _leniently_parsed(status, data)
    if len(data) <= MAX_RECENT_BYTES:
        recent.keep(data, answer)
    return answer


recent: Recent[bytes, Answer] = Recent(RECENT_BODIES)
"""Answers by their bytes."""


def _leniently_parsed(status: int, data: bytes) -> Answer:
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):
        return Answer(status)
    cleaned, _ = clean_json(body)
    kept = json.dumps(cleaned, allow_nan=False, ensure_ascii=False).encode("utf-8", "replace")
    editable = json.detect_encoding(data) in {"utf-8", "utf-8-sig"}
    return Answer(status, kept, body, data if editable else None)


def _inflated(data: bytes | None, encoding: str) -> bytes | None:
    """The decoded body of a gzip or deflate response that stays within bounds, else None."""
    coding = encoding.strip().lower()
    if coding == "identity" or data is None:
        return data
    if coding not in {"gzip", "x-gzip", "deflate"}:
        return None
    reader = zlib.decompressobj(wbits=47)
    try:
        plain = reader.decompress(data, MAX_INFLATED_BYTES)
    except zlib.error:
        return None
    return plain if reader.eof else None


def payload_of(rv: Any, app: Flask) -> Answer:
    """What the return value `rv` of a view amounts to, looked at as Flask will and converted by nobody.

    For calls that end in no response of their own: outside a request, and views that call other tracked views.
    """
    status: Any = None
    headers: Any = None
    if isinstance(rv, tuple):
        rv, status, headers = _unpacked(rv)
    if isinstance(rv, BaseResponse):
        answer = read(rv)
        return answer if status is None else answer.with_status(_code(status))
    code = 200 if status is None else _code(status)
    if isinstance(rv, (dict, list)):
        return parsed(code, app.json.dumps(rv).encode())
    if isinstance(rv, (str, bytes, bytearray)) and headers and is_json(Headers(headers).get("Content-Type")):
        return parsed(code, rv.encode() if isinstance(rv, str) else bytes(rv))
    return Answer(code)


def _unpacked(rv: tuple[Any, ...]) -> tuple[Any, Any, Any]:
    """Body, status and headers of a tuple, by Flask's rules; a tuple that Flask refuses has no body."""
    if len(rv) == 3:
        return rv
    if len(rv) != 2:
        return None, None, None
    if isinstance(rv[1], (Headers, dict, tuple, list)):
        return rv[0], None, rv[1]
    return rv[0], rv[1], None


def _code(status: Any) -> int:
    """The number of a status as a view may give it: 201, `HTTPStatus.CREATED`, `"201 Created"`."""
    if isinstance(status, str):
        word = status.split(None, 1)[0] if status.strip() else ""
        return int(word) if word.isdigit() else 0
    return int(status)


def with_ids(response: Response, ids: Ids, present: Mapping[str, str], answer: Answer | None = None) -> Response:
    """A copy of `response` that carries `ids` in its headers, and in its body too when `answer` is given for it.

    `present` are its headers by their name in lower case. The body is left alone where a byte more would make it wrong:
    ETag, digests, encodings and ranges. Headers of ours that the host has set itself stay as they are.

    The copy is shallow, with headers of its own.
    """
    copied = _copied(response)
    copied.headers = headers = _headers_like(response.headers)
    headers._list = pairs = list(response.headers)
    if answer is not None and ids.signal_ids and _FIXED_BODY.isdisjoint(present):
        data = with_signal_ids(answer, ids.signal_ids)
        if data is not None:
            copied.response = [data]
            if "content-length" in present:
                _set_length(pairs, len(data))
    if ids.query_id is not None and "x-query-id" not in present:
        pairs.append((QUERY_HEADER, ids.query_id))
    if ids.signal_ids and "x-signal-id" not in present:
        pairs.append((SIGNAL_HEADER, ",".join(ids.signal_ids)))
    return copied


def _headers_like(given: object) -> Headers:
    """Headers to be filled: of the host's own class, if it has one."""
    if type(given) is Headers or not isinstance(given, Headers):
        return object.__new__(Headers)
    return _copied(given)


def _copied(original: CopiedT) -> CopiedT:
    """A shallow copy of the same class, several times faster than `copy.copy`, which is for a class with slots."""
    kind: type = type(original)
    if _has_slots(kind):
        return copy(original)
    copied: CopiedT = object.__new__(kind)
    copied.__dict__.update(original.__dict__)
    return copied


@lru_cache(maxsize=256)
def _has_slots(kind: type) -> bool:
    return any(vars(each).get("__slots__") for each in kind.__mro__)


def _set_length(pairs: list[tuple[str, str]], length: int) -> None:
    for place, (name, _) in enumerate(pairs):
        if name.lower() == "content-length":
            pairs[place] = name, str(length)


def with_signal_ids(answer: Answer, signal_ids: tuple[str, ...]) -> bytes | None:
    """The body with `signal_id` or `signal_ids` as its last member, every other byte as it was.

    None where there is no place for them: only a JSON object that has neither key has one.
    """
    gap = answer.gap()
    if gap is None:
        return None
    if len(signal_ids) == 1:
        return b'%b"signal_id":"%b"%b' % (gap[0], signal_ids[0].encode(), gap[1])
    return b'%b"signal_ids":%b%b' % (gap[0], orjson.dumps(signal_ids), gap[1])
