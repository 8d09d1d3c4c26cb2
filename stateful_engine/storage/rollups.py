"""Pre-aggregates: what is derived from rows is kept in step with them, within the same transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from stateful_engine.storage.bulk import InsertedKey


def apply(connection: Connection, new_rows: Mapping[str, Sequence[InsertedKey]]) -> None:
    """Count the rows that were new, by table; called once for each, in the transaction that inserts them."""


def revise(connection: Connection, table: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Move a row of `table` that was changed from where it counted to where it counts now, in the same transaction."""
