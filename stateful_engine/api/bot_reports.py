"""Operations that report on the bot: recommendations, engagement, scanner, costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stateful_engine.api.analytics import MonthQuery, Report, WeekQuery
from stateful_engine.api.contract import Answer, Call, Nothing, Operation
from stateful_engine.api.schemas import Envelope
from stateful_engine.domain.vocabulary import Scope
from stateful_engine.services.performance import PerformanceDashboard

if TYPE_CHECKING:
    from stateful_engine.extension import Runtime


class BotReport(Envelope):
    """The report."""

    analytics: Report


def recommendations(runtime: Runtime, call: Call[MonthQuery, Nothing]) -> Answer:
    """What the bot's advice brought."""
    dashboard = PerformanceDashboard(runtime.database)
    return {"analytics": dashboard.get_recommendation_performance(call.query.days)}


def engagement(runtime: Runtime, call: Call[MonthQuery, Nothing]) -> Answer:
    """Who uses the bot, and how."""
    return {"analytics": PerformanceDashboard(runtime.database).get_user_engagement(call.query.days)}


def scanner(runtime: Runtime, call: Call[WeekQuery, Nothing]) -> Answer:
    """What the scanner found."""
    return {"analytics": PerformanceDashboard(runtime.database).get_signal_scanner_stats(call.query.days)}


def costs(runtime: Runtime, call: Call[MonthQuery, Nothing]) -> Answer:
    """What the models cost."""
    return {"analytics": PerformanceDashboard(runtime.database).get_costs(call.query.days)}


OPERATIONS = (
    Operation(
        name="getRecommendationAnalytics",
        method="GET",
        path="/analytics/recommendations",
        summary="Report on recommendations",
        description="How many recommendations were followed and what those brought, in all and by symbol.",
        scope=Scope.ANALYTICS_READ,
        handler=recommendations,
        query_model=MonthQuery,
        response_model=BotReport,
        tag="analytics",
    ),
    Operation(
        name="getEngagement",
        method="GET",
        path="/analytics/engagement",
        summary="Report on engagement",
        description="Actions, people, actions per person and the most popular actions.",
        scope=Scope.ANALYTICS_READ,
        handler=engagement,
        query_model=MonthQuery,
        response_model=BotReport,
        in_actions=False,
        tag="analytics",
    ),
    Operation(
        name="getScannerAnalytics",
        method="GET",
        path="/analytics/scanner",
        summary="Report on the scanner",
        description="Per symbol and direction how often the scanner found something and told it.",
        scope=Scope.ANALYTICS_READ,
        handler=scanner,
        query_model=WeekQuery,
        response_model=BotReport,
        in_actions=False,
        tag="analytics",
    ),
    Operation(
        name="getCosts",
        method="GET",
        path="/analytics/costs",
        summary="Report on costs",
        description="Tokens and cost of the messages by model, day and person, and per winning signal.",
        scope=Scope.ANALYTICS_READ,
        handler=costs,
        query_model=MonthQuery,
        response_model=BotReport,
        in_actions=False,
        tag="analytics",
    ),
)
