"""What makes a dict with a verb a signal, and what makes it an order, a position, a trade or one component's vote."""

from __future__ import annotations

import pytest

from stateful_engine.domain.extraction import extract

_COIN = {"symbol": "BTCUSDT"}

ADVICE: dict[str, object] = {
    "a bare signal": {"signal": "BUY"},
    "a bare recommendation": {"recommendation": "SELL"},
    "a signal that was traded at once": {**_COIN, "signal": "BUY", "order_id": 7},
    "a signal whose status is executed": {**_COIN, "signal": "BUY", "status": "executed"},
    "an action with a confidence": {**_COIN, "action": "BUY", "confidence": 70},
    "an action with a stop": {**_COIN, "action": "BUY", "stop_loss": 44000},
    "an action with a price": {**_COIN, "action": "BUY", "price": 45000},
    "a side with a confidence": {**_COIN, "side": "BUY", "confidence": 70},
    "a side with a target": {**_COIN, "side": "SELL", "tp": 44000},
    "an indicator with levels": {**_COIN, "indicator": "SuperTrend", "signal": "BUY", "entry": 45000, "sl": 44000},
    "an action whose ticket is not there yet": {
        **_COIN,
        "action": "BUY",
        "confidence": 70,
        "ticket": None,
        "pnl": None,
    },
    "an action with a number of its order type": {**_COIN, "action": "BUY", "confidence": 70, "order": "market"},
    "an action with a status that is no text": {**_COIN, "action": "BUY", "confidence": 70, "status": 200},
    "an action in a successful answer": {**_COIN, "status": "success", "action": "BUY", "confidence": 70},
    "an executed signal in a list": {"data": [{**_COIN, "signal": "BUY", "status": "executed"}]},
    "a verb under the name of its instrument": {"data": {"BTC/USDT": {"signal": "buy", "type": "spot"}}},
    "an unknown direction beside a known side": {**_COIN, "direction": "up", "side": "BUY", "confidence": 70},
    "a pattern's name beside a known direction": {
        **_COIN,
        "signal": "Golden cross",
        "direction": "BUY",
        "confidence": 70,
    },
    "a kind beside a known direction": {**_COIN, "signal_type": "close", "trade_type": "LONG", "confidence": 70},
    "a named type with levels": {"signal": {"type": "BUY", "sl": 44000}},
    "a named type with a confidence": {"signal": {"type": "BUY", "confidence": 70}},
    "a named type with an entry": {"signal": {"type": "BUY", "entry": 45000}},
    "a named item with levels only": {"signals": [{"action": "BUY", "sl": 44000, "type": "breakout"}]},
    "a named item with an entry only": {"signals": [{"action": "BUY", "entry": 45000, "type": "breakout"}]},
    "a named item with a symbol only": {"signals": [{"action": "BUY", **_COIN, "type": "breakout"}]},
    "a named item with a confidence and no kind": {**_COIN, "signals": [{"action": "BUY", "confidence": 70}]},
    "a named item with a price and no kind": {**_COIN, "signals": [{"action": "BUY", "price": 45000}]},
    "an item with an entry": {"data": [{**_COIN, "action": "BUY", "entry": 45000}]},
    "an item with a signal": {"data": [{**_COIN, "signal": "BUY"}]},
    "a recommendation in an analysis": {**_COIN, "analysis": {"recommendation": "BUY", "confidence": 70}},
    "a technical verdict": {**_COIN, "technical_analysis": {"recommendation": "BUY", "confidence": 70}},
    "a technical signal with levels": {**_COIN, "technical_analysis": {"signal": "BUY", "stop_loss": 44000}},
    "an action with levels in an analysis": {**_COIN, "analysis": {"action": "BUY", "tp": 46000}},
    "a decision beside the size of a position": {"decision": {"action": "BUY"}, "position": {"size": 0.1}},
    "a decision beside the word for a position": {"decision": {"action": "BUY"}, "position": "none"},
    "a decision beside the kind of order": {"decision": {"action": "BUY"}, "order": "limit"},
    "a signal beside a ticket": {"signal": {"action": "BUY"}, "ticket": 5},
    "a decision beside an empty ticket": {"decision": {"action": "BUY"}, "ticket": None},
}

NO_ADVICE: dict[str, object] = {
    "an action alone": {**_COIN, "action": "BUY"},
    "a direction alone": {**_COIN, "direction": "BUY"},
    "a side with a reason": {**_COIN, "side": "BUY", "reason": "manual"},
    "an action with a price and a quantity": {**_COIN, "action": "BUY", "price": 45000, "quantity": 0.1},
    "an indicator with a confidence": {**_COIN, "indicator": "RSI", "signal": "BUY", "confidence": 70},
    "a filled order": {**_COIN, "side": "BUY", "price": 45000, "stop_loss": 44000, "status": "FILLED"},
    "an order with a number": {**_COIN, "direction": "BUY", "stop_loss": 44000, "order": 912},
    "a trade with a profit": {**_COIN, "direction": "BUY", "stop_loss": 44000, "profit": 12.5},
    "an open position": {"action": "BUY", "confidence": 70, "position": {"side": "BUY", "size": 1}},
    "a closed position": {"action": "BUY", "confidence": 70, "position": {"size": 1, "pnl": 5}},
    "a numbered position": {"action": "BUY", "confidence": 70, "position": {"ticket": 5}},
    "a type at the root": {**_COIN, "type": "BUY", "stop_loss": 44000},
    "a type alone in a signal": {"signal": {**_COIN, "type": "BUY"}},
    "an unknown signal beside a side": {**_COIN, "signal": "UNKNOWN", "side": "BUY", "confidence": 70},
    "no trade beside a side": {**_COIN, "direction": "NO_TRADE", "side": "BUY", "confidence": 70},
    "a named item of a kind with a confidence": {
        **_COIN,
        "signals": [{"signal": "BUY", "type": "ema", "confidence": 70}],
    },
    "a named item with nothing": {**_COIN, "signals": [{"signal": "BUY"}]},
    "an item with an action and a price": {"data": [{**_COIN, "action": "BUY", "price": 45000}]},
    "an item with an action and a reason": {"data": [{**_COIN, "action": "BUY", "reason": "dip"}]},
    "an item with a signal and a profit": {"data": [{**_COIN, "signal": "BUY", "pnl": 5}]},
    "a technical signal with a confidence": {**_COIN, "technical_analysis": {"signal": "BUY", "confidence": 70}},
    "an analysis with a signal alone": {**_COIN, "analysis": {"signal": "BUY"}},
    "an analysis with a recommendation alone": {**_COIN, "analysis": {"recommendation": "BUY"}},
    "an analysis with an action and a confidence": {**_COIN, "analysis": {"action": "BUY", "confidence": 70}},
    "a decision on an order": {"decision": {"action": "BUY"}, "order": 912},
    "a decision on a position": {"decision": {"action": "HOLD"}, "position_id": 4},
}


@pytest.mark.parametrize("name", ADVICE)
def test_this_is_a_signal(name: str) -> None:
    found = extract(ADVICE[name])
    assert len(found.signals) == 1, found.notes


@pytest.mark.parametrize("name", NO_ADVICE)
def test_this_is_none_and_the_reason_is_told(name: str) -> None:
    found = extract(NO_ADVICE[name])
    assert found.signals == ()
    assert found.notes or "analysis" in name or "technical" in name
