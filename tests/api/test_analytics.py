"""Reports on signals over HTTP: filters, breakdowns, charts; every figure is worked out from the cast by hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from stateful_engine.domain.clock import to_epoch_us
from stateful_engine.storage import intake
from tests.api.calls import PREFIX, assert_refused
from tests.factories import MOMENT

if TYPE_CHECKING:
    from flask.testing import FlaskClient

    from stateful_engine.extension import Runtime
    from tests.factories import FakeClock

R = {"WIN": 2.0, "LOSS": -1.0, "BREAKEVEN": 0.0}
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


@dataclass(frozen=True)
class Character:
    """A signal of the cast."""

    symbol: str
    timeframe: str
    action: str
    engine: str
    model: str | None
    prompt: str
    regime: str
    confidence: float
    made: datetime
    executed: bool
    outcome: str


def cast() -> list[Character]:
    """Ninety signals over thirty days, unlike in every respect."""
    return [
        Character(
            symbol=("BTCUSDT", "ETHUSDT", "XAUUSD")[number % 3],
            timeframe=("1H", "4H")[number % 2],
            action="BUY",
            engine=("sharp", "smc")[number // 2 % 2],
            model=(None, "gpt-4o", "gpt-4o-mini")[number % 3],
            prompt=("v1", "v2")[number % 5 == 0],
            regime=("BULLISH", "RANGING")[number % 7 == 0],
            confidence=float(40 + number * 2 // 3),
            made=MOMENT + timedelta(hours=8 * number),
            executed=number % 4 == 0,
            outcome=("WIN", "LOSS", "WIN", "PENDING", "BREAKEVEN")[number % 5],
        )
        for number in range(90)
    ]


CAST = cast()


@pytest.fixture
def played(runtime: Runtime, clock: FakeClock) -> None:
    """The cast is in the database, and the last of it has ended."""
    clock.set(CAST[-1].made + timedelta(hours=2))
    with runtime.database.connection() as connection:
        intake.insert(connection, {"signal_history": [row(number, one) for number, one in enumerate(CAST)]})


def row(number: int, one: Character) -> dict[str, Any]:
    """A signal as the recorder hands it over; it ends an hour after it was made."""
    closed = one.outcome != "PENDING"
    return {
        "signal_id": f"sig_{number:012x}_0",
        "symbol": one.symbol,
        "symbol_raw": one.symbol,
        "timeframe": one.timeframe,
        "action": one.action,
        "source_engine": one.engine,
        "ai_model": one.model,
        "prompt_version": one.prompt,
        "market_conditions": one.regime,
        "confidence": one.confidence,
        "created_at": to_epoch_us(one.made),
        "is_executed": one.executed,
        "outcome": one.outcome,
        "r_multiple": R.get(one.outcome),
        "closed_at": to_epoch_us(one.made + timedelta(hours=1)) if closed else None,
    }


def report(client: FlaskClient, kind: str = "signals", **query: Any) -> dict[str, Any]:
    answer = client.get(f"{PREFIX}/analytics/{kind}", query_string={"days": 90, **query})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json["analytics"]
    return found


FILTERS: dict[str, tuple[Any, Callable[[Character], bool]]] = {
    "symbol": ("eth/usdt", lambda one: one.symbol == "ETHUSDT"),
    "timeframe": ("240", lambda one: one.timeframe == "4H"),
    "action": ("sell", lambda one: one.action == "SELL"),
    "engine": ("smc", lambda one: one.engine == "smc"),
    "model": ("gpt-4o", lambda one: one.model == "gpt-4o"),
    "prompt_version": ("v2", lambda one: one.prompt == "v2"),
    "market_conditions": ("RANGING", lambda one: one.regime == "RANGING"),
    "hour": (17, lambda one: one.made.hour == 17),
    "weekday": ("tuesday", lambda one: one.made.weekday() == 1),
    "confidence": (85, lambda one: 80 <= one.confidence < 90),
    "min_confidence": (77, lambda one: one.confidence >= 77),
    "executed": ("true", lambda one: one.executed),
}


@pytest.mark.usefixtures("played")
def test_every_filter_restricts_every_report_to_the_signals_it_names(client: FlaskClient) -> None:
    for name, (value, is_meant) in FILTERS.items():
        meant = [one for one in CAST if is_meant(one)]
        outcomes = Counter(one.outcome for one in meant)
        query = {name: value}
        signals = report(client, **query)
        assert signals["total_signals"] == len(meant), name
        assert (signals["winning_signals"], signals["losing_signals"]) == (outcomes["WIN"], outcomes["LOSS"]), name
        assert report(client, "calibration", **query)["n"] == outcomes["WIN"] + outcomes["LOSS"], name
        assert report(client, "funnel", **query)["stages"][0]["count"] == len(meant), name
        charts = report(client, "charts", **query)
        assert sum(row["count"] for row in charts["r_histogram"]) == len(meant) - outcomes["PENDING"], name


@pytest.mark.usefixtures("played")
def test_filters_hold_together(client: FlaskClient) -> None:
    meant = [one for one in CAST if one.symbol == "BTCUSDT" and one.timeframe == "1H" and not one.executed]
    found = report(client, symbol="BTCUSDT", timeframe="1H", executed="false")
    assert found["total_signals"] == len(meant) > 0
    assert found["executed_signals"] == 0


BREAKDOWNS: dict[str, Callable[[Character], Any]] = {
    "symbol": lambda one: one.symbol,
    "timeframe": lambda one: one.timeframe,
    "symbol_timeframe": lambda one: f"{one.symbol} {one.timeframe}",
    "action": lambda one: one.action,
    "engine": lambda one: one.engine,
    "model": lambda one: one.model,
    "prompt_version": lambda one: one.prompt,
    "market_conditions": lambda one: one.regime,
    "confidence": lambda one: (
        "90-100" if one.confidence >= 90 else f"{int(one.confidence) // 10 * 10}-{int(one.confidence) // 10 * 10 + 9}"
    ),
    "executed": lambda one: one.executed,
    "hour": lambda one: one.made.hour,
    "weekday": lambda one: DAYS[one.made.weekday()],
}


@pytest.mark.usefixtures("played")
@pytest.mark.parametrize("extra", [{}, {"engine": "smc"}], ids=["all", "filtered"])
def test_signals_are_told_apart_by_anything_thin_cells_marked_the_best_first(
    client: FlaskClient, extra: dict[str, str]
) -> None:
    meant = [one for one in CAST if one.engine == extra.get("engine", one.engine)]
    for by, value_of in BREAKDOWNS.items():
        cells = report(client, by=by, **extra)["breakdown"]
        assert {cell["value"]: cell["count"] for cell in cells} == Counter(value_of(one) for one in meant), by
        assert all(cell["n"] == cell["winning"] + cell["losing"] for cell in cells)
        assert all(cell["thin"] is (cell["n"] < 20) for cell in cells)
        bounds = [cell["win_rate_ci"][0] for cell in cells if cell["win_rate_ci"]]
        assert bounds == sorted(bounds, reverse=True), by


@pytest.mark.usefixtures("played")
def test_a_pair_names_its_symbol_and_its_timeframe(client: FlaskClient) -> None:
    cells = report(client, by="symbol_timeframe")["breakdown"]
    assert all(cell["value"] == f"{cell['symbol']} {cell['timeframe']}" for cell in cells)


@pytest.mark.usefixtures("played")
def test_the_best_are_named_by_what_their_win_rate_is_at_least_and_thin_ones_are_not(client: FlaskClient) -> None:
    found = report(client)
    assert {one["engine"] for one in found["best_engines"]} == {"sharp", "smc"}
    assert found["best_engines"][0]["win_rate_ci"][0] >= found["best_engines"][1]["win_rate_ci"][0]
    assert found["best_symbols"] == []


@pytest.mark.usefixtures("played")
@pytest.mark.parametrize("extra", [{}, {"min_confidence": 0}], ids=["from pre-aggregates", "from rows"])
def test_charts_show_r_by_closing_day_its_spread_and_the_hours_of_the_week(
    client: FlaskClient, extra: dict[str, int]
) -> None:
    found = report(client, "charts", **extra)
    for name, who in (("all", CAST), ("executed", [one for one in CAST if one.executed])):
        days: Counter[str] = Counter()
        for one in who:
            if one.outcome != "PENDING":
                days[(one.made + timedelta(hours=1)).date().isoformat()] += int(R[one.outcome])
        curve = found["r_by_day"][name]
        assert {row["day"]: row["r"] for row in curve} == days
        assert curve[-1]["cumulative_r"] == sum(days.values())
        assert [row["day"] for row in curve] == sorted(days)
    bins = {row["low"]: row["count"] for row in found["r_histogram"] if row["count"]}
    assert bins == {low: sum(one.outcome == word for one in CAST) for word, low in R.items()}
    assert [row["low"] for row in found["r_histogram"][:2]] == [None, -5.0]
    assert [row["high"] for row in found["r_histogram"][-2:]] == [5.0, None]
    hours = Counter((DAYS[one.made.weekday()], one.made.hour) for one in CAST)
    assert {(row["weekday"], row["hour"]): row["count"] for row in found["by_weekday_hour"]} == hours


@pytest.mark.usefixtures("played")
def test_a_period_can_be_compared_with_the_one_before(client: FlaskClient, clock: FakeClock) -> None:
    now = clock.now()
    weeks = [
        sum(now - timedelta(days=7 * (ago + 1)) <= one.made <= now - timedelta(days=7 * ago) for one in CAST)
        for ago in (0, 1)
    ]
    found = [report(client, days=7, days_ago=ago)["total_signals"] for ago in (0, 7)]
    assert found == weeks


def test_what_cannot_be_meant_is_refused_with_its_place(client: FlaskClient) -> None:
    for name, value in (
        ("hour", "24"),
        ("weekday", "someday"),
        ("confidence", "101"),
        ("executed", "maybe"),
        ("by", "moon"),
        ("moon", "full"),
        ("symbol", ""),
    ):
        answer = client.get(f"{PREFIX}/analytics/signals", query_string={name: value})
        assert_refused(answer, 422, "VALIDATION_ERROR")
        assert [error["pointer"] for error in answer.json["errors"]] == [f"/query/{name}"]


KEYS = {
    "signals": """period_days total_signals executed_signals execution_rate winning_signals losing_signals
        breakeven_signals pending_signals closed_signals win_rate win_rate_ci avg_confidence avg_pnl expectancy
        profit_factor avg_r max_drawdown sharpe sortino sqn top_symbols by_timeframe by_action by_engine
        by_market_conditions by_day""",
    "queries": """total_queries successful_queries success_rate avg_processing_time_ms p50_processing_time_ms
        p95_processing_time_ms p99_processing_time_ms tokens cost_usd top_endpoints by_status by_model by_day
        unique_conversations unique_users""",
    "interactions": "total_interactions by_type by_source unique_users by_day",
    "summary": "signals queries interactions summary",
    "calibration": "n reliability brier expected_calibration_error auc by_engine by_model",
    "funnel": "stages by_source",
    "recommendations": """total_recommendations executed_count execution_rate avg_confidence wins losses win_rate
        avg_pnl avg_r by_symbol""",
    "engagement": "total_actions unique_users avg_actions_per_user popular_actions",
    "scanner": "signals",
}
INSIDE = {
    ("signals", "top_symbols"): "symbol count avg_confidence win_rate n",
    ("signals", "by_day"): "day count",
    ("calibration", "reliability"): "low high n wins win_rate win_rate_ci",
    ("funnel", "stages"): "stage count conversion conversion_ci median_seconds",
}


@pytest.mark.usefixtures("played")
def test_every_report_has_the_figures_that_are_promised_for_it(client: FlaskClient) -> None:
    for kind, names in KEYS.items():
        answer = client.get(f"{PREFIX}/analytics/{kind}")
        assert set(names.split()) <= answer.json["analytics"].keys(), kind
    for (kind, name), names in INSIDE.items():
        row = report(client, kind)[name][0]
        assert set(names.split()) <= row.keys(), name
    summary = report(client, "summary", days=None)
    assert {"daily", "weekly", "monthly"} == summary["signals"].keys()
    assert summary["summary"].keys() == {
        *("total_signals_today", "total_signals_week", "execution_rate_week", "win_rate_month"),
        *("query_success_rate", "total_interactions_week"),
    }
    assert len(report(client, "calibration")["reliability"]) == 10
