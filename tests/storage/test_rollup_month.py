"""The last 30 days are kept added up: whatever becomes of them, a report says what the rows say."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import text

from stateful_engine.domain import clock as time_source
from stateful_engine.domain.periods import CUT, LENGTH, MONTH, MONTH_LENGTH, Grain, floor_to
from stateful_engine.services.retention import Retention
from stateful_engine.storage import intake, rollup_marks, rollup_reading, rollup_upkeep, signals
from stateful_engine.storage.database import Database
from stateful_engine.storage.rollup_marks import Mark
from stateful_engine.storage.rollup_measures import SIGNALS
from stateful_engine.storage.rollup_reading import Foreseen, Window
from tests.factories import FakeClock
from tests.storage.conftest import signal_row

HOUR, MINUTE, DAY = LENGTH[Grain.HOUR], LENGTH[Grain.HOUR] // 60, LENGTH[Grain.DAY]


@pytest.fixture(autouse=True)
def clock() -> Iterator[FakeClock]:
    """A time that tests move on."""
    clock = FakeClock()
    with time_source.clock_from(clock.read_ns):
        yield clock


@pytest.fixture
def month(database: Database, clock: FakeClock) -> Database:
    """A signal in each minute of the four hours around the moment a month ago, some later ones, all added up."""
    ago = floor_to(Grain.HOUR, time_source.epoch_us()) - MONTH_LENGTH
    moments = [*range(ago - HOUR, ago + 3 * HOUR, MINUTE), *range(ago + DAY, ago + 30 * DAY, 2 * DAY + HOUR)]
    make(database, *moments)
    clock.advance(hours=1)
    make(database, time_source.epoch_us())
    return database


def make(database: Database, *moments: int) -> None:
    rows = [
        signal_row(
            symbol=f"S{number % 7}USDT",
            created_at=moment,
            outcome=("WIN", "LOSS", "PENDING")[number % 3],
            pnl_percentage=(3.0, -1.5, None)[number % 3],
            closed_at=None if number % 3 == 2 else moment + DAY,
        )
        for number, moment in enumerate(moments)
    ]
    with database.connection() as connection:
        intake.insert(connection, {SIGNALS.source: rows})


def mark_of(database: Database) -> Mark:
    with database.reading() as session:
        return rollup_marks.mark_of(session.connection(), SIGNALS) or rollup_marks.NO_MARK


def assert_told_as_by_rows(database: Database, begin: int) -> None:
    window = Window(begin, time_source.epoch_us() + 1)
    with rollup_reading.view(database, SIGNALS) as view:
        by_rows = view.from_rows(window, SIGNALS.dimensions)
        assert view.read(window, SIGNALS.dimensions) == by_rows
    for _ in ("looks how the table stands", "reads everything in one question"):
        with rollup_reading.view(database, SIGNALS, foreseen=Foreseen(window, SIGNALS.dimensions)) as view:
            assert view.read(window, SIGNALS.dimensions) == by_rows


def month_ago() -> int:
    return time_source.epoch_us() + 1 - MONTH_LENGTH


def kept(database: Database, condition: str) -> int:
    table = database.qualified(SIGNALS.cells)
    with database.engine.connect() as connection:
        return int(connection.execute(text(f"SELECT count(*) FROM {table} WHERE {condition}")).scalar() or 0)


@pytest.mark.parametrize("minutes", [0, 0.5, 2.4, 2.6, 30, 31.7, 57.4, 57.6, 59.9, 90, 500, 600])
def test_a_window_that_begins_about_a_month_ago_is_told_as_the_rows_tell_it(month: Database, minutes: float) -> None:
    mark = mark_of(month)
    assert (mark.has_month, mark.cut) == (True, mark.sealed - MONTH_LENGTH)
    assert_told_as_by_rows(month, mark.cut + int(minutes * MINUTE))


def test_the_month_moves_on_with_the_hours_and_is_made_anew_after_a_long_time(
    month: Database, clock: FakeClock
) -> None:
    for minutes in (20, 45, 60, 61, 300, 1_500, 20, 70_000, 59):
        clock.advance(minutes=minutes)
        make(month, time_source.epoch_us(), time_source.epoch_us() - 7 * HOUR)
        assert mark_of(month).sealed == floor_to(Grain.HOUR, time_source.epoch_us())
        assert rollup_upkeep.check(month) == []
        assert_told_as_by_rows(month, month_ago())


def test_what_has_left_the_month_leaves_nothing_behind(month: Database, clock: FakeClock) -> None:
    assert kept(month, f"period = {MONTH} AND value = 'S3USDT'") == 1
    for _ in range(32):
        clock.advance(hours=23)
        make(month, time_source.epoch_us())
    assert kept(month, f"period = {MONTH} AND (total = 0 OR value = 'S3USDT')") == 0
    assert kept(month, f"period = {MONTH}") > 0


@pytest.mark.parametrize("place", [3 * MINUTE, 40 * MINUTE, 5 * DAY])
def test_signals_of_the_month_may_still_change_come_late_and_be_forgotten(
    month: Database, clock: FakeClock, place: int
) -> None:
    moment = month_ago() + place
    row = signal_row(created_at=moment, symbol="LATEUSDT")
    with month.connection() as connection:
        intake.insert(connection, {SIGNALS.source: [row]})
    assert_told_as_by_rows(month, month_ago())
    with month.transaction() as session:
        found = signals.lock(session, row["signal_id"])
        assert found is not None
        signals.set_outcome(session, found, {"outcome": "WIN", "r_multiple": 2.0, "closed_at": clock.now()})
    assert_told_as_by_rows(month, month_ago())
    Retention(month, on_change=lambda _: None).cleanup(29, rollups=True)
    assert rollup_upkeep.check(month) == []
    assert_told_as_by_rows(month, month_ago() + 2 * DAY)


def test_cuts_that_no_longer_say_what_their_rows_say_are_not_read_and_made_anew_with_the_next_hour(
    month: Database, clock: FakeClock
) -> None:
    make(month, mark_of(month).cut + 10 * MINUTE)
    assert (mark_of(month).has_month, mark_of(month).cut) == (True, 0)
    assert_told_as_by_rows(month, month_ago())
    clock.advance(hours=1)
    make(month, time_source.epoch_us())
    assert mark_of(month).cut == mark_of(month).sealed - MONTH_LENGTH
    assert kept(month, f"period > {CUT}") > 0


def test_after_a_version_that_keeps_no_month_has_written_it_is_not_read_and_made_anew(
    month: Database, clock: FakeClock
) -> None:
    older = f"UPDATE {month.qualified('rollup_marks')} SET changes = changes + 1 WHERE name = 'signal_history'"
    spoilt = f"UPDATE {month.qualified(SIGNALS.cells)} SET win = win + 1000 WHERE period = {MONTH}"
    with month.engine.begin() as connection:
        connection.execute(text(older))
        connection.execute(text(spoilt))
    assert not mark_of(month).has_month
    assert_told_as_by_rows(month, month_ago())
    make(month, time_source.epoch_us())
    assert not mark_of(month).has_month
    clock.advance(hours=1)
    make(month, time_source.epoch_us())
    assert mark_of(month).has_month
    assert rollup_upkeep.check(month) == []


def test_rows_that_are_gone_and_stay_counted_are_not_cut(month: Database, clock: FakeClock) -> None:
    Retention(month, on_change=lambda _: None).cleanup(28, rollups=False)
    clock.advance(hours=1)
    make(month, time_source.epoch_us())
    assert (mark_of(month).has_month, mark_of(month).cut) == (True, 0)
    window = Window(month_ago(), time_source.epoch_us() + 1)
    with rollup_reading.view(month, SIGNALS) as view:
        answer = view.read(window, ("symbol",))
    assert answer.total["total"] == 60 + 15 + 2
    assert sum(found["total"] for found in answer.split("symbol").values()) == answer.total["total"]


@pytest.mark.parametrize(
    ("condition", "shown"), [(f"period = {MONTH}", "month of the last"), (f"period >= {CUT}", "cut of")]
)
def test_a_check_tells_what_is_wrong_with_the_month_and_its_cuts(month: Database, condition: str, shown: str) -> None:
    spoilt = f"UPDATE {month.qualified(SIGNALS.cells)} SET executed = 5 WHERE dimension = 'symbol' AND value = 'S1USDT'"
    with month.engine.begin() as connection:
        connection.execute(text(f"{spoilt} AND {condition}"))
    found = rollup_upkeep.check(month)
    assert found
    assert all(shown in str(each) and "executed of symbol 'S1USDT': +5" in str(each) for each in found)
