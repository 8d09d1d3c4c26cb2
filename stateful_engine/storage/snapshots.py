"""One moment of the database: what is read there fits together, whatever others write meanwhile.

A report is read in a hurry, and each message to a server and back costs as much as a small question does. psycopg2 can
send several statements in one, so that the first question goes with what makes it such a moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from stateful_engine.storage import copying, faults, time_limits
from stateful_engine.storage.rollup_sql import fetched

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from stateful_engine.storage.database import Database

Rows = list[tuple[Any, ...]]

_IDLE = 0
"""How libpq says that no transaction is open."""


@contextmanager
def snapshot(database: Database, first: Callable[[Connection], str]) -> Iterator[tuple[Connection, Rows]]:
    """A connection that sees one moment only, and the answer to the first question there."""
    with faults.translated(), database.ready_engine().connect() as connection:
        if copying.is_possible(connection):
            with _by_hand(connection):
                yield connection, begun(connection, first(connection))
            return
        begin(connection)
        with time_limits.limited(connection):
            yield connection, fetched(connection, first(connection))


@contextmanager
def asked_once(database: Database, question: Callable[[Connection], str]) -> Iterator[tuple[Connection, Rows]]:
    """The answer to one question, which needs no transaction to see one moment; `begun` asks more on the connection.

    Only where `copying.is_possible`.
    """
    with faults.translated(), database.ready_engine().connect() as connection, _by_hand(connection):
        statements = (time_limits.setting(), question(connection))
        yield connection, fetched(connection, "; ".join(filter(None, statements)))


def begun(connection: Connection, first: str) -> Rows:
    """The answer to the first question at a moment that is seen until the block ends that gave the connection."""
    statements = ("BEGIN ISOLATION LEVEL REPEATABLE READ", time_limits.setting(), first)
    return fetched(connection, "; ".join(filter(None, statements)))


def begin(connection: Connection) -> None:
    """Let a connection that has asked nothing so far see one moment only, until its transaction ends.

    On SQLite a host may have told its engine to send BEGIN by itself; the driver alone does so before writes only.
    """
    if connection.dialect.name != "sqlite":
        connection.execution_options(isolation_level="REPEATABLE READ")
        return
    connection.begin()
    if not getattr(connection.connection.driver_connection, "in_transaction", False):
        connection.exec_driver_sql("BEGIN")


@contextmanager
def _by_hand(connection: Connection) -> Iterator[None]:
    """Inside, psycopg2 begins no transaction by itself, which would take a message of its own; ours is rolled back."""
    driver: Any = connection.connection.driver_connection
    before, driver.autocommit = driver.autocommit, True
    try:
        yield
    finally:
        if not driver.closed:
            if driver.get_transaction_status() != _IDLE:
                with driver.cursor() as cursor:
                    cursor.execute("ROLLBACK")
            driver.autocommit = before
