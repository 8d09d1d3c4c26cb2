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

_SEPARATOR = b"\0"


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


def encode(record: Call | Rows) -> bytes:
    """The bytes of a record, made with one pass of orjson.

    Raises `TypeError` when a row holds something that JSON cannot say.
    """
    if isinstance(record, Rows):
        return _dumps({"k": "r", "u": record.created_us, "t": record.tables})
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
        return _dumps(head)
    if len(body) > BODY_LIMIT:
        head["n"] = len(body)
        return _dumps(head)
    return _dumps(head) + _SEPARATOR + body


_QUERY = '"response_status":%d,"processing_time_ms":%.3f,"request_id":%s,"is_successful":%s,"error_message":%s,'
_NULL = "null"
_SIGNAL = '"signal_id":"sig%s","interaction_id":"int%s",'


class Form:
    """Encoded calls that differ in a few places only, and hold no signal or one that the writer reads.

    Several times faster than making rows and encoding them. A signal, and the interaction that tells of it, share the
    random part of the query's id: ids are unique each in their table.
    """

    __slots__ = ("_bare", "_with_signal")

    def __init__(self, query: Row, unfolded: Row) -> None:
        """`query` has the columns that are always the same, `unfolded` what always goes with the signal."""
        row = f'"l":{{{_QUERY}{_members(query)}}}'
        self._bare = f'{{"k":"c","u":%d,"q":"qry%s","s":[],"i":[],{row}'
        self._with_signal = f'{self._bare},"f":{{{_SIGNAL}{_members(unfolded)}}}'

    def filled(
        self,
        tail: str,
        created_us: int,
        *,
        status: int,
        milliseconds: float,
        request_id: str | None,
        error: str | None,
        body: bytes | None,
        has_signal: bool,
    ) -> bytes:
        """The record of one call, whose ids end in `tail`; `error` is told of one that was not successful."""
        successful = 200 <= status < 400
        named = _NULL if request_id is None else _text(request_id)
        failure = _NULL if successful or error is None else _text(error)
        blanks = (created_us, tail, status, milliseconds, named, "true" if successful else "false", failure)
        head = self._with_signal % (*blanks, tail, tail) if has_signal else self._bare % blanks
        if body is None:
            return f"{head}}}".encode()
        if len(body) > BODY_LIMIT:
            return f'{head},"n":{len(body)}}}'.encode()
        return b"%b}%b%b" % (head.encode(), _SEPARATOR, body)


def _members(fields: Row) -> str:
    """The members of a JSON object, for a text with blanks."""
    return _text(fields)[1:-1].replace("%", "%%")


def _text(value: Any) -> str:
    return _dumps(value).decode()


def decode(payload: bytes) -> Call | Rows:
    """The record that `encode` was given; a body beyond `BODY_LIMIT` comes back as its marker.

    Raises `ValueError` for bytes that are no record.
    """
    head_bytes, separator, body = payload.partition(_SEPARATOR)
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
    return payload.partition(_SEPARATOR)[0]


def created_us(payload: bytes) -> int:
    """When the record in `payload` was made, in microseconds since the epoch."""
    return int(orjson.loads(head(payload))["u"])


def _too_long(size: int | None) -> bytes | None:
    return None if size is None else orjson.dumps(truncated(size, ""))


def truncated(size: int, head: str) -> dict[str, Any]:
    """What is stored in place of a body that is too long: its size in bytes and its beginning."""
    return {"_truncated": True, "bytes": size, "head": head}


def _dumps(value: Any) -> bytes:
    """JSON bytes; what orjson refuses (lone surrogates, odd keys, huge integers) is put into a form that it takes."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
    except TypeError:
        return json.dumps(clean_json(value)[0], default=str, allow_nan=False).encode()
