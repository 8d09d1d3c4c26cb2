"""Whose database: every line of the table in SPEC 4, and what a transaction of ours promises."""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError

from stateful_engine.config import Settings
from stateful_engine.errors import ConfigurationError, SchemaError, StorageUnavailableError
from stateful_engine.storage import engines, migrate, signals
from stateful_engine.storage.database import Database, database_for
from tests.storage.conftest import signal_row, store, stored

SIGNALS = "signal_history"


@contextmanager
def opened(database: Database) -> Iterator[Database]:
    yield database
    database.dispose()


def settings_for(folder: Path, **changes: Any) -> Settings:
    return Settings(instance_path=folder, **changes)


# Which engine


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        ("postgres://u:p@h/d", "postgresql+psycopg2"),
        ("postgresql://u:p@h/d", "postgresql+psycopg2"),
        ("postgresql+psycopg://u:p@h/d", "postgresql+psycopg"),
        ("postgresql+pg8000://u:p@h/d", "postgresql+pg8000"),
    ],
)
def test_plain_postgresql_urls_mean_psycopg2_and_named_drivers_stay(url: str, driver: str) -> None:
    assert engines.normal_url(url).drivername == driver


@pytest.mark.parametrize("url", ["", "not a url", "sqlite", "mysql://h/d", "oracle://h/d"])
def test_a_url_that_cannot_be_used_is_refused_with_an_example(url: str) -> None:
    with pytest.raises(ConfigurationError, match="sqlite:////"):
        Database(url)


def test_a_driver_that_is_not_installed_is_named() -> None:
    database = Database("postgresql+asyncpgx://h/d")
    with pytest.raises(ConfigurationError, match="no driver for"):
        _ = database.engine


def test_a_database_without_url_and_engine_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="STATEFUL_DATABASE_URL"):
        Database()


def test_without_anything_an_own_file_is_made_in_the_instance_folder_for_this_user_only(tmp_path: Path) -> None:
    folder = tmp_path / "instance"
    with opened(database_for(settings_for(folder))) as database:
        assert not folder.exists()
        store(database, SIGNALS, signal_row())
        assert database.own
        assert database.schema is None
    file = folder / "stateful_engine.sqlite"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_an_own_sqlite_file_runs_wal_with_patience_and_foreign_keys(tmp_path: Path) -> None:
    with opened(database_for(settings_for(tmp_path))) as database, database.connection() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "busy_timeout", "foreign_keys", "synchronous")
        }
    assert pragmas == {"journal_mode": "wal", "busy_timeout": 5000, "foreign_keys": 1, "synchronous": 2}


def test_a_folder_that_cannot_be_made_is_told_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    database = Database(engines.sqlite_url(tmp_path / "file" / "a.sqlite"))
    with pytest.raises(ConfigurationError, match="STATEFUL_DATABASE_URL"), database.reading():
        pass


def test_paths_with_odd_characters_are_files_like_others(tmp_path: Path) -> None:
    with opened(database_for(settings_for(tmp_path / "a b?c#d%20é"))) as database:
        store(database, SIGNALS, signal_row())
    assert (tmp_path / "a b?c#d%20é" / "stateful_engine.sqlite").stat().st_size > 0


def test_a_relative_path_stays_the_same_file_when_the_folder_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with opened(Database("sqlite:///data/journal.sqlite")) as database:
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        store(database, SIGNALS, signal_row())
    assert (tmp_path / "data" / "journal.sqlite").exists()


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "sqlite:///file:x?mode=memory&uri=true"])
def test_in_memory_every_thread_sees_the_same_and_two_databases_never_meet(url: str) -> None:
    with opened(Database(url)) as database, opened(Database(url)) as other:
        thread = threading.Thread(target=store, args=(database, SIGNALS, signal_row()))
        thread.start()
        thread.join()
        assert len(stored(database, SIGNALS)) == 1
        assert stored(other, SIGNALS) == []


def test_an_own_url_wins_over_the_hosts_database(tmp_path: Path, database_url: str) -> None:
    app, db = host(tmp_path, f"sqlite:///{tmp_path / 'host.sqlite'}", state="sqlite://")
    settings = settings_for(tmp_path, database_url=database_url, bind_key="state")
    with opened(database_for(settings, host_db=db, app=app)) as database:
        store(database, SIGNALS, signal_row())
        assert database.own
        assert database.engine.url.render_as_string(hide_password=False) == database_url


