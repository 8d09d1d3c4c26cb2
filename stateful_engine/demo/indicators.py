"""The indicators of the demo: EMA, RSI, ATR and market structure, in plain Python.

RSI and ATR use the smoothing of J. Welles Wilder, *New Concepts in Technical Trading Systems* (1978).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from stateful_engine.demo.candles import Candle


def ema(values: Sequence[float], period: int) -> float | None:
    """The exponential moving average of the last value, started with the mean of the first `period` values.

    Each value weighs 2 / (period + 1). None with fewer than `period` values.
    """
    if len(values) < period:
        return None
    average = sum(values[:period]) / period
    for value in values[period:]:
        average += (value - average) * 2 / (period + 1)
    return average


def rsi(closes: Sequence[float], period: int = 14) -> float | None:
    """The relative strength index, 0 to 100; None with fewer than `period` changes, or when no price moved at all."""
    changes = [later - earlier for earlier, later in pairwise(closes)]
    gain = _wilder([max(change, 0.0) for change in changes], period)
    loss = _wilder([max(-change, 0.0) for change in changes], period)
    if gain is None or loss is None or gain + loss == 0:
        return None
    return 100 * gain / (gain + loss)


def atr(candles: Sequence[Candle], period: int = 14) -> float | None:
    """The average true range in units of price; None with fewer than `period + 1` candles."""
    ranges = [max(candle.high, before.close) - min(candle.low, before.close) for before, candle in pairwise(candles)]
    return _wilder(ranges, period)


def _wilder(values: Sequence[float], period: int) -> float | None:
    """Wilder's smoothing: the mean of the first `period` values, then each new one weighs 1 / period."""
    if len(values) < period:
        return None
    average = sum(values[:period]) / period
    for value in values[period:]:
        average += (value - average) / period
    return average


@dataclass(frozen=True, slots=True)
class Structure:
    """What the swings say: `trend` is BULLISH, BEARISH or RANGING; the last swing prices are None before there are two.

    `broken` tells that the last close is beyond the last swing in the direction of the trend.
    """

    trend: str
    swing_high: float | None
    swing_low: float | None
    broken: bool


def market_structure(candles: Sequence[Candle], *, wing: int = 2) -> Structure:
    """Higher highs and higher lows are BULLISH, lower highs and lower lows BEARISH, anything else is RANGING.

    A swing high is a high above those of `wing` candles on either side; a swing low likewise.
    """
    highs = _swings([candle.high for candle in candles], wing)
    lows = [-low for low in _swings([-candle.low for candle in candles], wing)]
    if len(highs) < 2 or len(lows) < 2:
        return Structure("RANGING", None, None, broken=False)
    close = candles[-1].close
    if highs[-1] > highs[-2] and lows[-1] > lows[-2]:
        return Structure("BULLISH", highs[-1], lows[-1], broken=close > highs[-1])
    if highs[-1] < highs[-2] and lows[-1] < lows[-2]:
        return Structure("BEARISH", highs[-1], lows[-1], broken=close < lows[-1])
    return Structure("RANGING", highs[-1], lows[-1], broken=False)


def _swings(values: Sequence[float], wing: int) -> list[float]:
    """The values above all neighbours within `wing` places."""
    return [
        values[at]
        for at in range(wing, len(values) - wing)
        if all(values[at] > values[at + step] for step in range(-wing, wing + 1) if step)
    ]
