"""Tables `chatgpt_conversations` and `chatgpt_messages`: what was said between a person and a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    Numeric,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.orm import Mapped, Session, mapped_column

from stateful_engine.storage import pages
from stateful_engine.storage.base import Base, ShortText, big_id, utc_day

TABLE = "chatgpt_conversations"
MESSAGES = "chatgpt_messages"

_OPEN = text("ended_at IS NULL")


class Conversation(Base):
    """One conversation: with whom, where, how long and at what cost; its sums are kept with its messages."""

    __tablename__ = TABLE

    id: Mapped[int] = mapped_column(big_id(), primary_key=True)
    user_id: Mapped[str] = mapped_column(ShortText)
    chat_id: Mapped[str | None] = mapped_column(ShortText)
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    message_count: Mapped[int] = mapped_column(default=0, server_default="0")
    total_tokens: Mapped[int] = mapped_column(default=0, server_default="0")
    openai_cost: Mapped[Decimal | None] = mapped_column(Numeric(18, 9))
    model: Mapped[str | None]
    channel: Mapped[str | None]
    last_message_at: Mapped[datetime | None]

    __table_args__ = (
        Index(None, "user_id", "started_at", "id"),
        Index(None, "started_at", "id"),
        Index("ix_chatgpt_conversations_open", "user_id", "chat_id", "id", postgresql_where=_OPEN, sqlite_where=_OPEN),
        {"info": {"time": "started_at"}},
    )


class Message(Base):
    """One message of a conversation, with the tokens and the time that it took."""

    __tablename__ = MESSAGES

    id: Mapped[int] = mapped_column(big_id(), primary_key=True)
    conversation_id: Mapped[int] = mapped_column(BigInteger, ForeignKey(f"{TABLE}.id", ondelete="CASCADE"))
    role: Mapped[str]
    content: Mapped[str | None]
    timestamp: Mapped[datetime]
    tokens_used: Mapped[int | None]
    prompt_tokens: Mapped[int | None]
    completion_tokens: Mapped[int | None]
    cached_tokens: Mapped[int | None]
    reasoning_tokens: Mapped[int | None]
    cost_usd: Mapped[Decimal | None] = mapped_column(Numeric(18, 9))
    model: Mapped[str | None] = mapped_column(default="gpt-4o-mini", server_default="gpt-4o-mini")
    latency_ms: Mapped[float | None]
    experiment: Mapped[str | None]
    variant: Mapped[str | None]

    __table_args__ = (
        CheckConstraint("role IN ('user', 'assistant', 'system', 'tool', 'developer')", name="role"),
        Index(None, "conversation_id", "id"),
        Index(None, "timestamp", "id"),
        {"info": {"time": "timestamp"}},
    )


def start(session: Session, values: Mapping[str, Any]) -> int:
    """Add a conversation; returns its id."""
    row = Conversation(**values)
    session.add(row)
    session.flush()
    return row.id


def hold(session: Session, user_id: str, chat_id: str | None) -> None:
    """Let nobody else begin a conversation of this person in this chat until the transaction ends."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.pg_advisory_xact_lock(func.hashtext(TABLE), func.hashtext(f"{user_id} {chat_id}"))))


def find_open(
    session: Session, user_id: str, chat_id: str | None, *, channel: str | None = None
) -> Conversation | None:
    """The newest conversation of a person in a chat (and on a channel) that has not ended, or None."""
    on_channel = () if channel is None else (Conversation.channel == channel,)
    statement = (
        select(Conversation)
        .where(
            Conversation.user_id == user_id,
            Conversation.chat_id == chat_id,
            Conversation.ended_at.is_(None),
            *on_channel,
        )
        .order_by(Conversation.id.desc())
        .limit(1)
    )
    return session.scalar(statement)


