"""Finding signals that are still open, and closing many of them in short transactions."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, select, tuple_
from sqlalchemy.orm import Session

from stateful_engine.domain.vocabulary import Outcome
from stateful_engine.storage import signals
from stateful_engine.storage.journal import TradeEvent
from stateful_engine.storage.pages import Place
from stateful_engine.storage.recommendations import Recommendation
from stateful_engine.storage.signals import SignalHistory

STOP_MOVED = "trailing_stop_adjusted"


@dataclass(frozen=True, slots=True)
class OpenSignal:
    """An open signal as a resolver needs it; `stop_loss` is the initial one."""

    id: int
    signal_id: str
    created_at: datetime
    symbol: str | None
    timeframe: str | None
    action: str
    entry_price: float | None
    stop_loss: float | None
    take_profit: float | None
    extra: Any

    @property
    def place(self) -> Place:
        """Where it stands in the list of open signals."""
        return Place(self.created_at, self.id)


_COLUMNS = (
    SignalHistory.id,
    SignalHistory.signal_id,
    SignalHistory.created_at,
    SignalHistory.symbol,
    SignalHistory.timeframe,
    SignalHistory.action,
    SignalHistory.entry_price,
    SignalHistory.initial_stop_loss,
    SignalHistory.stop_loss,
    SignalHistory.take_profit,
    SignalHistory.extra,
)
_IS_OPEN = SignalHistory.outcome == Outcome.PENDING.value


def open_signals(
    session: Session,
    *,
    after: Place | None = None,
    limit: int = 2000,
    symbols: Collection[str] | None = None,
    signal_ids: Collection[str] | None = None,
) -> list[OpenSignal]:
    """Signals without an outcome, the oldest first, from `after` on; HOLD is among them."""
    statement = select(*_COLUMNS).where(_IS_OPEN)
    if after is not None:
        statement = statement.where(
            tuple_(SignalHistory.created_at, SignalHistory.id) > tuple_(after.created_at, after.id)
        )
    if symbols is not None:
        statement = statement.where(SignalHistory.symbol.in_(symbols))
    if signal_ids is not None:
        statement = statement.where(SignalHistory.signal_id.in_(signal_ids))
    rows = session.execute(statement.order_by(SignalHistory.created_at, SignalHistory.id).limit(limit))
    return [_open_signal(row) for row in rows]


def still_open(session: Session, ids: Collection[int]) -> list[OpenSignal]:
    """Those of the signals with these internal ids that have no outcome yet, the oldest first."""
    statement = select(*_COLUMNS).where(_IS_OPEN, SignalHistory.id.in_(ids)).order_by(SignalHistory.id)
    return [_open_signal(row) for row in session.execute(statement)]


def close(session: Session, results: Mapping[int, Mapping[str, Any]]) -> set[int]:
    """Write results (some of `signals.RESULT_COLUMNS`) by internal id; the ids that were still open and are closed now.

    Rows are locked in the order of their ids; one that got an outcome meanwhile keeps it.
    """
    closed = set()
    for row in _locked(session, results):
        if row.extra and "resolution" in row.extra:
            row.extra = {key: value for key, value in row.extra.items() if key != "resolution"}
        signals.set_outcome(session, row, results[row.id])
        closed.add(row.id)
    return closed


def note(session: Session, notes: Mapping[int, Mapping[str, Any]]) -> None:
    """Keep in `extra.resolution` how far the resolver came with signals that are still open."""
    for row in _locked(session, notes):
        row.extra = {**(row.extra or {}), "resolution": dict(notes[row.id])}
    session.flush()


def stop_moves(session: Session, signal_ids: Collection[str]) -> dict[str, list[tuple[datetime, float]]]:
    """When the stops of these signals were moved, and to which price, by signal id, oldest first.

    A move belongs to a signal by its `signal_id`, or by a ticket that another event or a recommendation ties to it.
    """
    owners = _tickets(session, signal_ids)
    conditions: list[ColumnElement[bool]] = [TradeEvent.signal_id.in_(signal_ids)]
    if owners:
        conditions.append(TradeEvent.signal_id.is_(None) & TradeEvent.ticket.in_(owners))
    found: dict[str, set[tuple[datetime, int, float]]] = {}
    for condition in conditions:
        statement = select(
            TradeEvent.signal_id, TradeEvent.ticket, TradeEvent.timestamp, TradeEvent.id, TradeEvent.sl
        ).where(condition, TradeEvent.event == STOP_MOVED, TradeEvent.sl.is_not(None))
        for move in session.execute(statement):
            for owner in {move.signal_id} if move.signal_id is not None else owners[move.ticket]:
                found.setdefault(owner, set()).add((move.timestamp, move.id, move.sl))
    return {owner: [(at, stop) for at, _, stop in sorted(moves)] for owner, moves in found.items()}


def _tickets(session: Session, signal_ids: Collection[str]) -> dict[str, set[str]]:
    """The signals behind each ticket that is known."""
    events = select(TradeEvent.ticket, TradeEvent.signal_id).where(
        TradeEvent.signal_id.in_(signal_ids), TradeEvent.ticket.is_not(None)
    )
    advice = select(Recommendation.execution_ticket, Recommendation.signal_id).where(
        Recommendation.signal_id.in_(signal_ids), Recommendation.execution_ticket.is_not(None)
    )
    owners: dict[str, set[str]] = {}
    for statement in (events, advice):
        for ticket, signal_id in session.execute(statement.distinct()):
            owners.setdefault(str(ticket), set()).add(str(signal_id))
    return owners


def _locked(session: Session, ids: Iterable[int]) -> Sequence[SignalHistory]:
    statement = (
        select(SignalHistory)
        .where(SignalHistory.id.in_(sorted(ids)), _IS_OPEN)
        .order_by(SignalHistory.id)
        .with_for_update()
    )
    return session.scalars(statement, execution_options={"populate_existing": True}).all()


def _open_signal(row: Any) -> OpenSignal:
    stop = row.initial_stop_loss if row.initial_stop_loss is not None else row.stop_loss
    return OpenSignal(
        row.id,
        row.signal_id,
        row.created_at,
        row.symbol,
        row.timeframe,
        row.action,
        row.entry_price,
        stop,
        row.take_profit,
        row.extra,
    )
