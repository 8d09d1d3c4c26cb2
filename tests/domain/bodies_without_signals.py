"""Bodies that must yield nothing, each with its trap; the flag tells whether the shape counts as understood."""

from __future__ import annotations

_FULL = {"symbol": "BTCUSDT", "action": "BUY", "confidence": 80, "entry_price": 45000, "stop_loss": 44000}

REFUSALS: dict[str, object] = {
    "rejected": {"status": "rejected", "reason": "Signal quality too low", "signal": _FULL},
    "blocked by the regime": {"status": "regime_blocked", "signal": _FULL},
    "blocked by a circuit breaker": {"status": "circuit_breaker_open", "signal": _FULL},
    "not successful": {"success": False, "signal": _FULL, "message": "stale data"},
    "not ok": {"ok": False, "data": {"signal": _FULL}},
    "an error beside the signal": {"error": "exchange unreachable", "signal": _FULL},
    "an error in the signal": {"status": "success", "signal": {"error": "bad payload", "action": "BUY"}},
    "a refusing wrapper": {"status": "success", "data": {"status": "rejected", "signal": _FULL}},
    "a refusing signal": {"status": "success", "signal": {**_FULL, "status": "blocked"}},
    "not approved": {"approved": False, "signal": _FULL},
    "a status code in the body": {"status": 503, "signal": _FULL},
    "insufficient data": {"status": "insufficient_data", "signal": "HOLD", "symbol": "BTCUSDT"},
    "rejected by a flag": {"success": True, "rejected": True, "signal": _FULL},
    "failed by a code": {"status_code": 422, "signal": _FULL},
    "a refusing analysis": {
        "symbol": "BTCUSDT",
        "analysis": {"status": "failed", "recommendation": "BUY", "confidence": 9},
    },
    "no signal found": {"status": "no_signal", "message": "nothing matches"},
    "an error alone": {"status": "error", "message": "Invalid timeframe"},
    "an error object": {"error": {"code": 400, "message": "symbol is required"}},
    "nothing found": {"status": "success", "signal": None, "symbol": "BTCUSDT", "recommendation": {"action": "WAIT"}},
    "an empty listing": {"status": "success", "signals": [], "total_count": 0},
    "an empty root list": [],
    "an empty object": {},
    "a refused item alone": {"signals": [{**_FULL, "status": "rejected"}]},
}

UNKNOWN_VERBS: dict[str, object] = {
    "a breakout bracket": {"symbol": "XAUUSD", "recommendation": "BREAKOUT_BRACKET", "confidence": 0.7},
    "exit advice": {"recommendation": {"action": "TRAILING_STOP", "direction": "BUY", "confidence": 60}},
    "an unknown signal": {"symbol": "BTCUSDT", "signal": "UNKNOWN", "direction": "BUY", "confidence": 10},
    "a prose recommendation": {"symbol": "BTCUSDT", "recommendation": "Look for shorts below 45000", "confidence": 60},
    "a bias": {"symbol": "BTCUSDT", "signal": {"bias": "BULLISH", "strength": 7}},
    "a bullish signal": {"symbol": "BTCUSDT", "signal": "BULLISH", "confidence": 70},
    "two verbs": {"symbol": "BTCUSDT", "action": "BUY or SELL", "confidence": 50},
    "a sharp type": {"signal": {"signal_type": "sharp", "score": 78}},
    "closing": {"symbol": "BTCUSDT", "action": "CLOSE", "side": "BUY", "entry_price": 45000, "stop_loss": 44000},
    "a numeric signal line": {"symbol": "BTCUSDT", "macd": 4.1, "signal": 3.2, "histogram": 0.9},
    "a true signal": {"symbol": "BTCUSDT", "signal": True, "confidence": 70},
    "listed names": {"signals": ["rsi_overbought", "BUY"], "symbol": "BTCUSDT"},
}

