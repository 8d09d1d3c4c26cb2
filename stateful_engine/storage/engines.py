"""Engines: how our own are made, and how a host's is looked at without leaving a trace on it."""

from __future__ import annotations

import atexit
import math
import os
import random
import select
import shutil
import sqlite3
import tempfile
import time
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import orjson
from sqlalchemy import URL, Connection, Dialect, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from stateful_engine.errors import ConfigurationError
from stateful_engine.storage.base import loads

BUSY_MILLISECONDS = 5000
ASK_AGAIN = 0.0005, 0.005
"""Between which seconds a writer asks again for SQLite's lock; chance keeps two of them out of step."""
CONNECT_SECONDS = 5
TRUSTED_SECONDS = 1.0

_REWRITTEN = {"postgres": "postgresql+psycopg2", "postgresql": "postgresql+psycopg2"}


def normal_url(given: str | URL) -> URL:
    """The URL with the driver that we mean: SQLAlchemy 2.1 takes `postgresql://` for psycopg 3 and refuses `postgres://`.

    A SQLite path becomes absolute, so that a later change of the working directory does not lead to another file; one
    in memory becomes a private temporary file, since several threads and the migrations have to see the same.
    """
    try:
        url = make_url(given)
    except ArgumentError:
        raise ConfigurationError(
            "the database URL cannot be read; write it like sqlite:////path/file.sqlite or "
            "postgresql://user:password@host/database"
        ) from None
    if url.get_backend_name() == "sqlite":
        return _normal_sqlite(url)
    if url.drivername.partition("+")[0] not in {"postgres", "postgresql"}:
        raise ConfigurationError(
            f"our tables live in SQLite or PostgreSQL, not in {url.get_backend_name()}; set STATEFUL_DATABASE_URL to "
            "one of these, for example sqlite:////path/file.sqlite"
        )
    return url.set(drivername=_REWRITTEN.get(url.drivername, url.drivername))


def sqlite_url(path: Path) -> URL:
    """The URL of a SQLite file, whatever characters its path holds."""
    return URL.create("sqlite", database=str(path))


def _normal_sqlite(url: URL) -> URL:
    name = url.database
    if not name or name == ":memory:" or "mode=memory" in name or url.query.get("mode") == "memory":
        return URL.create(url.drivername, database=str(_private_folder() / "memory.sqlite"))
    return url if name.startswith("file:") else url.set(database=str(Path(name).absolute()))


def _private_folder() -> Path:
    """A folder that goes with this process; a forked child leaves it to its parent."""
    folder, owner = Path(tempfile.mkdtemp(prefix="stateful-engine-")), os.getpid()

    def remove() -> None:
        if os.getpid() == owner:
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)
    return folder


def own_engine(url: URL, **keywords: Any) -> Engine:
    """An engine and pool of our own; the folder of a SQLite file is made, readable by this user only."""
    keywords = {"json_serializer": _dumps, "json_deserializer": loads, **keywords}
    if url.get_backend_name() != "sqlite":
        engine = _created(url, pool_pre_ping=True, **_connect_arguments(url), **keywords)
        _ask_less_often(engine.dialect)
        return engine
    _make_private(url)
    engine = _created(url, **keywords)
    event.listen(engine, "connect", _set_up_sqlite)
    return engine


def _ask_less_often(dialect: Dialect) -> None:
    """Let the pool ask a server whether a connection is alive only where that is in doubt: each time costs a message.

    One that answered within the last second is alive unless there is something to be read from it, as when the server
    has closed it.
    """
    if dialect.driver != "psycopg2":
        return
    ask = dialect.do_ping
    answered: WeakKeyDictionary[Any, float] = WeakKeyDictionary()

    def is_alive(dbapi_connection: Any) -> bool:
        now = time.monotonic()
        if now - answered.get(dbapi_connection, -math.inf) < TRUSTED_SECONDS and not _has_news(dbapi_connection):
            return True
        alive = ask(dbapi_connection)
        answered[dbapi_connection] = now
        return alive

    dialect.do_ping = is_alive  # type: ignore[method-assign]


def _has_news(connection: Any) -> bool:
    try:
        return bool(connection.closed or select.select([connection], [], [], 0)[0])
    except (OSError, ValueError):
        return True


