"""From a decoded record to the rows of each table: redacted, cut, with defaults.

This is the writer's part of a record's way, so that the request thread need not pay for it. Text and numbers that a
database refuses are cleaned where rows become parameters, in storage.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

import orjson

from stateful_engine.domain.cleanliness import keys_are_clean
from stateful_engine.domain.redaction import redact, redact_text
from stateful_engine.domain.vocabulary import Outcome
from stateful_engine.recording.folding import folded
from stateful_engine.recording.records import Call, Record, Row, truncated
from stateful_engine.storage import gpt_queries, interactions, signals, tables
from stateful_engine.storage.base import JsonFiltered, JsonStored, UtcDateTime

if TYPE_CHECKING:
    from stateful_engine.config import Settings

TableRows = dict[str, list[Row]]

_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    signals.TABLE: {"outcome": Outcome.PENDING.value, "is_executed": False},
    gpt_queries.TABLE: {"is_successful": True},
}


@dataclass(frozen=True, slots=True)
class _Shape:
    """What the columns of a table ask of a row."""

    structures: tuple[str, ...]
    times: tuple[str, ...]
    defaults: Mapping[str, Any]
    has_created_at: bool
    has_updated_at: bool


@cache
def _shape(table: str) -> _Shape:
    columns = tables.table(table).columns
    return _Shape(
        structures=tuple(column.name for column in columns if isinstance(column.type, JsonStored | JsonFiltered)),
        times=tuple(column.name for column in columns if isinstance(column.type, UtcDateTime)),
        defaults=_DEFAULTS.get(table, {}),
        has_created_at="created_at" in columns,
        has_updated_at="updated_at" in columns,
    )


def rows_of(record: Record, settings: Settings, *, texts_are_clean: bool = False) -> TableRows:
    """The rows that `record` stands for, by table, ready for `bulk.insert_new`.

    `texts_are_clean` says that no text in it needs to be looked at for secrets.
    Raises `ValueError`, `TypeError` or `KeyError` (no such table) for a record that cannot be understood.
    """
    given = _call_tables(record, settings) if isinstance(record, Call) else record.tables
    return {
        name: [_ready(name, row, record.created_us, settings, texts_are_clean=texts_are_clean) for row in rows]
        for name, rows in given.items()
        if rows
    }


def _call_tables(call: Call, settings: Settings) -> TableRows:
    call = folded(call)
    given: TableRows = {signals.TABLE: call.signals, interactions.TABLE: call.interactions}
    if call.query is not None:
        query = {**call.query, "query_id": call.query_id}
        if call.body is not None and settings.capture_response:
            query["response_data"] = response_data(call.body, settings)
        given[gpt_queries.TABLE] = [query]
    return given


def response_data(body: bytes, settings: Settings) -> Any:
    """The JSON value to keep of a response body: redacted, and cut to its beginning when it is too long."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        value = body.decode("utf-8", "replace")
    limit = settings.capture_response_max_bytes
    if len(body) <= limit:
        return value
    text = orjson.dumps(redact(value, settings.redact))
    return truncated(len(body), text[:limit].decode("utf-8", "ignore"))


def _ready(table: str, row: Row, made_us: int, settings: Settings, *, texts_are_clean: bool) -> Row:
    """`row` with its secrets redacted, defaults filled in, and times that a column can take."""
    shape = _shape(table)
    ready = {**shape.defaults, **row}
    for name in shape.structures:
        value = row.get(name)
        if value is not None and not (texts_are_clean and keys_are_clean(value, settings.redact)):
            ready[name] = redact(value, settings.redact)
    if not texts_are_clean:
        ready.update((name, redact_text(value)) for name, value in row.items() if isinstance(value, str))
    for name in shape.times:
        value = ready.get(name)
        if isinstance(value, str):
            ready[name] = _moment(value)
    if ready.get("created_at") is None and shape.has_created_at:
        ready["created_at"] = made_us
    if ready.get("updated_at") is None and shape.has_updated_at:
        ready["updated_at"] = ready["created_at"]
    return ready


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    if moment.tzinfo is None:
        raise ValueError("a time without a timezone")
    return moment
