"""What people and the bot did around the demo's signals: talks, recommendations, scans, button presses, orders."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from stateful_engine import (
    AnalyticsLogger,
    ChatGPTLogger,
    JournalRepo,
    RecommendationLogger,
    ScannerLogger,
    get_state_manager,
)
from stateful_engine.demo.strategy import Analysis
from stateful_engine.domain import clock
from stateful_engine.domain.clock import clock_from, to_epoch_us
from stateful_engine.domain.vocabulary import Action

MODEL = "gpt-4o-mini"
PRESS_SHARE, SCAN_SHARE, TALK_SHARE, TRADE_SHARE = 0.4, 0.4, 0.12, 0.8
NOTIFIED_FROM = 70.0
TRADERS = 12
BUTTONS = ("menu_opened", "signal_requested", "chart_opened", "settings_changed", "dashboard_opened")
QUESTIONS = ("What do you think of {symbol}?", "Is {symbol} worth a trade?", "{symbol} on {timeframe}, please.")


@dataclass(frozen=True, slots=True)
class Played:
    """One signal of the past: what was said when."""

    moment: datetime
    analysis: Analysis
    signal_id: str = ""


def talk(scenes: Sequence[Played], dice: random.Random, counts: Counter[str]) -> None:
    """Let some of the signals be talked about, and the scanner and the buttons of a bot be busy around others."""
    for scene in scenes:
        user = f"demo-trader-{dice.randrange(TRADERS)}"
        with at(scene.moment):
            if dice.random() < PRESS_SHARE:
                AnalyticsLogger().log_action(user, user, dice.choice(BUTTONS), {"symbol": scene.analysis.series.symbol})
                counts["actions"] += 1
            if scene.analysis.action is not Action.HOLD and dice.random() < SCAN_SHARE:
                _scan(scene, counts)
            if scene.analysis.action is not Action.HOLD and dice.random() < TALK_SHARE:
                _converse(scene, user, dice, counts)


def _scan(scene: Played, counts: Counter[str]) -> None:
    """The scanner saw the same, and told of what it was sure enough of."""
    analysis, scanner = scene.analysis, ScannerLogger()
    found = scanner.log_result(
        analysis.series.symbol,
        analysis.series.timeframe,
        analysis.action.value,
        analysis.confidence,
        rsi=analysis.indicators.get("rsi"),
        market_regime=analysis.structure.trend,
        reason=analysis.reasoning,
        signal_id=scene.signal_id,
    )
    counts["scans"] += 1
    if analysis.confidence >= NOTIFIED_FROM:
        scanner.mark_notified(found)


def _converse(scene: Played, user: str, dice: random.Random, counts: Counter[str]) -> None:
    """A question, the answer with its tokens, and the recommendation that was in it."""
    analysis, chat = scene.analysis, ChatGPTLogger()
    market = {"symbol": analysis.series.symbol, "timeframe": analysis.series.timeframe}
    conversation = chat.start_conversation(user, user)
    chat.log_message(conversation, "user", dice.choice(QUESTIONS).format(**market))
    usage = {"prompt_tokens": dice.randrange(600, 1400), "completion_tokens": dice.randrange(40, 160)}
    took = round(dice.lognormvariate(7.0, 0.4))
    chat.log_message(conversation, "assistant", analysis.reasoning, model=MODEL, usage=usage, latency_ms=took)
    idea = RecommendationLogger().log_recommendation(
        user,
        analysis.series.symbol,
        analysis.action.value,
        analysis.entry,
        analysis.stop,
        analysis.targets[0],
        analysis.reasoning,
        analysis.confidence,
        analysis.structure.trend,
        conversation,
        timeframe=analysis.series.timeframe,
        signal_id=scene.signal_id,
    )
    chat.end_conversation(conversation)
    counts["conversations"] += 1
    if dice.random() < TRADE_SHARE:
        _trade(scene, idea, dice.randrange(10**6, 10**7), counts)


def _trade(scene: Played, idea: int, ticket: int, counts: Counter[str]) -> None:
    """The order that followed: opened, its stop moved once it was far enough, and closed as the signal was."""
    analysis, journal = scene.analysis, JournalRepo()
    RecommendationLogger().mark_executed(idea, ticket)
    order = {"ticket": ticket, "symbol": analysis.series.symbol, "side": analysis.action.value}
    journal.log_event("trade_exec", **order, price=analysis.entry, sl=analysis.stop, signal_id=scene.signal_id)
    counts["journal events"] += 1
    ended = get_state_manager().get_signal(scene.signal_id) or {}
    if ended.get("r_multiple") is None or ended.get("closed_at") is None:
        return
    closed = datetime.fromisoformat(ended["closed_at"])
    with at(closed):
        _close_order(ended, order, idea)
    counts["journal events"] += 1


def _close_order(ended: dict[str, Any], order: dict[str, Any], idea: int) -> None:
    journal, result = JournalRepo(), ended["r_multiple"]
    if (ended.get("mfe_r") or 0) > 1:
        with at(clock.now() - timedelta(minutes=5)):
            moved = {"old_sl": ended["stop_loss"], "sl": ended["entry_price"], "method": "break_even"}
            journal.log_event("trailing_stop_adjusted", **order, **moved, signal_id=ended["signal_id"])
    journal.log_event(
        "trade_closed",
        **order,
        price=ended["exit_price"],
        pnl=ended["pnl_percentage"],
        r_multiple=result,
        signal_id=ended["signal_id"],
    )
    RecommendationLogger().update_result(idea, ended["pnl_percentage"], result)


@contextmanager
def at(moment: datetime) -> Iterator[None]:
    """Let it be `moment` inside the block."""
    nanoseconds = to_epoch_us(moment) * 1000
    with clock_from(lambda: nanoseconds):
        yield
