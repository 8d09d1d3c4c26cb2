"""Open signals and candles: what gets closed, what stays open and why, and what is never touched twice."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from stateful_engine.domain.barriers import RESOLVER_VERSION
from stateful_engine.errors import InvalidInputError
from stateful_engine.extension import Runtime
from stateful_engine.services.outcomes import (
    CLOSED_MEANWHILE,
    NO_CANDLES,
    Outcomes,
    ResolutionReport,
    resolve_outcomes,
)
from stateful_engine.storage import journal
from tests.factories import MOMENT

HOUR = timedelta(hours=1)
START = MOMENT.replace(minute=0, second=0, microsecond=0) + HOUR
"""When the first candle after `MOMENT` opens."""

LONG = {
    "symbol": "BTCUSDT",
    "timeframe": "1H",
    "action": "BUY",
    "entry_price": 100.0,
    "stop_loss": 98.0,
    "take_profit": 104.0,
}
QUIET = (100.0, 101.0, 99.0, 100.0)
UP = (100.0, 105.0, 99.5, 104.5)
DOWN = (100.0, 100.5, 97.0, 97.5)
BOTH = (100.0, 105.0, 97.0, 104.0)


def candles(*bars: tuple[float, ...], start: datetime = START, step: timedelta = HOUR) -> list[tuple[float, ...]]:
    return [((start + number * step).timestamp() * 1000, *bar) for number, bar in enumerate(bars)]


def save(runtime: Runtime, **changes: Any) -> str:
    return runtime.state_manager.save_signal_history(LONG | changes, durable=True)


def stored(runtime: Runtime, signal_id: str) -> dict[str, Any]:
    found = runtime.state_manager.get_signal(signal_id)
    assert found is not None
    return found


@pytest.fixture(autouse=True)
def at_the_moment(clock: Any) -> Any:
    return clock


@pytest.fixture
def outcomes(runtime: Runtime) -> Outcomes:
    return Outcomes(runtime.database, runtime.recorder, on_change=runtime.analytics.invalidate)


@pytest.fixture
def later(clock: Any) -> None:
    """Two days have gone by, so that all candles of a story are complete."""


def resolve(outcomes: Outcomes, clock: Any, *bars: tuple[float, ...], **options: Any) -> ResolutionReport:
    clock.set(MOMENT + timedelta(days=2))
    return outcomes.resolve({("BTCUSDT", "1H"): candles(*bars)}, **options)


def test_a_signal_whose_target_was_reached_is_closed_with_all_that_is_known(
    runtime: Runtime, outcomes: Outcomes, clock: Any
) -> None:
    signal_id = save(runtime)
    report = resolve(outcomes, clock, QUIET, UP)
    found = stored(runtime, signal_id)
    assert (found["outcome"], found["exit_reason"], found["exit_price"]) == ("WIN", "TP", 104.0)
    assert found["closed_at"] == (START + HOUR).isoformat()
    assert (found["pnl_percentage"], found["r_multiple"]) == (pytest.approx(4.0), pytest.approx(2.0))
    assert (found["mfe_r"], found["mae_r"]) == (pytest.approx(2.0), pytest.approx(-0.5))
    assert (found["mfe_pct"], found["mae_pct"]) == (pytest.approx(4.0), pytest.approx(-1.0))
    assert (found["resolved_by"], found["resolver_version"]) == ("barrier", RESOLVER_VERSION)
    assert (found["candle_source"], found["ambiguity_policy"]) == ("given:BTCUSDT-1H", "pessimistic")
    assert (found["ambiguous"], found["data_gap"]) == (False, False)
    assert (report.resolved, report.outcomes["WIN"], report.exit_reasons["TP"]) == (1, 1, 1)
