"""On a host's engine we leave no trace, and we work whatever the host has made of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.orm import Session

from stateful_engine.errors import ConfigurationError
from stateful_engine.storage import bulk, engines, migrate, signals, tables
from stateful_engine.storage.database import Database
from tests.storage.conftest import number_of_rows, query_row, signal_row, store, stored

SIGNALS = "signal_history"
SETTINGS = "SELECT name, setting FROM pg_settings WHERE context = 'user' ORDER BY name"


@pytest.fixture
def host_engine(database_url: str) -> Iterator[Engine]:
    """An engine as a host makes it, on the database that holds our tables; one connection, so that traces show."""
    engine = create_engine(database_url, pool_size=1, max_overflow=0, pool_timeout=5)
    yield engine
    engine.dispose()


def lent(engine: Engine, **keywords: Any) -> Database:
    return Database(engine_factory=lambda: engine, **keywords)


def exercise(database: Database) -> None:
    """Everything that we do with a database."""
    row = signal_row()
    store(database, SIGNALS, row)
    store(database, SIGNALS, row, signal_row(ai_reasoning="\0"))
    store(database, "gpt_query_log", query_row())
    with database.transaction() as session:
        signal = signals.lock(session, row["signal_id"])
        assert signal is not None
        signals.set_outcome(session, signal, {"outcome": "WIN"})
    with database.reading() as session:
        assert signals.page(session, signals.SignalFilters.of(symbol="BTC/USDT"), None, 10).items
    with pytest.raises(RuntimeError), database.transaction() as session:
        session.execute(text("SELECT 1"))
        raise RuntimeError


def test_the_hosts_connection_is_as_it_was(postgresql_url: str) -> None:
    engine = create_engine(postgresql_url, pool_size=1, max_overflow=0, isolation_level="SERIALIZABLE")
    with engine.connect() as connection:
        before = connection.execute(text(SETTINGS)).all()
        level = connection.get_isolation_level()
        pid = connection.execute(text("SELECT pg_backend_pid()")).scalar()
    exercise(lent(engine))
    with engine.connect() as connection:
        assert connection.execute(text("SELECT pg_backend_pid()")).scalar() == pid
        assert connection.execute(text(SETTINGS)).all() == before
        assert connection.get_isolation_level() == level == "SERIALIZABLE"
        assert connection.get_execution_options().get("schema_translate_map") is None
        temporary = connection.execute(text("SELECT count(*) FROM pg_class WHERE relpersistence = 't'")).scalar()
    assert temporary == 0
    engine.dispose()


def test_the_pragmas_of_a_hosts_sqlite_stay_the_hosts(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'host.sqlite'}", pool_size=1, max_overflow=0)

    def pragmas() -> list[Any]:
        names = ("journal_mode", "busy_timeout", "foreign_keys", "synchronous")
        with engine.connect() as connection:
            return [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names]

    before = pragmas()
    exercise(lent(engine))
    assert pragmas() == before == ["delete", 5000, 0, 2]
    engine.dispose()


def test_no_listener_of_ours_stays_on_a_hosts_engine(host_engine: Engine) -> None:
    def listeners() -> dict[str, int]:
        pools = {name: len(getattr(host_engine.pool.dispatch, name)) for name in ("connect", "checkout", "checkin")}
        names = ("begin", "before_cursor_execute", "engine_connect")
        return pools | {name: len(getattr(host_engine.dispatch, name)) for name in names}

    before = listeners()
    exercise(lent(host_engine))
    assert listeners() == before


def test_our_dispose_leaves_the_hosts_pool_open(host_engine: Engine) -> None:
    database = lent(host_engine)
    exercise(database)
    pool = host_engine.pool
    database.dispose()
    assert host_engine.pool is pool
    assert host_engine.pool.checkedin() == 1


def test_a_hosts_autocommit_does_not_break_our_transactions(postgresql_url: str) -> None:
    engine = create_engine(postgresql_url, isolation_level="AUTOCOMMIT")
    database = lent(engine)
    with pytest.raises(RuntimeError), database.connection() as connection:
        bulk.insert_new(connection, tables.table(SIGNALS), [signal_row()])
        raise RuntimeError
    assert stored(database, SIGNALS) == []
    exercise(database)
    engine.dispose()


def test_a_host_that_begins_sqlite_transactions_itself_is_no_obstacle(sqlite_url: str) -> None:
    """The recipe of SQLAlchemy's documentation for SAVEPOINT: BEGIN is emitted by a listener."""
    engine = create_engine(sqlite_url)

    @event.listens_for(engine, "connect")
    def connect(connection: Any, _: object) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN")

    exercise(lent(engine))
    engine.dispose()


def test_a_hosts_own_json_functions_do_not_change_what_we_keep_and_give_back(database_url: str) -> None:
    import json
    from decimal import Decimal

    engine = create_engine(
        database_url,
        json_serializer=lambda value: json.dumps(value, sort_keys=True, indent=1),
        json_deserializer=lambda text: json.loads(text, parse_float=Decimal),
    )
    database = lent(engine)
    row = signal_row(extra={"take_profits": [1.5, 2]})
    store(database, SIGNALS, row)
    with database.reading() as session:
        found = signals.find(session, row["signal_id"])
    assert found is not None
    assert found["extra"] == {"take_profits": [1.5, 2]}
    assert type(found["extra"]["take_profits"][0]) is float
    engine.dispose()


