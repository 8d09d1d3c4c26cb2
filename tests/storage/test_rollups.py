"""Pre-aggregates: whatever is inserted, changed or deleted, they say what the rows say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.orm import Session

from stateful_engine.domain import clock as time_source
from stateful_engine.domain.periods import LENGTH, Grain
from stateful_engine.services import (
    report_calibration,
    report_charts,
    report_funnel,
    report_interactions,
    report_queries,
    report_signals,
)
from stateful_engine.services.retention import Retention
from stateful_engine.storage import funnel_days, intake, rollup_reading, rollup_upkeep, signals
from stateful_engine.storage.database import Database
from stateful_engine.storage.rollup_measures import INTERACTIONS, QUERIES, SIGNALS
from stateful_engine.storage.rollup_reading import Foreseen, Window
from tests.factories import FakeClock

EVERYTHING = ("1 = 1", {})
TABLES = (
    *("user_interaction", "gpt_query_log", "signal_history", "signal_funnel", "rollup_marks", "rollup_signals"),
    *("rollup_queries", "rollup_interactions", "rollup_members", "rollup_sets", "rollup_pending", "rollup_funnel"),
)
BEGIN = datetime(2026, 1, 30, 21, 57, 13, 123456, tzinfo=timezone.utc)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    made = Database(database_url)
    yield made
    made.dispose()


# A history made of anything


@dataclass
class History:
    """A database with a clock, and what has happened in it so far."""

    database: Database
    clock: FakeClock
    count: int = 0
    signal_ids: list[str] = field(default_factory=list)

    def insert(self, **tables: list[dict[str, Any]]) -> None:
        """Insert rows, each with an id of its own unless it has one, some seconds ago or from now."""
        with self.database.connection() as connection:
            intake.insert(connection, self.ready(tables))

    def ready(self, tables: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
        rows = {name: [self._row(name, row) for row in rows] for name, rows in tables.items()}
        self.signal_ids += [row["signal_id"] for row in rows.get("signal_history", [])]
        return rows

    def _row(self, table: str, row: dict[str, Any]) -> dict[str, Any]:
        self.count += 1
        made = self.clock.now() - timedelta(seconds=row.get("age", 0))
        key = {"signal_history": "signal_id", "gpt_query_log": "query_id", "user_interaction": "interaction_id"}[table]
        kept = {name: value for name, value in row.items() if name not in {"age", "of"}}
        if "of" in row:
            kept["signal_id"] = self.signal(row["of"]) or "sig_unknown"
        return {key: f"{key[:3]}_{self.count:012x}_0", "created_at": time_source.to_epoch_us(made), **kept}

    def signal(self, number: int) -> str | None:
        return self.signal_ids[number % len(self.signal_ids)] if self.signal_ids else None

    def change(self, number: int, change: Callable[[Any, Any], None]) -> None:
        """Change a signal that exists, the way the services do."""
        with self.database.transaction() as session:
            row = signals.lock(session, self.signal(number) or "")
            if row is not None:
                change(session, row)

    def insert_signals(self, rows: list[dict[str, Any]]) -> None:
        self.insert(signal_history=rows)

    def insert_queries(self, rows: list[dict[str, Any]]) -> None:
        self.insert(gpt_query_log=rows)

    def insert_interactions(self, rows: list[dict[str, Any]]) -> None:
        self.insert(user_interaction=rows)

    def join(self, rows: list[dict[str, Any]], seen: list[dict[str, Any]]) -> None:
        """A host inserts within a transaction of its own."""
        tables = self.ready({"signal_history": rows, "user_interaction": seen})
        with Session(self.database.engine) as session:
            if self.database.dialect == "sqlite":
                session.connection().exec_driver_sql("BEGIN IMMEDIATE")
            with self.database.joined(session) as connection:
                intake.insert(connection, tables)
            session.commit()

    def execute(self, number: int) -> None:
        now = self.clock.now()
        self.change(number, lambda session, row: signals.set_execution(session, row, price=1.0, source="WEB", at=now))

    def close(self, number: int, outcome: str, result: float | None, hours: float) -> None:
        values = {
            "outcome": outcome,
            "pnl_percentage": result,
            "r_multiple": None if result is None else result / 3,
            "closed_at": None if outcome == "PENDING" else self.clock.now() + timedelta(hours=hours),
            "ambiguous": number % 3 == 0,
        }
        self.change(number, lambda session, row: signals.set_outcome(session, row, values))

    def wait(self, minutes: float) -> None:
        """Somebody looks at the funnel before, so that days are kept that change later."""
        funnel_days.catch_up(self.database)
        self.clock.advance(minutes=minutes)

    def clean_up(self, days: int) -> None:
        Retention(self.database, on_change=lambda _: None).cleanup(days, rollups=True)

    def forget(self, user_id: str) -> None:
        Retention(self.database, on_change=lambda _: None).forget_user(user_id, rollups=True)


CONFIDENCES = st.one_of(st.none(), st.integers(0, 100), st.sampled_from([85.5, 0.005, 99.9999999, 55.1234565]))
RESULTS = st.one_of(st.none(), st.floats(-50, 50), st.sampled_from([1e9, -1.0000005, 12_345.678, 1e-7]))
MONTH_AGO = 30 * 86_400.0
AGES = st.one_of(
    st.just(0),
    st.floats(0, 90_000),
    st.floats(0, 6e6),
    st.floats(-7200, 0),
    st.floats(MONTH_AGO - 7_200, MONTH_AGO + 3_600),
)
WORDS = st.one_of(st.none(), st.sampled_from(["v1", "bull", "x" * 300, "nul\0", "ünï"]))
PEOPLE = st.one_of(st.none(), st.sampled_from(["ann", "bob", "cem", "dée"]))

signal_rows = st.fixed_dictionaries(
    {"age": AGES, "action": st.sampled_from(["BUY", "SELL", "HOLD"]), "confidence": CONFIDENCES},
    optional={
        "symbol": st.sampled_from(["BTCUSDT", "ETHUSDT", None]),
        "timeframe": st.sampled_from(["1H", "4H"]),
        "source_engine": WORDS,
        "ai_model": WORDS,
        "market_conditions": WORDS,
        "source": st.sampled_from(["API", "ChatGPT"]),
        "outcome": st.sampled_from(["PENDING", "WIN", "LOSS"]),
        "is_executed": st.booleans(),
        "r_multiple": RESULTS,
    },
)
query_rows = st.fixed_dictionaries(
    {"age": AGES, "endpoint": st.sampled_from(["/a", "/b", "/" + "c" * 300])},
    optional={
        "response_status": st.sampled_from([200, 404, None]),
        "is_successful": st.booleans(),
        "processing_time_ms": st.one_of(st.none(), st.floats(0, 5e5), st.integers(-1, 10**12)),
        "ai_model_used": WORDS,
        "tokens_used": st.one_of(st.none(), st.integers(0, 10**13)),
        "cost_usd": st.one_of(st.none(), st.floats(0, 10)),
        "conversation_ref": PEOPLE,
        "user_ref": PEOPLE,
    },
)
interaction_rows = st.fixed_dictionaries(
    {
        "age": AGES,
        "interaction_type": st.sampled_from(["VIEW", "CLICK", "EXECUTE", "FEEDBACK"]),
        "interaction_source": st.sampled_from(["API", "TELEGRAM", "WEB"]),
        "user_id": PEOPLE,
    },
    optional={"of": st.integers(0, 50)},
)


# What can happen: names of methods of `History`, with their arguments

numbers = st.integers(0, 50)
outcomes = st.sampled_from(["WIN", "LOSS", "BREAKEVEN", "UNFILLED", "PENDING"])
steps = st.lists(
    st.one_of(
        st.tuples(st.just("insert_signals"), st.lists(signal_rows, min_size=1, max_size=6)),
        st.tuples(st.just("insert_queries"), st.lists(query_rows, min_size=1, max_size=4)),
        st.tuples(st.just("insert_interactions"), st.lists(interaction_rows, min_size=1, max_size=6)),
        st.tuples(st.just("execute"), numbers),
        st.tuples(st.just("close"), numbers, outcomes, RESULTS, st.floats(-100, 100)),
        st.tuples(st.just("join"), st.lists(signal_rows, max_size=2), st.lists(interaction_rows, max_size=2)),
        st.tuples(st.just("wait"), st.sampled_from([4, 61, 300, 1_440, 47_520])),
        st.tuples(st.just("clean_up"), st.sampled_from([1, 2, 30])),
        st.tuples(st.just("forget"), st.sampled_from(["ann", "dée"])),
    ),
    min_size=1,
    max_size=12,
)


@settings(
    max_examples=15,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(
    steps=steps,
    days=st.sampled_from([0, 1, 7, 30, 365]),
    few=st.sampled_from([0, 2000]),
    by=st.sampled_from([*report_signals.BREAKDOWNS]),
)
def test_any_history_gives_the_same_reports_from_pre_aggregates_as_from_its_rows(
    database: Database, steps: list[tuple[Any, ...]], days: int, few: int, by: str
) -> None:
    """Up to `few` rows are put in order one by one, more are answered by days and by bins."""
    empty(database)
    history = History(database, FakeClock(BEGIN))
    with time_source.clock_from(history.clock.read_ns):
        for name, *arguments in steps:
            getattr(history, name)(*arguments)
        with (
            patch.object(report_signals, "FEW_TRADES", few),
            patch.object(report_queries, "FEW_QUERIES", few),
            patch.object(report_funnel, "FEW_SIGNALS", few),
        ):
            compare_reports(history, days, by)
        assert rollup_upkeep.check(database) == []
        rollup_upkeep.rebuild(database)
        assert rollup_upkeep.check(database) == []


def test_periods_in_progress_grow_by_the_hour_and_after_a_long_time(database: Database) -> None:
    history = History(database, FakeClock(BEGIN))
    with time_source.clock_from(history.clock.read_ns):
        for minutes in (0, 60, 61, 1_439, 1_441, 100_000, 30):
            history.wait(minutes)
            history.insert_signals([{"action": "BUY", "confidence": 80.0, "age": age} for age in (0, 7_000)])
            assert rollup_upkeep.check(database) == []
        compare_reports(history, 30, "symbol")


def empty(database: Database) -> None:
    with database.connection() as connection:
        for table in TABLES:
            connection.execute(text(f"DELETE FROM {database.qualified(table)}"))


def compare_reports(history: History, days: int, by: str) -> None:
    funnel_days.catch_up(history.database)
    end = time_source.epoch_us() + 1
    window = Window(end - days * LENGTH[Grain.DAY] if days else None, end)
    with rollup_reading.view(history.database, SIGNALS, INTERACTIONS) as view:
        for report in (report_signals.report, report_calibration.report, report_funnel.report):
            assert report(view, window, None, days=days) == report(view, window, EVERYTHING, days=days)
        assert report_charts.report(view, window, None, days=days) == report_charts.report(
            view, window, EVERYTHING, days=days
        )
        told_apart = report_signals.breakdown(view, window, None, by=by)
        assert told_apart == report_signals.breakdown(view, window, EVERYTHING, by=by)
        plain = report_signals.report(view, window, None, days=days)
    foreseen = Foreseen(window, report_signals.DIMENSIONS)
    for _ in ("looks how the table stands", "reads everything in one question"):
        with rollup_reading.view(history.database, SIGNALS, foreseen=foreseen) as view:
            assert report_signals.report(view, window, None, days=days) == plain
    with rollup_reading.view(history.database, QUERIES) as view:
        kept = report_queries.report(view, window, days=days)
        assert kept == report_queries.report(view, window, EVERYTHING, days=days)
    with rollup_reading.view(history.database, INTERACTIONS) as view:
        kept = report_interactions.report(view, window, days=days)
        assert kept == report_interactions.report(view, window, EVERYTHING, days=days)
