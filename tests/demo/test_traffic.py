"""The demo's traffic: a month that the analytics can show, made by the calls that hosts make."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from stateful_engine import get_signal_analytics_summary, get_state_manager
from stateful_engine.demo.candles import Candle, CandleStore, Series
from stateful_engine.demo.indicators import Structure
from stateful_engine.demo.strategy import Analysis
from stateful_engine.demo.traffic import PATIENCE, Exit, first_touch, play
from stateful_engine.domain.vocabulary import Action
from tests.factories import FakeClock

if TYPE_CHECKING:
    from collections import Counter

    from flask import Flask


@pytest.fixture
def played(app: Flask, clock: FakeClock) -> Counter[str]:
    with app.app_context():
        return play(CandleStore(), signals=60, seed=7)


def test_the_play_fills_every_report(app: Flask, played: Counter[str]) -> None:
    with app.app_context():
        report = get_signal_analytics_summary()
        month = get_state_manager().get_signal_performance_stats(days=30)
        queries = get_state_manager().get_query_analytics(days=30)
        interactions = get_state_manager().get_user_interaction_stats(days=30)
    assert month["total_signals"] == played["signals"] == 60
    assert month["executed_signals"] == played["executions"] > 0
    assert month["closed_signals"] == played["outcomes"] > 0
    assert month["winning_signals"] > 0
    assert month["losing_signals"] > 0
    assert queries["total_queries"] == 60 + played["failed queries"]
    generated_and_executed = 60 + played["executions"]
    assert interactions["total_interactions"] == played["interactions"] + generated_and_executed
    assert report["summary"]["total_signals_week"] > 0


def test_what_is_played_lies_in_the_last_thirty_days_and_in_order(
    app: Flask, clock: FakeClock, played: Counter[str]
) -> None:
    with app.app_context():
        signals = get_state_manager().get_signal_history(limit=100)
    moments = [signal["created_at"] for signal in signals]
    assert moments == sorted(moments, reverse=True)
    assert (clock.now() - timedelta(days=30)).isoformat() < moments[-1] < moments[0] <= clock.now().isoformat()
    for signal in signals:
        assert (signal["executed_at"] or signal["created_at"]) >= signal["created_at"]
        assert (signal["closed_at"] or signal["created_at"]) >= signal["created_at"]
        assert signal["query_id"].startswith("qry_")


def test_the_same_seed_tells_the_same_story(app: Flask, clock: FakeClock, played: Counter[str]) -> None:
    with app.app_context():
        first = get_state_manager().get_signal_history(limit=100)
        again = play(CandleStore(), signals=60, seed=7)
        both = get_state_manager().get_signal_history(limit=200)
    assert again == played
    told = [(signal["created_at"], signal["symbol"], signal["action"], signal["outcome"]) for signal in both]
    assert sorted(told) == sorted(2 * [(s["created_at"], s["symbol"], s["action"], s["outcome"]) for s in first])


def trade(action: Action, *, stop: float, target: float) -> Analysis:
    series = Series("BTCUSDT", "1H", (), "synthetic")
    structure = Structure("RANGING", None, None, broken=False)
    return Analysis(series, action, 60.0, 100.0, stop, (target,), "", {}, structure)


def bar(low: float, high: float) -> Candle:
    return Candle(0, 100.0, high, low, 100.0, 1.0)


@pytest.mark.parametrize(
    ("action", "stop", "target", "bars", "expected"),
    [
        (Action.BUY, 95, 110, [(99, 101), (100, 110)], Exit(110, 2, "TP")),
        (Action.BUY, 95, 110, [(95, 101), (100, 110)], Exit(95, 1, "SL")),
        (Action.BUY, 95, 110, [(94, 111)], Exit(95, 1, "SL")),
        (Action.SELL, 105, 90, [(90, 101)], Exit(90, 1, "TP")),
        (Action.SELL, 105, 90, [(99, 105)], Exit(105, 1, "SL")),
        (Action.BUY, 95, 110, [(96, 109)] * PATIENCE, Exit(100.0, PATIENCE, "EXPIRED")),
        (Action.BUY, 95, 110, [(96, 109)] * (PATIENCE - 1), None),
    ],
)
def test_the_first_touch_decides_and_the_stop_where_one_candle_touched_both(
    action: Action, stop: float, target: float, bars: list[tuple[float, float]], expected: Exit | None
) -> None:
    ahead = tuple(bar(low, high) for low, high in bars)
    assert first_touch(trade(action, stop=stop, target=target), ahead) == expected


def test_markets_that_are_too_short_are_refused(app: Flask, tmp_path: Path) -> None:
    (tmp_path / "BTCUSDT-1H.csv").write_text("ts,open,high,low,close,volume\n1735689600000,1,2,0.5,1.5,10\n")
    with app.app_context(), pytest.raises(ValueError, match="give a folder with longer files"):
        play(CandleStore(tmp_path), signals=1, seed=1)
