"""The recommendations of the bot: whether they were followed, and what that brought."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask.typing import ResponseReturnValue

from stateful_engine.dashboard import formats
from stateful_engine.dashboard.listings import Asked, Column, Filter, Listing, asked, context
from stateful_engine.dashboard.rendering import render
from stateful_engine.domain.vocabulary import Scope
from stateful_engine.services.performance import PerformanceDashboard
from stateful_engine.services.recommendations import RecommendationLogger

if TYPE_CHECKING:
    from stateful_engine.extension import Runtime
    from stateful_engine.storage.pages import Page


def _fetch(runtime: Runtime, wanted: Asked, limit: int) -> Page:
    return RecommendationLogger(runtime.database).page(
        limit, wanted.cursor, days=wanted.days, user_id=wanted.get("user"), symbol=wanted.get("symbol")
    )


LISTING = Listing(
    name="recommendations",
    title="Recommendations",
    columns=(
        Column("Time", "created_at", formats.moment),
        Column("Person", "user_id"),
        Column("Symbol", "symbol"),
        Column("Direction", "direction"),
        Column("Confidence", "confidence", formats.number, is_number=True),
        Column("Entry", "entry_price", formats.price, is_number=True),
        Column("Stop", "stop_loss", formats.price, is_number=True),
        Column("Target", "take_profit", formats.price, is_number=True),
        Column("R:R", "risk_reward", formats.number, is_number=True),
        Column("Followed", "executed", formats.yes_no),
        Column("Ticket", "execution_ticket"),
        Column("P&L", "result_pnl", formats.signed, is_number=True),
        Column("R", "result_r", formats.signed, is_number=True),
        Column("Regime", "market_regime"),
        Column("Model", "model"),
        Column("Reasoning", "reasoning", formats.excerpt, is_long=True),
    ),
    filters=(Filter("symbol", "Symbol"), Filter("user", "Person")),
    fetch=_fetch,
    empty="Nothing was recommended in this period, or nothing that these filters let through.",
    command="RecommendationLogger().log_recommendation(user_id, symbol, direction, entry, stop_loss, take_profit)",
    scope=Scope.CONVERSATIONS_READ,
)


def view(runtime: Runtime) -> ResponseReturnValue:
    """How the advice of the period did, and one page of it, newest first."""
    wanted = asked(LISTING)
    report = PerformanceDashboard(runtime.database).get_recommendation_performance(wanted.days)
    return render("recommendations.html", report=report, **context(runtime, LISTING, wanted))
