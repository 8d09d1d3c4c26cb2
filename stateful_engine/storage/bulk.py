"""Many rows at once, each exactly once: inserts that tell which rows were new.

A row is known by the unique key of its table (`Table.info["key"]`). A key that is stored already with the same content
is a repetition and is passed over; one with other content gets a new key, derived from the content, so that a
repetition of that is recognised too. Rows are dicts of column to value: aware datetimes or microseconds for times,
plain JSON, or the bytes of a valid JSON text, for JSON columns; other keys are ignored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from typing import Any

import orjson
from sqlalchemy import Connection, Table, select
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import IntegrityError

from stateful_engine.domain.clock import to_epoch_us
from stateful_engine.logging import logger
from stateful_engine.storage import copying, encoding
from stateful_engine.storage.base import time_name, utc

Row = Mapping[str, Any]

_ATTEMPTS = 4
_LOOK_UP = 500


def insert_new(connection: Connection, table: Table, rows: Sequence[Row], *, all_new: bool = False) -> list[Row]:
    """Insert those of `rows` that are not stored yet, in their order; returns exactly these, as they are stored.

    `connection` is inside a transaction of ours, or of a host that we joined. An error of the database leaves nothing
    of `rows` behind once that transaction is rolled back. `all_new` expects that none is stored and every text is
    clean, which is cheaper; where that is wrong, it may raise `IntegrityError` or `encoding.Unclean`.
    """
    key = _key(table)
    new: list[Row] = []
    pending = _distinct(table, rows)
    if all_new and pending and copying.is_possible(connection):
        copying.copy(connection, table, pending)
        return list(pending)
    while pending:
        inserted = _insert(connection, table, pending)
        new += inserted
        pending = _renamed_clashes(connection, table, _without(key, pending, inserted))
    return new


def _without(key: str, rows: Sequence[Row], others: Sequence[Row]) -> Sequence[Row]:
    if len(rows) == len(others):
        return ()
    left_out = {row[key] for row in others}
    return [row for row in rows if row[key] not in left_out]


def _key(table: Table) -> str:
    return str(table.info["key"])


def _distinct(table: Table, rows: Sequence[Row]) -> Sequence[Row]:
    """One row per key: repetitions within the batch are passed over, clashes renamed."""
    key = _key(table)
    if len({row[key] for row in rows}) == len(rows):
        return rows
    first: dict[str, Row] = {}
    for row in rows:
        before = first.setdefault(row[key], row)
        if before is not row and encoding.content(table, before) != (content := encoding.content(table, row)):
            renamed = _renamed(table, row, content)
            first.setdefault(renamed[key], renamed)
    return list(first.values())


def _renamed_clashes(connection: Connection, table: Table, known: Sequence[Row]) -> list[Row]:
    """Of rows whose key is stored already: those with other content than what is stored, under their new keys."""
    if not known:
        return []
    key = _key(table)
    stored = _stored_content(connection, table, [row[key] for row in known])
    renamed: dict[str, Row] = {}
    for row in known:
        content = encoding.content(table, row)
        if content != stored.get(row[key], content):
            other = _renamed(table, row, content)
            renamed[other[key]] = other
    return list(renamed.values())


def _stored_content(connection: Connection, table: Table, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
    key = table.c[_key(table)]
    found: dict[str, dict[str, Any]] = {}
    for start in range(0, len(keys), _LOOK_UP):
        statement = select(table).where(key.in_(keys[start : start + _LOOK_UP]))
        for row in connection.execute(statement).mappings():
            found[row[key.name]] = encoding.content(table, dict(row))
    return found


def _renamed(table: Table, row: Row, content: Mapping[str, Any]) -> Row:
    """The row under a key made from its content, of the form that ids have."""
    key = _key(table)
    digest = hashlib.blake2b(orjson.dumps([row[key], content], option=orjson.OPT_SORT_KEYS), digest_size=6).hexdigest()
    seconds = to_epoch_us(utc(row[time_name(table)])) // 1_000_000
    fresh = f"{row[key].partition('_')[0][:8]}_{digest}_{seconds}"
    logger.warning("the id %s arrived again with other content and is stored as %s", row[key][:64], fresh)
    return {**row, key: fresh}


def _insert(connection: Connection, table: Table, rows: Sequence[Row]) -> Sequence[Row]:
    """Insert what is not there; the rows that were new."""
    if connection.dialect.name == "sqlite":
        return _insert_sqlite(connection, table, rows)
    if copying.is_possible(connection):
        return _insert_by_copy(connection, table, rows)
    return _insert_on_conflict(connection, table, rows)


def _insert_sqlite(connection: Connection, table: Table, rows: Sequence[Row]) -> Sequence[Row]:
    """One executemany. The rows above the previous highest id are new: nobody else writes meanwhile."""
    key = _key(table)
    name = connection.dialect.identifier_preparer.quote(table.name)
    connection.exec_driver_sql(f"DELETE FROM {name} WHERE 0")
    highest = connection.exec_driver_sql(f"SELECT max(id) FROM {name}").scalar() or 0
    columns = encoding.columns(table, rows)
    marks = ", ".join("?" * len(columns))
    statement = f"INSERT INTO {name} ({_names(connection, columns)}) VALUES ({marks}) ON CONFLICT ({key}) DO NOTHING"
    with copying.driver_errors(connection, statement), closing(connection.connection.cursor()) as cursor:
        cursor.executemany(statement, list(zip(*columns.values(), strict=True)))
        count = cursor.rowcount
    if count == len(rows):
        return rows
    keys = set(connection.exec_driver_sql(f"SELECT {key} FROM {name} WHERE id > ?", (highest,)).scalars())
    return [row for row in rows if row[key] in keys]


def _insert_by_copy(connection: Connection, table: Table, rows: Sequence[Row]) -> Sequence[Row]:
    """COPY straight into the table, which is faster than INSERT even for a single row.

    Where it meets a key that is there, it is undone to its savepoint, the known rows are left out, and the rest is
    copied again. Repetitions are rare, so that a temporary table for every batch would cost more.
    """
    key = _key(table)
    remaining = rows
    for _ in range(_ATTEMPTS):
        if not remaining:
            return ()
        try:
            with connection.begin_nested():
                copying.copy(connection, table, remaining)
        except encoding.Unclean:
            remaining = [encoding.cleaned(table, row) for row in remaining]
        except IntegrityError:
            known = _known_keys(connection, table, remaining)
            if not known:
                raise
            remaining = [row for row in remaining if row[key] not in known]
        else:
            return remaining
    return _insert_on_conflict(connection, table, remaining)


def _known_keys(connection: Connection, table: Table, rows: Sequence[Row]) -> set[str]:
    key = table.c[_key(table)]
    keys = [row[key.name] for row in rows]
    found: set[str] = set()
    for start in range(0, len(keys), _LOOK_UP):
        found.update(connection.scalars(select(key).where(key.in_(keys[start : start + _LOOK_UP]))))
    return found


def _insert_on_conflict(connection: Connection, table: Table, rows: Sequence[Row]) -> Sequence[Row]:
    """Batched INSERT … ON CONFLICT DO NOTHING RETURNING, with any driver."""
    key = table.c[_key(table)]
    statement = postgresql.insert(table).on_conflict_do_nothing(index_elements=[key]).returning(key)
    values = encoding.parameters(table, rows)
    keys = set(connection.execute(statement, values).scalars()) if values else set()
    return [row for row in rows if row[key.name] in keys]


def _names(connection: Connection, columns: Iterable[str]) -> str:
    quote = connection.dialect.identifier_preparer.quote
    return ", ".join(quote(name) for name in columns)
