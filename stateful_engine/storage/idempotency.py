"""Table `idempotency_keys`: calls that must act once, and what they were answered."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import UniqueConstraint, delete, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from stateful_engine.storage.base import Base, JsonStored, ShortText, big_id

TABLE = "idempotency_keys"

PRUNED_AT_ONCE = 1000


class IdempotencyKey(Base):
    """One call: who made it under which name, what it said, and its answer once there is one."""

    __tablename__ = TABLE
    __table_args__ = (UniqueConstraint("caller", "operation", "key"),)

    id: Mapped[int] = mapped_column(big_id(), primary_key=True)
    caller: Mapped[str] = mapped_column(ShortText)
    operation: Mapped[str] = mapped_column(ShortText)
    key: Mapped[str] = mapped_column(ShortText)
    fingerprint: Mapped[str]
    status: Mapped[int | None]
    answer: Mapped[Any | None] = mapped_column(JsonStored)
    created_at: Mapped[datetime] = mapped_column(index=True)


@dataclass(frozen=True, slots=True)
class Name:
    """What makes a call the same call: who, what, and the name that the caller gave it."""

    caller: str
    operation: str
    key: str


def claim(session: Session, name: Name, *, fingerprint: str, at: datetime) -> bool:
    """Take a name; False when it is taken. The unique constraint decides, so two callers never both get it."""
    values = {"caller": name.caller, "operation": name.operation, "key": name.key}
    statement = _insert(session)(IdempotencyKey).values(**values, fingerprint=fingerprint, created_at=at)
    done: Any = session.execute(statement.on_conflict_do_nothing())
    return bool(done.rowcount)


def find(session: Session, name: Name) -> IdempotencyKey | None:
    """The call with this name, or None."""
    return session.scalar(select(IdempotencyKey).where(*_is(name)))


def answer(session: Session, name: Name, *, status: int, body: Any) -> None:
    """Keep what the call was answered."""
    session.execute(update(IdempotencyKey).where(*_is(name)).values(status=status, answer=body))


def release(session: Session, name: Name) -> None:
    """Give up a name whose call did not act, so that it can be made again."""
    session.execute(delete(IdempotencyKey).where(*_is(name), IdempotencyKey.status.is_(None)))


def take_over(session: Session, name: Name, *, older_than: datetime, at: datetime) -> bool:
    """Take the name of a call that was never answered because its process died; False when somebody else did."""
    statement = (
        update(IdempotencyKey)
        .where(*_is(name), IdempotencyKey.status.is_(None), IdempotencyKey.created_at < older_than)
        .values(created_at=at)
    )
    done: Any = session.execute(statement, execution_options={"synchronize_session": False})
    return bool(done.rowcount)


def prune(session: Session, *, older_than: datetime, limit: int = PRUNED_AT_ONCE) -> int:
    """Forget at most `limit` calls made before `older_than`, the oldest first; how many there were."""
    oldest = select(IdempotencyKey.id).where(IdempotencyKey.created_at < older_than)
    ids = list(session.scalars(oldest.order_by(IdempotencyKey.created_at).limit(limit)))
    statement = delete(IdempotencyKey).where(IdempotencyKey.id.in_(ids))
    session.execute(statement, execution_options={"synchronize_session": False})
    return len(ids)


def _is(name: Name) -> tuple[Any, ...]:
    return (
        IdempotencyKey.caller == name.caller,
        IdempotencyKey.operation == name.operation,
        IdempotencyKey.key == name.key,
    )


def _insert(session: Session) -> Any:
    """`INSERT` with `ON CONFLICT`, which each dialect spells in a class of its own."""
    if session.get_bind().dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert as postgresql_insert

        return postgresql_insert
    from sqlalchemy.dialects.sqlite import insert as sqlite_insert

    return sqlite_insert
