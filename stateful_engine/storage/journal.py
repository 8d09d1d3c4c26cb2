"""Table `trade_events`: the journal of orders, as fields rather than prose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Index, select, text
from sqlalchemy.orm import Mapped, Session, mapped_column

from stateful_engine.storage.base import Base, JsonStored, ShortText, big_id, to_dict

TABLE = "trade_events"

_WITH_SIGNAL = text("signal_id IS NOT NULL")
_WITH_TICKET = text("ticket IS NOT NULL")


class TradeEvent(Base):
    """One event in the life of an order; its ticket need not be known beforehand."""

    __tablename__ = TABLE

    id: Mapped[int] = mapped_column(big_id(), primary_key=True)
    event: Mapped[str] = mapped_column(ShortText)
    ticket: Mapped[str | None] = mapped_column(ShortText)
    signal_id: Mapped[str | None] = mapped_column(ShortText)
    symbol: Mapped[str | None] = mapped_column(ShortText)
    side: Mapped[str | None]
    price: Mapped[float | None]
    sl: Mapped[float | None]
    tp: Mapped[float | None]
    old_sl: Mapped[float | None]
    volume: Mapped[float | None]
    pnl: Mapped[float | None]
    r_multiple: Mapped[float | None]
    method: Mapped[str | None]
    momentum: Mapped[str | None]
    distance_atr: Mapped[float | None]
    oco_group: Mapped[str | None]
    notes: Mapped[str | None]
    extra: Mapped[Any | None] = mapped_column(JsonStored)
    timestamp: Mapped[datetime]

    __table_args__ = (
        Index(None, "timestamp", "id"),
        Index(None, "event", "timestamp", "id"),
        Index("ix_trade_events_ticket", "ticket", "id", postgresql_where=_WITH_TICKET, sqlite_where=_WITH_TICKET),
        Index("ix_trade_events_signal", "signal_id", "id", postgresql_where=_WITH_SIGNAL, sqlite_where=_WITH_SIGNAL),
        {"info": {"time": "timestamp"}},
    )


COLUMNS = frozenset(column.name for column in TradeEvent.__table__.columns) - {"id"}


def insert(session: Session, values: Mapping[str, Any]) -> int:
    """Add an event; returns its id."""
    row = TradeEvent(**values)
    session.add(row)
    session.flush()
    return row.id


def recent(
    session: Session, limit: int, *, event: str | None = None, ticket: str | None = None
) -> Sequence[dict[str, Any]]:
    """The newest events first, with their ids."""
    conditions = []
    if event is not None:
        conditions.append(TradeEvent.event == event)
    if ticket is not None:
        conditions.append(TradeEvent.ticket == ticket)
    statement = (
        select(TradeEvent).where(*conditions).order_by(TradeEvent.timestamp.desc(), TradeEvent.id.desc()).limit(limit)
    )
    return [to_dict(row, omit=frozenset()) for row in session.scalars(statement)]


def of_signal(session: Session, signal_id: str, *, limit: int = 1000) -> Sequence[dict[str, Any]]:
    """The events of a signal, oldest first."""
    statement = (
        select(TradeEvent)
        .where(TradeEvent.signal_id == signal_id)
        .order_by(TradeEvent.timestamp, TradeEvent.id)
        .limit(limit)
    )
    return [to_dict(row) for row in session.scalars(statement)]


def stop_moves(session: Session, signal_id: str) -> Sequence[tuple[datetime, float]]:
    """When the stop of a signal was moved, and to which price, oldest first."""
    statement = (
        select(TradeEvent.timestamp, TradeEvent.sl)
        .where(
            TradeEvent.signal_id == signal_id,
            TradeEvent.event == "trailing_stop_adjusted",
            TradeEvent.sl.is_not(None),
        )
        .order_by(TradeEvent.timestamp, TradeEvent.id)
    )
    return [(at, stop) for at, stop in session.execute(statement) if stop is not None]
