"""Reports that are read in one question: as they would be step by step, whatever has become of what was foreseen."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError

from stateful_engine.domain import clock as time_source
from stateful_engine.domain.periods import LENGTH, Grain
from stateful_engine.errors import QueryTimeoutError
from stateful_engine.storage import intake, rollup_reading
from stateful_engine.storage.database import Database
from stateful_engine.storage.rollup_measures import SIGNALS
from stateful_engine.storage.rollup_reading import Foreseen, Overtaken, Window
from stateful_engine.storage.time_limits import reads_within
from tests.factories import FakeClock
from tests.storage.conftest import signal_row

PREPARED = text("SELECT count(*) FROM pg_prepared_statements WHERE name LIKE 'stateful%'")


@pytest.fixture(autouse=True)
def clock() -> Iterator[FakeClock]:
    """A time that tests move on."""
    clock = FakeClock()
    with time_source.clock_from(clock.read_ns):
        yield clock


def make_signals(database: Database, count: int = 1) -> None:
    rows = [signal_row(created_at=time_source.epoch_us()) for _ in range(count)]
    with database.connection() as connection:
        intake.insert(connection, {SIGNALS.source: rows})


def look(database: Database) -> tuple[int, bool]:
    """How many signals of BTC the last month had, and whether that was read in one question."""
    end = time_source.epoch_us() + 1
    window = Window(end - 30 * LENGTH[Grain.DAY], end)
    with rollup_reading.view(database, SIGNALS, foreseen=Foreseen(window, ("symbol",))) as view:
        answer = view.read(window, ("symbol",))
        return answer.splits.get("symbol", {}).get("BTCUSDT", {}).get("total", 0), view.has_read(window)


def test_more_is_read_of_the_same_moment_or_not_at_all(postgresql: Database) -> None:
    make_signals(postgresql, 2)
    look(postgresql)
    end = time_source.epoch_us() + 1
    foreseen = Foreseen(Window(end - 30 * LENGTH[Grain.DAY], end), ("symbol",))
    with rollup_reading.view(postgresql, SIGNALS, foreseen=foreseen) as view:
        assert view.has_read(foreseen.window)
        assert view.connection.execute(text("SHOW transaction_isolation")).scalar() == "repeatable read"
        make_signals(postgresql)
        assert view.read(foreseen.window, ("action",)).total["total"] == 2
    with rollup_reading.view(postgresql, SIGNALS, foreseen=foreseen) as view:
        assert view.has_read(foreseen.window)
        make_signals(postgresql)
        with pytest.raises(Overtaken):
            view.read(foreseen.window, ("action",))


def test_a_question_alone_needs_no_transaction(postgresql: Database) -> None:
    make_signals(postgresql)
    look(postgresql)
    end = time_source.epoch_us() + 1
    foreseen = Foreseen(Window(end - 30 * LENGTH[Grain.DAY], end), ("symbol",))
    with rollup_reading.view(postgresql, SIGNALS, foreseen=foreseen) as view:
        assert view.has_read(foreseen.window)
        looking = create_engine(postgresql.engine.url)
        with looking.connect() as connection:
            others = "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            states = connection.execute(text(f"SELECT state FROM pg_stat_activity {others}"))
            assert states.scalars().all() == ["idle"]
        looking.dispose()


def prepared(database: Database) -> int:
    with database.engine.connect() as connection:
        return int(connection.execute(PREPARED).scalar() or 0)


def test_the_second_report_is_read_in_one_question(postgresql: Database) -> None:
    make_signals(postgresql, 3)
    assert look(postgresql) == (3, False)
    assert look(postgresql) == (3, True)
    make_signals(postgresql)
    assert look(postgresql) == (4, True)
    assert prepared(postgresql) == 1


def test_what_was_foreseen_wrongly_is_read_again(postgresql: Database, clock: FakeClock) -> None:
    make_signals(postgresql)
    look(postgresql)
    clock.advance(hours=30)
    make_signals(postgresql)
    assert look(postgresql) == (2, False)
    assert look(postgresql) == (2, True)


def test_signals_that_are_made_meanwhile_end_no_window_of_the_past(postgresql: Database, clock: FakeClock) -> None:
    make_signals(postgresql)
    look(postgresql)
    clock.advance(seconds=5)
    make_signals(postgresql)
    clock.advance(seconds=-5)
    assert look(postgresql) == (1, False)


def test_notes_of_a_host_are_counted_before(postgresql: Database) -> None:
    from sqlalchemy.orm import Session

    make_signals(postgresql)
    look(postgresql)
    with Session(postgresql.engine) as session:
        with postgresql.joined(session) as connection:
            intake.insert(connection, {SIGNALS.source: [signal_row(created_at=time_source.epoch_us())]})
        session.commit()
    assert look(postgresql) == (2, False)
    assert look(postgresql) == (2, True)


def test_where_the_server_forgets_what_was_prepared_reports_are_read_step_by_step(postgresql: Database) -> None:
    """As behind a pooler that hands out another session for each transaction."""
    make_signals(postgresql)
    assert [look(postgresql) for _ in range(2)] == [(1, False), (1, True)]
    with postgresql.engine.connect() as connection:
        connection.execute(text("DEALLOCATE ALL"))
    assert [look(postgresql) for _ in range(2)] == [(1, False), (1, False)]


def test_questions_that_differ_are_prepared_under_names_that_differ(postgresql: Database) -> None:
    """A pooler may hand out the session of another process, which counts its questions from 0 as well."""
    make_signals(postgresql)
    look(postgresql)
    window = Window(time_source.epoch_us() - 30 * LENGTH[Grain.DAY], time_source.epoch_us() + 1)
    for dimensions in (("symbol",), ("action",)):
        with rollup_reading.view(postgresql, SIGNALS, foreseen=Foreseen(window, dimensions)):
            pass
    with postgresql.engine.connect() as connection:
        names = connection.execute(text("SELECT name FROM pg_prepared_statements")).scalars().all()
    assert len({name.rpartition("_")[0] for name in names}) == 2


def test_nothing_is_prepared_on_the_connections_of_a_host(postgresql_url: str) -> None:
    engine = create_engine(postgresql_url, pool_size=1, max_overflow=0)
    database = Database(engine_factory=lambda: engine)
    make_signals(database)
    assert [look(database) for _ in range(2)] == [(1, False), (1, False)]
    assert prepared(database) == 0
    engine.dispose()


def test_a_limit_holds_for_the_first_question_too(postgresql: Database) -> None:
    make_signals(postgresql)
    look(postgresql)
    table = postgresql.qualified("rollup_signals")
    with postgresql.engine.connect() as blocker, reads_within(0.2):
        blocker.execute(text(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"))
        with pytest.raises(QueryTimeoutError):
            look(postgresql)
    assert look(postgresql)[0] == 1


def test_for_few_cells_the_server_starts_no_other_processes(postgresql: Database) -> None:
    allowed = text("SHOW max_parallel_workers_per_gather")
    make_signals(postgresql)
    end = time_source.epoch_us() + 1
    with rollup_reading.view(postgresql, SIGNALS) as view:
        view.read(Window(end - 30 * LENGTH[Grain.DAY], end), ("symbol",))
        assert view.connection.execute(allowed).scalar() == "0"
    with postgresql.engine.connect() as connection:
        assert connection.execute(allowed).scalar() != "0"


@pytest.mark.parametrize("fails", [False, True])
def test_a_report_sees_one_moment_and_leaves_no_transaction_behind(postgresql: Database, *, fails: bool) -> None:
    make_signals(postgresql)
    with contextlib.suppress(DBAPIError), rollup_reading.view(postgresql, SIGNALS) as view:
        process = view.connection.execute(text("SELECT pg_backend_pid()")).scalar()
        assert view.connection.execute(text("SHOW transaction_isolation")).scalar() == "repeatable read"
        if fails:
            view.connection.execute(text("SELECT 1 / 0"))
    looking = create_engine(postgresql.engine.url)
    with looking.connect() as connection:
        state = text("SELECT state FROM pg_stat_activity WHERE pid = :process")
        assert connection.execute(state, {"process": process}).scalar() == "idle"
    looking.dispose()
    with postgresql.engine.connect() as connection:
        assert connection.execute(text("SHOW transaction_isolation")).scalar() == "read committed"
