"""Table `signal_history`: what an engine advised, what became of it, and the SQL over both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Index, false, func, select, text
from sqlalchemy.orm import Mapped, Session, mapped_column

from stateful_engine.domain import clock
from stateful_engine.domain.symbols import canonical_symbol
from stateful_engine.domain.timeframes import canonical_timeframe
from stateful_engine.domain.vocabulary import Action, Outcome
from stateful_engine.storage import gpt_queries, interactions, journal, pages, rollups, webhooks
from stateful_engine.storage.base import Base, JsonFiltered, JsonStored, ShortText, big_id, plain, to_dict
from stateful_engine.storage.pages import Page

__all__ = ["SignalFilters", "SignalHistory", "find", "lock", "page", "set_execution", "set_outcome", "to_dict"]

TABLE = "signal_history"

_STAMPED = text("experiment IS NOT NULL")

RESULT_COLUMNS = (
    "outcome",
    "pnl_percentage",
    "exit_price",
    "exit_reason",
    "r_multiple",
    "mfe_pct",
    "mae_pct",
    "mfe_r",
    "mae_r",
    "closed_at",
    "resolved_by",
    "resolver_version",
    "candle_source",
    "ambiguity_policy",
    "ambiguous",
    "data_gap",
)
"""The columns that say how a signal ended."""

_OTHER_FORM = text("symbol_raw != symbol")

EXECUTION_COLUMNS = ("is_executed", "executed_at", "execution_price", "execution_source")
"""The columns that say that somebody acted on a signal."""


class SignalHistory(Base):
    """One signal: what it advised, where it came from, whether it was acted on, and how it ended."""

    __tablename__ = TABLE

    id: Mapped[int] = mapped_column(big_id(), primary_key=True)
    signal_id: Mapped[str] = mapped_column(ShortText, unique=True)
    query_id: Mapped[str | None] = mapped_column(ShortText)
    symbol: Mapped[str | None] = mapped_column(ShortText)
    symbol_raw: Mapped[str | None] = mapped_column(ShortText)
    timeframe: Mapped[str | None] = mapped_column(ShortText)
    action: Mapped[str] = mapped_column(ShortText)
    confidence: Mapped[float | None]
    entry_price: Mapped[float | None]
    take_profit: Mapped[float | None]
    stop_loss: Mapped[float | None]
    risk_reward_ratio: Mapped[float | None]
    ai_reasoning: Mapped[str | None]
    smc_analysis: Mapped[Any | None] = mapped_column(JsonStored)
    technical_indicators: Mapped[Any | None] = mapped_column(JsonStored)
    market_conditions: Mapped[str | None]
    source: Mapped[str | None]
    source_engine: Mapped[str | None] = mapped_column(ShortText)
    endpoint: Mapped[str | None]
    ai_model: Mapped[str | None]
    prompt_version: Mapped[str | None]
    experiment: Mapped[str | None]
    variant: Mapped[str | None]

    is_executed: Mapped[bool] = mapped_column(default=False, server_default=false())
    executed_at: Mapped[datetime | None]
    execution_price: Mapped[float | None]
    execution_source: Mapped[str | None]

    outcome: Mapped[str] = mapped_column(ShortText, default=Outcome.PENDING.value, server_default=Outcome.PENDING.value)
    pnl_percentage: Mapped[float | None]
    exit_price: Mapped[float | None]
    exit_reason: Mapped[str | None]
    initial_stop_loss: Mapped[float | None]
    r_multiple: Mapped[float | None]
    mfe_pct: Mapped[float | None]
    mae_pct: Mapped[float | None]
    mfe_r: Mapped[float | None]
    mae_r: Mapped[float | None]
    closed_at: Mapped[datetime | None]
    resolved_by: Mapped[str | None]
    resolver_version: Mapped[str | None]
    candle_source: Mapped[str | None]
    ambiguity_policy: Mapped[str | None]
    ambiguous: Mapped[bool | None]
    data_gap: Mapped[bool | None]

    episode_key: Mapped[str | None]
    client_ref: Mapped[str | None] = mapped_column(ShortText)
    user_agent: Mapped[str | None]
    ip_address: Mapped[str | None]
    extra: Mapped[Any | None] = mapped_column(JsonFiltered)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime | None]

    __table_args__ = (
        Index(None, "created_at", "id"),
        Index(None, "symbol", "created_at", "id"),
        Index(
            "ix_signal_history_symbol_raw",
            "symbol_raw",
            "created_at",
            "id",
            postgresql_where=_OTHER_FORM,
            sqlite_where=_OTHER_FORM,
        ),
        Index(None, "timeframe", "created_at", "id"),
        Index(None, "action", "created_at", "id"),
        Index(None, "outcome", "created_at", "id"),
        Index(None, "source_engine", "created_at", "id"),
        Index("ix_signal_history_experiment", "experiment", "id", postgresql_where=_STAMPED, sqlite_where=_STAMPED),
        {
            "info": {
                "key": "signal_id",
                "changing": frozenset({*RESULT_COLUMNS, *EXECUTION_COLUMNS, "extra", "updated_at"}),
            }
        },
    )


@dataclass(frozen=True, slots=True)
class SignalFilters:
    """Which signals are wanted; `None` leaves a filter out. `end` is exclusive, `min_confidence` is not. `is_trade`
    leaves out those that advise to wait.

    `symbol` finds the signals of that instrument, and those that named it in just this form. Make one with `of`, which
    folds symbols and timeframes to the form in which they are stored.
    """

    symbol: str | None = None
    symbol_raw: str | None = None
    timeframe: str | None = None
    action: str | None = None
    outcome: str | None = None
    source_engine: str | None = None
    ai_model: str | None = None
    is_executed: bool | None = None
    min_confidence: float | None = None
    is_trade: bool = False
    since: datetime | None = None
    end: datetime | None = None

    @classmethod
    def of(
        cls, *, symbol: str | None = None, timeframe: str | None = None, action: str | None = None, **others: Any
    ) -> SignalFilters:
        """Filters from what a caller wrote: `BTC/USDT` and `M15` are looked up as `BTCUSDT` and `15m`."""
        return cls(
            symbol=(canonical_symbol(symbol) or symbol) if symbol else None,
            symbol_raw=symbol or None,
            timeframe=(canonical_timeframe(timeframe) or timeframe) if timeframe else None,
            action=action,
            **others,
        )


def page(session: Session, filters: SignalFilters, cursor: str | None, limit: int) -> Page:
    """One page of signals, newest first; `limit` is at least 1. A bad cursor raises `InvalidInputError`."""
    return pages.page(session, SignalHistory, _alternatives(filters), cursor, limit)


def _alternatives(filters: SignalFilters) -> list[list[ColumnElement[bool]]]:
    """The conditions, once for the canonical symbol and once for the form in which it was given."""
    shared = pages.window(SignalHistory.created_at, filters.since, filters.end)
    if filters.is_trade:
        shared.append(SignalHistory.action != Action.HOLD.value)
    if filters.min_confidence is not None:
        shared.append(SignalHistory.confidence >= filters.min_confidence)
    for name in ("timeframe", "action", "outcome", "source_engine", "ai_model", "is_executed"):
        value = getattr(filters, name)
        if value is not None:
            shared.append(getattr(SignalHistory, name) == value)
    if filters.symbol is None:
        return [shared]
    found = [[SignalHistory.symbol == filters.symbol, *shared]]
    raw = filters.symbol_raw
    if raw is not None:
        found.append([SignalHistory.symbol_raw == raw, SignalHistory.symbol_raw != SignalHistory.symbol, *shared])
        if raw != filters.symbol:
            found.append([SignalHistory.symbol == raw, *shared])
    return found


def find_row(session: Session, signal_id: str) -> SignalHistory | None:
    """The signal with this id, or None."""
    return session.scalar(select(SignalHistory).where(SignalHistory.signal_id == signal_id))


def find(session: Session, signal_id: str) -> dict[str, Any] | None:
    """The signal with this id as a dict, or None."""
    row = find_row(session, signal_id)
    return None if row is None else to_dict(row)


def lock(session: Session, signal_id: str) -> SignalHistory | None:
    """The signal with this id, held against other writers until the transaction ends, or None.

    On SQLite every transaction of ours that may write holds the whole file from its start.
    """
    statement = select(SignalHistory).where(SignalHistory.signal_id == signal_id).with_for_update()
    return session.scalar(statement, execution_options={"populate_existing": True})


def set_execution(session: Session, signal: SignalHistory, *, price: float | None, source: str, at: datetime) -> bool:
    """Mark a locked signal as acted on; False, and nothing changes, when it was before."""
    if signal.is_executed:
        return False
    _change(
        session,
        signal,
        {"is_executed": True, "executed_at": at, "execution_price": price, "execution_source": source},
    )
    return True


def set_outcome(session: Session, signal: SignalHistory, result: Mapping[str, Any]) -> None:
    """Write how a locked signal ended; `result` holds some of `RESULT_COLUMNS`."""
    unknown = set(result) - set(RESULT_COLUMNS)
    if unknown:
        raise ValueError(f"{sorted(unknown)[0]!r} is no column of a result; use RESULT_COLUMNS")
    _change(session, signal, result)


def _change(session: Session, signal: SignalHistory, values: Mapping[str, Any]) -> None:
    """Write `values`, and keep what is derived from the row in step within the same transaction."""
    before = _values(signal)
    for name, value in values.items():
        setattr(signal, name, value)
    signal.updated_at = clock.now()
    session.flush()
    after = _values(signal)
    rollups.revise(session.connection(), TABLE, before, after)
    webhooks.announce_change(session.connection(), before, after)


def _values(signal: SignalHistory) -> dict[str, Any]:
    return {column.name: getattr(signal, column.name) for column in SignalHistory.__table__.columns}


def open_signals(
    session: Session, *, after_id: int = 0, limit: int = 1000, since: datetime | None = None
) -> list[SignalHistory]:
    """Signals without an outcome but with the prices to find one, by ascending id, from `after_id` on."""
    statement = (
        select(SignalHistory)
        .where(
            SignalHistory.outcome == Outcome.PENDING.value,
            SignalHistory.entry_price.is_not(None),
            SignalHistory.take_profit.is_not(None),
            SignalHistory.stop_loss.is_not(None),
            SignalHistory.id > after_id,
            *pages.window(SignalHistory.created_at, since, None),
        )
        .order_by(SignalHistory.id)
        .limit(limit)
    )
    return list(session.scalars(statement))


def count_since(session: Session, since: datetime) -> int:
    """How many signals were made from a moment on."""
    return session.scalar(select(func.count()).where(SignalHistory.created_at >= since)) or 0


def count_outcomes(session: Session, since: datetime | None, outcome: str) -> int:
    """How many signals of a window ended this way."""
    conditions = pages.window(SignalHistory.created_at, since, None)
    return session.scalar(select(func.count()).where(SignalHistory.outcome == outcome, *conditions)) or 0


def timeline(session: Session, signal: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What happened around a signal (as `find` gives it), oldest first: `[{at, kind, data}]`.

    Kinds are `query`, `signal`, `interaction`, `journal` and `outcome`.
    """
    events = [_event("signal", signal["created_at"], {"signal_id": signal["signal_id"], "action": signal["action"]})]
    if signal["query_id"] is not None:
        query = gpt_queries.find(session, signal["query_id"])
        if query is not None:
            query.pop("response_data")
            events.append(_event("query", query["created_at"], query))
    for interaction in interactions.of_signal(session, signal["signal_id"]):
        events.append(_event("interaction", interaction["created_at"], interaction))
    for entry in journal.of_signal(session, signal["signal_id"]):
        events.append(_event("journal", entry["timestamp"], entry))
    if signal["outcome"] != Outcome.PENDING.value:
        result = {name: plain(signal[name]) for name in RESULT_COLUMNS}
        events.append(_event("outcome", signal["closed_at"] or signal["updated_at"], result))
    return sorted(events, key=lambda event: str(event["at"]))


def _event(kind: str, at: str, data: Mapping[str, Any]) -> dict[str, Any]:
    return {"at": at, "kind": kind, "data": dict(data)}
