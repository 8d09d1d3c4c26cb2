"""The demo's signal code: levels on the right side, reasons in words, and a refusal where timeframes disagree."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from stateful_engine.demo.candles import Candle, CandleStore, Series
from stateful_engine.demo.strategy import Analysis, TooFewCandlesError, analyse, sharp_signal
from stateful_engine.domain.extraction import extract
from stateful_engine.domain.vocabulary import Action


def waves(drift: float, *, count: int = 120, height: float = 1.0) -> Series:
    """A market that swings around a straight line."""
    closes = [100 + drift * at + height * math.sin(at / 2) for at in range(count)]
    bars = [Candle(at * 3_600_000, close, close + 0.2, close - 0.2, close, 1.0) for at, close in enumerate(closes)]
    return Series("BTCUSDT", "1H", tuple(bars), "synthetic")


def test_a_rising_market_is_bought_with_the_stop_below_and_the_targets_above() -> None:
    analysis = analyse(waves(0.2))
    assert analysis.action is Action.BUY
    assert analysis.stop is not None
    assert analysis.stop < analysis.entry < analysis.targets[0] < analysis.targets[1] < analysis.targets[2]
    assert (analysis.targets[0] - analysis.entry) / (analysis.entry - analysis.stop) == pytest.approx(1.5, rel=1e-4)
    assert 50 < analysis.confidence <= 95
    assert "EMA 21 is above EMA 50" in analysis.reasoning
    assert "higher highs and higher lows" in analysis.reasoning


def test_a_falling_market_is_sold_with_the_stop_above() -> None:
    analysis = analyse(waves(-0.2))
    assert analysis.action is Action.SELL
    assert analysis.stop is not None
    assert analysis.targets[0] < analysis.entry < analysis.stop
    assert "lower highs and lower lows" in analysis.reasoning


@pytest.mark.parametrize("series", [waves(0.0), waves(0.0, height=0.0)], ids=["sideways", "standing still"])
def test_a_market_without_direction_is_left_alone(series: Series) -> None:
    analysis = analyse(series)
    assert (analysis.action, analysis.stop, analysis.targets) == (Action.HOLD, None, ())
    assert analysis.confidence <= 50
    assert "stay out" in analysis.reasoning
    assert {"take_profit", "stop_loss"}.isdisjoint(analysis.signal())


def test_a_young_market_is_refused_with_the_number_it_takes() -> None:
    with pytest.raises(TooFewCandlesError, match=r"BTCUSDT has 59 candles of 1H; the analysis takes 60"):
        analyse(waves(0.2, count=59))


@pytest.mark.parametrize("drift", [0.2, -0.2, 0.0])
def test_the_engine_reads_from_the_answer_what_the_strategy_said(drift: float) -> None:
    analysis = analyse(waves(drift))
    (signal,) = extract({"status": "success", "signal": analysis.signal()}).signals
    told = (signal.symbol, signal.timeframe, signal.action, signal.confidence, signal.entry_price, signal.stop_loss)
    assert told == ("BTCUSDT", "1H", analysis.action, analysis.confidence, analysis.entry, analysis.stop)
    assert signal.ai_reasoning == analysis.reasoning
    assert signal.ai_model == "demo-rules-1"


def folder_with(tmp_path: Path, **markets: Series) -> CandleStore:
    for timeframe, series in markets.items():
        rows = [f"{bar.opened_ms},{bar.open},{bar.high},{bar.low},{bar.close},1" for bar in series.candles]
        name = f"BTCUSDT-{timeframe.removeprefix('of_')}.csv"
        (tmp_path / name).write_text("\n".join(["ts,open,high,low,close,volume", *rows, ""]))
    return CandleStore(tmp_path)


def test_a_sharp_signal_is_confirmed_by_the_longer_timeframe_and_has_three_targets(tmp_path: Path) -> None:
    answer = sharp_signal(folder_with(tmp_path, of_1H=waves(0.2), of_4H=waves(0.3)), "BTCUSDT", "1H")
    assert answer["status"] == "success"
    assert answer["signal"]["confirmed_by"] == "4H"
    assert answer["human_readable"].startswith("BUY BTCUSDT 1H at ")
    (signal,) = extract(answer).signals
    assert signal.extra["take_profits"] == [answer["signal"][f"take_profit_{number}"] for number in (1, 2, 3)]


def test_without_a_longer_timeframe_a_sharp_signal_stands_alone(tmp_path: Path) -> None:
    answer = sharp_signal(folder_with(tmp_path, of_1H=waves(0.2)), "BTCUSDT", "1H")
    assert answer["signal"]["confirmed_by"] is None


def test_timeframes_that_disagree_give_a_refusal_which_is_no_signal(tmp_path: Path) -> None:
    answer = sharp_signal(folder_with(tmp_path, of_1H=waves(0.2), of_4H=waves(-0.2)), "BTCUSDT", "1H")
    assert answer["status"] == "rejected"
    assert answer["reason"] == "no sharp signal: 1H says BUY, 4H says SELL"
    assert extract(answer).signals == ()


def test_an_analysis_can_be_asked_what_was_known_earlier() -> None:
    series = waves(0.2, count=200)
    earlier = analyse(series.until(100, count=80))
    assert isinstance(earlier, Analysis)
    assert earlier.entry == series.candles[99].close
    assert len(earlier.series.candles) == 80
