"""What is left of a person in rows that stay: where a signal came from, and ids inside JSON that others wrote.

Rows that name a person in a column of their own are deleted by `retention`. The rest is looked through piece by piece,
in the order of ids, so that nothing is held for long; a row that is unlike what is looked for is never written.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Table, Text, and_, bindparam, cast, func, or_, select, update

from stateful_engine.domain.pseudonyms import without_person
from stateful_engine.domain.vocabulary import InteractionType
from stateful_engine.storage import actions, gpt_queries, idempotency, interactions, journal, signals, tables
from stateful_engine.storage.base import JsonFiltered, JsonStored
from stateful_engine.storage.rollup_forgetting import PERSON_COLUMNS

PIECE = 2000
"""Rows that are looked through in one transaction."""

SEARCHED = (*(signals.TABLE, gpt_queries.TABLE, interactions.TABLE, actions.TABLE, journal.TABLE, idempotency.TABLE),)
"""The tables with JSON that hosts and callers fill as they like."""

ORIGIN = ("user_agent", "ip_address", "session_id", "referer", "user_query")
"""Columns that tell who was behind a row; nothing is counted by them."""


def needed(table: Table) -> set[str]:
    """The columns of deleted rows that `forget_origin` looks at."""
    names = {"query_id", "signal_id", "interaction_type", "created_at"}
    return (
        {name for name in names if name in table.c} if table.name in (gpt_queries.TABLE, interactions.TABLE) else set()
    )


def forget_origin(connection: Connection, table: Table, rows: Sequence[Row[Any]]) -> None:
    """After rows of a person were deleted: let the signals that the person asked for no longer tell who that was."""
    made = tables.table(signals.TABLE)
    if table.name == gpt_queries.TABLE:
        moments, ids = {row.created_at for row in rows}, {row.query_id for row in rows}
        _blank(connection, made, and_(made.c.created_at.in_(moments), made.c.query_id.in_(ids)))
    elif table.name == interactions.TABLE:
        generated = InteractionType.SIGNAL_GENERATED.value
        ids = {row.signal_id for row in rows if row.interaction_type == generated}
        _blank(connection, made, made.c.signal_id.in_(ids))


def _blank(connection: Connection, table: Table, condition: ColumnElement[bool]) -> None:
    connection.execute(update(table).where(condition).values(user_agent=None, ip_address=None))


def piece_after(connection: Connection, table: Table, after: int) -> tuple[int, int] | None:
    """The next range of ids, above the first number and up to the second; None when there are no more rows."""
    following = select(table.c.id).where(table.c.id > after).order_by(table.c.id)
    last = connection.scalar(following.offset(PIECE - 1).limit(1))
    if last is None:
        last = connection.scalar(select(func.max(table.c.id)).where(table.c.id > after))
    return None if last is None else (after, last)


def scrub(
    connection: Connection, table: Table, piece: tuple[int, int], names: Collection[str], *, mark: str, dry_run: bool
) -> int:
    """Replace a person by `mark` in the JSON of the rows of a piece, and forget where these came from; how many."""
    columns = [column for column in table.c if isinstance(column.type, JsonStored | JsonFiltered)]
    likely = or_(*(cast(column, Text).contains(name, autoescape=True) for column in columns for name in names))
    not_deleted = [
        or_(table.c[name].is_(None), table.c[name].not_in(names)) for name in PERSON_COLUMNS if name in table.c
    ]
    chosen = select(table.c.id, *columns).where(table.c.id > piece[0], table.c.id <= piece[1], likely, *not_deleted)
    changed = [found for row in connection.execute(chosen) if (found := _changes(row, columns, names, mark))]
    if changed and not dry_run:
        blanks = {name: None for name in ORIGIN if name in table.c}
        for values in changed:
            here = update(table).where(table.c.id == bindparam("row_id"))
            connection.execute(here.values({**blanks, **values[1]}), {"row_id": values[0]})
    return len(changed)


def _changes(
    row: Row[Any], columns: Sequence[Any], names: Collection[str], mark: str
) -> tuple[int, dict[str, Any]] | None:
    before = {column.name: row._mapping[column.name] for column in columns}
    after = {name: without_person(value, names, mark) for name, value in before.items()}
    changed = {name: value for name, value in after.items() if value != before[name]}
    return (row.id, changed) if changed else None