def test_a_host_on_postgresql_lends_its_engine_and_pool(tmp_path: Path, postgresql_url: str) -> None:
    app, db = host(tmp_path, postgresql_url)
    with opened(database_for(settings_for(tmp_path), host_db=db, app=app)) as database:
        store(database, SIGNALS, signal_row())
        assert not database.own
        assert database.schema == "stateful_engine"
        with app.app_context():
            assert database.engine.pool is db.engine.pool
            assert db.session.execute(text("SELECT count(*) FROM stateful_engine.signal_history")).scalar() == 1
            db.engine.dispose()


def test_a_host_on_sqlite_without_a_bind_keeps_its_file_to_itself(tmp_path: Path) -> None:
    app, db = host(tmp_path, f"sqlite:///{tmp_path / 'host.sqlite'}")
    with opened(database_for(settings_for(tmp_path), host_db=db, app=app)) as database:
        store(database, SIGNALS, signal_row())
        assert database.own
        assert database.engine.url.database == str(tmp_path / "stateful_engine.sqlite")
    assert not (tmp_path / "host.sqlite").exists()


def test_a_bind_of_the_host_is_used_with_the_hosts_pool(tmp_path: Path) -> None:
    app, db = host(tmp_path, "sqlite://", state=f"sqlite:///{tmp_path / 'state.sqlite'}")
    with opened(database_for(settings_for(tmp_path, bind_key="state"), host_db=db, app=app)) as database:
        store(database, SIGNALS, signal_row())
        with app.app_context():
            assert database.engine.pool is db.engines["state"].pool
            db.engines["state"].dispose()
    with sqlite3.connect(tmp_path / "state.sqlite") as connection:
        assert connection.execute("SELECT count(*) FROM signal_history").fetchone() == (1,)
    connection.close()


def test_a_bind_that_does_not_exist_is_named(tmp_path: Path) -> None:
    app, db = host(tmp_path, "sqlite://")
    database = database_for(settings_for(tmp_path, bind_key="state"), host_db=db, app=app)
    with pytest.raises(ConfigurationError, match="SQLALCHEMY_BINDS"):
        _ = database.engine


def test_a_bind_without_a_host_database_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="init_app"):
        database_for(settings_for(tmp_path, bind_key="state"))


def test_a_host_database_that_was_never_set_up_is_named(tmp_path: Path) -> None:
    database = database_for(settings_for(tmp_path), host_db=SQLAlchemy(), app=Flask(__name__))
    with pytest.raises(ConfigurationError, match=r"db\.init_app"):
        _ = database.engine


def test_a_bind_that_holds_foreign_tables_of_our_names_is_refused_with_the_remedy(tmp_path: Path) -> None:
    file = tmp_path / "host.sqlite"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE signal_history (ticker TEXT)")
    connection.close()
    app, db = host(tmp_path, "sqlite://", state=f"sqlite:///{file}")
    database = database_for(settings_for(tmp_path, bind_key="state"), host_db=db, app=app)
    for _ in range(2):
        with pytest.raises(ConfigurationError, match=r"'signal_history'.*STATEFUL_DATABASE_URL"), database.reading():
            pass
    with sqlite3.connect(file) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    connection.close()
    with app.app_context():
        db.engines["state"].dispose()
    assert tables == {"signal_history"}


def test_constructing_opens_and_makes_nothing(tmp_path: Path) -> None:
    app, db = host(tmp_path, f"sqlite:///{tmp_path / 'host.sqlite'}")
    database_for(settings_for(tmp_path / "instance"), host_db=db, app=app)
    Database("postgresql://nobody:wrong@127.0.0.1:1/nothing")
    assert list(tmp_path.iterdir()) == []


def test_two_threads_that_come_first_share_one_engine(tmp_path: Path) -> None:
    with opened(database_for(settings_for(tmp_path))) as database:
        start, found = threading.Barrier(8), []

        def look() -> None:
            start.wait()
            found.append(database.ready_engine())

        threads = [threading.Thread(target=look) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(map(id, found))) == 1


# Transactions


def test_a_transaction_commits_at_its_end_and_rolls_back_when_it_raises(database: Database) -> None:
    with database.transaction() as session:
        session.add(signals.SignalHistory(**signal_row(symbol="KEPT")))
    with pytest.raises(RuntimeError), database.transaction() as session:
        session.add(signals.SignalHistory(**signal_row(symbol="LOST")))
        session.flush()
        raise RuntimeError
    assert [row["symbol"] for row in stored(database, SIGNALS)] == ["KEPT"]


def test_what_was_loaded_can_be_looked_at_after_the_transaction(database: Database) -> None:
    row = signal_row()
    with database.transaction() as session:
        signal = signals.SignalHistory(**row)
        session.add(signal)
    assert signal.signal_id == row["signal_id"]


def test_a_reading_session_writes_nothing(database: Database) -> None:
    with database.reading() as session:
        session.add(signals.SignalHistory(**signal_row()))
        session.flush()
    assert stored(database, SIGNALS) == []


