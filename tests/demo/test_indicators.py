"""The indicators against the worked examples of StockCharts' ChartSchool, and against what must hold for any prices."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stateful_engine.demo.candles import Candle
from stateful_engine.demo.indicators import atr, ema, market_structure, rsi

EMA_CLOSES = [22.27, 22.19, 22.08, 22.17, 22.18, 22.13, 22.23, 22.43, 22.24, 22.29, 22.15, 22.39, 22.38, 22.61, 23.36]
RSI_CLOSES = [
    44.3389,
    44.0902,
    44.1497,
    43.6124,
    44.3278,
    44.8264,
    45.0955,
    45.4245,
    45.8433,
    46.0826,
    45.8931,
    46.0328,
    45.6140,
    46.2820,
    46.2820,
    46.0028,
    46.0328,
    46.4116,
    46.2222,
    45.6439,
]
prices = st.lists(st.floats(min_value=0.01, max_value=1e6), min_size=16, max_size=60)


def candles(*bars: tuple[float, float, float]) -> list[Candle]:
    """Candles from (high, low, close)."""
    return [Candle(at * 60_000, close, high, low, close, 1.0) for at, (high, low, close) in enumerate(bars)]


@pytest.mark.parametrize(
    ("count", "expected"), [(10, 22.22), (11, 22.21), (12, 22.24), (13, 22.27), (14, 22.33), (15, 22.52)]
)
def test_ema_follows_the_worked_example(count: int, expected: float) -> None:
    assert ema(EMA_CLOSES[:count], 10) == pytest.approx(expected, abs=0.005)


@pytest.mark.parametrize(
    ("count", "expected"), [(15, 70.53), (16, 66.32), (17, 66.55), (18, 69.41), (19, 66.36), (20, 57.97)]
)
def test_rsi_follows_the_worked_example(count: int, expected: float) -> None:
    assert rsi(RSI_CLOSES[:count]) == pytest.approx(expected, abs=0.005)


def test_atr_counts_gaps_and_smooths_as_wilder_did() -> None:
    bars = candles((11, 9, 10), (12, 11, 11.5), (16, 14, 15), (15, 14, 14.5))
    # True ranges: 2 (from the close of 10 up to 12), 4.5 (from 11.5 up to 16), 1 (inside, 15 to 14).
    assert atr(bars[:3], 2) == pytest.approx((2 + 4.5) / 2)
    assert atr(bars, 2) == pytest.approx(((2 + 4.5) / 2 + 1) / 2)


def test_too_few_prices_give_none_instead_of_a_guess() -> None:
    assert ema([1.0] * 9, 10) is None
    assert rsi([1.0, 2.0] * 7) is None
    assert atr(candles(*[(2, 1, 1.5)] * 14)) is None


def test_prices_that_never_move_have_no_rsi_and_no_range() -> None:
    assert rsi([5.0] * 30) is None
    assert atr(candles(*[(5, 5, 5)] * 30)) == 0


def test_a_market_that_only_rises_has_an_rsi_of_100_and_one_that_only_falls_0() -> None:
    assert rsi([float(price) for price in range(1, 40)]) == 100
    assert rsi([float(price) for price in range(40, 1, -1)]) == 0


@given(prices)
def test_rsi_mirrors_when_the_prices_do(closes: list[float]) -> None:
    value, mirrored = rsi(closes), rsi([-price for price in closes])
    if value is None:
        assert mirrored is None
    else:
        assert 0 <= value <= 100
        assert mirrored == pytest.approx(100 - value, abs=1e-6)


@given(prices)
def test_ema_stays_between_the_extremes(closes: list[float]) -> None:
    value = ema(closes, 10)
    assert value is not None
    assert min(closes) * (1 - 1e-9) <= value <= max(closes) * (1 + 1e-9)


def zigzag(*turns: float) -> list[Candle]:
    """Candles that walk from turn to turn in steps, so that each turn is a swing."""
    path = [turns[0]]
    for turn in turns[1:]:
        start = path[-1]
        path += [start + (turn - start) * step / 4 for step in range(1, 5)]
    return candles(*[(price + 0.1, price - 0.1, price) for price in path])


@pytest.mark.parametrize(
    ("turns", "trend", "broken"),
    [
        ((10, 14, 12, 16, 14, 15), "BULLISH", False),
        ((10, 14, 12, 16, 14, 18), "BULLISH", True),
        ((20, 14, 17, 12, 15, 13), "BEARISH", False),
        ((20, 14, 17, 12, 15, 10), "BEARISH", True),
        ((10, 16, 12, 14, 11, 13), "BEARISH", False),
        ((10, 14, 12, 16, 11, 13), "RANGING", False),
    ],
)
def test_swings_tell_the_trend_and_whether_it_broke_out(turns: tuple[float, ...], trend: str, broken: bool) -> None:
    structure = market_structure(zigzag(*turns))
    assert (structure.trend, structure.broken) == (trend, broken)


def test_the_last_swings_are_named_by_their_prices() -> None:
    structure = market_structure(zigzag(10, 14, 12, 16, 14, 15))
    assert structure.swing_high == pytest.approx(16.1)
    assert structure.swing_low == pytest.approx(13.9)


def test_without_two_swings_on_either_side_there_is_no_structure() -> None:
    structure = market_structure(zigzag(10, 14, 12))
    assert (structure.trend, structure.swing_high, structure.swing_low) == ("RANGING", None, None)
