"""Table `user_actions`: what people did with the bot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Date, Index, Text, cast, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from stateful_engine.storage.base import Base, JsonStored, ShortText, big_id, utc_day
from stateful_engine.storage.pages import window

TABLE = "user_actions"


class UserAction(Base):
    """One action of one person in one chat; those from before 0010 and imported ones have no `action_id`."""

    __tablename__ = TABLE

    id: Mapped[int] = mapped_column(big_id(), primary_key=True)
    action_id: Mapped[str | None] = mapped_column(ShortText)
    user_id: Mapped[str] = mapped_column(ShortText)
    chat_id: Mapped[str | None] = mapped_column(ShortText)
    action_type: Mapped[str] = mapped_column(ShortText)
    action_data: Mapped[Any | None] = mapped_column(JsonStored)
    timestamp: Mapped[datetime]

    __table_args__ = (
        Index("uq_user_actions_action_id", "action_id", unique=True),
        Index(None, "timestamp", "id"),
        Index(None, "user_id", "timestamp", "id"),
        Index(None, "action_type", "timestamp", "id"),
        {"info": {"key": "action_id", "changing": frozenset(), "time": "timestamp"}},
    )


def insert(session: Session, values: Mapping[str, Any]) -> None:
    """Add an action; `timestamp` as a datetime or microseconds."""
    session.add(UserAction(**values))


def counts(session: Session, since: datetime | None, *, user_id: str | None = None) -> Sequence[tuple[str, int]]:
    """How often each kind of action was done in a window, the most frequent first."""
    chosen = [] if user_id is None else [UserAction.user_id == user_id]
    statement = (
        select(UserAction.action_type, func.count().label("count"))
        .where(*chosen, *window(UserAction.timestamp, since, None))
        .group_by(UserAction.action_type)
        .order_by(func.count().desc(), UserAction.action_type)
    )
    return [(kind, number) for kind, number in session.execute(statement)]


def unique_users(session: Session, since: datetime | None) -> int:
    """How many people did anything in a window."""
    statement = select(func.count(UserAction.user_id.distinct())).where(*window(UserAction.timestamp, since, None))
    return session.scalar(statement) or 0


def by_day(session: Session, since: datetime | None, limit: int) -> Sequence[tuple[str, int, int]]:
    """The latest days on which anybody did anything, oldest first: the day, how many people, how many actions."""
    day = utc_day(session, UserAction.timestamp).label("day")
    statement = (
        select(day, func.count(UserAction.user_id.distinct()).label("users"), func.count().label("actions"))
        .where(*window(UserAction.timestamp, since, None))
        .group_by(day)
        .order_by(day.desc())
        .limit(limit)
    )
    return [(str(row.day), row.users, row.actions) for row in session.execute(statement)][::-1]


def by_first_week(session: Session, since: datetime) -> Sequence[tuple[str, str, int]]:
    """How many of those first seen in one week were seen in another: `(first week, week, people)`, weeks as Mondays.

    Nobody was seen before `since`, as far as this knows.
    """
    day = utc_day(session, UserAction.timestamp).label("day")
    on = select(UserAction.user_id, day).where(UserAction.timestamp >= since).distinct().subquery()
    seen = select(on.c.user_id, _week(session, on.c.day).label("week")).distinct().subquery()
    first = func.min(seen.c.week).over(partition_by=seen.c.user_id).label("first")
    placed = select(first, seen.c.week).subquery()
    statement = (
        select(placed.c.first, placed.c.week, func.count().label("people"))
        .group_by(placed.c.first, placed.c.week)
        .order_by(placed.c.first, placed.c.week)
    )
    return [(str(row.first), str(row.week), row.people) for row in session.execute(statement)]


def _week(session: Session, day: ColumnElement[str]) -> ColumnElement[str]:
    """The Monday of the week of a day, both as text."""
    if session.get_bind().dialect.name == "sqlite":
        return func.strftime("%Y-%m-%d", day, "-6 days", "weekday 1", type_=Text)
    return func.to_char(func.date_trunc("week", cast(day, Date)), "YYYY-MM-DD", type_=Text)
