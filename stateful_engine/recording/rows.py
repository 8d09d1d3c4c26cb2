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

from stateful_engine.domain.cleanliness import keys_are_clean
from stateful_engine.domain.jsonvalues import json_bytes
from stateful_engine.domain.pseudonyms import People
from stateful_engine.domain.redaction import redact, redact_text
from stateful_engine.domain.vocabulary import Outcome
from stateful_engine.installation import people_of
from stateful_engine.recording.folding import folded
from stateful_engine.recording.readings import Reading, Readings
from stateful_engine.recording.records import Call, Row, Rows, truncated
from stateful_engine.storage import gpt_queries, interactions, signals, tables
from stateful_engine.storage.base import JsonFiltered, JsonStored, UtcDateTime

if TYPE_CHECKING:
    from stateful_engine.config import Settings

TableRows = dict[str, list[Row]]

PEOPLE = frozenset({"user_id", "user_ref", "chat_id"})
"""The columns that name people."""

_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    signals.TABLE: {"outcome": Outcome.PENDING.value, "is_executed": False},
    gpt_queries.TABLE: {"is_successful": True},
}


@dataclass(frozen=True, slots=True)
class _Shape:
    """What the columns of a table ask of a row."""

    structures: tuple[str, ...]
    kept: tuple[str, ...]
    people: tuple[str, ...]
    times: tuple[str, ...]
    defaults: Mapping[str, Any]
    has_created_at: bool
    has_updated_at: bool


@cache
def _shape(table: str) -> _Shape:
    columns = tables.table(table).columns
    return _Shape(
        structures=tuple(column.name for column in columns if isinstance(column.type, JsonStored | JsonFiltered)),
        kept=tuple(column.name for column in columns if isinstance(column.type, JsonStored)),
        people=tuple(column.name for column in columns if column.name in PEOPLE),
        times=tuple(column.name for column in columns if isinstance(column.type, UtcDateTime)),
        defaults=_DEFAULTS.get(table, {}),
        has_created_at="created_at" in columns,
        has_updated_at="updated_at" in columns,
    )


def rows_of(
    record: Call | Rows, settings: Settings, *, texts_are_clean: bool = False, readings: Readings | None = None
) -> TableRows:
    """The rows that `record` stands for, by table, ready for `bulk.insert_new`.

    JSON that is only kept is given as its text, in bytes: that takes a tenth of the memory of its objects.
    `texts_are_clean` says that no text in it, apart from the body of an answer, needs to be looked at for secrets.
    `readings` remembers bodies from one record to the next.
    Raises `ValueError`, `TypeError` or `KeyError` (no such table) for a record that cannot be understood.
    """
    if isinstance(record, Call):
        reading = (readings or Readings(settings)).of(record.body)
        return _call_rows(record, reading, settings, texts_are_clean=texts_are_clean)
    return {
        name: [_ready(name, row, record.created_us, settings, texts_are_clean=texts_are_clean) for row in rows]
        for name, rows in record.tables.items()
        if rows
    }


def _call_rows(call: Call, reading: Reading, settings: Settings, *, texts_are_clean: bool) -> TableRows:
    """The rows of a call. What was read from a clean body in this process needs no look of its own for secrets."""
    is_clean = call.unfolded is not None and texts_are_clean and reading.is_clean
    call = folded(call, reading)
    made: TableRows = {}
    for name, rows in ((signals.TABLE, call.signals), (interactions.TABLE, call.interactions)):
        if rows:
            made[name] = [
                _ready(
                    name,
                    row,
                    call.created_us,
                    settings,
                    texts_are_clean=texts_are_clean,
                    is_clean=is_clean,
                )
                for row in rows
            ]
    if call.query is not None:
        query = {**call.query, "query_id": call.query_id}
        row = _ready(gpt_queries.TABLE, query, call.created_us, settings, texts_are_clean=texts_are_clean)
        if call.body is not None and settings.capture_response:
            row["response_data"] = _kept(call.body, reading, settings)
        made[gpt_queries.TABLE] = [row]
    return made


def _kept(given: bytes, reading: Reading, settings: Settings) -> bytes:
    """The JSON text to keep of a body: without secrets, and cut and marked where it is too long."""
    limit, text = settings.capture_response_max_bytes, reading.text(settings.redact)
    if len(given) <= limit:
        return text
    return json_bytes(truncated(len(given), text[:limit].decode("utf-8", "ignore")))


def _ready(
    table: str, row: Row, made_us: int, settings: Settings, *, texts_are_clean: bool, is_clean: bool = False
) -> Row:
    """`row` with its secrets redacted, defaults filled in, and times that a column can take."""
    shape = _shape(table)
    ready = {**shape.defaults, **row}
    if settings.hash_user_ids:
        _hide_people(ready, shape, people_of(settings))
    if not is_clean:
        _redact(ready, shape, settings, texts_are_clean=texts_are_clean)
    for name in shape.kept:
        value = ready.get(name)
        if value is not None and type(value) is not bytes:
            ready[name] = json_bytes(value)
    for name in shape.times:
        value = ready.get(name)
        if isinstance(value, str):
            ready[name] = _moment(value)
    if ready.get("created_at") is None and shape.has_created_at:
        ready["created_at"] = made_us
    if ready.get("updated_at") is None and shape.has_updated_at:
        ready["updated_at"] = ready["created_at"]
    return ready


def _hide_people(row: Row, shape: _Shape, people: People) -> None:
    """What the doors have let through, and what a view answered: ids of people by the names of columns and keys."""
    for name in shape.people:
        if row.get(name) is not None:
            row[name] = people.of(str(row[name]))
    for name in shape.structures:
        row[name] = people.in_json(row.get(name))


def _redact(row: Row, shape: _Shape, settings: Settings, *, texts_are_clean: bool) -> None:
    for name in shape.structures:
        value = row.get(name)
        if value is not None and not (texts_are_clean and keys_are_clean(value, settings.redact)):
            row[name] = redact(value, settings.redact)
    if texts_are_clean:
        return
    for name, value in row.items():
        if isinstance(value, str):
            row[name] = redact_text(value)
        elif isinstance(value, (dict, list)) and name not in shape.structures:
            # A column of text takes it as its text.
            row[name] = redact_text(str(value))


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    if moment.tzinfo is None:
        raise ValueError("a time without a timezone")
    return moment
