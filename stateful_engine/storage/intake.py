"""How rows of several tables come in: each once, and with everything that is derived from those that are new."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stateful_engine.storage import bulk, rollups, tables, webhooks

if TYPE_CHECKING:
    from sqlalchemy import Connection


def insert(connection: Connection, rows_by_table: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, int]:
    """Insert ready rows in the transaction of `connection`; the number of new rows by table."""
    new = {name: bulk.insert_new(connection, tables.table(name), rows) for name, rows in rows_by_table.items()}
    rollups.apply(connection, new)
    webhooks.announce(connection, new)
    return {name: len(rows) for name, rows in new.items() if rows}
