"""The signal code of the demo host: candles in, a trade idea with reasons out. Not advice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from stateful_engine.demo.candles import CandleStore, Series, rounded
from stateful_engine.demo.indicators import Structure, atr, ema, market_structure, rsi
from stateful_engine.domain.vocabulary import Action

MODEL = "demo-rules-1"
FAST, SLOW = 21, 50
LEAST_CANDLES = 60
LEAST_SCORE = 0.25
STOP_IN_ATR = 1.5
TARGETS_IN_R = (1.5, 2.5, 4.0)


class TooFewCandlesError(ValueError):
    """A market is too young to be analysed; the message says how many candles it takes."""


@dataclass(frozen=True, slots=True)
class Analysis:
    """What the strategy thinks of a market at the close of its last candle; no levels where it says HOLD."""

    series: Series
    action: Action
    confidence: float
    entry: float
    stop: float | None
    targets: tuple[float, ...]
    reasoning: str
    indicators: dict[str, float | None]
    structure: Structure

    def signal(self) -> dict[str, Any]:
        """The trade idea as the host's views answer with it."""
        signal: dict[str, Any] = {
            "symbol": self.series.symbol,
            "timeframe": self.series.timeframe,
            "action": self.action.value,
            "confidence": self.confidence,
            "entry_price": self.entry,
            "ai_reasoning": self.reasoning,
            "ai_model": MODEL,
            "smc_analysis": {
                "structure": self.structure.trend,
                "swing_high": self.structure.swing_high,
                "swing_low": self.structure.swing_low,
                "break_of_structure": self.structure.broken,
            },
            "technical_indicators": self.indicators,
            "market_conditions": self.structure.trend,
        }
        if self.stop is not None:
            signal |= {
                "take_profit": self.targets[0],
                "stop_loss": self.stop,
                "risk_reward_ratio": TARGETS_IN_R[0],
            }
        return signal


def analyse(series: Series) -> Analysis:
    """Judge the last candle of `series`; raises `TooFewCandlesError` where there is too little to judge by."""
    seen = _look_at(series)
    score = _score(seen)
    action = Action.HOLD if abs(score) < LEAST_SCORE or not seen.move else Action.BUY if score > 0 else Action.SELL
    entry = series.candles[-1].close
    stop, targets = _levels(action, entry, seen.move)
    return Analysis(
        series=series,
        action=action,
        confidence=round(50 * (1 - abs(score)) if action is Action.HOLD else 50 + 45 * abs(score), 1),
        entry=entry,
        stop=stop,
        targets=targets,
        reasoning=_reasoning(action, seen),
        indicators=seen.figures(),
        structure=seen.structure,
    )


@dataclass(frozen=True, slots=True)
class _Evidence:
    fast: float
    slow: float
    strength: float | None
    move: float
    structure: Structure

    def figures(self) -> dict[str, float | None]:
        return {
            "rsi": None if self.strength is None else round(self.strength, 2),
            f"ema_{FAST}": rounded(self.fast),
            f"ema_{SLOW}": rounded(self.slow),
            "atr": rounded(self.move),
        }


def _look_at(series: Series) -> _Evidence:
    count = len(series.candles)
    if count < LEAST_CANDLES:
        raise TooFewCandlesError(
            f"{series.symbol} has {count} candles of {series.timeframe}; the analysis takes {LEAST_CANDLES}"
        )
    closes = [candle.close for candle in series.candles]
    return _Evidence(
        fast=ema(closes, FAST) or closes[-1],
        slow=ema(closes, SLOW) or closes[-1],
        strength=rsi(closes),
        move=atr(series.candles) or 0.0,
        structure=market_structure(series.candles[-LEAST_CANDLES:]),
    )


def _score(seen: _Evidence) -> float:
    """From -1 (sell) to 1 (buy): trend, momentum and structure in the proportion 4 : 3 : 3."""
    trend = _between((seen.fast - seen.slow) / (2 * seen.move)) if seen.move else 0.0
    momentum = 0.0 if seen.strength is None else _between((seen.strength - 50.0) / 25.0)
    swings = {"BULLISH": 1.0, "BEARISH": -1.0}.get(seen.structure.trend, 0.0)
    return 0.4 * trend + 0.3 * momentum + 0.3 * swings


def _between(value: float) -> float:
    return max(-1.0, min(1.0, value))


def _levels(action: Action, entry: float, move: float) -> tuple[float | None, tuple[float, ...]]:
    """Stop and targets: the stop 1.5 ATR away, the targets in multiples of that risk."""
    if action is Action.HOLD:
        return None, ()
    risk = STOP_IN_ATR * move * (1 if action is Action.BUY else -1)
    return rounded(entry - risk), tuple(rounded(entry + risk * reward) for reward in TARGETS_IN_R)


def _reasoning(action: Action, seen: _Evidence) -> str:
    averages = f"EMA {FAST} is {'above' if seen.fast > seen.slow else 'below'} EMA {SLOW}"
    swings = {
        "BULLISH": "swings make higher highs and higher lows",
        "BEARISH": "swings make lower highs and lower lows",
    }.get(seen.structure.trend, "swings show no direction")
    momentum = "nothing moved" if seen.strength is None else f"RSI stands at {seen.strength:.1f}"
    verdict = "the evidence disagrees, so stay out" if action is Action.HOLD else f"together they speak for {action}"
    return f"{averages}, {swings}, {momentum}: {verdict}."


def sharp_signal(store: CandleStore, symbol: str, timeframe: str) -> dict[str, Any]:
    """The stricter answer: only a trade idea that the next longer timeframe confirms, with three targets.

    Where it does not, the answer says `"status": "rejected"` and why, which is no signal.
    """
    analysis = analyse(store.series(symbol, timeframe))
    longer = store.higher(analysis.series.symbol, analysis.series.timeframe)
    wider = analyse(store.series(symbol, longer)) if longer else analysis
    if analysis.action is Action.HOLD or wider.action is not analysis.action:
        frames = f"{analysis.series.timeframe} says {analysis.action}"
        frames += f", {longer} says {wider.action}" if longer else ""
        return {"status": "rejected", "reason": f"no sharp signal: {frames}", "symbol": analysis.series.symbol}
    targets = {f"take_profit_{number}": price for number, price in enumerate(analysis.targets, start=1)}
    signal = analysis.signal() | targets | {"confirmed_by": longer}
    return {"status": "success", "signal": signal, "human_readable": _headline(analysis)}


def _headline(analysis: Analysis) -> str:
    series = analysis.series
    return (
        f"{analysis.action} {series.symbol} {series.timeframe} at {analysis.entry:g}, stop {analysis.stop:g}, "
        f"targets {', '.join(f'{price:g}' for price in analysis.targets)} ({analysis.confidence:g} % sure)"
    )
