"""How large our tables are: rows, counted up to an end, and bytes, as the database tells them."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, literal, select, text
from sqlalchemy.orm import Session

from stateful_engine.storage.tables import metadata

MOST_ROWS = 100_000
"""Counting goes on to here: a table of a million rows is not read for a page."""


@dataclass(frozen=True, slots=True)
class TableSize:
    """One table; `rows` is `MOST_ROWS` for as many or more, `bytes` is None where the database does not tell."""

    name: str
    rows: int
    is_more: bool
    bytes: int | None


def of_tables(session: Session, schema: str | None) -> list[TableSize]:
    """Every table of ours, the largest first."""
    found = [_size(session, name, schema) for name in sorted(metadata.tables)]
    return sorted(found, key=lambda size: (-(size.bytes or 0), -size.rows, size.name))


def of_database(session: Session) -> int | None:
    """The bytes of the whole database, for one that is ours alone; None elsewhere."""
    if session.get_bind().dialect.name != "sqlite":
        return None
    pages, width = (session.scalar(text(f"PRAGMA {name}")) for name in ("page_count", "page_size"))
    return int(pages or 0) * int(width or 0)


def _size(session: Session, name: str, schema: str | None) -> TableSize:
    some = select(literal(1)).select_from(metadata.tables[name]).limit(MOST_ROWS + 1).subquery()
    rows = session.scalar(select(func.count()).select_from(some)) or 0
    return TableSize(name, min(rows, MOST_ROWS), rows > MOST_ROWS, _bytes(session, name, schema))


def _bytes(session: Session, name: str, schema: str | None) -> int | None:
    """With indexes and what is stored aside."""
    if session.get_bind().dialect.name != "postgresql":
        return None
    known = text(
        "SELECT pg_total_relation_size(to_regclass(format('%I.%I', CAST(:schema AS text), CAST(:name AS text))))"
    )
    found = session.execute(known, {"schema": schema or "public", "name": name}).scalar()
    return None if found is None else int(found)