def test_times_are_utc_whatever_the_zone_of_the_session(postgresql_url: str) -> None:
    engine = create_engine(postgresql_url, connect_args={"options": "-c TimeZone=Asia/Jakarta -c DateStyle=German"})
    database = lent(engine)
    row = signal_row()
    store(database, SIGNALS, row)
    with database.reading() as session:
        found = signals.find(session, row["signal_id"])
    assert found is not None
    assert found["created_at"].endswith("+00:00")
    own = Database(postgresql_url)
    assert stored(own, SIGNALS) == stored(database, SIGNALS)
    own.dispose()
    engine.dispose()


def test_a_client_encoding_of_the_hosts_does_not_garble_our_texts(postgresql_url: str) -> None:
    engine = create_engine(postgresql_url, client_encoding="latin1")
    database = lent(engine)
    store(database, SIGNALS, signal_row(ai_reasoning="größer"))
    own = Database(postgresql_url)
    assert stored(own, SIGNALS)[0]["ai_reasoning"] == "größer"
    own.dispose()
    engine.dispose()


def test_another_schema_keeps_apart_in_one_database(postgresql_url: str) -> None:
    engine = create_engine(postgresql_url)
    one, two = lent(engine), lent(engine, schema="select", auto_migrate=True)
    store(one, SIGNALS, signal_row())
    store(two, SIGNALS, signal_row(), signal_row())
    assert (len(stored(one, SIGNALS)), len(stored(two, SIGNALS))) == (1, 2)
    assert two.qualified(SIGNALS) == '"select".signal_history'
    engine.dispose()


def test_a_host_that_logs_in_by_a_function_of_its_own_can_be_migrated(empty_postgresql_url: str) -> None:
    """A password that only the host's `creator` knows is in no URL."""
    import psycopg2

    real = engines.normal_url(empty_postgresql_url).set(drivername="postgresql")
    made = []

    def connect() -> Any:
        made.append(1)
        return psycopg2.connect(real.render_as_string(hide_password=False))

    engine = create_engine("postgresql+psycopg2://nobody@127.0.0.1:1/unknown", creator=connect)
    database = lent(engine)
    migrate.upgrade(database)
    exercise(database)
    assert made
    engine.dispose()


# Joining a host's transaction on purpose


def test_rows_that_join_a_hosts_session_go_with_its_transaction(host_engine: Engine) -> None:
    database = lent(host_engine)
    with Session(host_engine) as host:
        for ending in (host.rollback, host.commit):
            with database.joined(host) as connection:
                bulk.insert_new(connection, tables.table(SIGNALS), [signal_row()])
                assert number_of_rows(connection, SIGNALS) == 1
            assert host.connection().get_execution_options().get("schema_translate_map") is None
            ending()
    assert len(stored(database, SIGNALS)) == 1


def test_an_own_engine_on_the_same_database_can_be_joined_too(database: Database, host_engine: Engine) -> None:
    database.ready_engine()
    database.dispose()
    with Session(host_engine) as host, database.joined(host) as connection:
        bulk.insert_new(connection, tables.table(SIGNALS), [signal_row()])
        host.commit()
    assert len(stored(database, SIGNALS)) == 1


def test_a_repetition_in_a_joined_transaction_leaves_the_hosts_work_in_place(host_engine: Engine) -> None:
    database = lent(host_engine)
    row = signal_row()
    store(database, SIGNALS, row)
    with Session(host_engine) as host:
        host.execute(text("CREATE TABLE host_note (note TEXT)"))
        host.execute(text("INSERT INTO host_note VALUES ('mine')"))
        with database.joined(host) as connection:
            assert bulk.insert_new(connection, tables.table(SIGNALS), [row]) == []
        host.commit()
        assert host.execute(text("SELECT note FROM host_note")).scalar() == "mine"
        host.execute(text("DROP TABLE host_note"))
        host.commit()


def test_a_session_on_another_database_is_refused(database: Database, tmp_path: Path) -> None:
    other = create_engine(f"sqlite:///{tmp_path / 'other.sqlite'}")
    with (
        Session(other) as host,
        pytest.raises(ConfigurationError, match="no transaction spans two"),
        database.joined(host),
    ):
        pass
    other.dispose()


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("postgresql+psycopg2://a:b@localhost/d", "postgresql+psycopg://c@127.0.0.1:5432/d", True),
        ("postgresql+psycopg2://h/d", "postgresql+psycopg2://h/e", False),
        ("postgresql+psycopg2://h/d", "postgresql+psycopg2://h:5433/d", False),
        ("postgresql+psycopg2:///d?host=/run/pg", "postgresql+psycopg2:///d?host=/run/pg", True),
        ("postgresql+psycopg2:///d?host=/run/pg", "postgresql+psycopg2:///d?host=/run/other", False),
        ("sqlite:////a/../b.sqlite", "sqlite:////b.sqlite", True),
        ("sqlite:////b.sqlite", "postgresql+psycopg2://h/d", False),
        ("sqlite://", "sqlite://", False),
    ],
)
def test_the_same_database_is_recognised_by_its_place(one: str, other: str, same: bool) -> None:
    assert engines.is_same_database(create_engine(one), create_engine(other)) is same


def test_a_row_that_cannot_be_stored_in_a_joined_sqlite_session_spares_the_file(sqlite_url: str) -> None:
    engine = create_engine(sqlite_url)
    with Session(engine) as host:
        with pytest.raises((ValueError, TypeError)), lent(engine).joined(host) as connection:
            bulk.insert_new(connection, tables.table(SIGNALS), [signal_row(created_at="never")])
        host.rollback()
    with sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), timeout=0.1) as other:
        other.execute("DELETE FROM signal_history")
    other.close()
    engine.dispose()
