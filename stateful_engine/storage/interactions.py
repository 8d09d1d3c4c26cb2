"""Table `user_interaction`: what people did with signals."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Index, select, text
from sqlalchemy.orm import Mapped, Session, mapped_column

from stateful_engine.domain.vocabulary import InteractionType
from stateful_engine.storage import pages
from stateful_engine.storage.base import Base, JsonStored, ShortText, big_id, to_dict
from stateful_engine.storage.pages import Page

TABLE = "user_interaction"


class UserInteraction(Base):
    """One thing that somebody did: with a signal, or without one."""

    __tablename__ = TABLE

    id: Mapped[int] = mapped_column(big_id(), primary_key=True)
    interaction_id: Mapped[str] = mapped_column(ShortText, unique=True)
    signal_id: Mapped[str | None] = mapped_column(ShortText)
    interaction_type: Mapped[str] = mapped_column(ShortText)
    interaction_source: Mapped[str] = mapped_column(ShortText)
    interaction_data: Mapped[Any | None] = mapped_column(JsonStored)
    user_id: Mapped[str | None] = mapped_column(ShortText)
    user_agent: Mapped[str | None]
    ip_address: Mapped[str | None]
    created_at: Mapped[datetime]

    __table_args__ = (
        Index(None, "created_at", "id"),
        Index(
            "ix_user_interaction_signal",
            "signal_id",
            "created_at",
            "id",
            postgresql_where=text("signal_id IS NOT NULL"),
            sqlite_where=text("signal_id IS NOT NULL"),
        ),
        Index(
            "ix_user_interaction_user",
            "user_id",
            "created_at",
            "id",
            postgresql_where=text("user_id IS NOT NULL"),
            sqlite_where=text("user_id IS NOT NULL"),
        ),
        Index(None, "interaction_type", "created_at", "id"),
        Index(None, "interaction_source", "created_at", "id"),
        {"info": {"key": "interaction_id", "changing": frozenset()}},
    )


@dataclass(frozen=True, slots=True)
class InteractionFilters:
    """Which interactions are wanted; `None` leaves a filter out. `end` is exclusive."""

    signal_id: str | None = None
    user_id: str | None = None
    interaction_type: str | None = None
    interaction_source: str | None = None
    since: datetime | None = None
    end: datetime | None = None


def page(session: Session, filters: InteractionFilters, cursor: str | None, limit: int) -> Page:
    """One page of interactions, newest first; `limit` is at least 1. A bad cursor raises `InvalidInputError`."""
    conditions = pages.window(UserInteraction.created_at, filters.since, filters.end)
    for name in ("signal_id", "user_id", "interaction_type", "interaction_source"):
        value = getattr(filters, name)
        if value is not None:
            conditions.append(getattr(UserInteraction, name) == value)
    return pages.page(session, UserInteraction, [conditions], cursor, limit)


def of_signal(session: Session, signal_id: str, *, limit: int = 1000) -> list[dict[str, Any]]:
    """What was done with a signal, oldest first, at most `limit`."""
    statement = (
        select(UserInteraction)
        .where(UserInteraction.signal_id == signal_id)
        .order_by(UserInteraction.created_at, UserInteraction.id)
        .limit(limit)
    )
    return [to_dict(row) for row in session.scalars(statement)]


def first_execution(session: Session, signal_id: str) -> str | None:
    """The id of the first interaction EXECUTE of a signal, or None."""
    return session.scalar(
        select(UserInteraction.interaction_id)
        .where(
            UserInteraction.signal_id == signal_id,
            UserInteraction.interaction_type == InteractionType.EXECUTE.value,
        )
        .order_by(UserInteraction.created_at, UserInteraction.id)
        .limit(1)
    )
