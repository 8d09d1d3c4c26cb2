"""The calls that users make, as the guide promises them: names, bodies and answers."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask, jsonify
from flask.testing import FlaskClient

import stateful_engine
from stateful_engine import (
    StatefulEngine,
    cache_analytics_data,
    get_cached_analytics_data,
    get_enhanced_integrator,
    get_signal_analytics_summary,
    get_state_manager,
    log_user_interaction,
    track_signal,
    track_signal_execution,
    track_signal_generation,
    track_telegram_click,
    update_signal_outcome,
)

SIGNAL_DATA = {
    "symbol": "BTCUSDT",
    "timeframe": "1H",
    "action": "BUY",
    "confidence": 85.5,
    "entry_price": 45000.0,
    "take_profit": 46500.0,
    "stop_loss": 44200.0,
    "risk_reward_ratio": 1.8,
    "ai_reasoning": "Strong bullish momentum...",
    "smc_analysis": {"order_blocks": ["45000-45200"], "fvg": "44800-45000", "choch": True},
    "market_conditions": "BULLISH",
}
STATE = "/api/gpts/state"


def generate_signal() -> dict[str, Any]:
    return {"signal": SIGNAL_DATA}


# HTTP


def test_a_posted_signal_is_answered_with_its_id_and_recorded_with_an_interaction(client: FlaskClient) -> None:
    answer = client.post(f"{STATE}/track-signal", json={"signal_data": SIGNAL_DATA, "source": "ChatGPT"})
    assert answer.status_code == 200
    body = answer.get_json()
    assert body["success"] is True
    assert body["api_version"] == "1.0.0"
    assert re.fullmatch(r"sig_[0-9a-f]{12}_[0-9]+", body["signal_id"])
    assert isinstance(body["processing_time_ms"], (int, float))
    assert body["server_time"].endswith(("Z", "+00:00"))

    stored = client.get(f"{STATE}/signal-history?limit=20&symbol=BTCUSDT&days=30").get_json()
    assert stored["total_returned"] == 1
    assert {name: stored["filters"][name] for name in ("limit", "symbol", "timeframe", "days")} == {
        "limit": 20,
        "symbol": "BTCUSDT",
        "timeframe": None,
        "days": 30,
    }
    assert stored["signals"][0]["signal_id"] == body["signal_id"]
    for name, value in SIGNAL_DATA.items():
        assert stored["signals"][0][name] == value

    seen = client.get(f"{STATE}/interactions").get_json()["interactions"]
    assert [(one["interaction_type"], one["signal_id"]) for one in seen] == [("SIGNAL_GENERATED", body["signal_id"])]


def test_a_flat_body_is_read_as_well(client: FlaskClient) -> None:
    body = client.post(f"{STATE}/track-signal", json={**SIGNAL_DATA, "source": "ChatGPT"}).get_json()
    stored = client.get(f"{STATE}/signal/{body['signal_id']}").get_json()["signal"]
    assert stored["symbol"] == "BTCUSDT"
    assert stored["source"] == "ChatGPT"


def test_an_execution_over_http_is_answered_with_its_interaction(client: FlaskClient) -> None:
    signal_id = client.post(f"{STATE}/track-signal", json={"signal_data": SIGNAL_DATA}).get_json()["signal_id"]
    execution = {"execution_price": 45100.0, "source": "TELEGRAM", "user_id": "telegram_123456"}
    body = client.post(f"{STATE}/signal/{signal_id}/execute", json=execution).get_json()
    assert body["success"] is True
    assert body["signal_id"] == signal_id
    again = client.post(f"{STATE}/signal/{signal_id}/execute", json=execution).get_json()
    assert again["interaction_id"] == body["interaction_id"]
    signal = client.get(f"{STATE}/signal/{signal_id}").get_json()["signal"]
    assert (signal["is_executed"], signal["execution_price"], signal["execution_source"]) == (True, 45100.0, "TELEGRAM")


def test_a_query_can_be_logged(client: FlaskClient) -> None:
    logged = {
        "query_data": {
            "endpoint": "/api/gpts/signal",
            "method": "POST",
            "params": {"symbol": "BTCUSDT"},
            "user_query": "Give me Bitcoin signal",
        },
        "response_data": {"status_code": 200, "data": {"confidence": 85.5}, "processing_time_ms": 1250},
    }
    body = client.post(f"{STATE}/log-query", json=logged).get_json()
    assert body["success"] is True
    assert body["query_id"].startswith("qry_")
    [query] = client.get(f"{STATE}/query-history").get_json()["queries"]
    assert query["query_id"] == body["query_id"]
    assert query["user_query"] == "Give me Bitcoin signal"
    assert query["processing_time_ms"] == 1250
    assert query["ai_model_used"] is None


def test_the_documented_analytics_come_out_of_the_documented_signals(app: Flask, client: FlaskClient) -> None:
    with app.app_context():
        for number in range(156):
            confidence = 82.3
            signal_id = track_signal({**SIGNAL_DATA, "confidence": confidence}, durable=number == 155)
            if number < 89:
                track_signal_execution(signal_id, 45100.0)
                update_signal_outcome(signal_id, "WIN" if number < 67 else "LOSS")
    analytics = client.get(f"{STATE}/analytics/signals?days=30").get_json()["analytics"]
    assert analytics["total_signals"] == 156
    assert analytics["executed_signals"] == 89
    assert analytics["execution_rate"] == 57.05
    assert analytics["winning_signals"] == 67
    assert analytics["losing_signals"] == 22
    assert analytics["win_rate"] == 75.28
    top = analytics["top_symbols"][0]
    assert (top["symbol"], top["count"], top["avg_confidence"]) == ("BTCUSDT", 156, 82.3)


@pytest.mark.parametrize("report", ["queries", "interactions"])
def test_the_other_reports_answer_without_data_too(client: FlaskClient, report: str) -> None:
    body = client.get(f"{STATE}/analytics/{report}?days=7").get_json()
    assert body["success"] is True
    assert body["analytics"][f"total_{report}"] == 0


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("POST", "/track-signal", {}, 400, "MISSING_SIGNAL_DATA"),
        ("POST", "/log-query", {}, 400, "MISSING_DATA"),
        ("GET", "/signal/sig_a1b2c3d4e5f6_1691234567", None, 404, "SIGNAL_NOT_FOUND"),
        ("GET", "/no-such-thing", None, 404, "ENDPOINT_NOT_FOUND"),
    ],
)
def test_errors_carry_their_code(
    client: FlaskClient, method: str, path: str, body: Any, status: int, code: str
) -> None:
    answer = client.open(STATE + path, method=method, json=body)
    assert (answer.status_code, answer.get_json()["error"]) == (status, code)
    assert answer.get_json()["success"] is False
    if code == "ENDPOINT_NOT_FOUND":
        assert any("track-signal" in str(endpoint) for endpoint in answer.get_json()["available_endpoints"])


# Python


def test_the_ten_lines_of_use_record_what_the_view_answers(make_app: Callable[..., Flask]) -> None:
    app = make_app()

    @app.get("/api/gpts/signal")
    @track_signal_generation(endpoint_name="/api/gpts/signal")
    def get_trading_signal() -> Any:
        return jsonify(generate_signal())

    answer = app.test_client().get("/api/gpts/signal")
    signal_id = answer.get_json()["signal_id"]
    assert answer.headers["X-Signal-ID"] == signal_id
    with app.app_context():
        signal = get_enhanced_integrator().get_signal_by_id(signal_id)
    assert signal is not None
    assert signal["endpoint"] == "/api/gpts/signal"
    assert signal["entry_price"] == 45000.0


def test_the_python_calls_work_as_they_are_written(app: Flask) -> None:
    with app.app_context():
        signal_id = track_signal(
            {"symbol": "BTCUSDT", "action": "BUY", "confidence": 85.5, "entry_price": 45000.0},
            source_engine="sharp_signal",
        )
        interaction_id = track_telegram_click(signal_id=signal_id, chat_id="123456789", username="trader_user")
        assert interaction_id.startswith("int_")

        integrator = get_enhanced_integrator()
        assert integrator.update_signal_performance(signal_id=signal_id, outcome="WIN", pnl_percentage=12.5) is True
        assert integrator.update_signal_performance("sig_a1b2c3d4e5f6_1691234567", "WIN") is False
        other_id = integrator.track_signal_from_engine(SIGNAL_DATA, "sharp_signal")
        stored = integrator.get_signal_by_id(other_id)
        assert stored is not None
        assert stored["source_engine"] == "sharp_signal"

        summary = integrator.get_comprehensive_analytics()["summary"]
        assert summary["total_signals_today"] == 2
        assert summary["win_rate_month"] == 100.0
        assert summary["execution_rate_week"] == 0
        assert get_signal_analytics_summary()["summary"]["total_signals_week"] == 2


def test_analytics_can_be_cached_by_the_host(app: Flask) -> None:
    with app.app_context():
        cache_analytics_data("signals", 7, {"total_signals": 3}, expire_seconds=300)
        assert get_cached_analytics_data("signals", 7) == {"total_signals": 3}
        assert get_cached_analytics_data("signals", 8) is None


def test_the_state_manager_saves_and_finds(app: Flask) -> None:
    with app.app_context():
        state_manager = get_state_manager()
        first = state_manager.save_signal_history(SIGNAL_DATA)
        second = state_manager.save_signal_history(SIGNAL_DATA, {"source": "SCHEDULER"})
        signals = state_manager.get_signal_history(limit=50)
        assert [signal["signal_id"] for signal in signals] == [second, first]
        interaction_id = state_manager.track_user_interaction(
            first, {"type": "CLICK", "source": "TELEGRAM", "data": {}, "user_id": "u1"}
        )
        assert interaction_id.startswith("int_")


def test_the_further_call_forms_work(app: Flask) -> None:
    with app.app_context():
        state_manager = get_state_manager()
        signal_id = state_manager.save_signal_history(SIGNAL_DATA, request_context=None)
        assert state_manager.update_signal_execution(signal_id, {"execution_price": 45100.0, "source": "TELEGRAM"})
        query_id = state_manager.log_gpt_query(
            {"endpoint": "/x", "method": "GET"}, {"status_code": 200}, request_context=None
        )
        assert query_id.startswith("qry_")
        assert log_user_interaction(
            signal_id, "FEEDBACK", "WEB", user_id="u1", additional_data={"rating": 5}
        ).startswith("int_")
        assert update_signal_outcome(signal_id, "WIN", pnl_percentage=2.0) is True

        assert state_manager.get_signal_performance_stats(days=30)["executed_signals"] == 1
        assert state_manager.get_query_analytics(days=7)["total_queries"] == 1
        assert state_manager.get_user_interaction_stats(days=7)["by_type"]["FEEDBACK"] == 1
        cleaned = state_manager.cleanup_old_data(days_to_keep=90)
        assert {name: cleaned[name] for name in ("deleted_signals", "deleted_queries", "deleted_interactions")} == {
            "deleted_signals": 0,
            "deleted_queries": 0,
            "deleted_interactions": 0,
        }
        assert cleaned["cutoff_date"]


def test_the_extension_flushes_and_closes(app: Flask, engine: StatefulEngine) -> None:
    with app.app_context():
        track_signal(SIGNAL_DATA)
        assert engine.flush(timeout=5.0) is True
    assert engine.close(timeout=5.0) is True


def test_every_promised_name_is_public_and_nothing_else_is() -> None:
    for name in stateful_engine.__all__:
        assert hasattr(stateful_engine, name)
    assert set(stateful_engine.__all__) >= {
        "StatefulEngine",
        "track_signal_generation",
        "track_gpt_query",
        "track_signal",
        "track_signal_execution",
        "track_telegram_click",
        "log_user_interaction",
        "update_signal_outcome",
        "get_state_manager",
        "get_enhanced_integrator",
        "get_signal_analytics_summary",
        "cache_analytics_data",
        "get_cached_analytics_data",
        "StateManager",
        "EnhancedSignalIntegrator",
        "SignalHistory",
        "GPTQueryLog",
        "UserInteraction",
        "StatefulEngineError",
    }
