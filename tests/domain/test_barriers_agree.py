"""The plain walk and the vectorised engine are one rule table: whatever the market does, they give the same floats."""

from __future__ import annotations

from itertools import accumulate

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stateful_engine.domain.barrier_frames import CandleFrame, prepare_candles, resolve_frame
from stateful_engine.domain.barriers import AmbiguityPolicy, EntryMode, GapFill, resolve

MINUTE = 60_000
levels = st.integers(90, 110).map(float)
prices = st.one_of(levels, levels, levels, st.sampled_from([0.0, float("nan"), float("inf")]))
sides = st.sampled_from(["BUY", "SELL", "BUY", "SELL", "HOLD"])
moments = st.one_of(st.integers(-3, 45).map(lambda minute: minute * MINUTE // 2), st.none())


@st.composite
def candle_series(draw, *, sound=False):
    """Up to thirty candles on a coarse price grid, so that touches, gaps, flat and broken candles are all frequent."""
    steps = draw(st.lists(st.sampled_from([1, 1, 1, 1, 2, 3]), min_size=0, max_size=30))
    rows = []
    for minute in accumulate(steps):
        corners = draw(st.tuples(*[levels] * 4))
        wild = not sound and draw(st.integers(0, 20)) == 0
        low, high = (corners[2], corners[1]) if wild else (min(corners), max(corners))
        opened = float("nan") if wild and draw(st.booleans()) else corners[0]
        rows.append((minute * MINUTE, opened, high, low, corners[3]))
    return rows


signal_lists = st.lists(
    st.fixed_dictionaries(
        {
            "side": sides,
            "entry": prices,
            "stop": prices,
            "target": prices,
            "limit": prices,
            "at": moments,
            "until": moments,
        }
    ),
    min_size=1,
    max_size=8,
)
rule_sets = st.fixed_dictionaries(
    {
        "policy": st.sampled_from([policy.value for policy in AmbiguityPolicy]),
        "entry_mode": st.sampled_from([mode.value for mode in EntryMode]),
        "tp_gap_fill": st.sampled_from([fill.value for fill in GapFill]),
        "strict_tp": st.booleans(),
        "limit_valid_candles": st.sampled_from([None, 1, 2, 5]),
        "break_even_r": st.sampled_from([0.05, 0.0, 0.5]),
    }
)


def frame_of(candles) -> CandleFrame:
    columns = np.array(candles, dtype=float).reshape(-1, 5).T
    return prepare_candles(columns[0], columns[1], highs=columns[2], lows=columns[3], closes=columns[4])


def column(signals, name):
    return [signal[name] for signal in signals]


def both_answers(signals, candles, rules, *, finer=None, stop_moves=None):
    frame = resolve_frame(
        column(signals, "side"),
        column(signals, "entry"),
        stops=column(signals, "stop"),
        targets=column(signals, "target"),
        limit_prices=column(signals, "limit"),
        signal_times=column(signals, "at"),
        expiries=column(signals, "until"),
        candles=frame_of(candles),
        finer=None if finer is None else frame_of(finer),
        stop_moves=stop_moves,
        **rules,
    )
    for row, signal in enumerate(signals):
        walked = resolve(
            signal["side"],
            signal["entry"],
            signal["stop"],
            signal["target"],
            candles,
            signal_time=signal["at"],
            expiry=signal["until"],
            limit_price=signal["limit"],
            finer=finer,
            stop_moves=(stop_moves or {}).get(row, ()),
            **rules,
        )
        yield frame.resolution(row), walked


@settings(max_examples=60, deadline=None)
@given(signals=signal_lists, candles=candle_series(), rules=rule_sets)
def test_both_engines_agree_on_any_market_in_every_policy(signals, candles, rules):
    for vectorised, walked in both_answers(signals, candles, rules):
        assert vectorised == walked


@settings(max_examples=40, deadline=None)
@given(signals=signal_lists, candles=candle_series(), rules=rule_sets, data=st.data())
def test_both_engines_agree_when_finer_candles_and_moved_stops_are_given(signals, candles, rules, data):
    finer = [row for row in candles if data.draw(st.booleans())]
    finer += [(ts + MINUTE // 2, *row[1:]) for ts, *row in [(row[0], *row) for row in finer]]
    moves = st.lists(st.tuples(moments.filter(bool), levels))
    moved = data.draw(st.dictionaries(st.integers(0, len(signals) - 1), moves))
    for vectorised, walked in both_answers(signals, candles, rules, finer=sorted(finer), stop_moves=moved):
        assert vectorised == walked


@settings(max_examples=60, deadline=None)
@given(signals=signal_lists, candles=candle_series(), rules=rule_sets, cut=st.integers(0, 30))
def test_a_pending_signal_resumed_with_later_candles_ends_as_if_all_had_been_there(signals, candles, rules, cut):
    for signal in signals:
        options = {
            "signal_time": signal["at"],
            "expiry": signal["until"],
            "limit_price": signal["limit"],
            "candle_ms": MINUTE,
            **rules,
        }
        idea = (signal["side"], signal["entry"], signal["stop"], signal["target"])
        at_once = resolve(*idea, candles, **options)
        early = resolve(*idea, candles[:cut], **options)
        if early.exit_reason is None and early.resolvable:
            needed = [row for row in candles if row[0] >= (early.resumable_from or 0)]
            early = resolve(*idea, needed, resumed=early, **options)
        assert early == at_once
