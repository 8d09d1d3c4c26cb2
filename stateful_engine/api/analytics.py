"""Operations that report: what the recorded signals, queries and interactions amount to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from stateful_engine.api import fields
from stateful_engine.api.contract import Answer, Call, Nothing, Operation
from stateful_engine.api.schemas import Envelope, Query
from stateful_engine.domain.vocabulary import Scope

if TYPE_CHECKING:
    from stateful_engine.extension import Runtime


class MonthQuery(Query):
    """The window of a report."""

    days: fields.Days = Field(default=30, description="How many days to look back; 0 means everything.")


class WeekQuery(Query):
    """The window of a report."""

    days: fields.Days = Field(default=7, description="How many days to look back; 0 means everything.")


class Report(BaseModel):
    """A report; every rate carries its n and a 95 % Wilson interval, figures without data are 0 or null."""

    model_config = ConfigDict(extra="allow")


class SymbolFigures(Report):
    """One symbol of a report."""

    symbol: str | None
    count: int
    avg_confidence: float | None = None
    win_rate: float | None = None
    n: int | None = None


class SignalFigures(Report):
    """What the signals of the window amount to; rates in percent."""

    total_signals: int
    executed_signals: int
    execution_rate: float
    winning_signals: int
    win_rate: float
    top_symbols: list[SymbolFigures]


class QueryFigures(Report):
    """What the queries of the window amount to; rates in percent."""

    total_queries: int
    successful_queries: int
    success_rate: float


class InteractionFigures(Report):
    """What people did in the window."""

    total_interactions: int
    by_type: Any = None
    by_source: Any = None


class SummaryFigures(Report):
    """Signals by day, week and month, queries, interactions, and the figures looked at first."""

    summary: Report


class SignalAnalytics(Envelope):
    """The report on signals."""

    analytics: SignalFigures


class QueryAnalytics(Envelope):
    """The report on queries."""

    analytics: QueryFigures


class InteractionAnalytics(Envelope):
    """The report on interactions."""

    analytics: InteractionFigures


class SummaryAnalytics(Envelope):
    """The report on everything."""

    analytics: SummaryFigures


def signals(runtime: Runtime, call: Call[MonthQuery, Nothing]) -> Answer:
    """How many signals there were, how many were traded, how many won."""
    return {"analytics": runtime.analytics.signals(days=call.query.days)}


def queries(runtime: Runtime, call: Call[WeekQuery, Nothing]) -> Answer:
    """How many queries there were, how many worked, how long they took."""
    return {"analytics": runtime.analytics.queries(days=call.query.days)}


def interactions(runtime: Runtime, call: Call[WeekQuery, Nothing]) -> Answer:
    """What people did, by type and source."""
    return {"analytics": runtime.analytics.interactions(days=call.query.days)}


def summary(runtime: Runtime, _: Call[Nothing, Nothing]) -> Answer:
    """Everything that is looked at first."""
    return {"analytics": runtime.analytics.summary()}


OPERATIONS = (
    Operation(
        name="getSignalAnalytics",
        method="GET",
        path="/analytics/signals",
        summary="Report on signals",
        description="Counts, execution rate, win rate with interval, profit and R of the signals of the last days.",
        scope=Scope.ANALYTICS_READ,
        handler=signals,
        query_model=MonthQuery,
        response_model=SignalAnalytics,
        tag="analytics",
    ),
    Operation(
        name="getQueryAnalytics",
        method="GET",
        path="/analytics/queries",
        summary="Report on queries",
        description="Counts, success rate, latencies, tokens and cost of the queries of the last days.",
        scope=Scope.ANALYTICS_READ,
        handler=queries,
        query_model=WeekQuery,
        response_model=QueryAnalytics,
        tag="analytics",
    ),
    Operation(
        name="getInteractionAnalytics",
        method="GET",
        path="/analytics/interactions",
        summary="Report on interactions",
        description="What people did with signals in the last days, by type and source.",
        scope=Scope.ANALYTICS_READ,
        handler=interactions,
        query_model=WeekQuery,
        response_model=InteractionAnalytics,
        tag="analytics",
    ),
    Operation(
        name="getAnalyticsSummary",
        method="GET",
        path="/analytics/summary",
        summary="Report on everything",
        description="Signals by day, week and month, queries, interactions, and the six figures looked at first.",
        scope=Scope.ANALYTICS_READ,
        handler=summary,
        response_model=SummaryAnalytics,
        tag="analytics",
    ),
)
