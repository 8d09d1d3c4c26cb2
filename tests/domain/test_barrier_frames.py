"""Many signals at once: far exits, odd inputs and what a missing numpy says."""

from __future__ import annotations

import sys
from dataclasses import fields

import numpy as np
import pytest

from stateful_engine.domain.barrier_frames import CandleFrame, prepare_candles, resolve_frame
from stateful_engine.domain.barrier_search import first_touches
from stateful_engine.domain.barriers import Resolution, resolve
from stateful_engine.errors import InvalidInputError, MissingExtraError

MINUTE = 60_000


def flat_market(count: int, *, touches: dict[int, float]) -> CandleFrame:
    """Quiet candles at 100 with single highs."""
    highs = np.full(count, 101.0)
    for index, high in touches.items():
        highs[index] = high
    quiet = np.full(count, 100.0)
    return prepare_candles(np.arange(count) * MINUTE, quiet, highs=highs, lows=quiet - 1, closes=quiet)


def random_market(random: np.random.Generator, *, count: int) -> tuple[list[tuple[float, ...]], CandleFrame]:
    closes = np.round(100 * np.exp(np.cumsum(random.standard_normal(count) * 0.002)), 2)
    opens = np.round(np.concatenate([[100.0], closes[:-1]]) + random.choice([0, 0, 0, 0.3, -0.3], count), 2)
    highs = np.maximum(opens, closes) + np.round(random.random(count) * 0.2, 2)
    lows = np.minimum(opens, closes) - np.round(random.random(count) * 0.2, 2)
    times = np.cumsum(random.choice([1, 1, 1, 1, 1, 1, 1, 1, 1, 3], count)) * MINUTE
    rows = list(zip(times.tolist(), opens.tolist(), highs.tolist(), lows.tolist(), closes.tolist(), strict=True))
    return rows, prepare_candles(times, opens, highs=highs, lows=lows, closes=closes)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 9, 64, 1000, 1024])
def test_a_touch_is_found_at_any_distance_from_any_start(count):
    random = np.random.default_rng(count)
    market = flat_market(count, touches={int(random.integers(0, count)): 110.0})
    starts, ends = np.divmod(np.arange(min(count * (count + 1), 60_000)), count + 1)
    found = first_touches(
        market, starts, ends=ends, above=np.full(len(starts), 110.0), below=np.full(len(starts), -np.inf)
    )
    at = int(np.argmax(market.highs))
    inside = (starts <= at) & (at < ends)
    expected = np.where(inside, at, np.maximum(starts, ends))
    assert found.at.tolist() == expected.tolist()
    assert (found.top[expected > starts] == 101.0).all()
    assert (found.top[expected == starts] == -np.inf).all()


def test_a_year_of_walking_gives_what_the_plain_walk_gives_candle_by_candle():
    random = np.random.default_rng(7)
    rows, market = random_market(random, count=3000)
    count = 300
    times = random.integers(-5, 3400, count) * MINUTE
    entries = np.round(random.uniform(98, 102, count), 2)
    sides = random.choice(["BUY", "SELL", "HOLD"], count, p=[0.48, 0.48, 0.04]).tolist()
    away = np.where(np.array(sides) == "BUY", 1, -1)
    stops, targets = (
        entries - away * random.choice([0.5, 2, 8], count),
        entries + away * random.choice([1, 4, 9], count),
    )
    expiries = np.where(random.random(count) < 0.5, np.nan, times + random.integers(1, 2000, count) * MINUTE)
    frame = resolve_frame(
        sides, entries, stops=stops, targets=targets, signal_times=times, expiries=expiries, candles=market
    )
    for row in range(count):
        walked = resolve(
            sides[row],
            entries[row],
            stops[row],
            targets[row],
            rows,
            signal_time=int(times[row]),
            expiry=None if np.isnan(expiries[row]) else int(expiries[row]),
            candle_ms=MINUTE,
        )
        assert frame.resolution(row) == walked


def test_the_columns_are_those_of_a_resolution_and_hold_nan_where_it_holds_none():
    frame = resolve_frame(
        ["BUY", "HOLD"],
        [100.0, None],
        stops=[95.0, None],
        targets=[110.0, None],
        signal_times=[0, None],
        candles=flat_market(4, touches={2: 111.0}),
    )
    assert list(frame.columns()) == [field.name for field in fields(Resolution)]
    assert len(frame) == 2
    assert frame.exit_reason.tolist() == ["TP", None]
    assert np.isnan(frame.exit_price[1])
    assert frame.resolution(1).exit_price is None
    assert type(frame.resolution(0).exit_time) is int


def test_rows_without_prices_are_walked_over_as_missing_candles():
    prices = np.array([100.0, np.nan, 0.0, 111.0])
    market = prepare_candles(np.arange(4) * MINUTE, prices, highs=prices, lows=prices, closes=prices)
    frame = resolve_frame(["BUY"], [100.0], stops=[95.0], targets=[110.0], signal_times=[0], candles=market)
    assert (frame.exit_reason[0], frame.exit_time[0], frame.data_gap[0]) == ("TP", 3 * MINUTE, True)


def test_no_signals_and_no_candles_are_no_trouble():
    nothing = prepare_candles([], [], highs=[], lows=[], closes=[])
    assert len(resolve_frame([], [], stops=[], targets=[], signal_times=[], candles=nothing)) == 0
    waiting = resolve_frame(["BUY"], [100.0], stops=[95.0], targets=[110.0], signal_times=[5], candles=nothing)
    assert waiting.resolution(0) == resolve("BUY", 100.0, 95.0, 110.0, [], signal_time=5)


def test_finer_candles_and_moved_stops_reach_the_signals_they_belong_to():
    touched = np.array([100.0, 100.0, 100.0])
    market = prepare_candles(
        np.arange(3) * MINUTE, touched, highs=[101.0, 112.0, 101.0], lows=[99.0, 94.0, 99.0], closes=touched
    )
    half = np.arange(2, 4) * (MINUTE // 2)
    finer = prepare_candles(half, [100.0, 110.0], highs=[111.0, 111.0], lows=[99.0, 94.0], closes=[110.0, 95.0])
    columns = {"stops": [95.0] * 2, "targets": [110.0] * 2, "signal_times": [0, 0], "candles": market}
    drilled = resolve_frame(["BUY", "BUY"], [100.0, 100.0], **columns, finer=finer, stop_moves={1: [(1, 100.0)]})
    assert drilled.exit_reason.tolist() == ["TP", "SL"]
    assert drilled.exit_price.tolist() == [110.0, 100.0]
    assert drilled.ambiguous.tolist() == [False, False]
    assert resolve_frame(["BUY", "BUY"], [100.0, 100.0], **columns).exit_reason.tolist() == ["SL", "SL"]


def test_columns_of_different_length_and_candles_out_of_order_are_refused():
    market = flat_market(2, touches={})
    with pytest.raises(InvalidInputError, match="one element per signal"):
        resolve_frame(["BUY"], [100.0, 101.0], stops=[95.0], targets=[110.0], signal_times=[0], candles=market)
    with pytest.raises(InvalidInputError, match="sort them and drop repeated ones"):
        prepare_candles([MINUTE, 0], [1, 1], highs=[1, 1], lows=[1, 1], closes=[1, 1])


def test_without_numpy_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(MissingExtraError, match=r"stateful_engine\[analysis\]"):
        prepare_candles([], [], highs=[], lows=[], closes=[])