def test_a_fault_of_the_data_comes_out_as_it_is(database: Database) -> None:
    row = signal_row()
    store(database, SIGNALS, row)
    with pytest.raises(DBAPIError), database.transaction() as session:
        session.add(signals.SignalHistory(**row))


def test_a_fault_of_a_statement_is_no_outage(database: Database) -> None:
    with pytest.raises(DBAPIError), database.connection() as connection:
        connection.exec_driver_sql("SELEC 1")


def test_a_writer_on_sqlite_waits_for_another_one_instead_of_failing_half_way(sqlite_url: str) -> None:
    with opened(Database(sqlite_url)) as database:
        row = signal_row(entry_price=0.0)
        store(database, SIGNALS, row)
        start = threading.Barrier(4)

        def raise_price() -> None:
            start.wait()
            for _ in range(10):
                with database.transaction() as session:
                    signal = signals.lock(session, row["signal_id"])
                    assert signal is not None
                    assert signal.entry_price is not None
                    signal.entry_price += 1

        threads = [threading.Thread(target=raise_price) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert stored(database, SIGNALS)[0]["entry_price"] == 40.0


def test_a_file_that_stays_locked_is_an_outage(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "BUSY_MILLISECONDS", 50)
    with opened(Database(sqlite_url)) as database:
        database.ready_engine()
        with sqlite3.connect(sqlite_url.removeprefix("sqlite:///")) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StorageUnavailableError, match="repeat") as caught:
                store(database, SIGNALS, signal_row())
        other.close()
        assert caught.value.retry_after
        assert len(store(database, SIGNALS, signal_row())) == 1


def test_a_file_that_is_no_database_is_an_outage(tmp_path: Path) -> None:
    (tmp_path / "a.sqlite").write_text("this is a letter, not a database" * 100)
    database = Database(engines.sqlite_url(tmp_path / "a.sqlite"))
    with pytest.raises(StorageUnavailableError), database.reading():
        pass


def test_a_server_that_is_not_there_is_an_outage() -> None:
    database = Database("postgresql://nobody:wrong@127.0.0.1:1/nothing")
    with pytest.raises(StorageUnavailableError), database.reading():
        pass
    with pytest.raises(StorageUnavailableError):
        database.ping()
    assert not database.ready()


def test_a_connection_that_the_server_has_just_ended_is_replaced(postgresql: Database) -> None:
    """The pool trusts one that answered within the last second, unless the server has closed it."""

    def process() -> int:
        with postgresql.reading() as session:
            return int(session.execute(text("SELECT pg_backend_pid()")).scalar_one())

    first = process()
    assert process() == first
    other = create_engine(postgresql.engine.url)
    with other.connect() as connection:
        connection.exec_driver_sql("SELECT pg_terminate_backend(%s, 5000)", (first,))
    other.dispose()
    assert process() != first


def test_a_pool_without_a_free_connection_is_an_outage(postgresql_url: str) -> None:
    engine = create_engine(engines.normal_url(postgresql_url), pool_size=1, max_overflow=0, pool_timeout=0.05)
    database = Database(engine_factory=lambda: engine)
    with database.reading() as session:
        session.execute(text("SELECT 1"))
        with pytest.raises(StorageUnavailableError, match="pool"), database.reading() as other:
            other.execute(text("SELECT 1"))
    engine.dispose()


def test_a_deadlock_a_timeout_and_a_read_only_server_are_outages(postgresql: Database) -> None:
    for statement in (
        "DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40P01'; END $$",
        "DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '57014'; END $$",
        "SET TRANSACTION READ ONLY; DELETE FROM stateful_engine.signal_history",
        "DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '53100'; END $$",
    ):
        with pytest.raises(StorageUnavailableError), postgresql.connection() as connection:
            connection.exec_driver_sql(statement)


def test_a_missing_right_is_an_outage_that_says_so(postgresql: Database) -> None:
    with pytest.raises(StorageUnavailableError, match="GRANT"), postgresql.connection() as connection:
        connection.exec_driver_sql("CREATE ROLE stateful_test_powerless")
        connection.exec_driver_sql("SET LOCAL ROLE stateful_test_powerless")
        connection.exec_driver_sql("SELECT 1 FROM stateful_engine.signal_history")


