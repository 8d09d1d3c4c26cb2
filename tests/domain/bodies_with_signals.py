"""Bodies as hosts answer with them, each with the signals a reader would find in it."""

from __future__ import annotations

from tests.domain.shapes import Truth

_SIGNAL = {
    "symbol": "ETHUSDT",
    "timeframe": "4H",
    "action": "SELL",
    "confidence": 72.5,
    "entry_price": 2500.0,
    "stop_loss": 2560.0,
    "take_profit": 2380.0,
}
_FOUND = {
    "symbol": "ETHUSDT",
    "timeframe": "4H",
    "action": "SELL",
    "confidence": 72.5,
    "entry_price": 2500.0,
    "stop_loss": 2560.0,
    "take_profit": 2380.0,
    "take_profits": [2380.0],
}

CONTAINERS = [
    Truth("the root is the signal", _SIGNAL, [_FOUND]),
    Truth("the signal of a search", {"status": "success", "symbol": "ETHUSDT", "signal": _SIGNAL}, [_FOUND]),
    Truth("a wrapped signal", {"success": True, "data": {"signal": _SIGNAL, "count": 1}}, [_FOUND]),
    Truth("a wrapped root", {"code": 0, "msg": "ok", "data": _SIGNAL}, [_FOUND]),
    Truth("what a webhook made of an alert", {"status": "ok", "processed_signal": _SIGNAL, "alert": "x"}, [_FOUND]),
    Truth("the signal that was sent to a chat", {"success": True, "message": "Sent", "signal_sent": _SIGNAL}, [_FOUND]),
    Truth("a result", {"id": "r1", "result": _SIGNAL, "error": None}, [_FOUND]),
    Truth("a result that wraps a signal", {"result": {"status": "ok", "signal": _SIGNAL}}, [_FOUND]),
    Truth("a root list", [_SIGNAL], [_FOUND]),
    Truth("a data list", {"success": True, "data": [_SIGNAL], "total": 1}, [_FOUND]),
    Truth("wrapped signals", {"status": "success", "data": {"signals": [_SIGNAL], "count": 1}}, [_FOUND]),
    Truth(
        "the latest signals with statistics beside them",
        {"signals": [_SIGNAL], "statistics": {"buy": 3, "sell": 4}, "last_signal": {"action": "BUY"}},
        [_FOUND],
    ),
    Truth(
        "recommendations of an analysis",
        {
            "status": "success",
            "symbol": "BTCUSDT",
            "analysis": {
                "trend": "bullish",
                "indicators": {"rsi": {"value": 61, "signal": "BUY"}},
                "trading_recommendations": {
                    "primary_signal": "BUY",
                    "confidence": 0.81,
                    "entry_price": 45000.0,
                    "targets": [{"level": 1, "price": 46000}, {"level": 2, "price": 47000}],
                    "stop_loss": {"price": 44000, "reason": "below the order block"},
                },
            },
        },
        [
            {
                "symbol": "BTCUSDT",
                "action": "BUY",
                "confidence": 81.0,
                "entry_price": 45000.0,
                "stop_loss": 44000.0,
                "take_profit": 46000.0,
                "take_profits": [46000.0, 47000.0],
            }
        ],
    ),
    Truth(
        "a verdict as a word",
        {"symbol": "EURUSDm", "recommendation": "SELL", "confidence": 66, "reasoning": ["Lower high", "RSI 71"]},
        [{"symbol": "EURUSD", "action": "SELL", "confidence": 66.0, "reasoning": "Lower high; RSI 71"}],
    ),
    Truth(
        "a prediction as a word",
        {"symbol": "XAUUSD", "prediction": "BUY", "probability": 0.73, "model": "xgboost"},
        [{"symbol": "XAUUSD", "action": "BUY", "confidence": 73.0}],
    ),
    Truth(
        "a prediction as an object",
        {"symbol": "XAUUSDc", "prediction": {"direction": "SELL", "confidence": 58.2}, "features": {"rsi": 70}},
        [{"symbol": "XAUUSDc", "action": "SELL", "confidence": 58.2}],
    ),
    Truth(
        "one verdict for each symbol of a batch, one of which failed",
        {
            "success": True,
            "results": [
                {"symbol": "BTCUSDT", "signal": {"action": "BUY", "confidence": 80, "entry_price": 45000}},
                {"symbol": "DOGEUSDT", "error": "no candles"},
                {"symbol": "ETHUSDT", "signal": {"action": "HOLD", "confidence": 40}},
            ],
            "errors": ["DOGEUSDT: no candles"],
        },
        [
            {"symbol": "BTCUSDT", "action": "BUY", "confidence": 80.0, "entry_price": 45000.0},
            {"symbol": "ETHUSDT", "action": "HOLD", "confidence": 40.0, "entry_price": None},
        ],
    ),
    Truth(
        "signals keyed by symbol",
        {"signals": {"BTCUSDT": {"signal": "BUY", "confidence": 71}, "XAUUSD": {"signal": "SELL", "confidence": 64}}},
        [
            {"symbol": "BTCUSDT", "action": "BUY", "confidence": 71.0},
            {"symbol": "XAUUSD", "action": "SELL", "confidence": 64.0},
        ],
    ),
    Truth(
        "data keyed by pair",
        {
            "status": "success",
            "data": {
                "BTC/USDT": {"signal": "buy", "price": 45000.0},
                "ETH/USDT": {"signal": "neutral", "price": 2500.0},
            },
        },
        [
            {"symbol": "BTC/USDT", "action": "BUY", "entry_price": 45000.0},
            {"symbol": "ETH/USDT", "action": "HOLD", "entry_price": 2500.0},
        ],
    ),
    Truth(
        "a complete plan for each timeframe",
        {
            "symbol": "BTCUSDT",
            "signals": {
                "1H": {"action": "BUY", "entry": 45000, "sl": 44500, "tp": 46000},
                "4h": {"action": "SELL", "entry": 45000, "sl": 46500, "tp": 42000},
            },
        },
        [
            {"symbol": "BTCUSDT", "timeframe": "1H", "action": "BUY", "take_profit": 46000.0},
            {"symbol": "BTCUSDT", "timeframe": "4H", "action": "SELL", "stop_loss": 46500.0},
        ],
    ),
    Truth(
        "opportunities at the root",
        {
            "symbol": "BTCUSDT",
            "opportunities": [
                {"direction": "long", "entry": 45000, "stop": 44000, "target": 47000, "score": 81, "id": "op-1"},
                {"direction": "unclear", "entry": 45000},
                {"direction": "short", "entry": 47000, "stop": 47500, "target": 45500, "score": 64, "id": "op-2"},
            ],
        },
        [
            {"action": "BUY", "confidence": 81.0, "stop_loss": 44000.0, "take_profit": 47000.0, "external_id": "op-1"},
            {"action": "SELL", "confidence": 64.0, "stop_loss": 47500.0, "take_profit": 45500.0, "external_id": "op-2"},
        ],
    ),
    Truth(
        "the verb in one room, the prices in another",
        {
            "signal": {
                "symbol": "BTCUSDT",
                "final_signal": {"signal": "sell", "confidence": 0.66, "reasoning": "Weighted"},
                "trade_setup": {
                    "entry_price": 45000,
                    "stop_loss": 45500,
                    "take_profit_1": 44000,
                    "take_profit_2": 43000,
                },
            }
        },
        [
            {
                "symbol": "BTCUSDT",
                "action": "SELL",
                "confidence": 66.0,
                "entry_price": 45000.0,
                "stop_loss": 45500.0,
                "take_profits": [44000.0, 43000.0],
                "reasoning": "Weighted",
            }
        ],
    ),
    Truth(
        "levels beside the signal",
        {
            "signal": {"action": "BUY", "symbol": "SOLUSDT"},
            "confidence": 77,
            "risk_management": {"entry_price": 150.0, "stop_loss": 145.0, "take_profit": [160.0, 170.0]},
            "reason": "Breakout",
        },
        [
            {
                "symbol": "SOLUSDT",
                "action": "BUY",
                "confidence": 77.0,
                "entry_price": 150.0,
                "stop_loss": 145.0,
                "take_profits": [160.0, 170.0],
                "reasoning": "Breakout",
            }
        ],
    ),
    Truth(
        "a decision with the market price around it",
        {
            "data": {
                "symbol": "XAUUSD",
                "current_price": {"bid": 2650.0, "ask": 2650.5},
                "decision": {"direction": "BUY"},
            }
        },
        [{"symbol": "XAUUSD", "action": "BUY", "entry_price": 2650.25}],
    ),
    Truth(
        "a root with a signal beside a decoy recommendation",
        {
            "symbol": "BTCUSDT",
            "signal": "SELL",
            "confidence": 70,
            "entry_price": 45000,
            "stop_loss": 45900,
            "recommendations": ["Scale in", "Mind the news"],
            "macd": {"signal": 3.2, "macd": 1.1},
            "ml_insights": {"prediction": {"direction": "BUY"}},
        },
        [{"symbol": "BTCUSDT", "action": "SELL", "confidence": 70.0, "stop_loss": 45900.0}],
    ),
    Truth(
        "a signal that was executed at once",
        {"status": "success", "signal": _SIGNAL, "order": {"order_id": 77, "status": "filled", "side": "SELL"}},
        [_FOUND],
    ),
    Truth(
        "an analysis that is a verdict with a confidence",
        {"symbol": "BTCUSDT", "analysis": {"signal": "BUY", "confidence": 74, "trend": "UP", "support": 44000}},
        [{"symbol": "BTCUSDT", "action": "BUY", "confidence": 74.0, "stop_loss": None}],
    ),
    Truth(
        "a signal inside an analysis",
        {"symbol": "BTCUSDT", "data": {"analysis": {"signal": {"direction": "SELL", "confidence": 64, "sl": 46000}}}},
        [{"symbol": "BTCUSDT", "action": "SELL", "confidence": 64.0, "stop_loss": 46000.0}],
    ),
    Truth(
        "an action with an entry only",
        {"symbol": "BTCUSDT", "action": "BUY", "entry": 45000},
        [{"symbol": "BTCUSDT", "action": "BUY", "entry_price": 45000.0, "confidence": None}],
    ),
    Truth(
        "an action with a reason",
        {"symbol": "BTCUSDT", "action": "HOLD", "reason": "No setup"},
        [{"symbol": "BTCUSDT", "action": "HOLD", "reasoning": "No setup"}],
    ),
    Truth(
        "several recommendations of one analysis",
        {
            "symbol": "BTCUSDT",
            "analysis": {
                "trading_recommendations": [
                    {"direction": "LONG", "entry": 45000, "stop": 44000},
                    {"direction": "SHORT", "entry": 47000, "stop": 48000},
                ]
            },
        },
        [{"symbol": "BTCUSDT", "action": "BUY"}, {"symbol": "BTCUSDT", "action": "SELL", "entry_price": 47000.0}],
    ),
    Truth(
        "all signals and the chosen one among them",
        {"signals": [_SIGNAL, {**_SIGNAL, "symbol": "BTCUSDT"}], "top_signal": _SIGNAL},
        [_FOUND, {**_FOUND, "symbol": "BTCUSDT"}],
    ),
    Truth(
        "an explicit container wins over levels around it",
        {"action": "BUY", "stop_loss": 1.0, "confidence": 10, "signal": _SIGNAL},
        [_FOUND],
    ),
    Truth(
        "a listing wins over a verb without levels", {"action": "BUY", "confidence": 10, "signals": [_SIGNAL]}, [_FOUND]
    ),
    Truth(
        "levels win over a listing of what came before",
        {**_SIGNAL, "signals": [{**_SIGNAL, "symbol": "BTCUSDT"}]},
        [_FOUND],
    ),
    Truth("the chosen one alone", {"status": "success", "top_signal": _SIGNAL, "count": 9}, [_FOUND]),
    Truth(
        "the verb outside, the confidence inside",
        {"signal": {"symbol": "BTCUSDT", "direction": "buy", "final_signal": {"signal": "buy", "confidence": 68.4}}},
        [{"symbol": "BTCUSDT", "action": "BUY", "confidence": 68.4}],
    ),
    Truth(
        "stored signals as a bare list",
        [{"signal_id": "sig_7", "symbol": "BTCUSDT", "direction": "BUY", "entry_price": 45000, "pnl_percentage": 4.5}],
        [{"symbol": "BTCUSDT", "action": "BUY", "entry_price": 45000.0, "external_id": "sig_7"}],
    ),
    Truth(
        "a size to take",
        {"symbol": "XAUUSD", "action": "BUY", "entry": 2650, "sl": 2640, "position": {"size": 0.1, "risk_pct": 1}},
        [{"symbol": "XAUUSD", "action": "BUY", "stop_loss": 2640.0}],
    ),
    Truth("results keyed by symbol", {"results": {"ETHUSDT": {"decision": _SIGNAL}}}, [_FOUND]),
    Truth("a list under the singular", {"signal": [_SIGNAL]}, [_FOUND]),
    Truth("a signal told twice", {"status": "success", "signal": _SIGNAL, "data": {"signal": _SIGNAL}}, [_FOUND]),
    Truth("a list that tells one signal twice", {"signals": [_SIGNAL, dict(_SIGNAL)]}, [_FOUND]),
]
