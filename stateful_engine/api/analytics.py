"""Operations that report: what the recorded signals, queries and interactions amount to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, Field

from stateful_engine.api import fields
from stateful_engine.api.contract import Answer, Call, Nothing, Operation
from stateful_engine.api.schemas import Envelope, Model, Query
from stateful_engine.domain.vocabulary import Scope

if TYPE_CHECKING:
    from stateful_engine.extension import Runtime


class MonthQuery(Query):
    """The window of a report."""

    days: fields.Days = Field(default=30, description="How many days to look back; 0 means everything.")


class WeekQuery(Query):
    """The window of a report."""

    days: fields.Days = Field(default=7, description="How many days to look back; 0 means everything.")


class SignalFilters(MonthQuery):
    """The window of a report, and which of its signals are meant."""

    symbol: fields.FilterText | None = Field(default=None, description="Only this symbol, in any spelling.")
    timeframe: fields.Timeframe | None = Field(default=None, description="Only this timeframe.")
    action: fields.ActionWord | None = Field(default=None, description="Only this action.")
    engine: fields.FilterText | None = Field(default=None, description="Only signals of this engine.")
    model: fields.FilterText | None = Field(default=None, description="Only signals of this AI model.")
    prompt_version: fields.FilterText | None = Field(default=None, description="Only signals of this prompt version.")
    market_conditions: fields.FilterText | None = Field(default=None, description="Only this market regime.")
    hour: fields.HourOfDay | None = Field(default=None, description="Only signals made in this hour of the day, UTC.")
    weekday: fields.WeekdayWord | None = Field(default=None, description="Only signals made on this weekday, UTC.")
    confidence: fields.WholePercent | None = Field(
        default=None,
        description="Only signals in the same ten points of confidence: 80 to 89 for 85, 90 to 100 for 90.",
    )
    min_confidence: fields.WholePercent | None = Field(default=None, description="Only signals at least so confident.")
    executed: fields.QueryFlag | None = Field(
        default=None, description="Only signals that were, or were not, acted on."
    )

    def filters(self) -> dict[str, Any]:
        """What restricts the report, by the names that `Analytics` takes."""
        return self.model_dump(exclude_none=True, exclude={"days", "days_ago", "by"})


class SignalQuery(SignalFilters):
    """The window, the filters, and what to tell the signals apart by."""

    days_ago: fields.Days = Field(default=0, description="How many days ago the window ends.")
    by: fields.BreakdownWord | None = Field(
        default=None, description="Adds `breakdown`: a cell per value, the best first by what its win rate is at least."
    )


class Report(Model):
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


class ChartFigures(Report):
    """R by closing day, the spread of R, and the hours of the week."""

    r_by_day: Any
    r_histogram: list[Any]
    by_weekday_hour: list[Any]


class CalibrationFigures(Report):
    """Stated confidence against observed wins; figures are null below their `minimum_n`."""

    n: int
    reliability: list[Any]


class FunnelFigures(Report):
    """How many signals were generated, seen, executed and closed."""

    stages: list[Any]


class SignalAnalytics(Envelope):
    """The report on signals."""

    analytics: SignalFigures


class ChartAnalytics(Envelope):
    """What charts are drawn from."""

    analytics: ChartFigures


class CalibrationAnalytics(Envelope):
    """The report on calibration."""

    analytics: CalibrationFigures


class FunnelAnalytics(Envelope):
    """The report on the way of signals."""

    analytics: FunnelFigures


class QueryAnalytics(Envelope):
    """The report on queries."""

    analytics: QueryFigures


class InteractionAnalytics(Envelope):
    """The report on interactions."""

    analytics: InteractionFigures


class SummaryAnalytics(Envelope):
    """The report on everything."""

    analytics: SummaryFigures


def signals(runtime: Runtime, call: Call[SignalQuery, Nothing]) -> Answer:
    """How many signals there were, how many were traded, how many won."""
    asked = call.query
    found = runtime.analytics.signals(asked.days, by=asked.by, days_ago=asked.days_ago, **asked.filters())
    return {"analytics": found}


def charts(runtime: Runtime, call: Call[SignalFilters, Nothing]) -> Answer:
    """What charts are drawn from."""
    return {"analytics": runtime.analytics.charts(call.query.days, **call.query.filters())}


def calibration(runtime: Runtime, call: Call[SignalFilters, Nothing]) -> Answer:
    """Whether stated confidence may be trusted."""
    return {"analytics": runtime.analytics.calibration(call.query.days, **call.query.filters())}


def funnel(runtime: Runtime, call: Call[SignalFilters, Nothing]) -> Answer:
    """How far signals came."""
    return {"analytics": runtime.analytics.funnel(call.query.days, **call.query.filters())}


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
        query_model=SignalQuery,
        response_model=SignalAnalytics,
        tag="analytics",
    ),
    Operation(
        name="getCalibration",
        method="GET",
        path="/analytics/calibration",
        summary="Report on calibration",
        description="Stated confidence against observed wins by ten points, Brier score, AUC; by engine and model.",
        scope=Scope.ANALYTICS_READ,
        handler=calibration,
        query_model=SignalFilters,
        response_model=CalibrationAnalytics,
        tag="analytics",
    ),
    Operation(
        name="getFunnel",
        method="GET",
        path="/analytics/funnel",
        summary="Report on the way of signals",
        description="How many signals were generated, seen, executed and closed, with median times, by source.",
        scope=Scope.ANALYTICS_READ,
        handler=funnel,
        query_model=SignalFilters,
        response_model=FunnelAnalytics,
        tag="analytics",
    ),
    Operation(
        name="getSignalCharts",
        method="GET",
        path="/analytics/charts",
        summary="What charts are drawn from",
        description="R by closing day of all and of executed signals, the spread of R, results by hour of the week.",
        scope=Scope.ANALYTICS_READ,
        handler=charts,
        query_model=SignalFilters,
        response_model=ChartAnalytics,
        in_actions=False,
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
