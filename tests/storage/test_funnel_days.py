"""Kept days of the funnel: whatever happens to a signal of a day that is over, the next reader is told so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import text

from stateful_engine.domain import clock as time_source
from stateful_engine.domain.periods import LENGTH, Grain
from stateful_engine.services import report_funnel
from stateful_engine.services.retention import Retention
from stateful_engine.storage import funnel_days, intake, rollup_reading, rollup_upkeep, signals
from stateful_engine.storage.database import Database
from stateful_engine.storage.rollup_measures import INTERACTIONS, SIGNALS
from stateful_engine.storage.rollup_reading import Window
from tests.factories import FakeClock
from tests.storage.conftest import interaction_row, signal_row

IDS = [f"sig_{number:012x}_1" for number in range(4)]
MONTH_US = 30 * LENGTH[Grain.DAY]


@pytest.fixture(autouse=True)
def only_kept_days(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_funnel, "FEW_SIGNALS", 0)


@pytest.fixture
def history(database: Database, clock: FakeClock) -> Iterator[Database]:
    """Four signals of a day that has been over for a week, one of them seen by ann; the day is kept."""
    made = time_source.epoch_us()
    tables = {SIGNALS.source: [signal_row(signal_id=each, created_at=made) for each in IDS]}
    seen = interaction_row(signal_id=IDS[0], interaction_type="VIEW", user_id="ann", created_at=made + 60_000_000)
    with database.connection() as connection:
        intake.insert(connection, {**tables, INTERACTIONS.source: [seen]})
    clock.advance(days=7)
    assert counts(database) == [4, 1, 0, 0]
    yield database
    assert rollup_upkeep.check(database) == []


def counts(database: Database, *, caught_up: bool = True) -> list[int]:
    """How many signals of the last month were generated, seen, executed, closed; the same from the rows alone."""
    if caught_up:
        funnel_days.catch_up(database)
    end = time_source.epoch_us() + 1
    with rollup_reading.view(database, SIGNALS, INTERACTIONS) as view:
        window = Window(end - MONTH_US, end)
        kept = report_funnel.report(view, window, None, days=30)
        assert kept == report_funnel.report(view, window, ("1 = 1", {}), days=30)
    return [stage["count"] for stage in kept["stages"]]


def kept_rows(database: Database, *, stale: bool = False) -> int:
    condition = f"kind {'=' if stale else '<>'} 'stale'"
    with database.connection() as connection:
        table = database.qualified("rollup_funnel")
        return int(connection.execute(text(f"SELECT count(*) FROM {table} WHERE {condition}")).scalar() or 0)


def change(database: Database, signal_id: str, what: Callable[[Any, Any], None]) -> None:
    with database.transaction() as session:
        what(session, signals.lock(session, signal_id))


def test_a_day_that_is_over_is_kept_and_not_counted_again(history: Database) -> None:
    assert kept_rows(history) > 0
    assert kept_rows(history, stale=True) == 0
    with history.connection() as connection:
        table = history.qualified("rollup_funnel")
        connection.execute(text(f"UPDATE {table} SET total = 9 WHERE step = 'generated'"))
    end = time_source.epoch_us() + 1
    with rollup_reading.view(history, SIGNALS, INTERACTIONS) as view:
        found = report_funnel.report(view, Window(end - MONTH_US, end), None, days=30)
    assert found["stages"][0]["count"] == 9
    rollup_upkeep.rebuild(history)


def test_a_signal_that_is_executed_or_closed_later_is_told(history: Database, clock: FakeClock) -> None:
    now = clock.now()
    change(history, IDS[0], lambda session, row: signals.set_execution(session, row, price=1.0, source="WEB", at=now))
    assert kept_rows(history, stale=True) == 1
    assert counts(history) == [4, 1, 1, 0]
    closed = {"outcome": "WIN", "closed_at": now + timedelta(hours=1)}
    change(history, IDS[0], lambda session, row: signals.set_outcome(session, row, closed))
    assert counts(history, caught_up=False) == [4, 1, 1, 1]
    assert counts(history) == [4, 1, 1, 1]


def test_a_view_or_a_signal_that_comes_late_is_told(history: Database) -> None:
    made = time_source.epoch_us() - 7 * LENGTH[Grain.DAY]
    late = interaction_row(signal_id=IDS[1], interaction_type="CLICK", created_at=made + 1)
    with history.connection() as connection:
        intake.insert(connection, {INTERACTIONS.source: [late]})
    assert counts(history) == [4, 2, 0, 0]
    with history.connection() as connection:
        intake.insert(connection, {SIGNALS.source: [signal_row(created_at=made)]})
    assert counts(history) == [5, 2, 0, 0]


def test_a_person_who_is_forgotten_has_seen_nothing(history: Database) -> None:
    Retention(history, on_change=lambda _: None).forget_user("ann")
    assert counts(history) == [4, 0, 0, 0]


def test_days_whose_signals_were_cleaned_up_stay_as_they_were(history: Database, clock: FakeClock) -> None:
    with history.connection() as connection:
        intake.insert(connection, {SIGNALS.source: [signal_row(created_at=time_source.epoch_us())]})
    Retention(history, on_change=lambda _: None).cleanup(2)
    funnel_days.catch_up(history)
    end = time_source.epoch_us() + 1
    with rollup_reading.view(history, SIGNALS, INTERACTIONS) as view:
        found = report_funnel.report(view, Window(end - MONTH_US, end), None, days=30)
    assert [stage["count"] for stage in found["stages"]] == [5, 1, 0, 0]


def test_days_whose_figures_are_dropped_too_are_gone(history: Database) -> None:
    Retention(history, on_change=lambda _: None).cleanup(2, rollups=True)
    assert counts(history) == [0, 0, 0, 0]
    assert kept_rows(history) == 0


def test_what_a_reader_has_no_patience_for_is_read_signal_by_signal(
    history: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    rollup_upkeep.rebuild(history, (SIGNALS,))
    monkeypatch.setattr(funnel_days, "PATIENCE_SECONDS", 0.0)
    assert counts(history) == [4, 1, 0, 0]
    assert kept_rows(history) == 0


def test_days_are_counted_some_at_a_time_the_latest_first(history: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    earlier = time_source.epoch_us() - 20 * LENGTH[Grain.DAY]
    with history.connection() as connection:
        intake.insert(connection, {SIGNALS.source: [signal_row(created_at=earlier)]})
    rollup_upkeep.rebuild(history, (SIGNALS,))
    monkeypatch.setattr(funnel_days, "AT_A_TIME_SECONDS", 0.0)
    assert counts(history) == [5, 1, 0, 0]
    assert kept_rows(history, stale=True) == 0


def test_a_day_that_is_kept_wrongly_is_found(history: Database) -> None:
    with history.connection() as connection:
        table = history.qualified("rollup_funnel")
        connection.execute(text(f"UPDATE {table} SET total = total + 1 WHERE step = 'seen'"))
    (wrong,) = rollup_upkeep.check(history)
    assert str(wrong) == "rollup_funnel: days that differ from their signals: +1"
    rollup_upkeep.rebuild(history)


def test_writers_and_readers_at_once_leave_nothing_uncounted(database: Database) -> None:
    """Signals of days that are over are seen, executed and made while others count these days."""
    now = time_source.epoch_us()
    days = [now - number * LENGTH[Grain.DAY] for number in range(2, 8)]
    made = [signal_row(signal_id=f"sig_{number:012x}_2", created_at=days[number % 6]) for number in range(24)]
    with database.connection() as connection:
        intake.insert(connection, {SIGNALS.source: made})

    def write(number: int) -> None:
        for one in made[number::4]:
            seen = interaction_row(signal_id=one["signal_id"], interaction_type="VIEW", created_at=one["created_at"])
            late = signal_row(created_at=one["created_at"] + number)
            with database.connection() as connection:
                intake.insert(connection, {SIGNALS.source: [late], INTERACTIONS.source: [seen]})
            at = time_source.from_epoch_us(one["created_at"] + 1)
            act = partial(signals.set_execution, price=1.0, source="WEB", at=at)
            change(database, one["signal_id"], act)

    def read(_: int) -> None:
        for _ in range(6):
            funnel_days.catch_up(database)

    with ThreadPoolExecutor(6) as pool:
        work = [pool.submit(write, number) for number in range(4)] + [pool.submit(read, number) for number in range(2)]
        for done in work:
            done.result()
    assert counts(database) == [48, 24, 24, 0]
    assert rollup_upkeep.check(database) == []
