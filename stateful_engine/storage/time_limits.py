"""How long one question may keep the database: PostgreSQL is told, SQLite is asked now and then.

The limit belongs to the call that set it and ends with it: on PostgreSQL it is `SET LOCAL`, which ends with the
transaction, on SQLite a progress handler that is taken away. Only reads are limited, so that nothing is half-written.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from sqlalchemy import Connection

STEPS = 20_000
"""Instructions of SQLite between two looks at the clock; about a millisecond."""

_until: ContextVar[float | None] = ContextVar("stateful_engine_reads_until", default=None)


@contextmanager
def reads_within(seconds: float) -> Iterator[None]:
    """Inside, reads together may take so many seconds; 0 is without limit."""
    token = _until.set(time.monotonic() + seconds if seconds else None)
    try:
        yield
    finally:
        _until.reset(token)


@contextmanager
def limited(connection: Connection) -> Iterator[None]:
    """Inside, the statements of `connection` end with an error of the driver once the time is over."""
    until = _until.get()
    if until is None:
        yield
    elif connection.dialect.name == "sqlite":
        driver: Any = connection.connection.driver_connection
        driver.set_progress_handler(lambda: time.monotonic() > until, STEPS)
        try:
            yield
        finally:
            driver.set_progress_handler(None, 0)
    else:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql(setting())
        yield


def setting() -> str:
    """What tells PostgreSQL, within a transaction, how long its statements may take; empty without a limit."""
    until = _until.get()
    return "" if until is None else f"SET LOCAL statement_timeout = {max(1, int((until - time.monotonic()) * 1000))}"
