"""COPY: the fastest way into PostgreSQL, with psycopg2."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

import orjson
from sqlalchemy import Connection, Engine, Table
from sqlalchemy.exc import DBAPIError

from stateful_engine.storage.breath import breathe
from stateful_engine.storage.encoding import Part, Row, Values, are_one, filled

_SLICE = 100
"""Rows that are encoded at a time: enough to be fast, few enough for the server to begin early."""

_READ = 2**20
_UTC = "+00"
_NULL = "\\N"
_ESCAPES = (("\\", "\\\\"), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t"))


def is_possible(connection: Connection | Engine) -> bool:
    """Whether this connection can COPY: psycopg2, not made asynchronous by a wait callback (gevent)."""
    if connection.dialect.driver != "psycopg2":
        return False
    extensions = sys.modules.get("psycopg2.extensions")
    return extensions is not None and extensions.get_wait_callback() is None


def copy(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Copy rows into the table; whatever this raises, its savepoint has to be rolled back.

    A key that is there already raises `IntegrityError`, a text with forbidden characters `encoding.Unclean`.
    """
    columns = filled(table, rows)
    quote = connection.dialect.identifier_preparer.quote
    names = ", ".join(quote(part.name) for part, _ in columns)
    statement = f"COPY {qualified(connection, table)} ({names}) FROM STDIN WITH (FORMAT text, ENCODING 'UTF8')"
    source = _Source(columns, len(rows))
    driver: Any = connection.dialect.loaded_dbapi
    with driver_errors(connection, statement), closing(connection.connection.cursor()) as cursor:
        try:
            cursor.copy_expert(statement, source, _READ)
        except driver.Error:
            if source.fault is not None:
                raise source.fault from None
            raise


def qualified(connection: Connection, table: Table) -> str:
    """The quoted name of the table with the schema that this connection's translation gives it."""
    preparer = connection.dialect.identifier_preparer
    translation = connection.get_execution_options().get("schema_translate_map") or {}
    schema = translation.get(None)
    name = preparer.quote(table.name)
    return name if schema is None else f"{preparer.quote(schema)}.{name}"


class _Source:
    """What COPY reads from: lines are made while the server is busy with those before."""

    def __init__(self, columns: Sequence[tuple[Part, Values]], count: int) -> None:
        self.fault: Exception | None = None
        self._columns = columns
        self._starts = iter(range(0, count, _SLICE))
        self._rest = b""

    def read(self, size: int) -> bytes:
        """The next bytes, at most `size`; none at the end. A driver swallows errors raised here, so they are kept."""
        if not self._rest:
            start = next(self._starts, None)
            if start is None:
                return b""
            self._rest = self._lines(start)
        now, self._rest = self._rest[:size], self._rest[size:]
        return now

    def _lines(self, start: int) -> bytes:
        try:
            cells = [_cells(part, values[start : start + _SLICE]) for part, values in self._columns]
            breathe()
        except (ValueError, TypeError, OverflowError) as error:
            self.fault = error
            raise
        return ("\n".join(map("\t".join, zip(*cells, strict=True))) + "\n").encode()


def _cells(part: Part, given: Values) -> list[str]:
    """One column as COPY writes it; its values are all of one kind, or None."""
    breathe()
    if are_one(given):
        return _cells(part, given[:1]) * len(given)
    values = part.encode(given)
    if part.is_time:
        return [_NULL if value is None else value + _UTC for value in values]
    kind = next((type(value) for value in values if value is not None), str)
    if kind is str:
        return _text_cells(values)
    if kind is bool:
        return [_NULL if value is None else "t" if value else "f" for value in values]
    numbers = orjson.dumps(values)[1:-1].decode().split(",")
    return [_NULL if number == "null" else number for number in numbers] if None in values else numbers


def _text_cells(texts: Values) -> list[str]:
    """Few columns hold anything to be escaped, which one look at the whole column tells."""
    together = "".join([text for text in texts if text])
    if any(mark in together for mark, _ in _ESCAPES):
        texts = [text and _escaped(text) for text in texts]
    return [_NULL if text is None else text for text in texts] if None in texts else texts


def _escaped(text: str) -> str:
    for plain, escape in _ESCAPES:
        text = text.replace(plain, escape)
    return text


@contextmanager
def driver_errors(connection: Connection, statement: str) -> Iterator[None]:
    """What a driver's own cursor raises comes out as it would from SQLAlchemy; a lost connection is given up."""
    driver: Any = connection.dialect.loaded_dbapi
    try:
        yield
    except driver.Error as error:
        is_lost = connection.dialect.is_disconnect(error, connection.connection.dbapi_connection, None)
        if is_lost:
            connection.invalidate(error)
        raise DBAPIError.instance(
            statement, None, error, driver.Error, connection_invalidated=is_lost, dialect=connection.dialect
        ) from error
