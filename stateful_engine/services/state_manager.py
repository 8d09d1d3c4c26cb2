"""What the engine remembers about signals, queries and interactions: the calls that hosts and doors make.

Writes that only add a record go through the recorder (spool, then database); effects on a record that exists
(execution, outcome) are applied in a transaction of their own, so that they can answer what they found.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from stateful_engine.domain import clock, identifiers
from stateful_engine.domain.extraction import ExtractedSignal, extract_one
from stateful_engine.errors import SignalNotFoundError
from stateful_engine.events import Announce, silent
from stateful_engine.installation import people_of
from stateful_engine.recording.columns import interaction_row, query_row, signal_row
from stateful_engine.recording.records import Rows
from stateful_engine.recording.rows import rows_of
from stateful_engine.services import inputs
from stateful_engine.services.effects import Effects, Execution
from stateful_engine.services.retention import Forgotten, Retention
from stateful_engine.storage import gpt_queries, intake, interactions, signals
from stateful_engine.storage.pages import Page

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from stateful_engine.config import Settings
    from stateful_engine.recording.recorder import Recorder
    from stateful_engine.services.analytics import Analytics
    from stateful_engine.storage.database import Database

MAX_LIMIT = 1000
DURABLE_TIMEOUT = 5.0


@dataclass(frozen=True, slots=True)
class Saved:
    """A record that was accepted: its id, and whether it is still waiting in the spool for the database."""

    id: str
    pending: bool


class StateManager:
    """Saves and finds signals, queries and interactions of one app."""

    def __init__(
        self,
        database: Database,
        recorder: Recorder,
        settings: Settings,
        *,
        analytics: Analytics,
        on_change: Callable[[Mapping[str, int]], None],
        announce: Announce = silent,
    ) -> None:
        self._database = database
        self._recorder = recorder
        self._settings = settings
        self._analytics = analytics
        self._effects = Effects(database, recorder, settings, on_change=on_change, announce=announce)
        self._retention = Retention(database, on_change=on_change)

    # Signals

    def save_signal_history(
        self,
        signal_data: Mapping[str, Any],
        request_context: Mapping[str, Any] | None = None,
        *,
        durable: bool = False,
        session: Session | None = None,
    ) -> str:
        """Record one signal and the interaction `SIGNAL_GENERATED`; returns its `signal_id`.

        `signal_data` is read like any signal (SPEC: spellings fold, unknown fields go to `extra`); values that cannot
        be meant raise `InvalidInputError`. `request_context` may hold `source`, `source_engine`, `endpoint`,
        `query_id`, `user_id`, `user_agent` and `ip_address`. With `durable=True` the call returns after the commit;
        with `session` the rows join that session's transaction, which must be one of our own database.
        """
        signal = extract_one(people_of(self._settings).in_json(signal_data), strict=True)
        if session is not None and self._settings.enabled:
            return self._join(session, signal, request_context or {})
        return self.save_extracted(signal, request_context or {}, durable=durable).id

    def save_extracted(self, signal: ExtractedSignal, context: Mapping[str, Any], *, durable: bool) -> Saved:
        """Record a signal that was extracted already; `pending` is set when the database did not take it in time."""
        signal_id = identifiers.signal_id()
        pending = self.record_rows(self._signal_rows(signal_id, signal, context), durable=durable)
        return Saved(signal_id, pending)

    def get_signal_history(
        self,
        limit: int = 50,
        symbol: str | None = None,
        timeframe: str | None = None,
        days: int = 0,
        **filters: Any,
    ) -> list[dict[str, Any]]:
        """The newest signals first, at most `limit` (1–1000), as dicts; `days=0` looks at all of them.

        `filters` may be `action`, `outcome` and `source_engine`.
        """
        wanted = self.signal_filters(symbol=symbol, timeframe=timeframe, days=days, **filters)
        return list(self.signal_page(wanted, None, inputs.limit(limit, most=MAX_LIMIT)).items)

    def signal_filters(self, *, days: int = 7, **filters: Any) -> signals.SignalFilters:
        """Filters for `signal_page`, with symbols and timeframes in their canonical form."""
        return signals.SignalFilters.of(since=inputs.window_start(inputs.days(days)), **filters)

    def signal_page(self, filters: signals.SignalFilters, cursor: str | None, limit: int) -> Page:
        """One page of signals, newest first, with the cursor of the next."""
        self._recorder.catch_up()
        with self._database.reading() as session:
            return signals.page(session, filters, cursor, limit)

    def get_signal(self, signal_id: str) -> dict[str, Any] | None:
        """The signal as a dict, or None; waits a moment for one that is still on its way."""
        return self._effects.when_arrived(signal_id, lambda session: signals.find(session, signal_id))

    def timeline(self, signal_id: str) -> dict[str, Any]:
        """The signal with everything that happened to it, oldest first; raises `SignalNotFoundError`."""
        signal = self.get_signal(signal_id)
        if signal is None:
            raise _unknown(signal_id)
        with self._database.reading() as session:
            return {**signal, "timeline": signals.timeline(session, signal)}

    def execute(self, signal_id: str, execution_price: Any, **details: Any) -> Execution:
        """Record that a signal was acted on; a second call changes nothing and returns the first interaction."""
        return self._effects.execute(signal_id, execution_price, **details)

    def update_signal_execution(self, signal_id: str, execution: Mapping[str, Any]) -> bool:
        """Record an execution `{"execution_price", "source", "user_id"}`; False when no signal has this id."""
        try:
            self.execute(
                signal_id,
                execution.get("execution_price"),
                source=execution.get("source") or execution.get("execution_source") or "MANUAL",
                user_id=execution.get("user_id"),
            )
        except SignalNotFoundError:
            return False
        return True

    def record_outcome(self, signal_id: str, outcome: Any = None, **details: Any) -> dict[str, Any]:
        """Record how a signal ended and return it; see `Effects.record_outcome` for the details."""
        return self._effects.record_outcome(signal_id, outcome, **details)

    def update_signal_outcome(
        self, signal_id: str, outcome: Any, pnl_percentage: float | None = None, **details: Any
    ) -> bool:
        """Record how a signal ended; True when it did, False when no signal has this id."""
        try:
            self.record_outcome(signal_id, outcome, pnl_percentage=pnl_percentage, **details)
        except SignalNotFoundError:
            return False
        return True

    # Queries

    def log_gpt_query(
        self,
        query_data: Mapping[str, Any],
        response_data: Mapping[str, Any] | None = None,
        request_context: Mapping[str, Any] | None = None,
    ) -> str:
        """Record a query `{endpoint, method, params, user_query}` and its answer
        `{status_code, data, processing_time_ms, ai_model, tokens_used}`; returns the `query_id`.
        """
        return self.save_query(query_data, response_data or {}, request_context or {}, durable=False).id

    def save_query(
        self,
        query_data: Mapping[str, Any],
        response_data: Mapping[str, Any],
        context: Mapping[str, Any],
        *,
        durable: bool,
    ) -> Saved:
        """As `log_gpt_query`, telling also whether the record is still waiting for the database."""
        query_id = identifiers.query_id()
        row = query_row(
            query_id, query_data, response_data, context, created_us=clock.epoch_us(), redacted=self._settings.redact
        )
        row["user_ref"] = self._database.people.of(inputs.text(row["user_ref"]))
        return Saved(query_id, self.record_rows(Rows({gpt_queries.TABLE: [row]}), durable=durable))

    def query_page(self, filters: gpt_queries.QueryFilters, cursor: str | None, limit: int) -> Page:
        """One page of queries, newest first."""
        self._recorder.catch_up()
        with self._database.reading() as session:
            return gpt_queries.page(session, filters, cursor, limit)

    # Interactions

    def track_user_interaction(self, signal_id: str | None, interaction: Mapping[str, Any]) -> str:
        """Record an interaction `{"type", "source", "data", "user_id"}`; returns the `interaction_id`."""
        return self.save_interaction(signal_id, interaction, durable=False).id

    def save_interaction(self, signal_id: str | None, interaction: Mapping[str, Any], *, durable: bool) -> Saved:
        """As `track_user_interaction`, telling also whether the record is still waiting for the database."""
        interaction_id, people = identifiers.interaction_id(), self._database.people
        row = interaction_row(
            interaction_id,
            signal_id,
            inputs.interaction_type(interaction.get("type") or interaction.get("interaction_type")),
            inputs.interaction_source(interaction.get("source") or interaction.get("interaction_source")),
            data=people.in_json(inputs.mapping(interaction.get("data"), "data", secret_keys=self._settings.redact)),
            user_id=people.of(inputs.text(interaction.get("user_id"))),
            user_agent=inputs.text(interaction.get("user_agent")),
            ip_address=inputs.text(interaction.get("ip_address")),
            created_us=clock.epoch_us(),
        )
        return Saved(interaction_id, self.record_rows(Rows({interactions.TABLE: [row]}), durable=durable))

    def interaction_page(self, filters: interactions.InteractionFilters, cursor: str | None, limit: int) -> Page:
        """One page of interactions, newest first."""
        self._recorder.catch_up()
        wanted = replace(filters, user_id=self._database.people.of(filters.user_id))
        with self._database.reading() as session:
            return interactions.page(session, wanted, cursor, limit)

    # Figures and upkeep

    def get_signal_performance_stats(self, days: int = 30) -> dict[str, Any]:
        """The signals report of the analytics."""
        return self._analytics.signals(days=days)

    def get_query_analytics(self, days: int = 7) -> dict[str, Any]:
        """The queries report of the analytics."""
        return self._analytics.queries(days=days)

    def get_user_interaction_stats(self, days: int = 7) -> dict[str, Any]:
        """The interactions report of the analytics."""
        return self._analytics.interactions(days=days)

    def cleanup_old_data(self, days_to_keep: int = 90, *, dry_run: bool = False) -> dict[str, Any]:
        """Delete what is older than `days_to_keep` days, children first; returns counts and the cutoff date."""
        return self._retention.cleanup(days_to_keep, dry_run=dry_run)

    def cleanup_tables(
        self, days: Mapping[str, int] | None = None, *, dry_run: bool = False, rollups: bool = False
    ) -> dict[str, int]:
        """Delete what is older than so many days, by table (default `STATEFUL_RETENTION_DAYS`); rows by table."""
        wanted = self._settings.retention_days if days is None else days
        return self._retention.cleanup_tables(wanted, dry_run=dry_run, rollups=rollups)

    def forget_user(self, user_id: str, *, dry_run: bool = False) -> Forgotten:
        """Delete what names a person, in the database, in the spool and among refused records; rows by table.

        Signals stay, and so do other records in which the person is found, without the person. Records made afterwards
        are kept. Repeating it changes nothing. Other machines have spools of their own: run it there, too.
        """
        if not dry_run:
            self._recorder.forget_people(self._retention.names_of(user_id))
        return self._retention.forget_user(user_id, dry_run=dry_run)

    # Ways to the store

    def record_rows(self, rows: Rows, *, durable: bool) -> bool:
        """Record ready rows; True when they still wait for the database although the caller asked to wait.

        With `STATEFUL_ENABLED` off nothing is recorded, and the caller goes on as if it were.
        """
        if not self._settings.enabled:
            return False
        if not durable:
            self._recorder.record(rows)
            return False
        return not self._recorder.record_durably(rows, timeout=DURABLE_TIMEOUT)

    def _signal_rows(self, signal_id: str, signal: ExtractedSignal, context: Mapping[str, Any]) -> Rows:
        """A signal and the interaction that says that it was generated."""
        created_us = _created_us(context.get("created_at"))
        row = signal_row(signal_id, signal, context, created_us=created_us)
        generated = interaction_row(
            identifiers.interaction_id(),
            signal_id,
            "SIGNAL_GENERATED",
            inputs.interaction_source(context.get("source") or "API"),
            user_id=self._database.people.of(inputs.text(context.get("user_id"))),
            user_agent=inputs.text(context.get("user_agent")),
            ip_address=inputs.text(context.get("ip_address")),
            created_us=created_us,
        )
        return Rows({signals.TABLE: [row], interactions.TABLE: [generated]})

    def _join(self, session: Session, signal: ExtractedSignal, context: Mapping[str, Any]) -> str:
        signal_id = identifiers.signal_id()
        rows = self._signal_rows(signal_id, signal, context)
        with self._database.joined(session) as connection:
            intake.insert(connection, rows_of(rows, self._settings))
        return signal_id


def _created_us(given: datetime | None) -> int:
    return clock.epoch_us() if given is None else clock.to_epoch_us(given)


def _unknown(signal_id: str) -> SignalNotFoundError:
    return SignalNotFoundError(f"no signal has the id {signal_id[:64]!r}; look it up with GET /signal-history")
