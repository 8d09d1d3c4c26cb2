"""How rows of several tables come in: each once, and with everything that is derived from those that are new."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import IntegrityError

from stateful_engine.storage import bulk, rollups, tables, webhooks
from stateful_engine.storage.encoding import Unclean

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from stateful_engine.storage.database import Database

RowsByTable = Mapping[str, Sequence[Mapping[str, Any]]]


def store(database: Database, rows_by_table: RowsByTable) -> dict[str, int]:
    """Insert ready rows in one transaction of their own; the number of new rows by table.

    Nearly always all are new. Where one is not, everything is undone and each is looked at.
    """
    try:
        with database.connection() as connection:
            return insert(connection, rows_by_table, all_new=True)
    except (IntegrityError, Unclean):
        with database.connection() as connection:
            return insert(connection, rows_by_table)


def insert(connection: Connection, rows_by_table: RowsByTable, *, all_new: bool = False) -> dict[str, int]:
    """Insert ready rows in the transaction of `connection`; the number of new rows by table.

    `all_new` as for `bulk.insert_new`.
    """
    new = {
        name: bulk.insert_new(connection, tables.table(name), rows, all_new=all_new)
        for name, rows in rows_by_table.items()
    }
    rollups.count(connection, new)
    webhooks.announce(connection, new)
    return {name: len(rows) for name, rows in new.items() if rows}
