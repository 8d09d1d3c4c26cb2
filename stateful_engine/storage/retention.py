"""Forgetting what is old, in batches that hold no lock for long."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from stateful_engine.storage.base import Base

BATCH = 1000


def count_older_than(session: Session, model: type[Base], cutoff: datetime) -> int:
    """How many rows were created before `cutoff`."""
    columns = model.__table__.c
    return session.scalar(select(func.count()).where(columns["created_at"] < cutoff)) or 0


def delete_older_than(session: Session, model: type[Base], cutoff: datetime, *, limit: int = BATCH) -> int:
    """Delete at most `limit` rows created before `cutoff`, the oldest first; how many went.

    Call it in a transaction of its own until it returns less than `limit`.
    """
    columns = model.__table__.c
    oldest = (
        select(columns["id"])
        .where(columns["created_at"] < cutoff)
        .order_by(columns["created_at"], columns["id"])
        .limit(limit)
    )
    ids = list(session.scalars(oldest))
    return delete_ids(session, model, ids)


def delete_ids(session: Session, model: type[Base], ids: list[int]) -> int:
    """Delete the rows with these internal ids; how many there were."""
    if not ids:
        return 0
    statement = delete(model).where(model.__table__.c["id"].in_(ids))
    done: Any = session.execute(statement, execution_options={"synchronize_session": False})
    return int(done.rowcount)
