"""Reading whole tables in the order of time, in batches that each take a transaction of their own."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Boolean, ColumnElement, DateTime, Double, Integer, func, select, tuple_
from sqlalchemy.orm import Session
from sqlalchemy.types import TypeDecorator

from stateful_engine.storage.base import Base
from stateful_engine.storage.database import Database
from stateful_engine.storage.journal import TradeEvent
from stateful_engine.storage.pages import window

BATCH = 1000

Row = tuple[Any, ...]


def count(session: Session, model: type[Base], since: datetime | None, end: datetime | None) -> int:
    """How many rows were created in a window, its end exclusive."""
    return session.scalar(select(func.count()).select_from(model).where(*_window(model, since, end))) or 0


def moment_at(
    session: Session, model: type[Base], place: int, *, since: datetime | None, end: datetime | None
) -> datetime | None:
    """When the row at this place (0 is the oldest) of a window was created; None beyond its end."""
    created_at, row_id = _order(model)
    statement = select(created_at).where(*_window(model, since, end)).order_by(created_at, row_id).offset(place)
    found: datetime | None = session.scalar(statement.limit(1))
    return found


def rows(
    database: Database,
    model: type[Base],
    names: Sequence[str],
    *,
    since: datetime | None = None,
    end: datetime | None = None,
    batch: int = BATCH,
) -> Iterator[Sequence[Row]]:
    """Batches of rows with these columns, oldest first; the memory that this takes does not grow with the table."""
    created_at, row_id = _order(model)
    columns = [model.__table__.c[name] for name in names]
    after: Row | None = None
    while True:
        statement = select(*columns, created_at.label("_created_at"), row_id.label("_id"))
        statement = statement.where(*_window(model, since, end), *_after(created_at, row_id, after))
        with database.reading() as session:
            found = session.execute(statement.order_by(created_at, row_id).limit(batch)).all()
        if found:
            yield [tuple(row[: len(names)]) for row in found]
        if len(found) < batch:
            return
        after = tuple(found[-1][-2:])


def closing_times(session: Session, tickets: Collection[str]) -> dict[str, datetime]:
    """When the trades with these tickets were closed, as far as the journal knows."""
    statement = (
        select(TradeEvent.ticket, func.max(TradeEvent.timestamp))
        .where(TradeEvent.ticket.in_(tickets), TradeEvent.event == "trade_closed")
        .group_by(TradeEvent.ticket)
    )
    return {str(ticket): moment for ticket, moment in session.execute(statement)}


def kind_of(model: type[Base], name: str) -> str:
    """What a column holds: `text`, `number`, `whole`, `flag`, `time` or `json`."""
    kind = model.__table__.c[name].type
    inner = kind.impl_instance if isinstance(kind, TypeDecorator) else kind
    for sort, types in _KINDS:
        if isinstance(inner, types):
            return sort
    return "json" if "json" in type(inner).__name__.lower() else "text"


_KINDS: tuple[tuple[str, type[Any]], ...] = (
    ("flag", Boolean),
    ("whole", Integer),
    ("number", Double),
    ("time", DateTime),
)


def _window(model: type[Base], since: datetime | None, end: datetime | None) -> list[Any]:
    return window(model.__table__.c["created_at"], since, end)  # type: ignore[arg-type]


def _after(created_at: Any, row_id: Any, place: Row | None) -> list[ColumnElement[bool]]:
    return [] if place is None else [tuple_(created_at, row_id) > tuple_(*place)]


def _order(model: type[Base]) -> tuple[Any, Any]:
    columns = model.__table__.c
    return columns["created_at"], columns["id"]
