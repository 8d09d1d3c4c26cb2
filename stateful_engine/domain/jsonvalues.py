"""JSON values that any encoder and database can take: finite numbers, text keys, bounded depth and size."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import date
from enum import Enum

import orjson

from stateful_engine.domain.numbers import finite_number, is_number

MAX_DEPTH = 24
MAX_NODES = 20_000
MAX_KEY = 200
_INT64 = 2**63
_SMALL = 16_000
"""Bytes of JSON that cannot hold too many members."""

_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(", ", ": "), allow_nan=False)


class TooComplexError(ValueError):
    """A value is nested deeper or holds more members than can be kept; it is left out as a whole."""


def json_value(value: object) -> object:
    """Copy a value into plain JSON: NaN and infinities become null, keys text, unknown objects are left out.

    Raises `TooComplexError` beyond 24 levels or 20 000 members.
    """
    if type(value) is str:
        return value
    text = _plain_text(value)
    return _copy(value, MAX_DEPTH, [MAX_NODES]) if text is None else orjson.loads(text)


_NATIVE = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_SUBCLASS


def _plain_text(value: object) -> bytes | None:
    """The JSON of a value that is plain and small, which is nearly every one; None in doubt."""
    try:
        text = orjson.dumps(value, option=_NATIVE)
    except TypeError:
        return None
    if len(text) > _SMALL or text.count(b"{") + text.count(b"[") > MAX_DEPTH or b"\\" in text:
        return None
    return text if max(map(len, text.split(b'"'))) <= MAX_KEY else None


def json_bytes(value: object) -> bytes:
    """The JSON text of a value, for keeping: orjson leaves the 4 KiB that it reserved behind each text it gives."""
    return bytes(memoryview(orjson.dumps(value)))


def json_value_or_none(value: object) -> object | None:
    """Copy a value into plain JSON; None when it is too deep or too large to be kept."""
    try:
        return json_value(value)
    except TooComplexError:
        return None


def json_text(value: object) -> str | None:
    """Write a value as compact readable JSON text; None when it is too deep or too large."""
    try:
        return _ENCODER.encode(value)
    except (ValueError, TypeError, OverflowError, RecursionError):
        plain = json_value_or_none(value)
        return None if plain is None else _ENCODER.encode(plain)


def _copy(value: object, depth: int, left: list[int]) -> object:
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return value
    if kind is float:
        return value if math.isfinite(value) else None  # type: ignore[arg-type]
    if kind is int:
        return value if -_INT64 <= value < _INT64 else finite_number(value)  # type: ignore[operator]
    if kind is dict or kind is list or isinstance(value, (Mapping, list, tuple)):
        return _copy_members(value, depth - 1, left)  # type: ignore[arg-type]
    return _copy_odd(value)


def _copy_members(value: Mapping[object, object] | Sequence[object], depth: int, left: list[int]) -> object:
    left[0] -= len(value)
    if depth < 0 or left[0] < 0:
        raise TooComplexError
    if type(value) is not dict and not isinstance(value, Mapping):
        return [item if type(item) is str else _copy(item, depth, left) for item in value]
    return {
        key if type(key) is str and len(key) <= MAX_KEY else str(key)[:MAX_KEY]: (
            item if type(item) is str else _copy(item, depth, left)
        )
        for key, item in value.items()
        if type(key) is str or isinstance(key, (str, int, float, bool))
    }


def _copy_odd(value: object) -> object:
    """Keep what hosts put into bodies before they are encoded: enums, dates, Decimal, numpy scalars."""
    if isinstance(value, Enum):
        return _copy_odd(value.value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, date):
        return value.isoformat()
    return finite_number(value) if is_number(value) else None
