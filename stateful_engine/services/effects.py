"""Effects on signals that exist: executions and outcomes.

An effect needs its signal. Where the signal is still on its way (in this process's spool, or in another's) the call
waits up to `STATEFUL_EFFECT_WAIT` seconds for it, then raises `SignalNotFoundError`; nothing is parked, so an answer
always says what is stored.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from stateful_engine.domain import clock, identifiers
from stateful_engine.domain.barrier_rules import RESOLVED_BY
from stateful_engine.domain.returns import outcome_of, pnl_percentage, r_multiple
from stateful_engine.domain.vocabulary import CLOSED_OUTCOMES, ExitReason, Outcome
from stateful_engine.errors import ConflictError, Fault, InvalidInputError, SignalNotFoundError
from stateful_engine.events import Announce, outcome_recorded, signal_executed, silent
from stateful_engine.recording.columns import interaction_row
from stateful_engine.services import inputs
from stateful_engine.storage import intake, interactions, signals

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from stateful_engine.config import Settings
    from stateful_engine.recording.recorder import Recorder
    from stateful_engine.storage.database import Database

T = TypeVar("T")

FIRST_PAUSE = 0.01
LONGEST_PAUSE = 0.2
ON_ITS_WAY_SECONDS = 120
ANNOUNCED = ("signal_id", "outcome", "pnl_percentage", "r_multiple")
"""What receivers of `outcome_recorded` are told."""

PNL_TOLERANCE = 1e-6
"""Percentage points within which a repeated result counts as the same."""


@dataclass(frozen=True, slots=True)
class Execution:
    """An execution as it is stored; `repeated` when an earlier call had recorded it."""

    signal_id: str
    interaction_id: str
    repeated: bool


class Effects:
    """Applies executions and outcomes, each in one transaction of its own."""

    def __init__(
        self,
        database: Database,
        recorder: Recorder,
        settings: Settings,
        *,
        on_change: Callable[[Mapping[str, int]], None],
        announce: Announce = silent,
    ) -> None:
        self._database = database
        self._recorder = recorder
        self._settings = settings
        self._on_change = on_change
        self._announce = announce

    def when_arrived(self, signal_id: str, look: Callable[[Session], T | None], *, write: bool = False) -> T | None:
        """What `look` finds, tried again until it is not None or the signal cannot be on its way any more.

        Only the id of a signal that was made a moment ago is waited for.
        """
        self._recorder.catch_up()
        deadline = time.monotonic() + self._settings.effect_wait
        pause = FIRST_PAUSE
        while True:
            with self._database.transaction() if write else self._database.reading() as session:
                found = look(session)
            if found is not None or time.monotonic() >= deadline or not _may_be_on_its_way(signal_id):
                return found
            self._recorder.ask_for_haste()
            time.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    def execute(
        self,
        signal_id: str,
        execution_price: Any,
        *,
        source: str = "MANUAL",
        user_id: Any = None,
        data: Mapping[str, Any] | None = None,
    ) -> Execution:
        """Mark the signal as executed and record the interaction EXECUTE; the first execution stands.

        Raises `SignalNotFoundError`, or `InvalidInputError` for a price that is not a finite number above zero.
        """
        paid = inputs.optional_price(execution_price, "execution_price")
        folded, people = inputs.interaction_source(source), self._database.people
        row = interaction_row(
            identifiers.interaction_id(),
            signal_id,
            "EXECUTE",
            folded,
            data={
                **people.in_json(inputs.mapping(data, "data", secret_keys=self._database.secret_keys)),
                "execution_price": paid,
            },
            user_id=people.of(inputs.text(user_id)),
            created_us=clock.epoch_us(),
        )
        done = self.when_arrived(signal_id, lambda session: _execute(session, row, paid, folded), write=True)
        if done is None:
            raise _unknown(signal_id)
        if not done.repeated:
            self._on_change({signals.TABLE: 1, interactions.TABLE: 1})
            self._announce(signal_executed, signal_id=signal_id, execution_price=paid, source=folded)
        return done

    def record_outcome(
        self,
        signal_id: str,
        outcome: Any = None,
        *,
        correct: bool = False,
        pnl_percentage: Any = None,
        exit_price: Any = None,
        closed_at: Any = None,
        exit_reason: str = ExitReason.MANUAL.value,
        resolved_by: str = "manual",
    ) -> dict[str, Any]:
        """Close a signal and return it as it is stored now.

        `pnl_percentage` and R are derived from `exit_price` where the signal's prices allow; without `outcome` it
        follows from them. Closing again with the same result changes nothing; with another result it raises
        `ConflictError` unless `correct=True`. `PENDING` with `correct=True` opens the signal again.
        """
        report = _Report(
            outcome=None if outcome is None else Outcome(inputs.outcome(outcome)),
            pnl=inputs.optional_finite(pnl_percentage, "pnl_percentage"),
            exit_price=inputs.optional_price(exit_price, "exit_price"),
            closed_at=inputs.moment(closed_at, "closed_at"),
            exit_reason=exit_reason,
            resolved_by=resolved_by,
        )
        closed = self.when_arrived(
            signal_id, lambda session: _close(session, signal_id, report, correct=correct), write=True
        )
        if closed is None:
            raise _unknown(signal_id)
        if closed.changed:
            self._on_change({signals.TABLE: 1})
            self._announce(outcome_recorded, **{name: closed.signal[name] for name in ANNOUNCED})
        return closed.signal


@dataclass(frozen=True, slots=True)
class _Report:
    """What a caller says about the end of a signal."""

    outcome: Outcome | None
    pnl: float | None
    exit_price: float | None
    closed_at: Any
    exit_reason: str
    resolved_by: str


def _execute(session: Session, row: dict[str, Any], paid: float | None, source: str) -> Execution | None:
    signal_id = row["signal_id"]
    signal = signals.lock(session, signal_id)
    if signal is None:
        return None
    if signal.is_executed:
        first = interactions.first_execution(session, signal_id)
        return Execution(signal_id, first or row["interaction_id"], repeated=True)
    signals.set_execution(session, signal, price=paid, source=source, at=clock.now())
    intake.insert(session.connection(), {interactions.TABLE: [row]})
    return Execution(signal_id, row["interaction_id"], repeated=False)


@dataclass(frozen=True, slots=True)
class _Closed:
    """A signal as it is stored now, and whether this call changed it."""

    signal: dict[str, Any]
    changed: bool


def _close(session: Session, signal_id: str, report: _Report, *, correct: bool) -> _Closed | None:
    signal = signals.lock(session, signal_id)
    if signal is None:
        return None
    result = _result(signal, report)
    if signal.outcome != Outcome.PENDING.value:
        if _same(signal, result):
            return _Closed(signals.to_dict(signal), changed=False)
        if not correct and not _beats(report, signal):
            raise ConflictError(
                f"this signal is closed as {signal.outcome} already; send correct: true to replace the result"
            )
    signals.set_outcome(session, signal, dict.fromkeys(signals.RESULT_COLUMNS) | result)
    return _Closed(signals.to_dict(signal), changed=True)


def _beats(report: _Report, signal: signals.SignalHistory) -> bool:
    """What a person reports replaces what candles told."""
    return signal.resolved_by == RESOLVED_BY and report.resolved_by != RESOLVED_BY


def _result(signal: signals.SignalHistory, report: _Report) -> dict[str, Any]:
    """The columns that describe the end of `signal`, derived from its prices where they were not given."""
    if report.outcome is Outcome.PENDING:
        return dict.fromkeys(signals.RESULT_COLUMNS) | {"outcome": Outcome.PENDING.value}
    pnl = report.pnl
    if pnl is None:
        pnl = pnl_percentage(signal.action, signal.entry_price, report.exit_price)
    stop = signal.initial_stop_loss if signal.initial_stop_loss is not None else signal.stop_loss
    r = r_multiple(signal.action, signal.entry_price, stop, report.exit_price)
    outcome = report.outcome or _derived(r, pnl)
    _check_sign(outcome, pnl)
    return {
        "outcome": outcome.value,
        "pnl_percentage": pnl,
        "exit_price": report.exit_price,
        "exit_reason": report.exit_reason,
        "r_multiple": r,
        "closed_at": report.closed_at or clock.now(),
        "resolved_by": report.resolved_by,
    }


def _derived(r: float | None, pnl: float | None) -> Outcome:
    if r is not None:
        return outcome_of(r)
    if pnl is not None:
        return outcome_of(pnl)
    detail = "an outcome, a pnl_percentage or an exit_price that can be compared with the entry is needed; send one"
    raise InvalidInputError(detail, errors=(Fault("/outcome", detail, "MISSING"),))


def _check_sign(outcome: Outcome, pnl: float | None) -> None:
    """A win that lost money, or a loss that made some, is a mistake in the report, not a fact worth keeping."""
    if pnl is None or outcome not in CLOSED_OUTCOMES:
        return
    if (outcome is Outcome.WIN and pnl < 0) or (outcome is Outcome.LOSS and pnl > 0):
        detail = f"{outcome} does not go with a pnl_percentage of {pnl:g}; correct one of them"
        raise InvalidInputError(detail, errors=(Fault("/pnl_percentage", detail, "CONTRADICTION"),))


def _same(signal: signals.SignalHistory, result: Mapping[str, Any]) -> bool:
    """Whether the stored end says what `result` says; what a repeated call leaves out is not compared."""
    if signal.outcome != result["outcome"]:
        return False
    pnl, stored = result["pnl_percentage"], signal.pnl_percentage
    return pnl is None or (stored is not None and abs(pnl - stored) <= PNL_TOLERANCE)


def _may_be_on_its_way(signal_id: str) -> bool:
    """Only a signal made a moment ago can still sit in a spool; any other id is answered at once."""
    made_at = identifiers.signal_made_at(signal_id)
    return made_at is not None and abs(clock.epoch_seconds() - made_at) <= ON_ITS_WAY_SECONDS


def _unknown(signal_id: str) -> SignalNotFoundError:
    return SignalNotFoundError(f"no signal has the id {signal_id[:64]!r}; look it up with GET /signal-history")
