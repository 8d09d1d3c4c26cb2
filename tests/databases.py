"""One fresh database per test, in milliseconds.

SQLite: a copy of a migrated file. PostgreSQL: copies of a migrated template database, made when one is needed (some
file systems take half a second for it) and emptied after use; a test that changed more than rows has its copy dropped.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg2
from psycopg2.errors import InsufficientPrivilege
from psycopg2.extensions import ISOLATION_LEVEL_AUTOCOMMIT
from sqlalchemy import make_url

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

OWN = "NOT IN (SELECT oid FROM pg_namespace WHERE nspname ~ '^pg_' OR nspname = 'information_schema')"

STRUCTURE = f"""
SELECT md5(string_agg(line, E'\\n' ORDER BY line)) FROM (
  SELECT concat_ws(' ', oid, nspname, nspacl) FROM pg_namespace WHERE nspname !~ '^pg_'
  UNION ALL SELECT concat_ws(' ', oid, relname, relkind, relnamespace, relacl, reloptions) FROM pg_class
    WHERE relnamespace {OWN}
  UNION ALL SELECT concat_ws(' ', attrelid, attname, atttypid, atttypmod, attnotnull, attcompression, attisdropped)
    FROM pg_attribute WHERE attrelid >= 16384
  UNION ALL SELECT concat_ws(' ', adrelid, adnum, pg_get_expr(adbin, adrelid)) FROM pg_attrdef
  UNION ALL SELECT concat_ws(' ', oid, conname, conrelid) FROM pg_constraint WHERE connamespace {OWN}
  UNION ALL SELECT concat_ws(' ', oid, tgname, tgenabled, tgrelid) FROM pg_trigger
  UNION ALL SELECT concat_ws(' ', oid, proname) FROM pg_proc WHERE pronamespace {OWN}
  UNION ALL SELECT concat_ws(' ', oid, typname) FROM pg_type WHERE typnamespace {OWN}
  UNION ALL SELECT concat_ws(' ', oid, extname) FROM pg_extension
  UNION ALL SELECT concat_ws(' ', setrole, setconfig) FROM pg_db_role_setting
    WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
) AS structure(line)
"""
TABLES = f"SELECT oid::regclass::text FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace {OWN} ORDER BY 1"
RESET_SEQUENCES = f"SELECT setval(oid::regclass, 1, false) FROM pg_class WHERE relkind = 'S' AND relnamespace {OWN}"
DISCONNECT_OTHERS = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


def migrate(url: str) -> None:
    """Bring our tables in the database at `url` to the present version."""
    from stateful_engine.storage import migrate as migrations
    from stateful_engine.storage.database import Database

    database = Database(url)
    try:
        migrations.upgrade(database)
    finally:
        database.dispose()


class SqliteTemplate:
    """A migrated SQLite file, made on first use."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "template.sqlite"

    def copy_to(self, target: Path) -> str:
        """The address of a copy in the file `target`."""
        if not self._file.exists():
            migrate(f"sqlite:///{self._file}")
        shutil.copyfile(self._file, target)
        return f"sqlite:///{target}"


class PostgresTemplate:
    """A migrated database on the test server, made on first use, and copies of it."""

    def __init__(self, server_url: str) -> None:
        self._server = make_url(server_url).set(drivername="postgresql+psycopg2")
        self._admin = _connect(self._url(self._server.database or "postgres"))
        self._made: list[str] = []
        self._free: list[str] = []

    @contextmanager
    def copied(self) -> Iterator[str]:
        """The address of a migrated database without rows, for one test."""
        name = self._free.pop() if self._free else self._create(template=self._template)
        yield self._url(name)
        if self._emptied(name):
            self._free.append(name)
        else:
            self._drop(name)

    @contextmanager
    def empty(self) -> Iterator[str]:
        """The address of a database without our tables, for one test."""
        name = self._create()
        yield self._url(name)
        self._drop(name)

    def close(self) -> None:
        """Drop all databases that were made and let go of the connection."""
        for name in reversed(self._made.copy()):
            self._drop(name)
        self._admin.close()

    @cached_property
    def _template(self) -> str:
        name = self._create()
        migrate(self._url(name))
        return name

    @cached_property
    def _structure(self) -> tuple[list[Any], dict[str, Any]]:
        """What a copy must still look like to be used again, and what its filled tables (the version) must hold."""
        with closing(_connect(self._url(self._template))) as connection:
            return _rows(connection, STRUCTURE), _contents(connection)

    def _emptied(self, name: str) -> bool:
        """Whether the copy `name` is as new once its rows are gone."""
        structure, kept = self._structure
        with closing(_connect(self._url(name))) as connection:
            _rows(connection, DISCONNECT_OTHERS)
            if _rows(connection, STRUCTURE) != structure:
                return False
            filled = [table for (table,) in _rows(connection, TABLES) if table not in kept]
            try:
                _run(connection, "SET session_replication_role = replica")
            except InsufficientPrivilege:
                return False
            _run(connection, "".join(f"DELETE FROM {table};" for table in filled))
            _rows(connection, RESET_SEQUENCES)
            return _contents(connection) == kept

    def _url(self, name: str) -> str:
        return self._server.set(database=name).render_as_string(hide_password=False)

    def _create(self, *, template: str = "template0") -> str:
        name = f"stateful_test_{secrets.token_hex(6)}"
        _run(self._admin, f"CREATE DATABASE {name} TEMPLATE {template}")
        self._made.append(name)
        return name

    def _drop(self, name: str) -> None:
        _run(self._admin, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        self._made.remove(name)


def _connect(url: str) -> Connection:
    connection = psycopg2.connect(url.replace("+psycopg2", "", 1))
    connection.set_isolation_level(ISOLATION_LEVEL_AUTOCOMMIT)
    return connection


def _run(connection: Connection, statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def _rows(connection: Connection, query: str) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(query)
        return list(cursor.fetchall())


def _contents(connection: Connection) -> dict[str, list[Any]]:
    """The rows of every table that has some."""
    tables = [table for (table,) in _rows(connection, TABLES)]
    rows = {table: _rows(connection, f"SELECT * FROM {table} AS t ORDER BY t::text LIMIT 100") for table in tables}
    return {table: found for table, found in rows.items() if found}
