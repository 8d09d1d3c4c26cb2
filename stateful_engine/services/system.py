"""The state of the memory itself, for those who look after it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from stateful_engine.storage import sizes as table_sizes
from stateful_engine.storage.sizes import TableSize

if TYPE_CHECKING:
    from stateful_engine.storage.database import Database


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large the memory is; `total_bytes` is None where nobody tells."""

    tables: tuple[TableSize, ...]
    total_bytes: int | None


def sizes(database: Database) -> Sizes:
    """Every table of ours with its rows and bytes, the largest first, and all of them together."""
    with database.reading() as session:
        tables = table_sizes.of_tables(session, database.schema)
        whole = table_sizes.of_database(session)
    known = [table.bytes for table in tables if table.bytes is not None]
    return Sizes(tuple(tables), whole if whole is not None else sum(known) if known else None)
