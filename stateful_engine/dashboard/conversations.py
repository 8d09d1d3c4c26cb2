"""The conversations: what was said between people and models, and what it cost."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from flask import request, url_for
from flask.typing import ResponseReturnValue

from stateful_engine.dashboard import formats
from stateful_engine.dashboard.listings import Asked, Column, Filter, Listing, asked, context
from stateful_engine.dashboard.rendering import render
from stateful_engine.domain.vocabulary import Scope
from stateful_engine.services import inputs
from stateful_engine.services.conversations import ChatGPTLogger
from stateful_engine.services.performance import PerformanceDashboard

if TYPE_CHECKING:
    from stateful_engine.extension import Runtime
    from stateful_engine.storage.pages import Page

MESSAGES = 100


def _fetch(runtime: Runtime, wanted: Asked, limit: int) -> Page:
    logger = ChatGPTLogger(runtime.database)
    return logger.page(limit, wanted.cursor, days=wanted.days, user_id=wanted.get("user"))


LISTING = Listing(
    name="conversations",
    title="Conversations",
    columns=(
        Column(
            "Started",
            "started_at",
            formats.moment,
            page="conversation",
            page_argument="conversation_id",
            page_field="id",
        ),
        Column("Ended", "ended_at", formats.moment),
        Column("Person", "user_id"),
        Column("Chat", "chat_id"),
        Column("Messages", "message_count", formats.number, is_number=True),
        Column("Tokens", "total_tokens", formats.number, is_number=True),
        Column("Cost $", "openai_cost", formats.cost, is_number=True),
        Column("Model", "model"),
        Column("Channel", "channel"),
        Column("Id", "id"),
    ),
    filters=(Filter("user", "Person"),),
    fetch=_fetch,
    empty="No conversation began in this period, or none with this person.",
    command="ChatGPTLogger().start_conversation(user_id, chat_id), or engine.track_openai(client)",
    scope=Scope.CONVERSATIONS_READ,
)


def view(runtime: Runtime) -> ResponseReturnValue:
    """The cost of the period, and one page of its conversations, newest first."""
    wanted = asked(LISTING)
    costs = PerformanceDashboard(runtime.database).get_costs(wanted.days)
    return render("conversations.html", costs=costs, **context(runtime, LISTING, wanted))


def view_one(runtime: Runtime, conversation_id: str) -> ResponseReturnValue:
    """The messages of one conversation in their order, so many at a time."""
    number = inputs.whole(conversation_id, "conversation_id")
    after = inputs.whole(request.args.get("after") or 0, "after")
    logger = ChatGPTLogger(runtime.database)
    found = logger.get_conversation_history(number, MESSAGES + 1, after_id=after)
    shown = found[:MESSAGES]
    more = url_for(".conversation", conversation_id=number, after=shown[-1]["id"]) if len(found) > MESSAGES else None
    return render("conversation.html", number=number, messages=[_timed(one) for one in shown], next_url=more)


def _timed(message: dict[str, Any]) -> dict[str, Any]:
    at = datetime.fromtimestamp(message["timestamp"], timezone.utc)
    return {**message, "timestamp": at.isoformat()}
