"""Migrations: from nothing to head and back, in every situation a host can be in."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, inspect, text

from stateful_engine import AnalyticsLogger
from stateful_engine.errors import ConfigurationError, InvalidInputError
from stateful_engine.storage import engines, migrate, tables
from stateful_engine.storage.base import Base
from stateful_engine.storage.database import Database
from tests.factories import ROOT
from tests.storage.conftest import query_row, signal_row, store, stored

SIGNALS = "signal_history"

DEFINITIONS = """
SELECT table_name, column_name, data_type, is_nullable, coalesce(column_default, '')
FROM information_schema.columns WHERE table_schema = :schema
UNION ALL SELECT tablename, indexname, replace(indexdef, schemaname || '.', ''), '', ''
FROM pg_indexes WHERE schemaname = :schema
UNION ALL SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid), '', ''
FROM pg_constraint WHERE connamespace = :schema ::regnamespace
"""


@pytest.fixture
def empty(empty_database_url: str) -> Iterator[Database]:
    """A database without our tables."""
    database = Database(empty_database_url)
    yield database
    database.dispose()


@pytest.fixture
def empty_postgresql(empty_postgresql_url: str) -> Iterator[Database]:
    database = Database(empty_postgresql_url)
    yield database
    database.dispose()


def table_names(database: Database) -> set[str]:
    """The tables in our namespace, read from the database."""
    return set(inspect(database.engine).get_table_names(schema=database.schema))


# Models and scripts


def test_upgrade_makes_every_table_of_the_models_and_downgrade_takes_them_all_away(empty: Database) -> None:
    for _ in range(2):
        migrate.upgrade(empty)
        assert table_names(empty) == {*tables.metadata.tables, migrate.VERSION_TABLE}
        assert migrate.check(empty) == []
        store(empty, SIGNALS, signal_row())
        migrate.downgrade(empty, "base")
        assert table_names(empty) == {migrate.VERSION_TABLE}
        assert migrate.current(empty) is None


def test_every_single_step_can_be_gone_back_and_forth(empty: Database) -> None:
    steps = [step.revision for step in migrate.history()]
    for step in steps:
        migrate.upgrade(empty, "+1")
        assert migrate.current(empty) == step
    for step in reversed([None, *steps[:-1]]):
        migrate.downgrade(empty)
        assert migrate.current(empty) == step
    migrate.upgrade(empty)
    assert migrate.check(empty) == []


def test_actions_from_before_they_had_ids_stay_on_the_way_there_and_back(empty: Database) -> None:
    migrate.upgrade(empty, "0009")
    table = empty.qualified("user_actions")
    values = "('7', 'start', '2026-01-31 12:00:00.000000')"
    with empty.engine.begin() as connection:
        connection.exec_driver_sql(f"INSERT INTO {table} (user_id, action_type, timestamp) VALUES {values}")
    migrate.upgrade(empty)
    logger = AnalyticsLogger(empty)
    made = logger.log_action(7, None, "stop")
    assert [(one["action_id"], one["action_type"]) for one in logger.page().items] == [(made, "stop"), (None, "start")]
    migrate.downgrade(empty, "0009")
    migrate.upgrade(empty)
    assert [one["action_type"] for one in logger.page().items] == ["stop", "start"]


def test_models_and_scripts_make_the_same_tables_to_the_letter_on_postgresql(postgresql: Database) -> None:
    """`check` compares what Alembic compares; here types, nullability, defaults, predicates and order count too."""
    with postgresql.connection() as connection:
        connection.exec_driver_sql("CREATE SCHEMA by_models")
        made = connection.execution_options(schema_translate_map={None: "by_models"})
        Base.metadata.create_all(made)
        rows = {
            schema: {tuple(row) for row in connection.execute(text(DEFINITIONS), {"schema": schema})}
            for schema in ("by_models", "stateful_engine")
        }
        connection.rollback()
    of_scripts = {row for row in rows["stateful_engine"] if not row[0].endswith(migrate.VERSION_TABLE)}
    assert {unnamed(row, "by_models") for row in rows["by_models"]} == {
        unnamed(row, "stateful_engine") for row in of_scripts
    }


def unnamed(row: tuple[Any, ...], schema: str) -> tuple[str, ...]:
    return tuple(str(part).replace(f"{schema}.", "") for part in row)


def test_models_and_scripts_make_the_same_tables_to_the_letter_on_sqlite(sqlite_url: str, tmp_path: Path) -> None:
    def definitions(url: str) -> Any:
        engine = create_engine(url)
        if "models" in url:
            Base.metadata.create_all(engine)
        with engine.connect() as connection:
            names = sorted(Base.metadata.tables)
            found = {
                name: {tuple(row)[1:] for row in connection.exec_driver_sql(f"PRAGMA table_info({name})")}
                for name in names
            }
            indexes = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE type = 'index'").all()
        engine.dispose()
        return found, {name: " ".join(sql.split()) for name, sql in indexes if sql}

    assert definitions(f"sqlite:///{tmp_path / 'models.sqlite'}") == definitions(sqlite_url)


def test_check_names_what_differs(database: Database) -> None:
    with database.connection() as connection:
        table = database.qualified("user_interaction")
        connection.exec_driver_sql(f"ALTER TABLE {table} ADD COLUMN surplus TEXT")
        index = "ix_user_interaction_user"
        connection.exec_driver_sql(f"DROP INDEX {index if database.schema is None else f'stateful_engine.{index}'}")
    differences = "\n".join(migrate.check(database))
    assert "surplus" in differences
    assert "ix_user_interaction_user" in differences


def test_check_overlooks_the_hosts_tables_beside_ours(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    with database.connection() as connection:
        connection.exec_driver_sql("CREATE TABLE host_order (id INTEGER)")
    assert migrate.check(database) == []
    database.dispose()


def test_the_newest_version_is_known_without_alembic_and_is_the_newest_for_alembic() -> None:
    assert [migrate.head()] == ScriptDirectory(str(migrate.scripts_folder())).get_heads()
    steps = migrate.history()
    assert [step.down_revision for step in steps] == [None, *(step.revision for step in steps[:-1])]
    assert all(step.summary for step in steps)


def test_every_table_is_claimed_by_exactly_one_script() -> None:
    scripts = ScriptDirectory(str(migrate.scripts_folder())).walk_revisions()
    claimed = [table for script in scripts for table in script.module.TABLES]
    assert sorted(claimed) == sorted(tables.metadata.tables)


def test_an_old_database_with_rows_comes_up_to_head_with_its_rows(empty: Database) -> None:
    migrate.upgrade(empty, "0001")
    with empty.engine.begin() as connection:
        for name, row in ((SIGNALS, signal_row()), ("gpt_query_log", query_row())):
            known = {"created_at": "2026-01-02 03:04:05.000006"}
            columns = ", ".join(
                key for key in ("signal_id", "query_id", "action", "created_at") if key in row or key in known
            )
            values = ", ".join(
                f"'{(row | known)[key]}'" for key in ("signal_id", "query_id", "action", "created_at") if key in row
            )
            connection.exec_driver_sql(f"INSERT INTO {empty.qualified(name)} ({columns}) VALUES ({values})")
    migrate.upgrade(empty)
    (signal,) = stored(empty, SIGNALS)
    assert (signal["outcome"], signal["is_executed"]) == ("PENDING", False)
    assert stored(empty, "gpt_query_log")[0]["is_successful"] is True


# PostgreSQL


def test_long_texts_and_json_are_compressed_with_lz4_where_the_server_has_it(postgresql: Database) -> None:
    with postgresql.connection() as connection:
        has_lz4 = connection.exec_driver_sql(
            "SELECT 'lz4' = ANY(enumvals) FROM pg_settings WHERE name = 'default_toast_compression'"
        ).scalar()
        found = dict(
            connection.exec_driver_sql(
                "SELECT attname, attcompression FROM pg_attribute "
                "WHERE attrelid = 'stateful_engine.gpt_query_log'::regclass AND attnum > 0"
            ).all()
        )
    expected = "l" if has_lz4 else ""
    assert {found[name] for name in ("request_params", "response_data", "user_query")} == {expected}


def test_json_that_is_only_kept_is_json_and_what_is_looked_into_is_jsonb(postgresql: Database) -> None:
    with postgresql.connection() as connection:
        found = dict(
            connection.exec_driver_sql(
                "SELECT column_name, data_type FROM information_schema.columns "
                "WHERE table_schema = 'stateful_engine' AND table_name = 'signal_history'"
            ).all()
        )
    assert (found["smc_analysis"], found["technical_indicators"], found["extra"]) == ("json", "json", "jsonb")


def test_a_role_that_may_not_create_schemas_works_in_one_that_exists(empty_postgresql_url: str) -> None:
    url = engines.normal_url(empty_postgresql_url)
    admin = create_engine(url)
    with LimitedRole(admin) as role:
        limited = url.set(username=role, password="s3cret").render_as_string(hide_password=False)
        database = Database(limited)
        with pytest.raises(ConfigurationError, match=f'CREATE SCHEMA stateful_engine AUTHORIZATION "?{role}"?'):
            migrate.upgrade(database)
        with admin.begin() as connection:
            connection.exec_driver_sql(f"CREATE SCHEMA stateful_engine AUTHORIZATION {role}")
        migrate.upgrade(database)
        assert len(store(database, SIGNALS, signal_row(), signal_row())) == 2
        database.dispose()
    admin.dispose()


class LimitedRole:
    """A login role with no right on the database but to connect; gone at the end of the block."""

    def __init__(self, admin: Engine) -> None:
        self._admin = admin
        self._role = f"stateful_limited_{id(self)}"

    def __enter__(self) -> str:
        with self._admin.begin() as connection:
            connection.exec_driver_sql(f"CREATE ROLE {self._role} LOGIN PASSWORD 's3cret'")
        return self._role

    def __exit__(self, *_: object) -> None:
        with self._admin.begin() as connection:
            connection.exec_driver_sql(f"DROP OWNED BY {self._role} CASCADE")
            connection.exec_driver_sql(f"DROP ROLE {self._role}")


def test_the_hosts_public_schema_stays_empty(empty_postgresql: Database) -> None:
    migrate.upgrade(empty_postgresql)
    names = inspect(empty_postgresql.engine).get_schema_names()
    assert "stateful_engine" in names
    assert inspect(create_engine(empty_postgresql.engine.url)).get_table_names(schema="public") == []


# Foreign tables


def test_a_foreign_table_in_the_way_is_refused_and_nothing_is_made(empty: Database) -> None:
    with empty.engine.begin() as connection:
        if empty.schema is not None:
            connection.exec_driver_sql("CREATE SCHEMA stateful_engine")
        connection.exec_driver_sql(f"CREATE TABLE {empty.qualified('user_interaction')} (x INTEGER)")
    with pytest.raises(ConfigurationError, match=r"'user_interaction' that is not ours.*(DATABASE_URL|SCHEMA)"):
        migrate.upgrade(empty)
    assert table_names(empty) == {"user_interaction"}


def test_tables_of_ours_that_lost_their_version_can_be_stamped(empty: Database) -> None:
    migrate.upgrade(empty)
    with empty.connection() as connection:
        connection.exec_driver_sql(f"DROP TABLE {empty.qualified(migrate.VERSION_TABLE)}")
    with pytest.raises(ConfigurationError, match="stamp"):
        migrate.upgrade(empty)
    migrate.stamp(empty)
    assert migrate.check(empty) == []


def test_an_unknown_revision_is_refused_with_the_way_to_see_them(empty: Database) -> None:
    for change in (migrate.upgrade, migrate.downgrade, migrate.stamp):
        with pytest.raises(InvalidInputError, match="db history"):
            change(empty, "nonsense")


def test_a_migration_that_fails_leaves_everything_as_it_was(empty: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrate, "compress", fail)
    monkeypatch.setattr("stateful_engine.storage.migrate._refuse_foreign_tables", lambda *_: None)
    with pytest.raises(RuntimeError, match="power cut"):
        migrate.upgrade(empty)
    assert table_names(empty) == set()
    assert migrate.current(empty) is None


def fail(*_: object) -> None:
    raise RuntimeError("power cut")


# Many at once


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_several_processes_that_start_at_once_migrate_once(empty_database_url: str) -> None:
    reader, writer = os.pipe()
    children = []
    for _ in range(4):
        child = os.fork()
        if child == 0:
            os.close(writer)
            _exit_with(lambda: _start_after(reader, empty_database_url))
        children.append(child)
    os.close(reader)
    os.close(writer)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert codes == [0] * 4
    database = Database(empty_database_url)
    assert migrate.check(database) == []
    database.dispose()


def _start_after(signal: int, url: str) -> None:
    """Wait until the parent closes its end, then use the database as a worker does that has just started."""
    os.read(signal, 1)
    database = Database(url, auto_migrate=True)
    assert len(store(database, SIGNALS, signal_row(signal_id=f"sig_{os.getpid():012x}_1"))) == 1
    database.dispose()


def _exit_with(work: Callable[[], None]) -> None:
    try:
        work()
    except BaseException:  # noqa: BLE001  a child of a test must never return into pytest
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def test_threads_with_databases_of_their_own_migrate_once(empty_database_url: str) -> None:
    databases = [Database(empty_database_url, auto_migrate=True) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda database: len(store(database, SIGNALS, signal_row())), databases))
    assert found == [1, 1, 1, 1]
    for database in databases:
        database.dispose()


# Neighbours


def test_threads_with_different_databases_do_not_mix_them_up(tmp_path: Path) -> None:
    databases = [Database(f"sqlite:///{tmp_path / name}.sqlite") for name in ("one", "two", "three")]
    with ThreadPoolExecutor(len(databases)) as threads:
        list(threads.map(migrate.upgrade, databases))
    assert [migrate.current(each) for each in databases] == [migrate.head()] * len(databases)
    assert [migrate.check(each) for each in databases] == [[]] * len(databases)


def test_migrating_leaves_the_loggers_of_the_host_alone(empty: Database) -> None:
    host = logging.getLogger("host.of.the.test")
    level, handlers = logging.getLogger().level, list(logging.getLogger().handlers)
    migrate.upgrade(empty)
    assert not host.disabled
    assert not logging.getLogger("stateful_engine").disabled
    assert (logging.getLogger().level, logging.getLogger().handlers) == (level, handlers)


def test_using_the_database_loads_no_alembic_once_the_tables_are_there(database_url: str) -> None:
    program = (
        "import sys; from stateful_engine.storage.database import Database;"
        "Database(sys.argv[1]).ready_engine(); sys.exit('alembic' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program, database_url], cwd=ROOT, check=True, timeout=60)
