"""From rows to columns of values as a database takes them, a whole column at a time, which is what makes it fast.

The values of a column are converted in one pass that assumes what is usual; only a column that holds something unusual
(a text with a NUL, an integer where a float belongs, a number that is written as text) is converted value by value.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import repeat
from operator import is_, itemgetter
from typing import Any

import orjson
from sqlalchemy import Boolean, Column, Table
from sqlalchemy.types import TypeEngine

from stateful_engine.domain.clock import from_epoch_us
from stateful_engine.domain.redaction import clean_json, clean_text
from stateful_engine.storage.base import (
    INT64,
    CleanText,
    JsonFiltered,
    JsonStored,
    Number,
    UtcDateTime,
    Whole,
    finite,
    utc,
    whole,
)
from stateful_engine.storage.breath import breathe

Row = Mapping[str, Any]
Values = list[Any]
Encoder = Callable[[Values], Values]

CLEANED_FLAG = "text_cleaned"
"""Stands in `extra.flags` of a row whose texts held characters that PostgreSQL refuses."""


class Unclean(ValueError):
    """A text holds what a database refuses."""


def columns(table: Table, rows: Sequence[Row]) -> dict[str, Values]:
    """The values of each column that any of `rows` fills, as SQLite's driver takes them.

    Texts (JSON and times too), numbers, booleans, or None. Missing values become the column's default. Times are as
    SQLAlchemy keeps them in SQLite, in UTC.
    """
    try:
        return _encoded(table, rows)
    except Unclean:
        return _encoded(table, [cleaned(table, row) for row in rows])


def _encoded(table: Table, rows: Sequence[Row]) -> dict[str, Values]:
    encoded: dict[str, Values] = {}
    for part, values in filled(table, rows):
        breathe()
        encoded[part.name] = part.encode(values[:1]) * len(values) if are_one(values) else part.encode(values)
    return encoded


def are_one(values: Values) -> bool:
    """Whether all are one object, as in rows that were filled from the same; then one is enough to be encoded."""
    return len(values) > 1 and all(map(is_, values, repeat(values[0])))


def filled(table: Table, rows: Sequence[Row]) -> list[tuple[Part, Values]]:
    """The columns that any of `rows` fills, with their values as they were given, defaults filled in."""
    found: list[tuple[Part, Values]] = []
    breathe()
    for part, values in zip(_parts(table), _gathered(table, rows), strict=True):
        breathe()
        missing = values.count(None)
        if missing == len(values):
            continue
        if missing and part.default is not None:
            found.append((part, [part.default if value is None else value for value in values]))
        else:
            found.append((part, values))
    return found


def _gathered(table: Table, rows: Sequence[Row]) -> list[Values]:
    """The values by column; rows of one batch nearly always have the same keys, which is the fast way."""
    names = [part.name for part in _parts(table)]
    keys = rows[0].keys()
    given = [name for name in names if name in keys]
    if len(given) < 2 or any(row.keys() != keys for row in rows):
        return [[row.get(name) for row in rows] for name in names]
    taken = dict(zip(given, map(list, zip(*map(itemgetter(*given), rows), strict=True)), strict=True))
    nothing: Values = [None] * len(rows)
    return [taken.get(name, nothing) for name in names]


def parameters(table: Table, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The rows as parameters of one statement: all with the same columns, without those that no row fills."""
    parts = _parts(table)
    names = [part.name for part in parts if any(row.get(part.name) is not None for row in rows)]
    defaults = {part.name: part.default for part in parts}
    return [
        {name: defaults[name] if row.get(name) is None else row[name] for name in names}
        for row in (_flagged(table, row) for row in rows)
    ]


def content(table: Table, row: Row) -> dict[str, Any]:
    """What a row says, as it is stored: without its internal id, its key, and the columns that change later on."""
    left_out = {"id", table.info["key"], *table.info["changing"]}
    return {part.name: _as_stored(part, row.get(part.name)) for part in _parts(table) if part.name not in left_out}


def _as_stored(part: Part, value: Any) -> Any:
    if value is None:
        value = part.default
    return None if value is None else part.store(value)


def cleaned(table: Table, row: Row) -> Row:
    """The row without characters that PostgreSQL refuses; one that had any says so in its flags."""
    clean, has_changed = {}, False
    for name, given in row.items():
        value = orjson.loads(given) if type(given) is bytes else given
        clean[name], changed = clean_json(value) if isinstance(value, (str, dict, list)) else (value, False)
        has_changed = has_changed or changed
    if has_changed and "extra" in table.c:
        clean["extra"] = with_flag(clean.get("extra"))
    return clean


