"""The calls that users make, as the guide promises them: names, bodies and answers; its blocks run word for word."""

from __future__ import annotations

import csv
import json
import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask, jsonify
from flask.testing import FlaskClient

import stateful_engine
from stateful_engine import (
    JournalRepo,
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
from tests.factories import shared_folder

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


TESTS = Path(__file__).parent
BOT_WORDS = {
    "user_id": 7_000_000_000_001,
    "chat_id": -100_123,
    "user_message": "Gold?",
    "reply": "Buy the dip.",
    "response": SimpleNamespace(usage=SimpleNamespace(total_tokens=420)),
    "symbol": "XAUUSD",
    "direction": "BUY",
    "entry": 2650.0,
    "sl": 2640.0,
    "tp": 2670.0,
    "reasoning": "Order block",
    "confidence": 85,
    "regime": "TREND",
    "seconds": 1.5,
    "ticket": 555,
    "pnl": 20.0,
    "r_multiple": 2.0,
    "data": "se:x:sig_a1b2c3d4e5f6_1691234567",
    "side": "BUY",
    "price": 2660.0,
    "new_sl": 2650.0,
}
"""What the names in the bot's block stand for."""


def guide_blocks(language: str) -> list[str]:
    """The fenced blocks of the guide, or in a clone without it those that were copied from it."""
    shared = shared_folder()
    guide = shared / "GUIDE.md" if shared is not None else TESTS / "guide.md"
    return re.findall(rf"^```{language}\n(.*?)^```$", guide.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)


def run_block(block: str, **words: Any) -> dict[str, Any]:
    """Run a block as it stands, with every public name imported; what it left behind."""
    names = {name: getattr(stateful_engine, name) for name in stateful_engine.__all__} | words
    exec(compile(block, "GUIDE.md", "exec"), names)
    return names


def generate_signal() -> dict[str, Any]:
    return {"signal": SIGNAL_DATA}


# Word for word


def test_every_block_of_the_guide_is_run_here() -> None:
    assert [len(guide_blocks(language)) for language in ("json", "python", r"\w*")] == [2, 2, 4]


@pytest.mark.parametrize(("path", "block"), list(zip(("track-signal", "log-query"), guide_blocks("json"), strict=True)))
def test_the_bodies_of_the_guide_are_taken_word_for_word(client: FlaskClient, path: str, block: str) -> None:
    answer = client.post(f"{STATE}/{path}", data=block, content_type="application/json")
    assert answer.status_code == 200
    stored = (
        client.get(f"{STATE}/signal-history").get_json()["signals"]
        + (client.get(f"{STATE}/query-history").get_json()["queries"])
    )
    assert [one.get("signal_id") or one.get("query_id") for one in stored] == [
        answer.get_json().get("signal_id") or answer.get_json().get("query_id")
    ]
    assert json.loads(block).popitem()


def test_the_python_block_runs_word_for_word(app: Flask) -> None:
    report = {"total_signals": 3}
    with app.app_context():
        left = run_block(
            guide_blocks("python")[0],
            jsonify=jsonify,
            generate_signal=generate_signal,
            signal_data=SIGNAL_DATA,
            analytics_data=report,
        )
    assert left["success"] is True
    assert left["cached"] == report
    assert left["analytics"]["summary"]["total_signals_today"] == 2
    assert left["signals"][0]["signal_id"] == left["signal_id"]
    assert len(left["signals"]) == 3
    assert left["interaction_id"].startswith("int_")
    app.add_url_rule("/api/gpts/signal", view_func=left["get_trading_signal"])
    answer = app.test_client().get("/api/gpts/signal")
    assert answer.headers["X-Signal-ID"] == answer.get_json()["signal_id"]


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory of the test's own; the root logger is given back as it was."""
    monkeypatch.chdir(tmp_path)
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield tmp_path
    for handler in set(root.handlers) - set(handlers):
        root.removeHandler(handler)
        handler.close()
    root.setLevel(level)


def test_the_block_of_the_bot_runs_word_for_word(app: Flask, elsewhere: Path) -> None:
    with app.app_context():
        left = run_block(guide_blocks("python")[1], **BOT_WORDS)
        logging.getLogger("bot").error("seen")
        history = left["chatgpt_logger"].get_conversation_history(left["conversation_id"])
        [conversation] = left["chatgpt_logger"].get_user_conversations(BOT_WORDS["user_id"])
        performance = left["dashboard"].get_recommendation_performance(days=30)
        engagement = left["dashboard"].get_user_engagement(days=30)
        trailing, oco = JournalRepo().recent(10)
    assert [(one["role"], one["content"], one["tokens_used"]) for one in history] == [
        ("user", "Gold?", None),
        ("assistant", "Buy the dip.", 420),
    ]
    assert conversation["ended_at"] is not None
    assert (performance["total_recommendations"], performance["win_rate"], performance["avg_r"]) == (1, 100.0, 2.0)
    assert engagement["popular_actions"] == {"button_click": 1}
    assert (oco["event"], oco["ticket"], oco["side"]) == ("oco_triggered", "555", "BUY")
    assert (trailing["event"], trailing["price"], trailing["sl"]) == ("trailing_stop_adjusted", 2660.0, 2650.0)
    with (elsewhere / "data/ml_training_data.csv").open(encoding="utf-8", newline="") as stream:
        [row] = csv.DictReader(stream)
    assert (row["symbol"], row["result_pnl"], row["win"]) == ("XAUUSD", "20.0", "1")
    assert "seen" in (elsewhere / "data/logs/errors.log").read_text("utf-8")


def test_the_other_form_of_the_logger_in_the_block_runs_too(elsewhere: Path) -> None:
    other = re.findall(r"# or (ChatGPTLogger\(.*?\))", guide_blocks("python")[1])
    assert len(other) == 1
    left = run_block(f"conversation_id = {other[0]}.start_conversation(1, 2)")
    assert left["conversation_id"] == 1
    assert (elsewhere / "data/journal.sqlite").is_file()


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
