"""The bot's memory: what a trading bot must remember, with an app and without one."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event

from stateful_engine import (
    AnalyticsLogger,
    ChatGPTLogger,
    ConfigurationError,
    InvalidInputError,
    JournalRepo,
    NotFoundError,
    PerformanceDashboard,
    RecommendationLogger,
    ScannerLogger,
    StatefulEngine,
)
from stateful_engine.errors import ConflictError
from stateful_engine.extension import Runtime
from stateful_engine.recording.records import Rows
from stateful_engine.storage.database import Database

BIG_ID = 7_000_000_000_000
MADE_US = 1_700_000_000_000_000


# Conversations


def test_a_conversation_keeps_its_messages_in_order_with_tokens_and_cost(database_url: str) -> None:
    logger = ChatGPTLogger(database_url=database_url)
    conversation_id = logger.start_conversation(BIG_ID, -100123)
    logger.log_message(conversation_id, "user", "Gold?")
    logger.log_message(
        conversation_id,
        "assistant",
        "Buy.",
        model="gpt-4o-mini",
        usage={
            "prompt_tokens": 1000,
            "completion_tokens": 500,
            "total_tokens": 1500,
            "prompt_tokens_details": {"cached_tokens": 400},
            "completion_tokens_details": {"reasoning_tokens": 100},
        },
    )
    logger.end_conversation(conversation_id)
    history = logger.get_conversation_history(conversation_id)
    assert [(one["role"], one["content"], one["tokens_used"]) for one in history] == [
        ("user", "Gold?", None),
        ("assistant", "Buy.", 1500),
    ]
    assert isinstance(history[0]["timestamp"], float)
    [conversation] = logger.get_user_conversations(BIG_ID)
    assert (conversation["message_count"], conversation["total_tokens"]) == (2, 1500)
    expected = (
        Decimal(600) * Decimal("0.15") + Decimal(400) * Decimal("0.075") + Decimal(500) * Decimal("0.60")
    ) / 10**6
    assert conversation["openai_cost"] == pytest.approx(float(expected))
    assert conversation["ended_at"] >= conversation["started_at"]


def test_the_price_of_an_unknown_model_is_not_zero_but_unknown(database_url: str) -> None:
    logger = ChatGPTLogger(database_url=database_url)
    conversation_id = logger.start_conversation(1, 1)
    usage = SimpleNamespace(input_tokens=10, output_tokens=5)
    logger.log_message(conversation_id, "assistant", "x", model="never-heard-of-it", usage=usage)
    [message] = logger.get_conversation_history(conversation_id)
    assert (message["tokens_used"], message["cost_usd"]) == (15, None)
    assert logger.get_user_conversations(1)[0]["openai_cost"] is None


def test_the_hosts_prices_come_first_and_a_missing_price_says_why(app: Flask, database_url: str) -> None:
    own = ChatGPTLogger(database_url=database_url, prices={"My-Model": {"prompt": 2, "completion": 4, "cached": 1}})
    conversation_id = own.start_conversation(1, 1)
    usage = {"prompt_tokens": 1000, "completion_tokens": 100, "prompt_tokens_details": {"cached_tokens": 400}}
    own.log_message(conversation_id, "assistant", "x", model="my-model-2026-01-31", usage=usage)
    own.log_message(conversation_id, "assistant", "x", model="another", usage=usage)
    own.log_message(conversation_id, "assistant", "x", 15, model="my-model")
    history = own.get_conversation_history(conversation_id)
    assert [(one["cost_usd"], one["cost_status"]) for one in history] == [
        (pytest.approx((600 * 2 + 400 * 1 + 100 * 4) / 1e6), "known"),
        (None, "unknown_model"),
        (None, "unknown_tokens"),
    ]
    with pytest.raises(ConfigurationError, match="per million"):
        ChatGPTLogger(database_url=database_url, prices={"m": {"prompt": "dear", "completion": 1}})


@pytest.mark.parametrize(("given", "kept"), [("tool", "tool"), ("Assistant", "assistant"), ("function", "tool")])
def test_roles_that_real_bots_send_are_kept(database_url: str, given: str, kept: str) -> None:
    logger = ChatGPTLogger(database_url=database_url)
    conversation_id = logger.start_conversation("u", "c")
    logger.log_message(conversation_id, given, None)
    assert logger.get_conversation_history(conversation_id)[0]["role"] == kept


def test_a_conversation_goes_on_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "data" / "journal.sqlite"
    first = ChatGPTLogger(path).open_conversation(1, 2)
    assert ChatGPTLogger(db_path=path).open_conversation(1, 2) == first
    ChatGPTLogger(path).end_conversation(first)
    assert ChatGPTLogger(path).open_conversation(1, 2) != first


def test_many_that_open_a_conversation_at_once_open_one(database_url: str) -> None:
    found: list[int] = []
    start = threading.Barrier(8)

    def opened() -> None:
        start.wait()
        found.append(ChatGPTLogger(database_url=database_url).open_conversation(1, 2, channel="telegram"))

    threads = [threading.Thread(target=opened) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    logger = ChatGPTLogger(database_url=database_url)
    assert logger.find_open_conversation(1, 2, channel="telegram") == found[0]
    assert logger.find_open_conversation(1, 2, channel="web") is None
    assert logger.find_open_conversation(1, 3) is None


def test_a_model_is_given_the_last_messages_however_long_the_talk(database_url: str) -> None:
    logger = ChatGPTLogger(database_url=database_url)
    conversation_id = logger.start_conversation(1)
    for number in range(7):
        logger.log_message(conversation_id, "user", f"message {number}")
    recent = logger.get_recent_messages(conversation_id, 3)
    assert [one["content"] for one in recent] == ["message 4", "message 5", "message 6"]
    with pytest.raises(NotFoundError, match="start_conversation"):
        logger.get_recent_messages(404)


def test_conversations_that_nobody_writes_in_end_by_themselves(database_url: str, clock: Any) -> None:
    logger = ChatGPTLogger(database_url=database_url)
    stale = logger.start_conversation(1, 1)
    clock.advance(hours=2)
    fresh = logger.start_conversation(1, 2)
    assert logger.close_stale(3600) == 1
    ended = {one["id"]: one["ended_at"] for one in logger.get_user_conversations(1)}
    assert ended[stale] is not None
    assert ended[fresh] is None


def test_unknown_conversations_are_told(database_url: str) -> None:
    logger = ChatGPTLogger(database_url=database_url)
    for call in (
        lambda: logger.log_message(404, "user", "x"),
        lambda: logger.end_conversation(404),
        lambda: logger.get_conversation_history(404),
    ):
        with pytest.raises(NotFoundError, match="start_conversation"):
            call()


# After a refusal


def refused_calls(path: Path) -> list[Callable[[], object]]:
    logger, recommendations = ChatGPTLogger(path), RecommendationLogger(path)
    conversation_id = logger.start_conversation(1, 1)
    return [
        lambda: logger.log_message(conversation_id, "wizard", "x"),
        lambda: logger.log_message(404, "user", "x"),
        lambda: recommendations.log_recommendation(1, "XAUUSD", "sideways"),
        lambda: recommendations.log_recommendation(1, "XAUUSD", "buy", conversation_id=404),
        lambda: recommendations.log_recommendation(1, "XAUUSD", "buy", float("nan")),
        lambda: recommendations.mark_executed(404, 1),
        lambda: ScannerLogger(path).log_result("XAUUSD", direction="MAYBE"),
        lambda: AnalyticsLogger(path).log_action(None, 1, "click"),
        lambda: JournalRepo(path).log_event({"ticket": 5}),
    ]


def test_after_any_refused_call_another_connection_can_write_at_once(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    for call in refused_calls(path):
        with pytest.raises((InvalidInputError, NotFoundError)):
            call()
        with sqlite3.connect(path, timeout=0) as other:
            other.execute("INSERT INTO user_actions (user_id, action_type, timestamp) VALUES ('1', 'x', '2026-01-01')")
        other.close()


# Recommendations


def test_recommendations_are_counted_over_all_of_them(database_url: str) -> None:
    logger = RecommendationLogger(database_url=database_url)
    ids = [
        logger.log_recommendation(
            BIG_ID, "XAU/USD", "buy", 2650.0, 2640.0, 2670.0, reasoning="r", confidence=80, market_regime="TREND"
        )
        for _ in range(4)
    ]
    logger.log_recommendation("u", "BTCUSDT", "WAIT", None, None, None, confidence=40)
    for rec_id, pnl, r in ((ids[0], 20.0, 2.0), (ids[1], -10.0, -1.0)):
        logger.mark_executed(rec_id, 5000 + rec_id)
        logger.update_result(rec_id, pnl, r)
    logger.mark_executed(ids[2], "t-3")
    stats = logger.get_recommendation_stats(days=30)
    assert stats["total_recommendations"] == 5
    assert stats["executed_count"] == 3
    assert stats["execution_rate"] == 60.0
    assert (stats["wins"], stats["losses"], stats["win_rate"]) == (1, 1, 50.0)
    assert (stats["avg_pnl"], stats["avg_r"], stats["avg_confidence"]) == (5.0, 0.5, 72.0)
    board = PerformanceDashboard(database_url=database_url).get_recommendation_performance(days=30)
    assert board["by_symbol"] == {"XAUUSD": {"count": 3, "wins": 1, "avg_pnl": 5.0}}


def test_a_recommendation_keeps_all_its_fields(database_url: str, clock: Any) -> None:
    talk = ChatGPTLogger(database_url=database_url).start_conversation(BIG_ID, -100)
    logger = RecommendationLogger(database_url=database_url)
    given = {
        "user_id": BIG_ID,
        "symbol": "XAUUSD",
        "direction": "SELL",
        "entry_price": 2650.0,
        "stop_loss": 2660.0,
        "take_profit": 2620.0,
        "reasoning": "Lower high 📉",
        "confidence": 85,
        "market_regime": "TREND",
        "conversation_id": talk,
        "generation_time": 1.5,
        "timeframe": "15m",
        "signal_id": "sig_a1b2c3d4e5f6_1691234567",
        "model": "gpt-4o",
        "experiment": "prompt-v2",
        "variant": "B",
    }
    rec_id = logger.log_recommendation(**given)
    clock.advance(minutes=5)
    logger.mark_executed(rec_id, 555)
    logger.update_result(rec_id, -10.0, -1.0)
    [kept] = logger.page().items
    expected = given | {"user_id": str(BIG_ID), "risk_reward": 3.0, "executed": True, "execution_ticket": "555"}
    expected |= {"result_pnl": -10.0, "result_r": -1.0, "id": rec_id}
    assert {name: kept[name] for name in expected} == expected
    made, followed = (datetime.fromisoformat(kept[name]) for name in ("created_at", "execution_time"))
    assert followed - made == timedelta(minutes=5)


def test_the_ratio_of_reward_to_risk_is_computed(runtime: Runtime) -> None:
    from stateful_engine.storage import recommendations as stored

    rec_id = RecommendationLogger(runtime.database).log_recommendation(1, "XAUUSD", "SELL", 2650, 2655, 2640)
    with runtime.database.reading() as session:
        row = stored.find(session, rec_id)
        assert row is not None
        assert row.risk_reward == pytest.approx(2.0)
        assert row.model == "gpt-4o-mini"


def test_executing_twice_with_another_ticket_is_a_conflict(database_url: str) -> None:
    logger = RecommendationLogger(database_url=database_url)
    rec_id = logger.log_recommendation(1, "XAUUSD", "BUY")
    logger.mark_executed(rec_id, 1)
    logger.mark_executed(rec_id, "1")
    with pytest.raises(ConflictError):
        logger.mark_executed(rec_id, 2)


# Scanner


def analysis(direction: str, confidence: float) -> dict[str, Any]:
    return {
        "technical_analysis": {
            "trade_recommendation": {"direction": direction, "confidence": confidence, "reasoning": "because"},
            "indicators": {"rsi": 28.4, "adx": 24.1, "atr14": 3.2},
            "market_regime": "TREND",
        }
    }


def test_the_scanner_tells_what_reaches_the_threshold_and_one_failure_stops_nothing(database_url: str) -> None:
    answers = {"XAUUSD": analysis("BUY", 70), "BTCUSD": analysis("SELL", 69.9), "ETHUSD": analysis("BUY", 90)}
    told: list[str] = []

    def fetch(symbol: str) -> dict[str, Any]:
        if symbol == "BTCUSD":
            raise ConnectionError("away")
        return answers[symbol]

    done = ScannerLogger(database_url=database_url).scan(["XAUUSD", "BTCUSD", "ETHUSD"], fetch, told.append)
    assert done.notified == ["XAUUSD", "ETHUSD"]
    assert done.failed == {"BTCUSD": "ConnectionError"}
    assert told[0].startswith("High-Confidence Signal Detected\nSymbol: XAUUSD\nDirection: BUY\nConfidence: 70%")
    assert "/chatgpt" in told[0]
    stats = PerformanceDashboard(database_url=database_url).get_signal_scanner_stats(days=7)["signals"]
    assert {(one["symbol"], one["count"], one["notified_count"]) for one in stats} == {
        ("XAUUSD", 1, 1),
        ("ETHUSD", 1, 1),
    }


def test_a_notification_that_could_not_be_sent_is_tried_again(database_url: str) -> None:
    scanner = ScannerLogger(database_url=database_url)
    told: list[str] = []
    bar = analysis("BUY", 80) | {"bar_time": "2026-01-31T12:00:00Z"}

    def broken(_: str) -> None:
        raise TimeoutError

    assert scanner.scan(["XAUUSD"], lambda _: bar, broken).failed == {"XAUUSD": "TimeoutError"}
    assert scanner.scan(["XAUUSD"], lambda _: bar, told.append).notified == ["XAUUSD"]
    assert scanner.scan(["XAUUSD"], lambda _: bar, told.append).notified == []
    assert len(told) == 1


def test_two_bots_on_one_bar_tell_it_once(database_url: str) -> None:
    told: list[str] = []
    start = threading.Barrier(4)
    bar = analysis("BUY", 80) | {"bar_time": 1769860800}

    def scan() -> None:
        start.wait()
        ScannerLogger(database_url=database_url).scan(["XAUUSD"], lambda _: bar, told.append)

    threads = [threading.Thread(target=scan) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told) == 1


def test_the_scanner_works_in_an_event_loop(database_url: str) -> None:
    told: list[str] = []

    async def fetch(_: str) -> dict[str, Any]:
        await asyncio.sleep(0)
        return analysis("SELL", 75)

    async def notify(text: str) -> None:
        told.append(text)

    scanner = ScannerLogger(database_url=database_url)
    done = asyncio.run(scanner.scan_async(["XAUUSD"], fetch, notify))
    assert done.notified == ["XAUUSD"]
    assert "SELL" in told[0]

    async def scanned() -> Any:
        return await scanner.scan(["BTCUSD"], fetch, notify)

    assert asyncio.run(scanned()).notified == ["BTCUSD"]


def test_a_result_is_marked_by_its_id(database_url: str) -> None:
    scanner = ScannerLogger(database_url=database_url)
    first = scanner.log_result("XAUUSD", confidence=80, direction="BUY")
    scanner.log_result("XAUUSD", confidence=85, direction="BUY")
    assert scanner.mark_notified(first) is True
    assert scanner.mark_notified(first) is False
    with pytest.raises(NotFoundError):
        scanner.mark_notified(404)


# Actions and journal


def test_actions_are_counted_by_person_and_over_all(database_url: str) -> None:
    logger = AnalyticsLogger(database_url=database_url)
    for user, kind in ((BIG_ID, "button_click"), (BIG_ID, "button_click"), (BIG_ID, "command"), ("other", "command")):
        logger.log_action(user_id=user, chat_id=-1, action_type=kind, action_data={"button": "x"})
    assert logger.get_user_stats(BIG_ID) == {"button_click": 2, "command": 1}
    engagement = PerformanceDashboard(database_url=database_url).get_user_engagement(days=30)
    assert engagement == {
        "total_actions": 4,
        "unique_users": 2,
        "avg_actions_per_user": 2.0,
        "popular_actions": {"button_click": 2, "command": 2},
    }


def test_a_report_sees_one_moment_only_though_somebody_acts_between_its_questions(database_url: str) -> None:
    database, logger = Database(database_url), AnalyticsLogger(database_url=database_url)
    logger.log_action(user_id=1, chat_id=1, action_type="start")

    @event.listens_for(database.engine, "after_cursor_execute")
    def somebody_acts(*asked: Any) -> None:
        if "user_actions" in asked[2]:
            logger.log_action(user_id=2, chat_id=2, action_type="start")

    engagement = PerformanceDashboard(database).get_user_engagement(days=30)
    assert (engagement["total_actions"], engagement["unique_users"]) == (1, 1)
    database.dispose()


def test_an_action_that_is_brought_twice_is_kept_once_and_one_of_other_content_beside_it(runtime: Runtime) -> None:
    row = {"action_id": "act_0123456789ab_1700000000", "user_id": "7", "action_type": "start", "timestamp": MADE_US}
    for kind in ("start", "start", "stop"):
        runtime.recorder.record(Rows({"user_actions": [{**row, "action_type": kind}]}))
        assert runtime.flush()
    other, first = AnalyticsLogger(runtime.database).page().items
    assert (first["action_id"], first["action_type"]) == (row["action_id"], "start")
    assert other["action_id"].startswith("act_")
    assert other["action_type"] == "stop"


def test_nothing_is_kept_of_actions_while_the_engine_is_switched_off(make_app: Callable[..., Flask]) -> None:
    with make_app(STATEFUL_ENABLED=False).app_context():
        AnalyticsLogger().log_action(7, None, "start")
        assert AnalyticsLogger().page().items == []


def test_journal_events_take_both_call_forms_and_keep_unknown_fields(database_url: str) -> None:
    journal = JournalRepo(database_url=database_url)
    journal.log_event({"event": "trade_exec", "ticket": 99, "symbol": "XAUUSDc", "side": "buy", "broker": "demo"})
    journal.log_event("trade_closed", ticket=99, pnl=12.5, r_multiple="1.5")
    closed, executed = journal.recent(10, ticket=99)
    assert (executed["symbol"], executed["side"], executed["extra"]) == ("XAUUSD", "BUY", {"broker": "demo"})
    assert (closed["event"], closed["pnl"], closed["r_multiple"]) == ("trade_closed", 12.5, 1.5)
    assert [one["event"] for one in journal.recent(10, event="trade_exec")] == ["trade_exec"]


def test_no_event_is_lost_for_a_price_that_is_no_number(database_url: str) -> None:
    journal = JournalRepo(database_url=database_url)
    journal.log_event("trade_exec", ticket=1, price="market", sl=float("nan"), volume=None)
    [event] = journal.recent(1)
    assert (event["price"], event["sl"], event["volume"]) == (None, None, None)
    assert event["extra"] == {"price": "market", "sl": "nan"}


def test_oco_results_and_failures_are_fields(database_url: str) -> None:
    journal = JournalRepo(database_url=database_url)
    pair = SimpleNamespace(symbol="XAUUSD", oco_group="g1", order_a_ticket=1, order_b_ticket=2, order_a_side="BUY")
    journal.log_oco_result(pair, filled="A")
    journal.log_oco_result(
        {"symbol": "XAUUSD", "order_a": {"ticket": 3}, "order_b": {"ticket": 4}}, error="cancel failed"
    )
    failure, filled = journal.recent(10)
    assert (filled["event"], filled["ticket"], filled["side"], filled["oco_group"]) == (
        "oco_triggered",
        "1",
        "BUY",
        "g1",
    )
    assert filled["extra"] == {"cancelled_ticket": 2, "filled": "A"}
    assert (failure["event"], failure["notes"]) == ("oco_failure", "cancel failed")
    with pytest.raises(InvalidInputError):
        journal.log_oco_result(pair)


def test_a_moved_stop_is_recorded_with_its_numbers(database_url: str) -> None:
    journal = JournalRepo(database_url=database_url)
    position = {"ticket": 7, "symbol": "XAUUSD", "type": "BUY", "price_current": 2660.0, "sl": 2640.0}
    journal.log_trailing_stop(
        position, SimpleNamespace(new_sl=2652.0, method="ATR", momentum="STRONG", r=1.2, distance=1.5)
    )
    [event] = journal.recent(1)
    assert event["event"] == "trailing_stop_adjusted"
    assert (event["old_sl"], event["sl"], event["price"]) == (2640.0, 2652.0, 2660.0)
    assert (event["method"], event["momentum"], event["r_multiple"], event["distance_atr"]) == (
        "ATR",
        "STRONG",
        1.2,
        1.5,
    )


def test_journal_events_show_on_the_timeline_of_their_signal(runtime: Runtime) -> None:
    signal_id = runtime.state_manager.save_signal_history({"symbol": "XAUUSD", "action": "BUY"}, durable=True)
    JournalRepo(runtime.database).log_event("trade_exec", signal_id=signal_id, ticket=5)
    kinds = [event["kind"] for event in runtime.state_manager.timeline(signal_id)["timeline"]]
    assert "journal" in kinds


# How they find their database


def test_inside_an_app_they_use_the_apps_database(app: Flask, database_url: str) -> None:
    with app.app_context():
        conversation_id = ChatGPTLogger().start_conversation(1, 1)
    assert ChatGPTLogger(database_url=database_url).get_conversation_history(conversation_id) == []


def test_given_the_engine_they_work_outside_of_its_app_too(
    app: Flask, engine: StatefulEngine, runtime: Runtime
) -> None:
    chat = ChatGPTLogger(engine)
    conversation_id = chat.start_conversation(1, 1)
    chat.log_message(conversation_id, "user", "Gold?")
    assert ChatGPTLogger(runtime.database).get_user_conversations(1)[0]["id"] == conversation_id
    with app.app_context():
        assert ChatGPTLogger(engine).open_conversation(1, 1) == conversation_id
    with pytest.raises(ConfigurationError, match="init_app"):
        ChatGPTLogger(StatefulEngine()).start_conversation(1, 1)
    with pytest.raises(ConfigurationError, match="a Flask is no engine"):
        ChatGPTLogger(app)  # type: ignore[arg-type]


def test_two_sources_at_once_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="give one of"):
        ChatGPTLogger("a.sqlite", database_url="sqlite://")


def test_costs_are_summed_by_model_user_and_day_and_unknown_ones_are_counted(runtime: Runtime) -> None:
    logger = ChatGPTLogger(runtime.database)
    first, second = logger.start_conversation("u1"), logger.start_conversation("u2")
    usage = {"prompt_tokens": 1_000_000, "completion_tokens": 0}
    logger.log_message(first, "assistant", "a", model="gpt-4o-mini", usage=usage)
    logger.log_message(second, "assistant", "b", model="gpt-4o-mini", usage=usage)
    logger.log_message(second, "assistant", "c", model="never-heard-of-it", usage=usage)
    signal_id = runtime.state_manager.save_signal_history({"symbol": "XAUUSD", "action": "BUY"}, durable=True)
    runtime.state_manager.record_outcome(signal_id, "WIN")
    costs = PerformanceDashboard(runtime.database).get_costs(days=7)
    assert (costs["cost_usd"], costs["unknown_cost"], costs["tokens"]) == (0.3, 1, 3_000_000)
    assert costs["by_user_id"]["u2"]["cost_usd"] == 0.15
    assert costs["by_model"]["never-heard-of-it"]["cost_usd"] is None
    assert [day["messages"] for day in costs["by_day"].values()] == [3]
    assert costs["cost_per_winning_signal"] == 0.3
