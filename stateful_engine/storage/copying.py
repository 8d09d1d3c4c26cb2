"""COPY: the fastest way into PostgreSQL, with psycopg2."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.exc import DBAPIError

_CHUNK = 2**18
_CELL, _LINE, _NULL = "\x1e", "\x1f", "\x1d"
_ESCAPES = (("\\", "\\\\"), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t"))


def is_possible(connection: Connection) -> bool:
    """Whether this connection can COPY: psycopg2, not made asynchronous by a wait callback (gevent)."""
    if connection.dialect.driver != "psycopg2":
        return False
    extensions = sys.modules.get("psycopg2.extensions")
    return extensions is not None and extensions.get_wait_callback() is None


def copy(connection: Connection, table: Table, columns: Mapping[str, Sequence[str | None]]) -> None:
    """Copy columns of ready text into the table; a key that is there already raises `IntegrityError`."""
    preparer = connection.dialect.identifier_preparer
    names = ", ".join(preparer.quote(name) for name in columns)
    statement = f"COPY {qualified(connection, table)} ({names}) FROM STDIN WITH (FORMAT text, ENCODING 'UTF8')"
    data = io.BytesIO(copy_text(list(columns.values())).encode())
    with driver_errors(connection, statement):
        cursor: Any = connection.connection.cursor()
        try:
            cursor.copy_expert(statement, data, _CHUNK)
        finally:
            cursor.close()


def qualified(connection: Connection, table: Table) -> str:
    """The quoted name of the table with the schema that this connection's translation gives it."""
    preparer = connection.dialect.identifier_preparer
    translation = connection.get_execution_options().get("schema_translate_map") or {}
    schema = translation.get(None)
    name = preparer.quote(table.name)
    return name if schema is None else f"{preparer.quote(schema)}.{name}"


def copy_text(columns: Sequence[Sequence[str | None]]) -> str:
    """The columns as lines of COPY's text format.

    Everything is joined with marks that texts hardly contain and escaped as one long string, which is many times as
    fast as value by value.
    """
    marked = [[_NULL if cell is None else cell for cell in column] for column in columns]
    text = _LINE.join(map(_CELL.join, zip(*marked, strict=True)))
    if not _is_unambiguous(text, columns):
        return _slow_copy_text(columns)
    text = _escaped(text)
    return text.replace(_CELL, "\t").replace(_LINE, "\n").replace(_NULL, "\\N") + "\n"


def _is_unambiguous(text: str, columns: Sequence[Sequence[str | None]]) -> bool:
    """Whether the marks in `text` are ours alone."""
    lines, nulls = len(columns[0]), sum(column.count(None) for column in columns)
    return (
        text.count(_CELL) == lines * (len(columns) - 1)
        and text.count(_LINE) == lines - 1
        and text.count(_NULL) == nulls
    )


def _slow_copy_text(columns: Sequence[Sequence[str | None]]) -> str:
    escaped = [["\\N" if cell is None else _escaped(cell) for cell in column] for column in columns]
    return "\n".join(map("\t".join, zip(*escaped, strict=True))) + "\n"


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
