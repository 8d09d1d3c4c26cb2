"""Bodies whose fields are spelled, scaled and nested in many ways, each with what they mean."""

from __future__ import annotations

from tests.domain.shapes import Truth

FIELDS = [
    Truth(
        "camel case",
        {
            "signal": {
                "tradingPair": "SOL/USDT",
                "side": "LONG",
                "entryPrice": 150.5,
                "stopLoss": 145,
                "takeProfit": 160,
                "riskRewardRatio": 1.7,
                "aiReasoning": "Retest",
            }
        },
        [
            {
                "symbol": "SOLUSDT",
                "action": "BUY",
                "entry_price": 150.5,
                "stop_loss": 145.0,
                "take_profit": 160.0,
                "reasoning": "Retest",
            }
        ],
    ),
    Truth(
        "capitals",
        {"signal": {"SYMBOL": "BTCUSDT", "ACTION": "BUY", "ENTRY": "45,000", "SL": "44,000.50", "TP": "47000 USDT"}},
        [{"symbol": "BTCUSDT", "action": "BUY", "entry_price": 45000.0, "stop_loss": 44000.5, "take_profit": 47000.0}],
    ),
    Truth(
        "Indonesian words and numbers",
        {
            "sinyal": {
                "pair": "BTC/IDR",
                "aksi": "BELI",
                "entry": "Rp 1.050.000.000",
                "tf": "1 jam",
                "confidence": "80,5%",
            }
        },
        [{"symbol": "BTCIDR", "action": "BUY", "entry_price": 1.05e9, "timeframe": "1H", "confidence": 80.5}],
    ),
    Truth(
        "an emoji before the verb and a strength",
        {"signal": {"symbol": "GOLD", "action": "🟢 Strong Buy", "confidence": "HIGH (88%)"}},
        [{"symbol": "GOLD", "action": "BUY", "strength": "STRONG", "confidence": 88.0}],
    ),
    Truth(
        "an entry zone as text and targets as a text",
        {
            "signal": {
                "pair": "BTC-USDT-SWAP",
                "direction": "long",
                "entry_zone": "43,300 - 43,500",
                "targets": "44200, 44800",
            }
        },
        [
            {
                "symbol": "BTCUSDT",
                "action": "BUY",
                "entry_price": 43400.0,
                "entry_range": [43300.0, 43500.0],
                "take_profits": [44200.0, 44800.0],
            }
        ],
    ),
    Truth(
        "an entry zone as a list and named targets",
        {
            "signal": {
                "symbol": "BTCUSDT",
                "direction": "SHORT",
                "entry_zone": [43500, 43300],
                "take_profit": {"tp1": 42000, "tp2": "41,000"},
                "stop_loss": "Above the swing high",
            }
        },
        [
            {
                "action": "SELL",
                "entry_price": 43400.0,
                "take_profits": [42000.0, 41000.0],
                "take_profit": 42000.0,
                "stop_loss": None,
            }
        ],
    ),
    Truth(
        "labelled targets, and an object with a level and a price",
        {
            "signals": [
                {"symbol": "BTCUSDT", "action": "BUY", "targets": ["TP1: 44,200", "TP2: 44,800"], "sl": "SL: 42900"},
                {"symbol": "BTCUSDT", "action": "BUY", "take_profit": {"level": 1, "price": 44200, "percentage": 2.5}},
                {"symbol": "BTCUSDT", "action": "BUY", "targets": {"tp1": 44200, "tp1_pct": 2.5, "stop_loss": 42900}},
            ]
        },
        [
            {"action": "BUY", "take_profits": [44200.0, 44800.0], "stop_loss": 42900.0},
            {"action": "BUY", "take_profits": [44200.0], "stop_loss": None},
            {"action": "BUY", "take_profits": [44200.0], "stop_loss": 42900.0},
        ],
    ),
    Truth(
        "zero means missing",
        {"signal": {"symbol": "BTCUSDT", "action": "HOLD", "entry_price": 0, "take_profit": 0.0, "stop_loss": "0"}},
        [{"action": "HOLD", "entry_price": None, "take_profit": None, "stop_loss": None, "take_profits": []}],
    ),
    Truth(
        "confidences of every kind",
        {
            "signals": [
                {"symbol": "AAA", "action": "BUY", "confidence": "0.85"},
                {"symbol": "BBB", "action": "BUY", "confidence": {"score": 78, "level": "HIGH"}},
                {"symbol": "CCC", "action": "BUY", "confidence": "MEDIUM"},
                {"symbol": "DDD", "action": "BUY", "confidence": -5},
                {"symbol": "EEE", "action": "BUY", "confidence": "8/10"},
                {"symbol": "FFF", "action": "BUY", "confidence": "NaN"},
                {"symbol": "GGG", "action": "BUY", "confidence": "MEDIUM", "score": 0.6},
                {"symbol": "HHH", "action": "BUY", "confidence_pct": "61 %"},
            ]
        },
        [
            {"symbol": "AAA", "action": "BUY", "confidence": 85.0},
            {"symbol": "BBB", "action": "BUY", "confidence": 78.0},
            {"symbol": "CCC", "action": "BUY", "confidence": None, "confidence_label": "MEDIUM"},
            {"symbol": "DDD", "action": "BUY", "confidence": None, "flags": ["confidence_out_of_range"]},
            {"symbol": "EEE", "action": "BUY", "confidence": 80.0},
            {"symbol": "FFF", "action": "BUY", "confidence": None},
            {"symbol": "GGG", "action": "BUY", "confidence": 60.0, "confidence_label": "MEDIUM"},
            {"symbol": "HHH", "action": "BUY", "confidence": 61.0},
        ],
    ),
    Truth(
        "a symbol in the request only, and a timeframe there in MetaTrader's spelling",
        {"signal": {"action": "WAIT", "confidence": 30}},
        [{"symbol": "XAUUSDc", "timeframe": "15m", "action": "HOLD"}],
        request={"symbol": "XAUUSDc", "tf": "M15"},
    ),
    Truth(
        "an unknown timeframe gives way to the request",
        {"symbol": "BTCUSDT", "timeframe": "unknown", "signal": {"action": "BUY"}},
        [{"symbol": "BTCUSDT", "timeframe": "1D", "action": "BUY"}],
        request={"symbol": "ETHUSDT", "interval": "1d"},
    ),
    Truth(
        "metadata beats the request",
        {"data": {"signal": "BUY", "confidence": 61}, "metadata": {"symbol": "BTC-USDT", "timeframe": "15m"}},
        [{"symbol": "BTCUSDT", "timeframe": "15m", "action": "BUY"}],
        request={"symbol": "ETHUSDT", "timeframe": "1H"},
    ),
    Truth(
        "the type stands for the verb only with levels",
        {"signal": {"symbol": "EURUSD", "type": "SELL", "entry": 1.085, "sl": 1.09, "tp": 1.075}},
        [{"symbol": "EURUSD", "action": "SELL", "stop_loss": 1.09}],
    ),
    Truth(
        "the strength is told by another spelling of the same verb",
        {"signal": {"symbol": "BTCUSDT", "action": "BUY", "signal": "STRONG_BUY", "confidence": 80, "strength": 9}},
        [{"action": "BUY", "strength": "STRONG"}],
    ),
    Truth(
        "an opened side",
        {"signal": {"symbol": "MES", "action": "OPEN", "side": "BUY", "entry_price": 5000, "stop_loss": 4990}},
        [{"symbol": "MES", "action": "BUY", "stop_loss": 4990.0}],
    ),
    Truth(
        "a stop on the wrong side is kept and flagged",
        {"signal": {"symbol": "BTCUSDT", "action": "BUY", "entry_price": 100, "stop_loss": 110, "take_profit": 120}},
        [{"action": "BUY", "stop_loss": 110.0, "flags": ["stop_loss_wrong_side"]}],
    ),
]
