"""From the bytes of a request to a JSON object: bounded, strict about the kind, and never surprised by the content.

What is no JSON object is malformed (400); what is JSON but cannot be meant (numbers that are not finite) is invalid
(422) and named by pointer.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import orjson

from stateful_engine.errors import (
    Fault,
    MalformedRequestError,
    PayloadTooLargeError,
    StatefulEngineError,
)

if TYPE_CHECKING:
    from flask import Request

MAX_DEPTH = 64
MAX_FAULTS = 50
CHUNK = 65_536


class UnsupportedMediaTypeError(StatefulEngineError):
    """The body is not declared as JSON; send it with `Content-Type: application/json`."""

    code = "UNSUPPORTED_MEDIA_TYPE"
    status = 415


def read_object(request: Request, *, most: int, missing_code: str) -> tuple[dict[str, Any], list[Fault]]:
    """The JSON object in the body, of at most `most` bytes however it was sent, and the numbers that are not finite."""
    raw = read_bytes(request, most=most)
    if not raw.strip():
        raise _malformed("the request has no body", "send a JSON object", missing_code)
    if not request.is_json:
        raise UnsupportedMediaTypeError("the body is not declared as JSON; send it with Content-Type: application/json")
    value = decode(raw)
    if not isinstance(value, dict):
        kind = _kind(value)
        raise _malformed(f"the body is {kind} where a JSON object is expected", 'send an object, for example {"a": 1}')
    return value, infinite_numbers(value)


def read_bytes(request: Request, *, most: int) -> bytes:
    """The body; a declared length is refused before a byte is read, an undeclared one as soon as it is passed."""
    declared = request.content_length
    if declared is not None:
        if declared > most:
            raise _too_large(most)
        return request.get_data()
    read = _read_undeclared(request, most=most)
    # A hook of the host may have read the stream already; then Flask kept what was in it.
    return read or request.get_data()


def _read_undeclared(request: Request, *, most: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while part := request.stream.read(min(CHUNK, most + 1 - size)):
        parts.append(part)
        size += len(part)
        if size > most:
            raise _too_large(most)
    return b"".join(parts)


def decode(raw: bytes) -> Any:
    """The JSON value in `raw`; raises `MalformedRequestError` for anything else."""
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return _decode_tolerantly(raw)


def _decode_tolerantly(raw: bytes) -> Any:
    """What orjson refuses may still be text that means something: lone surrogates, a byte order mark, `Infinity`."""
    try:
        return json.loads(raw)
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:
        where = f" at line {error.lineno}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        raise _malformed(f"the body is not valid JSON{where}", "send one JSON object in UTF-8") from None


def infinite_numbers(value: Any) -> list[Fault]:
    """A fault for every number that is not finite; raises `MalformedRequestError` for what is nested too deeply."""
    faults = []
    for pointer, depth, item in _walk(value):
        if depth > MAX_DEPTH:
            raise _too_deep()
        if isinstance(item, float) and not math.isfinite(item):
            faults.append(Fault(pointer, "must be a finite number; send null where there is none", "NOT_FINITE"))
    return faults


def _walk(value: Any) -> Iterator[tuple[str, int, Any]]:
    """Every container and float of a JSON value with its pointer and depth, without recursion."""
    waiting: list[tuple[str, int, Any]] = [("", 1, value)]
    while waiting:
        pointer, depth, item = waiting.pop()
        yield pointer, depth, item
        if depth > MAX_DEPTH:
            continue
        if isinstance(item, dict):
            waiting.extend((f"{pointer}/{escape(key)}", depth + 1, part) for key, part in _parts(item.items()))
        elif isinstance(item, list):
            waiting.extend((f"{pointer}/{index}", depth + 1, part) for index, part in _parts(enumerate(item)))


def _parts(items: Any) -> Iterator[tuple[Any, Any]]:
    return ((key, part) for key, part in items if isinstance(part, (dict, list, float)))


def escape(key: object) -> str:
    """One step of a JSON pointer (RFC 6901), cut to a length that fits an error."""
    return str(key)[:64].replace("~", "~0").replace("/", "~1")


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    names = {bool: "a boolean", str: "a string", list: "a list", int: "a number", float: "a number"}
    return names.get(type(value), "something else")


def _malformed(what: str, remedy: str, code: str = "MALFORMED_REQUEST") -> MalformedRequestError:
    return MalformedRequestError(f"{what}; {remedy}", code=code, errors=(Fault("", what, code),))


def _too_deep() -> MalformedRequestError:
    return _malformed(f"the body is nested deeper than {MAX_DEPTH} levels", "send a flatter object")


def _too_large(most: int) -> PayloadTooLargeError:
    return PayloadTooLargeError(
        f"the body is larger than {most} bytes; send less at a time or raise STATEFUL_MAX_BODY_BYTES",
        errors=(Fault("", f"larger than {most} bytes", "PAYLOAD_TOO_LARGE"),),
    )
