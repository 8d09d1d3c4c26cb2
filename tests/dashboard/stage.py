"""A memory in which everything was recorded, with hostile text wherever text can be: what the pages must stand."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from stateful_engine import (
    AnalyticsLogger,
    ChatGPTLogger,
    Experiments,
    JournalRepo,
    RecommendationLogger,
    ScannerLogger,
    get_state_manager,
    log_user_interaction,
)
from stateful_engine.domain import clock
from tests.factories import query_data, response_data, short_signal_data, signal_data

if TYPE_CHECKING:
    from flask import Flask

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'><b>&amp;"
"""What a page must show as it is, and never run."""

EXPERIMENT = "prompt-v2"


def fill(app: Flask, *, signals: int = 60) -> dict[str, Any]:
    """Record a little of everything; the ids of what has a page of its own."""
    with app.app_context():
        app.extensions["stateful_engine"].flush()
        found = {
            "signal_id": _signals(signals),
            "conversation_id": _talk(),
            "name": _experiment(),
        }
        _bot()
        app.extensions["stateful_engine"].flush()
    return found


def _signals(count: int) -> str:
    """Signals of either side that end every way; the last of them has everything that one can have."""
    manager = get_state_manager()
    for number in range(count):
        made, entry, risk = (signal_data, 45000.0, 800.0) if number % 3 else (short_signal_data, 2500.0, 60.0)
        said = {"confidence": 40 + number % 60, "source_engine": f"engine-{number % 3}", "ai_model": "gpt-4o"}
        signal_id = manager.save_signal_history(made(**said), {"source": "API"})
        if number % 4:
            manager.record_outcome(signal_id, None, exit_price=entry + (number % 7 - 3) * risk / 2)
        if number % 2:
            manager.update_signal_execution(signal_id, {"execution_price": 45010.0, "source": "TELEGRAM"})
    return _hostile_signal()


def _hostile_signal() -> str:
    manager = get_state_manager()
    query = query_data(user_query=HOSTILE, endpoint=HOSTILE)
    query_id = manager.log_gpt_query(query, response_data(ai_model=HOSTILE, tokens_used=12, cost_usd=0.000123))
    manager.log_gpt_query(query_data(), response_data(status_code=500, error_message=HOSTILE))
    words = dict.fromkeys(("ai_reasoning", "market_conditions", "source_engine", "ai_model", "prompt_version"), HOSTILE)
    given = signal_data(**words, symbol="BTCUSDT", smc_analysis={HOSTILE: HOSTILE})
    signal_id = manager.save_signal_history(given, {"source": HOSTILE, "endpoint": HOSTILE, "query_id": query_id})
    log_user_interaction(signal_id, "FEEDBACK", "WEB", HOSTILE, {"note": HOSTILE})
    JournalRepo().log_event("trade_exec", signal_id=signal_id, ticket=HOSTILE, price=45010.0, notes=HOSTILE)
    manager.update_signal_execution(signal_id, {"execution_price": 45010.0, "source": "TELEGRAM"})
    manager.record_outcome(signal_id, None, exit_price=46500.0, closed_at=clock.now() + timedelta(hours=8))
    return signal_id


def _talk() -> int:
    logger = ChatGPTLogger()
    number = logger.start_conversation(HOSTILE, HOSTILE, model=HOSTILE, channel=HOSTILE)
    logger.log_message(number, "user", HOSTILE)
    logger.log_message(number, "assistant", HOSTILE, tokens_used=20, model=HOSTILE, cost_usd=0.0004, latency_ms=812)
    return number


def _experiment() -> str:
    experiments = Experiments()
    experiments.create(EXPERIMENT, {"prompt": HOSTILE}, {"prompt": "v2"}, description=HOSTILE)
    experiments.start(EXPERIMENT)
    experiments.create("draft", {"prompt": "v1"}, {"prompt": "v2"})
    return EXPERIMENT


def _bot() -> None:
    advice = RecommendationLogger()
    for number in range(3):
        made = advice.log_recommendation(
            HOSTILE, "XAUUSD", "BUY", 2650, 2640, 2680, reasoning=HOSTILE, confidence=80, market_regime=HOSTILE
        )
        advice.mark_executed(made, f"ticket-{number}")
        advice.update_result(made, 12.5 - 10 * number, 1.1 - number)
    ScannerLogger().log_result(
        "XAUUSD", "M15", "BUY", 71, rsi=55, adx=21, atr=3.2, market_regime=HOSTILE, reason=HOSTILE
    )
    for kind in ("button_click", HOSTILE[:60], "button_click"):
        AnalyticsLogger().log_action(HOSTILE, "chat", kind, {"button": HOSTILE})
