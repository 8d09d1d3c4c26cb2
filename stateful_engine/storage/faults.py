"""Errors of drivers, told apart by what a caller can do: wait and repeat, migrate, or look at the data."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from stateful_engine.errors import QueryTimeoutError, SchemaError, StatefulEngineError, StorageUnavailableError

RETRY_SECONDS = 5

_NO_TABLE = {"42P01", "42703", "3F000"}
_AWAY_CLASSES = {"08", "25", "28", "3D", "40", "53", "55", "57", "58"}
"""SQLSTATE classes that say nothing about the data: connection, read-only server, login, no such database, deadlock,
resources, locks, shutdown, system."""
_MISSING_RIGHT = "42501"
_CANCELLED = "57014"
_SQLITE_NO_TABLE = ("no such table", "no such column", "has no column named")
_SQLITE_AWAY = ("locked", "busy", "unable to open", "disk", "readonly", "not a database", "malformed", "i/o")


@contextmanager
def translated() -> Iterator[None]:
    """Inside, an outage raises `StorageUnavailableError` and a missing table `SchemaError`; other errors pass."""
    try:
        yield
    except PoolTimeoutError as error:
        raise unavailable("every connection of the pool is taken") from error
    except DBAPIError as error:
        told = told_apart(error)
        if told is None:
            raise
        raise told from error


def told_apart(error: DBAPIError) -> StatefulEngineError | None:
    """Our error for one of a driver, or None when it concerns the statement or its data."""
    if error.connection_invalidated:
        return unavailable("the connection was lost")
    if isinstance(error.orig, sqlite3.Error):
        return _of_sqlite(error.orig)
    state = sqlstate(error)
    if state is not None:
        return _by_state(state)
    if not isinstance(error, (OperationalError, InterfaceError)):
        return None
    return unavailable("the database does not answer")


def sqlstate(error: DBAPIError) -> str | None:
    """The five characters by which PostgreSQL names an error, wherever the driver keeps them."""
    original: Any = error.orig
    for name in ("pgcode", "sqlstate"):
        state = getattr(original, name, None)
        if state:
            return str(state)
    first = original.args[0] if original is not None and original.args else None
    return str(first["C"]) if isinstance(first, dict) and "C" in first else None


def missing_tables() -> SchemaError:
    """Our tables are not there, or not of this version."""
    return SchemaError(
        "the tables of stateful_engine are missing or older than this version; run `flask stateful db upgrade`",
        retry_after=RETRY_SECONDS,
    )


def unavailable(reason: str) -> StorageUnavailableError:
    """The database cannot be used now, whatever the data."""
    return StorageUnavailableError(
        f"{reason}; nothing was half-written, so repeat the call later", retry_after=RETRY_SECONDS
    )


def too_slow() -> QueryTimeoutError:
    """The database was stopped before it had the answer."""
    return QueryTimeoutError(
        "the database needed too long for this answer; ask for fewer days or a narrower filter, or raise "
        "STATEFUL_READ_TIMEOUT",
        retry_after=RETRY_SECONDS,
    )


def _by_state(state: str) -> StatefulEngineError | None:
    if state == _CANCELLED:
        return too_slow()
    if state in _NO_TABLE:
        return missing_tables()
    if state == _MISSING_RIGHT:
        return unavailable("the database role lacks a right on our tables (GRANT it)")
    if state[:2] in _AWAY_CLASSES:
        return unavailable(f"the database cannot serve now (SQLSTATE {state})")
    return None


def _of_sqlite(error: sqlite3.Error) -> StatefulEngineError | None:
    if isinstance(error, (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.ProgrammingError)):
        return None
    message = str(error).lower()
    if any(part in message for part in _SQLITE_NO_TABLE):
        return missing_tables()
    if message == "interrupted":
        return too_slow()
    if any(part in message for part in _SQLITE_AWAY):
        return unavailable("the SQLite file is locked, full or cannot be opened")
    return None
