"""What is recorded: made in the request thread, encoded once, decoded by whoever writes it to the database.

An encoded record is one JSON object; the body of a tracked response follows it after a NUL byte, exactly as the view
produced it. JSON never contains a raw NUL, so the two are told apart without looking at either.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import orjson

from stateful_engine.domain import clock
from stateful_engine.domain.redaction import clean_json

Row = dict[str, Any]

BODY_LIMIT = 2**20
"""Bytes of a response body that are kept at all; of a longer one only its length is recorded."""

SEPARATOR = b"\0"


@dataclass(slots=True)
class Call:
    """One tracked request: its query-log row, the signals found in its answer, and the interactions they imply.

    Rows are dicts of column to JSON value, times as microseconds since the epoch; a row without `created_at` was
    created at `created_us`. `body` is the response as the view produced it, or None when it is not kept.
    `unfolded` stands for the one signal that `body` holds, where `folding.folded` is to make its rows: `signal_id`,
    `interaction_id`, `interaction_source`, `source`, `source_engine` and `mapping`.
    """

    created_us: int
    query_id: str
    query: Row | None
    body: bytes | None = None
    signals: list[Row] = field(default_factory=list)
    interactions: list[Row] = field(default_factory=list)
    unfolded: Row | None = None


@dataclass(frozen=True, slots=True)
class Rows:
    """Ready rows by table name; times are microseconds since the epoch under the name of their column."""

    tables: dict[str, list[Row]]
    created_us: int = field(default_factory=clock.epoch_us)


Record = Call | Rows | bytes
"""What may be recorded; bytes are a record that is encoded already."""


def encode(record: Record) -> bytes:
    """The bytes of a record, made with one pass of orjson; of one that is encoded already, itself.

    Raises `TypeError` when a row holds something that JSON cannot say.
    """
    if isinstance(record, bytes):
        return record
    if isinstance(record, Rows):
        return dumps({"k": "r", "u": record.created_us, "t": record.tables})
    body = record.body
    head: dict[str, Any] = {
        "k": "c",
        "u": record.created_us,
        "q": record.query_id,
        "l": record.query,
        "s": record.signals,
        "i": record.interactions,
    }
    if record.unfolded is not None:
        head["f"] = record.unfolded
    if body is None:
        return dumps(head)
    if len(body) > BODY_LIMIT:
        head["n"] = len(body)
        return dumps(head)
    return dumps(head) + SEPARATOR + body


def decode(payload: bytes) -> Call | Rows:
    """The record that `encode` was given; a body beyond `BODY_LIMIT` comes back as its marker.

    Raises `ValueError` for bytes that are no record.
    """
    head_bytes, separator, body = payload.partition(SEPARATOR)
    fields = orjson.loads(head_bytes)
    if not isinstance(fields, dict):
        raise ValueError("a record is a JSON object")
    try:
        if fields["k"] == "r":
            return Rows(tables=fields["t"], created_us=fields["u"])
        kept = body if separator else _too_long(fields.get("n"))
        return Call(fields["u"], fields["q"], fields["l"], kept, fields["s"], fields["i"], fields.get("f"))
    except KeyError as error:
        raise ValueError(f"a record without {error}") from None


def head(payload: bytes) -> bytes:
    """The record in `payload` without the body that follows it."""
    return payload.partition(SEPARATOR)[0]


def created_us(payload: bytes) -> int:
    """When the record in `payload` was made, in microseconds since the epoch."""
    return int(orjson.loads(head(payload))["u"])


def _too_long(size: int | None) -> bytes | None:
    return None if size is None else orjson.dumps(truncated(size, ""))


def truncated(size: int, head: str) -> dict[str, Any]:
    """What is stored in place of a body that is too long: its size in bytes and its beginning."""
    return {"_truncated": True, "bytes": size, "head": head}


def dumps(value: Any) -> bytes:
    """JSON bytes; what orjson refuses (lone surrogates, odd keys, huge integers) is put into a form that it takes."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
    except TypeError:
        return json.dumps(clean_json(value)[0], default=str, allow_nan=False).encode()
