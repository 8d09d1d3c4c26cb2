"""A database with pre-aggregates of the older periods comes up, and goes back, with all that they hold."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from sqlalchemy import text

from stateful_engine.domain import clock
from stateful_engine.errors import SchemaError
from stateful_engine.storage import bulk, migrate, rollup_reading, rollup_upkeep, tables
from stateful_engine.storage.database import Database
from stateful_engine.storage.rollup_measures import INTERACTIONS, SIGNALS
from stateful_engine.storage.rollup_reading import Answer, Window
from tests.storage.conftest import interaction_row, signal_row

HOUR = 3_600_000_000
OLD_STRIDE = 500_000_000
THIS_HOUR = clock.epoch_us() // HOUR
GONE, NOTED = THIS_HOUR - 2000, THIS_HOUR - 3
CELLS = (("", ""), ("type", "VIEW"), ("source", "TELEGRAM"))
NOTE = [[[dimension, OLD_STRIDE + NOTED, value, {"total": 2}] for dimension, value in CELLS], [], []]
"""What a host has left: cells, people, and steps of signals."""


@pytest.fixture
def older(empty_database_url: str) -> Iterator[Database]:
    """At revision 0005: three signals that are gone and still counted, one that is there and not counted yet, and two
    interactions that a host has left as a note."""
    database = Database(empty_database_url)
    migrate.upgrade(database, "0005")
    signal = signal_row(symbol="BTCUSDT", timeframe="1H", created_at=THIS_HOUR * HOUR)
    views = [interaction_row(interaction_type="VIEW", user_id=None, created_at=NOTED * HOUR) for _ in range(2)]
    with database.engine.begin() as connection:
        bulk.insert_new(connection, tables.table(SIGNALS.source), [signal])
        bulk.insert_new(connection, tables.table(INTERACTIONS.source), views)
    forgotten = (GONE + 1) * HOUR
    marks = f"('signal_history', 4, {forgotten})", "('user_interaction', 1, 0)"
    fill(database, "rollup_marks", "name, changes, forgotten", *marks)
    for hour in (OLD_STRIDE + GONE, 2 * OLD_STRIDE + GONE // 24, 3 * OLD_STRIDE + 24_312):
        cells = f"('', {hour}, '', 3)", f"('symbol', {hour}, 'BTCUSDT', 3)"
        fill(database, "rollup_signals", "dimension, period, value, total", *cells)
    fill(database, "rollup_pending", "name, payload", f"('user_interaction', '{json.dumps(NOTE)}')")
    yield database
    database.dispose()


def fill(database: Database, table: str, columns: str, *rows: str) -> None:
    statement = f"INSERT INTO {database.qualified(table)} ({columns}) VALUES {', '.join(rows)}"
    with database.engine.begin() as connection:
        connection.exec_driver_sql(statement)


def everything(database: Database) -> Answer:
    with rollup_reading.view(database, SIGNALS) as view:
        return view.read(Window(None, clock.epoch_us() + 1), ("symbol", "pair"))


def totals(answer: Answer, dimension: str) -> dict[str, int]:
    return {name: found["total"] for name, found in answer.splits[dimension].items()}


def test_signals_that_are_gone_stay_counted_and_the_others_are_told_apart_anew(older: Database) -> None:
    migrate.upgrade(older)
    answer = everything(older)
    assert answer.total["total"] == 4
    assert totals(answer, "symbol") == {"BTCUSDT": 4}
    assert totals(answer, "pair") == {"BTCUSDT\x1f1H": 1}
    assert rollup_upkeep.check(older) == []


def test_what_a_host_has_left_to_be_counted_is_counted(older: Database) -> None:
    migrate.upgrade(older)
    with rollup_reading.view(older, INTERACTIONS) as view:
        assert totals(view.read(Window(None, clock.epoch_us() + 1), ("type",)), "type") == {"VIEW": 2}


def test_the_way_back_keeps_them_too(older: Database) -> None:
    migrate.upgrade(older)
    everything(older)
    migrate.downgrade(older, "0005")
    with older.engine.connect() as connection:
        table = older.qualified("rollup_signals")
        cells = connection.execute(text(f"SELECT period, total FROM {table} WHERE dimension = '' ORDER BY period"))
        assert [tuple(row) for row in cells] == [(OLD_STRIDE + GONE, 3), (OLD_STRIDE + THIS_HOUR, 1)]
        pairs = connection.execute(text(f"SELECT count(*) FROM {table} WHERE dimension = 'pair'"))
        assert pairs.scalar() == 0
    migrate.upgrade(older)
    assert everything(older).total["total"] == 4


def test_coarse_periods_of_before_are_made_again_by_the_next_write(older: Database) -> None:
    migrate.upgrade(older)
    everything(older)
    migrate.downgrade(older, "0008")
    with older.engine.connect() as connection:
        table = older.qualified("rollup_signals")
        assert connection.execute(text(f"SELECT count(*) FROM {table} WHERE period >= 200000000")).scalar() == 0
    migrate.upgrade(older)
    assert everything(older).total["total"] == 4
    assert rollup_upkeep.check(older) == []
    assert everything(older).total["total"] == 4


def test_a_version_that_keeps_coarse_periods_otherwise_does_not_write_beside_this_one(database: Database) -> None:
    of_old = "UPDATE {table} SET sealed = 0 WHERE name = 'signal_history'"
    with pytest.raises(SchemaError, match="older than this version"), database.connection() as connection:
        connection.exec_driver_sql(of_old.format(table=database.qualified("rollup_marks")))