def _created(url: URL, **keywords: Any) -> Engine:
    try:
        return create_engine(url, **keywords)
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise ConfigurationError(
            f"there is no driver for {url.drivername}:// here ({error}); install it, or name another in the URL"
        ) from error


def _connect_arguments(url: URL) -> dict[str, Any]:
    """A server that is not there is noticed in seconds; what the URL says itself wins."""
    if url.get_driver_name() in {"psycopg2", "psycopg"} and "connect_timeout" not in url.query:
        return {"connect_args": {"connect_timeout": CONNECT_SECONDS}}
    return {}


def _dumps(value: Any) -> str:
    return orjson.dumps(value).decode()


def _make_private(url: URL) -> None:
    if url.database is None or url.database.startswith("file:"):
        return
    path = Path(url.database)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be opened for writing ({error.strerror}); create its folder or set STATEFUL_DATABASE_URL"
        ) from error


def _set_up_sqlite(connection: Any, record: object) -> None:  # noqa: ARG001
    """Readers beside a writer, patience with other writers, foreign keys, commits that survive a power cut."""
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {BUSY_MILLISECONDS}")
    _enter_wal(cursor)
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.close()


def _enter_wal(cursor: Any) -> None:
    """The change to WAL does not wait for others by itself, and several workers start at once."""
    deadline = time.monotonic() + BUSY_MILLISECONDS / 1000
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL").fetchone()
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def with_our_schema(engine: Engine, schema: str, *, own: bool) -> Engine:
    """A view of the engine, on the same pool, in which our tables are found.

    A host's engine may be set to another isolation level, even to AUTOCOMMIT; ours is asked for per connection and
    reset when it goes back to the pool.
    """
    if engine.dialect.name == "sqlite":
        return engine.execution_options(schema_translate_map=translation(None))
    options: dict[str, Any] = {"schema_translate_map": translation(schema)}
    if not own:
        options["isolation_level"] = "READ COMMITTED"
    return engine.execution_options(**options)


def translation(schema: str | None) -> dict[str | None, str | None] | None:
    """What `schema_translate_map` says for our tables; nothing on SQLite."""
    return None if schema is None else {None: schema}


def begin_immediate(connection: Connection, *, own: bool = False) -> None:
    """Take SQLite's write lock now, so that a transaction never fails half-way for want of it.

    On connections of our `own` it is asked for every few milliseconds: SQLite's own waiting sleeps longer each time and
    starves beside a process that writes without a pause.
    """
    driver: Any = connection.connection.dbapi_connection
    if getattr(driver, "in_transaction", False):
        connection.exec_driver_sql("ROLLBACK")
    if not own or not isinstance(driver, sqlite3.Connection):
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        return
    driver.execute("PRAGMA busy_timeout = 0")
    try:
        if not _begun(driver):
            connection.exec_driver_sql("BEGIN IMMEDIATE")
    finally:
        driver.execute(f"PRAGMA busy_timeout = {BUSY_MILLISECONDS}")


def _begun(driver: sqlite3.Connection) -> bool:
    """Begin as soon as nobody else writes; False when that took too long, or something else is in the way."""
    deadline = time.monotonic() + BUSY_MILLISECONDS / 1000
    while time.monotonic() < deadline:
        try:
            driver.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                return False
            time.sleep(random.uniform(*ASK_AGAIN))
        else:
            return True
    return False


def is_same_database(one: Engine, other: Engine) -> bool:
    """Whether two engines lead to the same database, so that one transaction can hold both sides."""
    if one.url.get_backend_name() != other.url.get_backend_name():
        return False
    if one.url.get_backend_name() == "sqlite":
        return _sqlite_file(one.url) == _sqlite_file(other.url) is not None
    return _server(one.url) == _server(other.url)


def _sqlite_file(url: URL) -> Path | None:
    name = url.database
    return None if not name or name == ":memory:" else Path(name).resolve()


def _server(url: URL) -> tuple[str, int, str | None]:
    host = url.query.get("host", url.host or "localhost")
    name = host if isinstance(host, str) else ",".join(host)
    return "localhost" if name in {"127.0.0.1", "::1"} else name, int(url.port or 5432), url.database
