"""Table `gpt_query_log`: every question that reached a tracked view or the API, and how it was answered."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Index, Integer, column, select, text, true
from sqlalchemy.orm import Mapped, Session, mapped_column

from stateful_engine.storage import pages
from stateful_engine.storage.base import Base, JsonStored, ShortText, big_id, to_dict
from stateful_engine.storage.pages import Page

TABLE = "gpt_query_log"

_FAILED = column("is_successful").is_(False)
_WITH_SESSION = text("session_id IS NOT NULL")
_WITH_USER = text("user_ref IS NOT NULL")
_STAMPED = text("experiment IS NOT NULL")


class GPTQueryLog(Base):
    """One query: who asked what, what came back, how long it took and what it cost."""

    __tablename__ = TABLE

    id: Mapped[int] = mapped_column(big_id(), primary_key=True)
    query_id: Mapped[str] = mapped_column(ShortText, unique=True)
    endpoint: Mapped[str | None] = mapped_column(ShortText)
    method: Mapped[str | None]
    request_params: Mapped[Any | None] = mapped_column(JsonStored)
    user_query: Mapped[str | None]
    response_status: Mapped[int | None]
    response_data: Mapped[Any | None] = mapped_column(JsonStored)
    processing_time_ms: Mapped[float | None]
    ai_model_used: Mapped[str | None]
    tokens_used: Mapped[int | None]
    prompt_tokens: Mapped[int | None]
    completion_tokens: Mapped[int | None]
    cost_usd: Mapped[float | None]
    ai_reasoning_time_ms: Mapped[float | None]
    confidence_score: Mapped[float | None]
    user_agent: Mapped[str | None]
    ip_address: Mapped[str | None]
    session_id: Mapped[str | None] = mapped_column(ShortText)
    referer: Mapped[str | None]
    conversation_ref: Mapped[str | None] = mapped_column(ShortText)
    user_ref: Mapped[str | None] = mapped_column(ShortText)
    gpt_id: Mapped[str | None]
    request_id: Mapped[str | None]
    is_successful: Mapped[bool] = mapped_column(default=True, server_default=true())
    error_message: Mapped[str | None]
    feedback_rating: Mapped[int | None] = mapped_column(Integer)
    created_at: Mapped[datetime]
    experiment: Mapped[str | None]
    variant: Mapped[str | None]

    __table_args__ = (
        Index("ix_gpt_query_log_experiment", "experiment", "id", postgresql_where=_STAMPED, sqlite_where=_STAMPED),
        Index(None, "created_at", "id"),
        Index(None, "endpoint", "created_at", "id"),
        Index(
            "ix_gpt_query_log_failed",
            "created_at",
            "id",
            postgresql_where=_FAILED,
            sqlite_where=_FAILED,
        ),
        Index(
            "ix_gpt_query_log_session",
            "session_id",
            "created_at",
            "id",
            postgresql_where=_WITH_SESSION,
            sqlite_where=_WITH_SESSION,
        ),
        Index(
            "ix_gpt_query_log_user",
            "user_ref",
            "created_at",
            "id",
            postgresql_where=_WITH_USER,
            sqlite_where=_WITH_USER,
        ),
        {"info": {"key": "query_id", "changing": frozenset({"feedback_rating"})}},
    )


@dataclass(frozen=True, slots=True)
class QueryFilters:
    """Which queries are wanted; `None` leaves a filter out. `end` is exclusive."""

    endpoint: str | None = None
    is_successful: bool | None = None
    session_id: str | None = None
    since: datetime | None = None
    end: datetime | None = None


def page(session: Session, filters: QueryFilters, cursor: str | None, limit: int) -> Page:
    """One page of queries, newest first; `limit` is at least 1. A bad cursor raises `InvalidInputError`."""
    conditions = pages.window(GPTQueryLog.created_at, filters.since, filters.end)
    if filters.endpoint is not None:
        conditions.append(GPTQueryLog.endpoint == filters.endpoint)
    if filters.session_id is not None:
        conditions.append(GPTQueryLog.session_id == filters.session_id)
    if filters.is_successful is not None:
        conditions.append(GPTQueryLog.is_successful.is_(filters.is_successful))
    return pages.page(session, GPTQueryLog, [conditions], cursor, limit)


def find(session: Session, query_id: str) -> dict[str, Any] | None:
    """The query with this id as a dict, or None."""
    row = session.scalar(select(GPTQueryLog).where(GPTQueryLog.query_id == query_id))
    return None if row is None else to_dict(row)
