"""COPY: the fastest way into PostgreSQL, with psycopg2."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import orjson
from sqlalchemy import Connection, Table
from sqlalchemy.exc import DBAPIError

Values = list[Any]

_CHUNK = 2**18
_NULL = "\\N"
_ESCAPES = (("\\", "\\\\"), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t"))


def is_possible(connection: Connection) -> bool:
    """Whether this connection can COPY: psycopg2, not made asynchronous by a wait callback (gevent)."""
    if connection.dialect.driver != "psycopg2":
        return False
    extensions = sys.modules.get("psycopg2.extensions")
    return extensions is not None and extensions.get_wait_callback() is None


def copy(connection: Connection, table: Table, columns: Mapping[str, Values]) -> None:
    """Copy columns from `encoding.columns` into the table; a key that is there already raises `IntegrityError`."""
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


def copy_text(columns: Sequence[Values]) -> str:
    """The columns as lines of COPY's text format."""
    return "\n".join(map("\t".join, zip(*map(_cells, columns), strict=True))) + "\n"


def _cells(values: Values) -> list[str]:
    """One column as COPY writes it; its values are all of one kind, or None."""
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