DECOYS: dict[str, object] = {
    "health": {"status": "healthy", "signals_today": 5, "last_signal": {"action": "BUY", "symbol": "BTCUSDT"}},
    "statistics": {"status": "success", "statistics": {"total_signals": 9, "by_action": {"BUY": 5, "SELL": 4}}},
    "counts of signals": {"status": "success", "signals": {"total": 5, "buy": 3, "sell": 2}},
    "performance": {"win_rate": 61.0, "best_signal": {"action": "BUY", "pnl": 4.2}, "worst_signal": {"action": "SELL"}},
    "components": {"symbol": "BTCUSDT", "component_signals": {"rsi": {"signal": "buy"}, "smc": {"signal": "sell"}}},
    "an indicator": {"symbol": "BTCUSDT", "indicator": "RSI", "value": 28.0, "signal": "BUY"},
    "votes of indicators": {
        "symbol": "BTCUSDT",
        "signals": [
            {"indicator": "RSI", "signal": "BUY", "value": 28},
            {"name": "MACD", "signal": "SELL", "strength": 60, "confidence": 55},
        ],
    },
    "signals keyed by indicator": {"signals": {"RSI": {"signal": "BUY"}, "MACD": {"signal": "SELL"}}},
    "an analysis": {
        "symbol": "BTCUSDT",
        "analysis": {"trend": "bullish", "rsi": {"signal": "BUY"}, "signal": {"action": "BUY", "strength": 3}},
        "indicators": {"macd": {"signal": "BUY"}},
        "market_bias": {"direction": "BUY", "confidence": 70},
    },
    "machine learning": {"ml_insights": {"price_direction_prediction": {"direction": "BUY", "confidence": 60}}},
    "exits": {"symbol": "XAUUSD", "exit_signals": [{"action": "HOLD", "confidence": 50}], "all_signals": ["BUY"]},
    "an order confirmation": {
        "success": True,
        "ticket": 123456,
        "symbol": "XAUUSD",
        "action": "BUY",
        "price": 2650.2,
        "sl": 2640.0,
        "tp": 2670.0,
    },
    "an executed order": {"status": "filled", "symbol": "BTCUSDT", "side": "BUY", "price": 45000, "quantity": 0.1},
    "an order result": {
        "success": True,
        "result": {"retcode": 10009, "deal": 7, "order": 8, "direction": "BUY", "sl": 1.0},
    },
    "a bare order": {"status": "success", "action": "buy", "symbol": "BTCUSDT", "quantity": 0.1, "price": 45000},
    "positions": {
        "positions": [{"ticket": 1, "symbol": "XAUUSD", "direction": "BUY", "entry_price": 2650.0, "stop_loss": 2640.0}]
    },
    "positions as data": {
        "success": True,
        "data": [
            {"symbol": "BTCUSDT", "side": "LONG", "entry_price": 45000, "stop_loss": 44000, "unrealized_pnl": 12.5}
        ],
    },
    "advice on a position": {"ticket": 1, "symbol": "XAUUSD", "recommendation": {"action": "HOLD", "confidence": 70}},
    "closed trades": {
        "results": [
            {"symbol": "BTCUSDT", "direction": "BUY", "entry_price": 1, "exit_price": 2, "confidence": 60, "pnl": 1.0}
        ]
    },
    "recent trades of an exchange": {"data": [{"side": "buy", "price": 45000.1, "size": 0.02, "ts": 1795206600}]},
    "an order book": {"symbol": "BTCUSDT", "bids": [[45000, 1]], "asks": [[45001, 2]], "side": "buy"},
    "trades of a backtest": {"results": [{"symbol": "BTCUSDT", "signal": "BUY", "exit_price": 46000, "pnl": 2.2}]},
    "a backtest": {"backtest": {"total_trades": 9, "signals": [_FULL]}, "status": "success"},
    "candles": {"symbol": "BTCUSDT", "data": [{"open": 1, "high": 2, "low": 1, "close": 2, "volume": 3}]},
    "a type without levels": {"signal": {"symbol": "BTCUSDT", "type": "BUY"}},
    "directions in a generic list": {"data": [{"symbol": "BTCUSDT", "direction": "BUY", "volume": 3}]},
    "a vote in a list of signals": {
        "symbol": "BTCUSDT",
        "signals": [{"type": "ema_cross", "signal": "SELL", "strength": 2}],
    },
    "news": {"articles": [{"title": "Bitcoin long squeeze", "sentiment": "SELL"}]},
    "alert rules": {"alerts": [{"symbol": "BTCUSDT", "action": "BUY", "price": 45000}]},
    "an echo of the request": {"request": {"symbol": "BTCUSDT", "action": "BUY", "confidence": 80}, "queued": True},
    "market structure": {"data": {"symbol": "BTCUSDT", "market_structure": {"trend": "BULLISH", "signal": "BUY"}}},
    "prose recommendations": {"data": {"recommendations": {"scalp": "BUY the dip", "swing": "SELL rallies"}}},
    "a summary": {"summary": {"RECOMMENDATION": "BUY", "BUY": 12, "SELL": 3}},
    "text": "BUY SIGNAL - BTCUSDT",
    "a number": 42,
    "nothing": None,
}
