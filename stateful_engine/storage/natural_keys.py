"""Knowing a row again by what it says, for records that came without an id of ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from stateful_engine.storage.base import Base


def find_same(session: Session, model: type[Base], key: Mapping[str, Any], *, skip: int = 0) -> int | None:
    """The id of a row with these values, the first `skip` of them left out, or None."""
    columns = model.__table__.c
    same = [columns[name].is_(None) if value is None else columns[name] == value for name, value in key.items()]
    return session.scalar(select(columns["id"]).where(*same).order_by(columns["id"]).offset(skip).limit(1))


def fill_in(session: Session, model: type[Base], row_id: int, values: Mapping[str, Any]) -> bool:
    """Give a row what it lacks: values where it has none or 0, and higher numbers; whether anything was new."""
    columns = model.__table__.c
    row = session.execute(select(*(columns[name] for name in values)).where(columns["id"] == row_id)).mappings().one()
    more = {name: value for name, value in values.items() if value and _lacks(row[name], value)}
    if more:
        session.execute(update(model).where(columns["id"] == row_id).values(**more))
    return bool(more)


def _lacks(ours: Any, theirs: Any) -> bool:
    return not ours or (isinstance(ours, int) and theirs > ours)


def insert_row(session: Session, model: type[Base], values: Mapping[str, Any]) -> int:
    """Add a row as it is; returns its id."""
    columns = model.__table__.c
    return int(session.execute(insert(model).values(**values).returning(columns["id"])).scalar_one())