def with_flag(extra: Any) -> dict[str, Any]:
    """`extra` with the flag that texts were cleaned."""
    kept = extra if isinstance(extra, dict) else {}
    flags = [flag for flag in kept.get("flags") or [] if flag != CLEANED_FLAG]
    return {**kept, "flags": [*flags, CLEANED_FLAG]}


def _flagged(table: Table, row: Row) -> Row:
    return cleaned(table, row) if "extra" in table.c else row


@dataclass(frozen=True, slots=True)
class Part:
    """A column: what stands in for a missing value, how a list of values is encoded, what one is stored as."""

    name: str
    default: Any
    encode: Encoder
    store: Callable[[Any], Any]
    is_time: bool


@lru_cache(maxsize=64)
def _parts(table: Table) -> tuple[Part, ...]:
    return tuple(_part(column) for column in table.columns if column.name != "id")


def _part(column: Column[Any]) -> Part:
    default = getattr(column.default, "arg", None)
    store, encode = _codec(column.type)
    return Part(
        column.name, None if callable(default) else default, encode, store, isinstance(column.type, UtcDateTime)
    )


def _codec(kind: TypeEngine[Any]) -> tuple[Callable[[Any], Any], Encoder]:
    if isinstance(kind, CleanText):
        limit = kind.limit
        return (lambda value: clean_text(str(value))[0][:limit]), (lambda values: _texts(values, limit))
    if isinstance(kind, (JsonStored, JsonFiltered)):
        return _stored_json, _jsons
    if isinstance(kind, UtcDateTime):
        return _moment_text, _times
    if isinstance(kind, Number):
        return finite, _numbers
    if isinstance(kind, Boolean):
        return bool, _booleans
    if isinstance(kind, Whole) or kind.python_type is int:
        return whole, _wholes
    raise TypeError(f"no way is known to store {kind!r} in bulk; add it to storage/encoding.py")


# Columns of values. Each function takes and returns a list with None where there is nothing.


def _texts(values: Values, limit: int | None) -> Values:
    texts = [value if value is None or type(value) is str else str(value) for value in values]
    _refuse_unclean(texts, "\0")
    return texts if limit is None else [text and text[:limit] for text in texts]


def _jsons(values: Values) -> Values:
    try:
        texts = [
            None if value is None else value.decode() if type(value) is bytes else orjson.dumps(value).decode()
            for value in values
        ]
    except TypeError as error:
        raise Unclean from error
    _refuse_unclean(texts, "\\u0000")
    return texts


def _stored_json(value: Any) -> Any:
    return orjson.loads(orjson.dumps(clean_json(orjson.loads(value) if type(value) is bytes else value)[0]))


def _refuse_unclean(texts: Values, forbidden: str) -> None:
    """One look at all of them together."""
    together = "".join([text for text in texts if text])
    if forbidden in together:
        raise Unclean
    if not together.isascii():
        try:
            together.encode()
        except UnicodeEncodeError as error:
            raise Unclean from error


def _numbers(values: Values) -> Values:
    try:
        if all(map(math.isfinite, [value for value in values if value is not None])):
            return [value if value is None or type(value) is float else float(value) for value in values]
    except (TypeError, OverflowError):
        pass
    return [finite(value) for value in values]


def _wholes(values: Values) -> Values:
    if all(value is None or (type(value) is int and -INT64 <= value < INT64) for value in values):
        return values
    return [whole(value) for value in values]


def _booleans(values: Values) -> Values:
    return [None if value is None else bool(value) for value in values]


def _times(values: Values) -> Values:
    return [None if value is None else _moment_text(value) for value in values]


def _moment_text(value: Any) -> str:
    """As SQLAlchemy keeps a DateTime in SQLite, in UTC: fixed width, so that text sorts like time."""
    if type(value) is int:
        return f"{_second_text(value // 1_000_000)}.{value % 1_000_000:06d}"
    return utc(value).isoformat(" ", "microseconds")[:26]


@lru_cache(maxsize=1024)
def _second_text(seconds: int) -> str:
    """A batch spans few seconds, so that most of the work is done once."""
    return from_epoch_us(seconds * 1_000_000).isoformat(" ")[:19]
