"""The counting that analytics stand on, as one grouped statement per question."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, case, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from stateful_engine.domain.vocabulary import Outcome
from stateful_engine.storage.gpt_queries import GPTQueryLog
from stateful_engine.storage.interactions import UserInteraction
from stateful_engine.storage.pages import window
from stateful_engine.storage.signals import SignalHistory

SIGNAL_DIMENSIONS = ("symbol", "timeframe", "action", "source_engine", "market_conditions")


def _count_where(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)


def _signal_measures() -> list[ColumnElement[Any]]:
    outcome = SignalHistory.outcome
    return [
        func.count().label("total"),
        _count_where(SignalHistory.is_executed).label("executed"),
        *(_count_where(outcome == word.value).label(word.value.lower()) for word in Outcome),
        func.avg(SignalHistory.confidence).label("avg_confidence"),
        func.avg(SignalHistory.pnl_percentage).label("avg_pnl"),
        func.avg(SignalHistory.r_multiple).label("avg_r"),
    ]


def signals(
    session: Session, since: datetime | None, end: datetime | None, by: str | None = None
) -> Sequence[dict[str, Any]]:
    """Counts and averages of the signals of a window, in all or for each value of the column `by`."""
    keys = [] if by is None else [getattr(SignalHistory, by).label("key")]
    statement = select(*keys, *_signal_measures()).where(*window(SignalHistory.created_at, since, end))
    return _rows(session, statement.group_by(*keys) if keys else statement)


def closed_trades(session: Session, since: datetime | None, end: datetime | None) -> Sequence[dict[str, Any]]:
    """`closed_at`, `pnl_percentage` and `r_multiple` of the closed signals of a window, in the order of their ends."""
    closed = (Outcome.WIN.value, Outcome.LOSS.value, Outcome.BREAKEVEN.value)
    statement = (
        select(SignalHistory.closed_at, SignalHistory.pnl_percentage, SignalHistory.r_multiple, SignalHistory.outcome)
        .where(SignalHistory.outcome.in_(closed), *window(SignalHistory.created_at, since, end))
        .order_by(SignalHistory.closed_at, SignalHistory.id)
    )
    return _rows(session, statement)


def queries(
    session: Session, since: datetime | None, end: datetime | None, by: str | None = None
) -> Sequence[dict[str, Any]]:
    """Counts and sums of the queries of a window, in all or for each value of the column `by`."""
    keys = [] if by is None else [getattr(GPTQueryLog, by).label("key")]
    statement = select(
        *keys,
        func.count().label("total"),
        _count_where(GPTQueryLog.is_successful).label("successful"),
        func.avg(GPTQueryLog.processing_time_ms).label("avg_processing_time_ms"),
        func.sum(GPTQueryLog.tokens_used).label("tokens"),
        func.sum(GPTQueryLog.cost_usd).label("cost_usd"),
        func.count(GPTQueryLog.conversation_ref.distinct()).label("unique_conversations"),
        func.count(GPTQueryLog.user_ref.distinct()).label("unique_users"),
    ).where(*window(GPTQueryLog.created_at, since, end))
    return _rows(session, statement.group_by(*keys) if keys else statement)


def latencies(session: Session, since: datetime | None, end: datetime | None) -> list[float]:
    """The processing times of the queries of a window in milliseconds, ascending."""
    column = GPTQueryLog.processing_time_ms
    statement = select(column).where(column.is_not(None), *window(GPTQueryLog.created_at, since, end)).order_by(column)
    return [value for value in session.scalars(statement) if value is not None]


def interactions(
    session: Session, since: datetime | None, end: datetime | None, by: str | None = None
) -> Sequence[dict[str, Any]]:
    """Counts of the interactions of a window, in all or for each value of the column `by`."""
    keys = [] if by is None else [getattr(UserInteraction, by).label("key")]
    statement = select(
        *keys, func.count().label("total"), func.count(UserInteraction.user_id.distinct()).label("unique_users")
    ).where(*window(UserInteraction.created_at, since, end))
    return _rows(session, statement.group_by(*keys) if keys else statement)


def moments(
    session: Session, column: InstrumentedAttribute[datetime], since: datetime | None, end: datetime | None
) -> list[datetime]:
    """The times of the rows of a window."""
    return list(session.scalars(select(column).where(*window(column, since, end))))


def _rows(session: Session, statement: Any) -> list[dict[str, Any]]:
    return [dict(row) for row in session.execute(statement).mappings()]
