"""Engagement: who uses the bot and the signals, who comes back, and what people do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask.typing import ResponseReturnValue

from stateful_engine.dashboard import formats, svg
from stateful_engine.dashboard.listings import Asked, Column, Filter, Listing, asked, context
from stateful_engine.dashboard.rendering import render
from stateful_engine.domain.vocabulary import Scope
from stateful_engine.services.actions import AnalyticsLogger
from stateful_engine.services.performance import PerformanceDashboard

if TYPE_CHECKING:
    from stateful_engine.extension import Runtime
    from stateful_engine.storage.pages import Page


def _fetch(runtime: Runtime, wanted: Asked, limit: int) -> Page:
    return AnalyticsLogger(runtime).page(
        limit, wanted.cursor, days=wanted.days, user_id=wanted.get("user"), action_type=wanted.get("action")
    )


WEEKS = 8

LISTING = Listing(
    name="engagement",
    title="Engagement",
    columns=(
        Column("Time", "timestamp", formats.moment),
        Column("Person", "user_id"),
        Column("Chat", "chat_id"),
        Column("Action", "action_type"),
        Column("Details", "action_data", formats.compact, is_long=True),
    ),
    filters=(Filter("action", "Action"), Filter("user", "Person")),
    fetch=_fetch,
    empty="Nobody did anything with the bot in this period, or nothing that these filters let through.",
    command='AnalyticsLogger().log_action(user_id, chat_id, "button_click")',
    scope=Scope.INTERACTIONS_READ,
)


def view(runtime: Runtime) -> ResponseReturnValue:
    """Active people, who came back, popular actions, and one page of actions, newest first."""
    wanted = asked(LISTING)
    board = PerformanceDashboard(runtime.database)
    days = board.get_daily_activity(wanted.days or 365)
    return render(
        "engagement.html",
        report=board.get_user_engagement(wanted.days),
        interactions=runtime.analytics.interactions(days=wanted.days),
        days=days,
        line=svg.sparkline([day["users"] for day in days], title="Active people by day", unit="people"),
        retention=board.get_retention(WEEKS),
        weeks_later=[f"+{week}" for week in range(1, WEEKS)],
        **context(runtime, LISTING, wanted),
    )
