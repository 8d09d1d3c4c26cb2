"""Table `signal_scanner_results`: what the scanner saw, and whom it told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, Index, case, false, func, select, text, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Mapped, Session, mapped_column

from stateful_engine.storage.base import Base, ShortText, big_id
from stateful_engine.storage.pages import window

TABLE = "signal_scanner_results"

_ON_A_BAR = text("bar_time IS NOT NULL")
_PER_BAR = ("symbol", "timeframe", "direction", "bar_time")


class ScannerResult(Base):
    """One look of the scanner at one symbol; of one bar each direction is kept once."""

    __tablename__ = TABLE

    id: Mapped[int] = mapped_column(big_id(), primary_key=True)
    symbol: Mapped[str] = mapped_column(ShortText)
    timeframe: Mapped[str] = mapped_column(ShortText)
    direction: Mapped[str]
    confidence: Mapped[float | None]
    rsi: Mapped[float | None]
    adx: Mapped[float | None]
    atr: Mapped[float | None]
    market_regime: Mapped[str | None]
    reason: Mapped[str | None]
    bar_time: Mapped[datetime | None]
    detected_at: Mapped[datetime]
    notified: Mapped[bool] = mapped_column(default=False, server_default=false())
    notified_at: Mapped[datetime | None]
    signal_id: Mapped[str | None] = mapped_column(ShortText)

    __table_args__ = (
        CheckConstraint("direction IN ('BUY', 'SELL', 'HOLD')", name="direction"),
        Index(
            "uq_signal_scanner_results_bar",
            *_PER_BAR,
            unique=True,
            postgresql_where=_ON_A_BAR,
            sqlite_where=_ON_A_BAR,
        ),
        Index(None, "detected_at", "id"),
        Index(None, "symbol", "detected_at", "id"),
        {"info": {"time": "detected_at"}},
    )


def insert(session: Session, values: Mapping[str, Any]) -> int:
    """Add a result; returns its id, or that of the one that says the same of the same bar."""
    kind = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    statement = (
        kind.insert(ScannerResult)
        .values(**values)
        .on_conflict_do_nothing(index_elements=_PER_BAR, index_where=_ON_A_BAR)
        .returning(ScannerResult.id)
    )
    made = session.execute(statement).scalar_one_or_none()
    return made if made is not None else _same_bar(session, values)


def _same_bar(session: Session, values: Mapping[str, Any]) -> int:
    columns = ScannerResult.__table__.c
    return session.scalars(select(ScannerResult.id).where(*(columns[name] == values[name] for name in _PER_BAR))).one()


def mark_notified(session: Session, result_id: int, at: datetime) -> bool:
    """Claim the notification of a result; True for exactly one caller."""
    done: Any = session.execute(
        update(ScannerResult)
        .where(ScannerResult.id == result_id, ScannerResult.notified.is_(False))
        .values(notified=True, notified_at=at),
        execution_options={"synchronize_session": False},
    )
    return bool(done.rowcount)


def release(session: Session, result_id: int) -> None:
    """Take a claim back, when the notification could not be sent."""
    session.execute(
        update(ScannerResult).where(ScannerResult.id == result_id).values(notified=False, notified_at=None),
        execution_options={"synchronize_session": False},
    )


def exists(session: Session, result_id: int) -> bool:
    """Whether there is a result with this id."""
    return session.scalar(select(ScannerResult.id).where(ScannerResult.id == result_id)) is not None


def by_symbol(session: Session, since: datetime | None) -> Sequence[Mapping[str, Any]]:
    """`symbol`, `direction`, `count`, `avg_confidence` and `notified_count` of the results of a window."""
    statement = (
        select(
            ScannerResult.symbol,
            ScannerResult.direction,
            func.count().label("count"),
            func.avg(ScannerResult.confidence).label("avg_confidence"),
            func.coalesce(func.sum(case((ScannerResult.notified, 1), else_=0)), 0).label("notified_count"),
        )
        .where(*window(ScannerResult.detected_at, since, None))
        .group_by(ScannerResult.symbol, ScannerResult.direction)
        .order_by(func.count().desc(), ScannerResult.symbol, ScannerResult.direction)
    )
    return [dict(row) for row in session.execute(statement).mappings()]
