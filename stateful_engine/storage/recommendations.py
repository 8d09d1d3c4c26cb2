"""Table `ai_recommendations`: what the bot advised a person, whether it was followed, and what that brought."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, case, false, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from stateful_engine.storage.base import Base, ShortText, big_id
from stateful_engine.storage.conversations import TABLE as CONVERSATIONS
from stateful_engine.storage.pages import window

TABLE = "ai_recommendations"


class Recommendation(Base):
    """One recommendation to one person."""

    __tablename__ = TABLE

    id: Mapped[int] = mapped_column(big_id(), primary_key=True)
    user_id: Mapped[str] = mapped_column(ShortText)
    conversation_id: Mapped[int | None] = mapped_column(
        BigInteger, ForeignKey(f"{CONVERSATIONS}.id", ondelete="SET NULL")
    )
    signal_id: Mapped[str | None] = mapped_column(ShortText)
    symbol: Mapped[str] = mapped_column(ShortText)
    direction: Mapped[str]
    reasoning: Mapped[str | None]
    confidence: Mapped[float | None]
    entry_price: Mapped[float | None]
    stop_loss: Mapped[float | None]
    take_profit: Mapped[float | None]
    risk_reward: Mapped[float | None]
    timeframe: Mapped[str | None]
    market_regime: Mapped[str | None]
    created_at: Mapped[datetime]
    executed: Mapped[bool] = mapped_column(default=False, server_default=false())
    execution_ticket: Mapped[str | None] = mapped_column(ShortText)
    execution_time: Mapped[datetime | None]
    result_pnl: Mapped[float | None]
    result_r: Mapped[float | None]
    model: Mapped[str | None] = mapped_column(default="gpt-4o-mini", server_default="gpt-4o-mini")
    generation_time: Mapped[float | None]
    experiment: Mapped[str | None]
    variant: Mapped[str | None]

    __table_args__ = (
        CheckConstraint("direction IN ('BUY', 'SELL', 'HOLD')", name="direction"),
        Index(None, "created_at", "id"),
        Index(None, "user_id", "created_at", "id"),
        Index(None, "symbol", "created_at", "id"),
        Index(None, "conversation_id"),
        Index(None, "signal_id"),
    )


def insert(session: Session, values: Mapping[str, Any]) -> int:
    """Add a recommendation; returns its id."""
    row = Recommendation(**values)
    session.add(row)
    session.flush()
    return row.id


def lock(session: Session, rec_id: int) -> Recommendation | None:
    """The recommendation with this id, held against other writers until the transaction ends, or None."""
    return session.scalar(select(Recommendation).where(Recommendation.id == rec_id).with_for_update())


def find(session: Session, rec_id: int) -> Recommendation | None:
    """The recommendation with this id, or None."""
    return session.get(Recommendation, rec_id)


def totals(session: Session, since: datetime | None) -> Mapping[str, Any]:
    """Counts and averages over all recommendations of a window; wins and losses are of executed ones with a result."""
    done = Recommendation.executed.is_(True)
    pnl = case((done, Recommendation.result_pnl))
    statement = select(
        func.count().label("total"),
        func.coalesce(func.sum(case((done, 1), else_=0)), 0).label("executed"),
        func.avg(Recommendation.confidence).label("avg_confidence"),
        func.coalesce(func.sum(case((pnl > 0, 1), else_=0)), 0).label("wins"),
        func.coalesce(func.sum(case((pnl < 0, 1), else_=0)), 0).label("losses"),
        func.avg(pnl).label("avg_pnl"),
        func.avg(case((done, Recommendation.result_r))).label("avg_r"),
    ).where(*window(Recommendation.created_at, since, None))
    return dict(session.execute(statement).mappings().one())


def executed_by_symbol(session: Session, since: datetime | None) -> Sequence[Mapping[str, Any]]:
    """`symbol`, `count`, `wins` and `avg_pnl` of the executed recommendations of a window."""
    statement = (
        select(
            Recommendation.symbol,
            func.count().label("count"),
            func.coalesce(func.sum(case((Recommendation.result_pnl > 0, 1), else_=0)), 0).label("wins"),
            func.avg(Recommendation.result_pnl).label("avg_pnl"),
        )
        .where(Recommendation.executed.is_(True), *window(Recommendation.created_at, since, None))
        .group_by(Recommendation.symbol)
        .order_by(func.count().desc(), Recommendation.symbol)
    )
    return [dict(row) for row in session.execute(statement).mappings()]


def finished(session: Session, *, batch: int = 1000) -> Iterator[Recommendation]:
    """Executed recommendations with a result, oldest first, read in batches."""
    last = 0
    while True:
        statement = (
            select(Recommendation)
            .where(
                Recommendation.id > last,
                Recommendation.executed.is_(True),
                Recommendation.result_pnl.is_not(None),
            )
            .order_by(Recommendation.id)
            .limit(batch)
        )
        rows = session.scalars(statement).all()
        yield from rows
        if len(rows) < batch:
            return
        last = rows[-1].id
        session.expunge_all()
