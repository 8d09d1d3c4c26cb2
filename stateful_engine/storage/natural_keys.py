"""Knowing a row again by what it says, for records that came without an id of ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from stateful_engine.storage.base import Base


def find_same(session: Session, model: type[Base], key: Mapping[str, Any]) -> int | None:
    """The id of a row with these values, or None."""
    columns = model.__table__.c
    same = [columns[name].is_(None) if value is None else columns[name] == value for name, value in key.items()]
    return session.scalar(select(columns["id"]).where(*same).limit(1))


def insert_row(session: Session, model: type[Base], values: Mapping[str, Any]) -> int:
    """Add a row as it is; returns its id."""
    columns = model.__table__.c
    return int(session.execute(insert(model).values(**values).returning(columns["id"])).scalar_one())