def add_message(session: Session, values: Mapping[str, Any]) -> int | None:
    """Add a message and count it in its conversation; its id, or None when there is no such conversation."""
    cost = values.get("cost_usd")
    changed: Any = session.execute(
        update(Conversation)
        .where(Conversation.id == values["conversation_id"])
        .values(
            message_count=Conversation.message_count + 1,
            total_tokens=Conversation.total_tokens + (values.get("tokens_used") or 0),
            openai_cost=Conversation.openai_cost if cost is None else func.coalesce(Conversation.openai_cost, 0) + cost,
            model=func.coalesce(values.get("model"), Conversation.model),
            last_message_at=values["timestamp"],
        ),
        execution_options={"synchronize_session": False},
    )
    if not changed.rowcount:
        return None
    return session.execute(insert(Message).values(**values).returning(Message.id)).scalar_one()


def end(session: Session, conversation_id: int, at: datetime) -> bool:
    """Mark a conversation as ended, once; False when there is none."""
    row = session.get(Conversation, conversation_id)
    if row is None:
        return False
    if row.ended_at is None:
        row.ended_at = at
    return True


def close_stale(session: Session, idle_since: datetime) -> int:
    """End the conversations without a message since `idle_since`, at the time of their last one; how many."""
    last = func.coalesce(Conversation.last_message_at, Conversation.started_at)
    done: Any = session.execute(
        update(Conversation).where(Conversation.ended_at.is_(None), last < idle_since).values(ended_at=last),
        execution_options={"synchronize_session": False},
    )
    return int(done.rowcount)


def exists(session: Session, conversation_id: int) -> bool:
    """Whether there is a conversation with this id."""
    return session.scalar(select(Conversation.id).where(Conversation.id == conversation_id)) is not None


def messages(session: Session, conversation_id: int, *, after_id: int = 0, limit: int = 1000) -> Sequence[Message]:
    """The messages of a conversation in the order in which they were logged, from `after_id` on."""
    statement = (
        select(Message)
        .where(Message.conversation_id == conversation_id, Message.id > after_id)
        .order_by(Message.id)
        .limit(limit)
    )
    return session.scalars(statement).all()


def newest_messages(session: Session, conversation_id: int, *, limit: int) -> Sequence[Message]:
    """The last messages of a conversation in the order in which they were logged."""
    statement = (
        select(Message).where(Message.conversation_id == conversation_id).order_by(Message.id.desc()).limit(limit)
    )
    return list(reversed(session.scalars(statement).all()))


def of_user(session: Session, user_id: str, limit: int) -> Sequence[Conversation]:
    """The newest conversations of a person."""
    statement = (
        select(Conversation)
        .where(Conversation.user_id == user_id)
        .order_by(Conversation.started_at.desc(), Conversation.id.desc())
        .limit(limit)
    )
    return session.scalars(statement).all()


def costs(session: Session, since: datetime | None, by: str | None = None) -> Sequence[Mapping[str, Any]]:
    """Messages, tokens, cost and messages of unknown cost in a window: in all, or by `model`, `user_id` or `day`."""
    keys: list[Any] = []
    if by is not None:
        day = utc_day(session, Message.timestamp)
        chosen = {"model": Message.model, "user_id": Conversation.user_id, "day": day}[by]
        keys = [chosen.label("key")]
    paid = Message.role == "assistant"
    statement = (
        select(
            *keys,
            func.count().label("messages"),
            func.coalesce(func.sum(Message.tokens_used), 0).label("tokens"),
            func.sum(Message.cost_usd).label("cost_usd"),
            func.count().filter(paid, Message.cost_usd.is_(None)).label("unknown_cost"),
        )
        .join(Conversation, Conversation.id == Message.conversation_id)
        .where(*pages.window(Message.timestamp, since, None))
    )
    grouped = (
        statement.group_by(*keys).order_by(func.sum(Message.cost_usd).desc(), *keys).limit(100) if keys else statement
    )
    return [dict(row) for row in session.execute(grouped).mappings()]
