"""The queries: how fast and how well they were answered, by which models, at what cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask.typing import ResponseReturnValue

from stateful_engine.dashboard import formats
from stateful_engine.dashboard.listings import Asked, Column, Filter, Listing, asked, context
from stateful_engine.dashboard.rendering import render
from stateful_engine.domain.vocabulary import Scope
from stateful_engine.services import inputs
from stateful_engine.storage.gpt_queries import QueryFilters

if TYPE_CHECKING:
    from stateful_engine.extension import Runtime
    from stateful_engine.storage.pages import Page

WORKED = {"yes": True, "no": False}


def _fetch(runtime: Runtime, wanted: Asked, limit: int) -> Page:
    filters = QueryFilters(
        endpoint=wanted.get("endpoint"),
        session_id=wanted.get("session"),
        is_successful=WORKED.get(wanted.get("worked") or ""),
        since=inputs.window_start(wanted.days),
    )
    return runtime.state_manager.query_page(filters, wanted.cursor, limit)


LISTING = Listing(
    name="queries",
    title="Queries",
    columns=(
        Column("Time", "created_at", formats.moment),
        Column("Endpoint", "endpoint"),
        Column("Method", "method"),
        Column("Asked", "user_query", formats.excerpt, is_long=True),
        Column("Status", "response_status", formats.number, is_number=True),
        Column("ms", "processing_time_ms", formats.number, is_number=True),
        Column("Model", "ai_model_used"),
        Column("Tokens", "tokens_used", formats.number, is_number=True),
        Column("Cost $", "cost_usd", formats.cost, is_number=True),
        Column("Error", "error_message", formats.excerpt, is_long=True),
        Column("Session", "session_id"),
        Column("Query id", "query_id"),
    ),
    filters=(
        Filter("endpoint", "Endpoint"),
        Filter("worked", "Worked", (("yes", "yes"), ("no", "no"))),
        Filter("session", "Session"),
    ),
    fetch=_fetch,
    empty="No query was recorded in this period, or none that these filters let through.",
    command="@track_gpt_query above a view records its queries; POST /log-query records one from elsewhere",
    days=7,
    scope=Scope.QUERIES_READ,
)


def view(runtime: Runtime) -> ResponseReturnValue:
    """The figures of the period, and one page of its queries, newest first."""
    wanted = asked(LISTING)
    report = runtime.analytics.queries(days=wanted.days)
    return render("queries.html", report=report, **context(runtime, LISTING, wanted))
