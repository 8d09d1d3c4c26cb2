"""Rows at the edge of a window: counted in another way on each database, they amount to what the rows say."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from stateful_engine.domain import clock as time_source
from stateful_engine.domain.amounts import SQUARE_BASE
from stateful_engine.domain.periods import LENGTH, Grain, floor_to
from stateful_engine.storage import intake, rollup_reading, rollup_upkeep
from stateful_engine.storage.database import Database
from stateful_engine.storage.rollup_measures import SIGNALS
from stateful_engine.storage.rollup_reading import Answer, Foreseen, Window
from tests.factories import FakeClock
from tests.storage.conftest import signal_row

MINUTE = LENGTH[Grain.HOUR] // 60
MINUTES = range(0, 60, 5)
MONTH = 30 * LENGTH[Grain.DAY]

KINDS = [
    {"outcome": "WIN", "pnl_percentage": 95_000.0, "r_multiple": 9_999.123456, "ambiguous": True, "is_executed": True},
    {"outcome": "LOSS", "pnl_percentage": -3_000.000001, "r_multiple": -3_000.0000005, "ambiguous": True},
    {"outcome": "LOSS", "pnl_percentage": -1.5, "r_multiple": None, "source_engine": None, "is_executed": True},
    {"outcome": "BREAKEVEN", "pnl_percentage": 0.0, "r_multiple": 0.0, "market_conditions": "x" * 300},
    {"outcome": "UNFILLED", "market_conditions": "y" * 300, "source_engine": ""},
    {"outcome": "PENDING", "pnl_percentage": 7.0, "r_multiple": 7.0, "confidence": None},
    {"outcome": "WIN", "pnl_percentage": 1e9, "r_multiple": 2.0, "ai_model": 'a "quoted"\\ model', "timeframe": "4H"},
]


@pytest.fixture(autouse=True)
def clock() -> Iterator[FakeClock]:
    """A time that tests move on."""
    clock = FakeClock()
    with time_source.clock_from(clock.read_ns):
        yield clock


def signals_of_an_hour(database: Database) -> int:
    """A signal of each kind in each five minutes of the hour in which a month ago lies; the beginning of that hour."""
    hour = floor_to(Grain.HOUR, time_source.epoch_us() - MONTH)
    rows = [
        signal_row(**kind, created_at=hour + minute * MINUTE + second, closed_at=hour + second * LENGTH[Grain.DAY])
        for minute in MINUTES
        for second, kind in enumerate(KINDS)
    ]
    with database.connection() as connection:
        intake.insert(connection, {SIGNALS.source: rows})
    return hour


def told(answer: Answer) -> tuple[object, ...]:
    """What an answer says; where a square is divided into its two parts is no matter."""
    total = dict(answer.total)
    for name in ("pnl", "r"):
        total[f"{name}_square"] = total.pop(f"{name}_square_high") * SQUARE_BASE + total.pop(f"{name}_square_low")
    names = SIGNALS.split_measures
    days = {day: [found[name] for name in names] for day, found in answer.days.items()}
    return total, days, {name: split for name, split in answer.splits.items() if split}


@pytest.mark.parametrize("minute", [0, 1, 12, 29, 31, 48, 59])
def test_wherever_in_an_hour_a_window_begins_its_edge_is_told_as_the_rows_tell_it(
    database: Database, minute: int
) -> None:
    begin = signals_of_an_hour(database) + minute * MINUTE
    window = Window(begin, begin + MONTH)
    with rollup_reading.view(database, SIGNALS) as view:
        by_rows = view.from_rows(window, SIGNALS.dimensions)
        assert by_rows.total["total"] == sum(made >= minute for made in MINUTES) * len(KINDS)
        assert told(view.read(window, SIGNALS.dimensions)) == told(by_rows)
    for _ in ("looks how the table stands", "reads everything in one question"):
        with rollup_reading.view(database, SIGNALS, foreseen=Foreseen(window, SIGNALS.dimensions)) as view:
            assert told(view.read(window, SIGNALS.dimensions)) == told(by_rows)


def test_a_signal_of_the_last_microseconds_belongs_to_its_own_hour_and_day(database: Database) -> None:
    midnight = floor_to(Grain.DAY, time_source.epoch_us())
    row = signal_row(created_at=midnight - 1, outcome="WIN", pnl_percentage=1.0, closed_at=midnight - 1)
    with database.connection() as connection:
        intake.insert(connection, {SIGNALS.source: [row]})
    window = Window(midnight - LENGTH[Grain.HOUR], midnight)
    assert rollup_upkeep.check(database) == []
    with rollup_reading.view(database, SIGNALS) as view:
        for answer in (view.read(window, ("closed_on",)), view.from_rows(window, ("closed_on",))):
            day = midnight // LENGTH[Grain.DAY] - 1
            assert (list(answer.days), list(answer.splits["closed_on"])) == ([day], [str(day)])
