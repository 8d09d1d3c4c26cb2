"""Forgetting what is old, and people: in batches that hold no lock for long, children before their parents."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Table, and_, delete, func, select, update
from sqlalchemy.orm import Session

from stateful_engine.storage import conversations, forgetting, funnel, recommendations, rollups, tables
from stateful_engine.storage.base import Base, time_name
from stateful_engine.storage.rollup_forgetting import PERSON_COLUMNS
from stateful_engine.storage.rollup_measures import FAMILIES
from stateful_engine.storage.rollup_sql import counted_columns

BATCH = 1000

CHILDREN_FIRST = (
    "user_interaction",
    "gpt_query_log",
    "signal_history",
    "ai_recommendations",
    "chatgpt_conversations",
    "signal_scanner_results",
    "user_actions",
    "trade_events",
    "webhook_deliveries",
)
"""The tables that grow with time. Messages go with their conversations."""

_SIGNALS = "signal_history"


def older_than(table: Table, cutoff: datetime) -> ColumnElement[bool]:
    """The rows from before `cutoff`, by the time that the table is about."""
    return table.c[time_name(table)] < cutoff


def of_user(table: Table, names: Collection[str], *, after_id: int | None = None) -> ColumnElement[bool]:
    """The rows that name a person, who may be known by several names; `after_id` leaves out those up to an id."""
    named = table.c[next(name for name in PERSON_COLUMNS if name in table.c)].in_(names)
    return named if after_id is None else and_(named, table.c.id > after_id)


def newest_id(session: Session, table: Table) -> int:
    """The highest id of a table; 0 when it is empty."""
    return session.scalar(select(func.max(table.c.id))) or 0


def tables_of_people() -> list[Table]:
    """All tables that name people, children first."""
    return [
        table
        for table in reversed(tables.metadata.sorted_tables)
        if any(name in table.c for name in PERSON_COLUMNS) and "id" in table.c
    ]


def count(session: Session, table: Table, condition: ColumnElement[bool]) -> int:
    """How many rows meet a condition."""
    return session.scalar(select(func.count()).select_from(table).where(condition)) or 0


def count_older_than(session: Session, model: type[Base], cutoff: datetime) -> int:
    """How many rows were created before `cutoff`."""
    table = tables.table(model.__tablename__)
    return count(session, table, older_than(table, cutoff))


def delete_older_than(session: Session, model: type[Base], cutoff: datetime, *, limit: int = BATCH) -> int:
    """Delete at most `limit` rows created before `cutoff`, the oldest first; how many went.

    Call it in a transaction of its own until it returns less than `limit`.
    """
    table = tables.table(model.__tablename__)
    return len(delete_some(session.connection(), table, older_than(table, cutoff), limit=limit))


def delete_some(
    connection: Connection,
    table: Table,
    condition: ColumnElement[bool],
    *,
    discount: bool = False,
    of_person: bool = False,
    wait: bool = False,
    limit: int = BATCH,
) -> Sequence[Row[Any]]:
    """Delete at most `limit` rows that meet a condition, the oldest first, and return them.

    With `discount` they no longer count, with `of_person` the signals they led to forget where they came from. Call it
    in transactions of its own until it returns less than `limit`. Rows that somebody else is changing right now are
    left for the next time, or with `wait` waited for.
    """
    names = _needed(table, discount=discount) | (forgetting.needed(table) if of_person else set())
    columns = (table.c[name] for name in sorted(names))
    chosen = select(*columns).where(condition).order_by(*_oldest_first(table)).limit(limit)
    rows = connection.execute(chosen.with_for_update(skip_locked=not wait)).all()
    if rows:
        ids = [row.id for row in rows]
        if table.name == conversations.TABLE:
            _delete_messages(connection, ids)
        connection.execute(delete(table).where(table.c.id.in_(ids)))
        _forget_derived(connection, table, rows, discount=discount)
        if of_person:
            forgetting.forget_origin(connection, table, rows)
    return rows


def _delete_messages(connection: Connection, ids: Sequence[int]) -> None:
    """Said here as well as by the foreign keys, which a host's SQLite does not obey unless it is told to."""
    messages, advice = tables.table(conversations.MESSAGES), tables.table(recommendations.TABLE)
    connection.execute(delete(messages).where(messages.c.conversation_id.in_(ids)))
    connection.execute(update(advice).where(advice.c.conversation_id.in_(ids)).values(conversation_id=None))


def _oldest_first(table: Table) -> list[ColumnElement[Any]]:
    return [table.c[name] for name in (time_name(table), "id") if name in table.c]


def _needed(table: Table, *, discount: bool) -> set[str]:
    names = {"id"}
    if table.name == _SIGNALS:
        names.add("signal_id")
    if discount and table.name in FAMILIES:
        names.update(counted_columns(FAMILIES[table.name]))
    return names


def _forget_derived(connection: Connection, table: Table, rows: Sequence[Row[Any]], *, discount: bool) -> None:
    if table.name == _SIGNALS:
        funnel.delete_of(connection, [row.signal_id for row in rows])
    if discount and table.name in FAMILIES:
        rollups.count(connection, {table.name: [dict(row._mapping) for row in rows]}, sign=-1)
