"""The cast of the tests: signals, queries and a clock that stands still; keywords change what a story needs."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stateful_engine.domain import clock

if TYPE_CHECKING:
    from stateful_engine.services.state_manager import StateManager

ROOT = Path(__file__).resolve().parent.parent
"""The checkout."""

MOMENT = datetime(2026, 3, 14, 9, 26, 53, 589793, tzinfo=timezone.utc)
"""When the tests with a fake clock begin."""


def shared_folder(name: str = "") -> Path | None:
    """The folder `../shared/<name>` beside the checkout, None in a clone that has none."""
    folder = ROOT.parent / "shared" / name
    return folder if folder.is_dir() else None


def shared_cases(name: str) -> Any:
    """The JSON of `../shared/<name>`, an empty list where there is none: truth tests then collect nothing."""
    file = ROOT.parent / "shared" / name
    return json.loads(file.read_text("utf-8")) if file.is_file() else []


class FakeClock:
    """A clock that moves only when a test says so; the `clock` fixture puts it into `domain.clock`."""

    def __init__(self, moment: datetime = MOMENT) -> None:
        self._us = clock.to_epoch_us(moment)

    def read_ns(self) -> int:
        """Nanoseconds since the epoch, as `domain.clock` asks for them."""
        return self._us * 1000

    def now(self) -> datetime:
        """The moment it shows."""
        return clock.from_epoch_us(self._us)

    def advance(self, **duration: float) -> datetime:
        """Move by a `timedelta` in keywords, backwards too: `advance(days=1)`; the new moment."""
        self._us += timedelta(**duration) // timedelta(microseconds=1)
        return self.now()

    def set(self, moment: datetime) -> None:
        """Show another moment."""
        self._us = clock.to_epoch_us(moment)


def signal_data(**changes: Any) -> dict[str, Any]:
    """The signal of the guide: buy Bitcoin, entry 45 000, target 46 500, stop 44 200."""
    return {
        "symbol": "BTCUSDT",
        "timeframe": "1H",
        "action": "BUY",
        "confidence": 85.5,
        "entry_price": 45000.0,
        "take_profit": 46500.0,
        "stop_loss": 44200.0,
        "risk_reward_ratio": 1.8,
        "ai_reasoning": "Strong bullish momentum above the order block",
        "smc_analysis": {"order_blocks": ["45000-45200"], "fvg": "44800-45000", "choch": True},
        "market_conditions": "BULLISH",
    } | changes


def short_signal_data(**changes: Any) -> dict[str, Any]:
    """The other side: sell Ether, entry 2 500, target 2 350, stop 2 560."""
    prices = {"entry_price": 2500.0, "take_profit": 2350.0, "stop_loss": 2560.0, "risk_reward_ratio": 2.5}
    words = {
        "symbol": "ETHUSDT",
        "timeframe": "4H",
        "action": "SELL",
        "confidence": 72.0,
        "market_conditions": "BEARISH",
    }
    return signal_data(**{**prices, **words, "ai_reasoning": "Lower high under broken support", **changes})


def query_data(**changes: Any) -> dict[str, Any]:
    """What a GPT asked, in the form that `log_gpt_query` takes."""
    return {
        "endpoint": "/api/gpts/signal",
        "method": "POST",
        "params": {"symbol": "BTCUSDT"},
        "user_query": "Give me Bitcoin signal",
    } | changes


def response_data(**changes: Any) -> dict[str, Any]:
    """What it was answered, in the form that `log_gpt_query` takes."""
    return {"status_code": 200, "data": {"confidence": 85.5}, "processing_time_ms": 1250} | changes


def play_history(
    manager: StateManager, *, signals: int, executed: int, wins: int, losses: int, **changes: Any
) -> list[str]:
    """Save `signals` signals, execute the first `executed` and end the first `wins + losses` of these; their ids."""
    ids: list[str] = [manager.save_signal_history(signal_data(**changes)) for _ in range(signals)]
    outcomes = [("WIN", 3.0)] * wins + [("LOSS", -1.5)] * losses
    for signal_id in ids[:executed]:
        manager.update_signal_execution(signal_id, {"execution_price": 45100.0, "source": "TELEGRAM"})
    for signal_id, (outcome, pnl) in zip(ids[:executed], outcomes, strict=False):
        manager.record_outcome(signal_id, outcome, pnl_percentage=pnl)
    return ids