@pytest.mark.parametrize("driver", ["psycopg2", "pg8000", "psycopg"])
def test_outages_and_missing_tables_are_told_apart_with_every_driver(postgresql_url: str, driver: str) -> None:
    with opened(Database(postgresql_url.replace("+psycopg2", f"+{driver}"))) as database:
        database.ready_engine()
        with pytest.raises(SchemaError), database.connection() as connection:
            connection.exec_driver_sql("SELECT 1 FROM no_such_table")
        with pytest.raises(StorageUnavailableError), database.connection() as connection:
            connection.exec_driver_sql("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '53200'; END $$")
        with pytest.raises(DBAPIError), database.connection() as connection:
            connection.exec_driver_sql("SELECT 1 / 0")
    with pytest.raises(StorageUnavailableError), opened(Database(f"postgresql+{driver}://n:w@127.0.0.1:1/x")) as away:
        away.ping()


# Versions of the tables


def test_without_auto_migrate_missing_tables_are_an_error_that_names_the_command(empty_database_url: str) -> None:
    with opened(Database(empty_database_url, auto_migrate=False)) as database:
        for _ in range(2):
            with pytest.raises(SchemaError, match=r"missing.*flask stateful db upgrade"), database.reading():
                pass
        assert not database.ready()
        migrate.upgrade(database)
        assert stored(database, SIGNALS) == []
        assert database.ready()


def test_an_older_schema_is_an_error_that_names_the_command(database: Database) -> None:
    migrate.downgrade(database, "-1")
    older = Database(database.engine.url.render_as_string(hide_password=False), auto_migrate=False)
    with (
        pytest.raises(SchemaError, match=r"at version \d+, .*needs \d+; run `flask stateful db upgrade`"),
        older.reading(),
    ):
        pass
    older.dispose()


def test_tables_that_are_newer_than_this_version_are_used_with_a_warning(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    with database.connection() as connection:
        connection.exec_driver_sql(f"UPDATE {database.qualified(migrate.VERSION_TABLE)} SET version_num = '9999'")
    newer = Database(database.engine.url.render_as_string(hide_password=False), auto_migrate=False)
    assert len(store(newer, SIGNALS, signal_row())) == 1
    assert "9999" in caplog.text
    newer.dispose()


def test_tables_that_go_away_later_are_an_error_that_names_the_command(database: Database) -> None:
    store(database, SIGNALS, signal_row())
    with database.connection() as connection:
        connection.exec_driver_sql(f"DROP TABLE {database.qualified(SIGNALS)}")
    with pytest.raises(SchemaError, match="flask stateful db upgrade"):
        stored(database, SIGNALS)
    with pytest.raises(SchemaError, match="flask stateful db upgrade"):
        store(database, SIGNALS, signal_row())


@pytest.mark.parametrize(("url", "expected"), [("sqlite://", True), ("postgresql://h/d", False)])
def test_auto_migrate_is_on_for_sqlite_and_off_elsewhere_unless_said(url: str, expected: bool) -> None:
    assert Database(url).auto_migrate is expected
    assert Database(url, auto_migrate=not expected).auto_migrate is not expected


def test_auto_migrate_makes_the_tables_on_first_use(empty_database_url: str) -> None:
    with opened(Database(empty_database_url, auto_migrate=True)) as database:
        store(database, SIGNALS, signal_row())
        assert migrate.current(database) == migrate.head()


# Forks


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_opens_its_own_connections(database: Database) -> None:
    store(database, SIGNALS, signal_row())
    before = backend(database)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            store(database, SIGNALS, signal_row())
            os.write(writer, str(backend(database)).encode())
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    after = os.read(reader, 100).decode()
    os.close(reader)
    assert after
    assert after != str(before) or database.dialect == "sqlite"
    assert backend(database) == before
    assert len(stored(database, SIGNALS)) == 2


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_forked_while_the_lock_is_held_is_not_stuck(sqlite_url: str) -> None:
    with opened(Database(sqlite_url)) as database:
        held, done = threading.Event(), threading.Event()

        def hold() -> None:
            with database._lock:
                held.set()
                done.wait(10)

        thread = threading.Thread(target=hold)
        thread.start()
        held.wait(5)
        child = os.fork()
        if child == 0:
            store(database, SIGNALS, signal_row())
            os._exit(7)
        _, status = os.waitpid(child, 0)
        done.set()
        thread.join()
        assert os.waitstatus_to_exitcode(status) == 7


def backend(database: Database) -> int:
    """Which server process serves us; always 0 on SQLite."""
    with database.connection() as connection:
        if database.dialect == "sqlite":
            return 0
        return int(connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one())


def host(folder: Path, url: str, **binds: str) -> tuple[Flask, SQLAlchemy]:
    """A host with its own Flask-SQLAlchemy."""
    app = Flask("tests.host", instance_path=str(folder / "host-instance"))
    app.config.update(SQLALCHEMY_DATABASE_URI=url, SQLALCHEMY_BINDS=binds)
    db = SQLAlchemy(app)
    if (folder / "host-instance").exists():
        (folder / "host-instance").rmdir()
    return app, db
