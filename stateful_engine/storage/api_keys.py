"""Table `api_keys`: who may call the API and for what. The secret itself is never stored, only its SHA-256."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from stateful_engine.storage.base import Base, JsonStored, ShortText, big_id, to_dict

TABLE = "api_keys"

SEEN_EVERY = timedelta(minutes=1)
"""How exactly `last_used_at` is kept: a call within this time of the last one writes nothing."""


class ApiKey(Base):
    """One key: its public id, the hash of its secret, and what it may do until when."""

    __tablename__ = TABLE

    id: Mapped[int] = mapped_column(big_id(), primary_key=True)
    key_id: Mapped[str] = mapped_column(ShortText, unique=True)
    name: Mapped[str]
    secret_hash: Mapped[str]
    scopes: Mapped[Any] = mapped_column(JsonStored)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    rotated_from: Mapped[str | None]


def find(session: Session, key_id: str) -> ApiKey | None:
    """The key with this public id, or None."""
    return session.scalar(select(ApiKey).where(ApiKey.key_id == key_id))


def every(session: Session) -> list[dict[str, Any]]:
    """All keys, oldest first, without their hashes."""
    rows = session.scalars(select(ApiKey).order_by(ApiKey.id))
    return [to_dict(row, omit=frozenset({"id", "secret_hash"})) for row in rows]


def seen(session: Session, key_id: str, *, at: datetime) -> bool:
    """Remember that a key was used; False when that was remembered a moment ago already."""
    statement = (
        update(ApiKey)
        .where(ApiKey.key_id == key_id, or_(ApiKey.last_used_at.is_(None), ApiKey.last_used_at < at - SEEN_EVERY))
        .values(last_used_at=at)
    )
    done: Any = session.execute(statement, execution_options={"synchronize_session": False})
    return bool(done.rowcount)
