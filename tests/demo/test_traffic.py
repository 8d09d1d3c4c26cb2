"""The demo's traffic: a month that the analytics can show, made by the calls that hosts make."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from stateful_engine import (
    ChatGPTLogger,
    Experiments,
    JournalRepo,
    PerformanceDashboard,
    get_signal_analytics_summary,
    get_state_manager,
)
from stateful_engine.demo.candles import CandleStore
from stateful_engine.demo.people import TRADERS
from stateful_engine.demo.traffic import EXPERIMENT, play
from tests.factories import FakeClock

if TYPE_CHECKING:
    from collections import Counter

    from flask import Flask

    from stateful_engine.extension import Runtime


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


def test_the_play_leaves_no_page_of_the_dashboard_empty(app: Flask, runtime: Runtime, played: Counter[str]) -> None:
    with app.app_context():
        figures = PerformanceDashboard()
        recommendations = figures.get_recommendation_performance(days=30)
        engagement = figures.get_user_engagement(days=30)
        scans = figures.get_signal_scanner_stats(days=30)["signals"]
        events = JournalRepo().recent(limit=100)
        verdict = Experiments().results(EXPERIMENT)["verdict"]
        talks = [ChatGPTLogger().get_user_conversations(f"demo-trader-{number}") for number in range(TRADERS)]
        signals = get_state_manager().get_signal_history(limit=100)
    assert recommendations["executed_count"] > 0
    assert recommendations["wins"] + recommendations["losses"] > 0
    assert engagement["total_actions"] == played["actions"] > 0
    assert sum(row["count"] for row in scans) == played["scans"]
    assert sum(row["notified_count"] for row in scans) > 0
    assert {event["event"] for event in events} >= {"trade_exec", "trade_closed"}
    assert verdict["state"]
    assert sum(map(len, talks)) == played["conversations"] > 0
    closed = [signal for signal in signals if signal["outcome"] in {"WIN", "LOSS"}]
    assert closed
    assert all(signal["mae_r"] is not None and signal["resolver_version"] for signal in closed)
    assert {signal["prompt_version"] for signal in signals} == {"v1", "v2"}


def test_a_second_play_goes_on_with_the_same_experiment(app: Flask, clock: FakeClock, played: Counter[str]) -> None:
    with app.app_context():
        play(CandleStore(), signals=5, seed=8)
        assert [one["name"] for one in Experiments().recent()] == [EXPERIMENT]


def test_markets_that_are_too_short_are_refused(app: Flask, tmp_path: Path) -> None:
    (tmp_path / "BTCUSDT-1H.csv").write_text("ts,open,high,low,close,volume\n1735689600000,1,2,0.5,1.5,10\n")
    with app.app_context(), pytest.raises(ValueError, match="give a folder with longer files"):
        play(CandleStore(tmp_path), signals=1, seed=1)
