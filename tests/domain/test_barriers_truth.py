"""What freqtrade's backtester found, on its own test cases and on real candles, and by which rule we differ."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise

import pytest

from stateful_engine.domain.barrier_frames import OutcomeFrame, prepare_candles, resolve_frame
from stateful_engine.domain.barriers import Resolution, resolve
from tests.domain.barrier_truth import Traded, candles_of, cases, exit_in, exit_of, resolve_case, traded

CONVENTION_FREE = [case for case in cases() if not case["flags"]]
CONVENTIONAL = [case for case in cases() if case["flags"]]
MARKETS = traded()


def by_name(case):
    return case["id"]


@pytest.mark.parametrize("case", CONVENTION_FREE, ids=by_name)
def test_a_case_without_conventions_ends_exactly_as_in_freqtrade(case):
    expected = case["expected"]
    found = resolve_case(case)
    assert exit_of(found) == exit_in(expected)
    assert found.entry_price == expected["entry_price"]
    if expected["profit_ratio"] is not None:
        assert found.pnl_percentage == pytest.approx(expected["profit_ratio"] * 100, abs=1e-9)
        assert found.r_multiple == pytest.approx(expected["r_multiple"], abs=1e-9)


def rule_for(case, found: Resolution) -> str | None:
    """The rule by which we differ from freqtrade in a case, if we do."""
    flags = " ".join(case["flags"])
    if "entry_at_candle_extreme" in flags:
        return "a marketable limit fills at the open, not at the candle's extreme"
    if exit_of(found) == exit_in(case["expected"]):
        return None
    if "take_profit_touched_exactly" in flags and exit_of(resolve_case(case, strict_tp=True)) == exit_in(
        case["expected"]
    ):
        return "a take profit counts when touched; strict_tp asks for more"
    if "open_beyond" in flags and found.exit_reason == case["expected"]["exit"]:
        return "an open beyond a barrier fills at the open"
    return "unexplained"


@pytest.mark.parametrize("case", CONVENTIONAL, ids=by_name)
def test_a_case_with_a_convention_follows_the_rule_table_and_differs_only_by_a_named_rule(case):
    found = resolve_case(case)
    rule = rule_for(case, found)
    assert rule != "unexplained"
    if rule != "a marketable limit fills at the open, not at the candle's extreme":
        assert exit_of(found) == exit_in(case["recommended_rules"])
        strict = resolve_case(case, strict_tp=True)
        assert exit_of(strict) == exit_in(case["recommended_rules"]["strict_tp_variant"])
        assert found.ambiguous == any("ambiguous" in flag for flag in case["flags"])
    else:
        assert found.exit_reason is None
        assert not found.resolvable


def frame_for(market, positions) -> OutcomeFrame:
    times, opens, highs, lows, closes = zip(*candles_of(*market), strict=True)
    return resolve_frame(
        [position.side for position in positions],
        [position.entry_price for position in positions],
        stops=[position.stop_price for position in positions],
        targets=[position.take_profit_price for position in positions],
        signal_times=[position.entry_ts for position in positions],
        expiries=[math.nan if position.expiry is None else position.expiry for position in positions],
        candles=prepare_candles(times, opens, highs=highs, lows=lows, closes=closes),
    )


def difference(position: Traded, found: Resolution) -> str | None:
    """By which rule the exit differs from freqtrade's, if it does."""
    if position.exit == "NONE":
        return None if found.reason == "the candles end before a barrier was reached" else "unexplained"
    same_label, same_candle = found.exit_reason == position.exit, found.exit_time == position.exit_ts
    if same_label and same_candle and found.exit_price == pytest.approx(position.exit_price, rel=1e-9):
        return None
    if same_label and same_candle and position.gapped:
        return "an open beyond a barrier fills at the open"
    if found.exit_reason == "EXPIRED" and same_candle and found.exit_time >= (position.expiry or math.inf):
        return "a candle that opens at the expiry ends the position at its open"
    return "unexplained"


@pytest.mark.parametrize("market", MARKETS, ids=" ".join)
def test_on_real_candles_every_exit_is_freqtrades_or_differs_by_a_named_rule(market):
    positions = MARKETS[market]
    frame = frame_for(market, positions)
    rules = Counter(difference(position, frame.resolution(row)) for row, position in enumerate(positions))
    assert rules["unexplained"] == 0


@pytest.mark.parametrize("market", MARKETS, ids=" ".join)
def test_on_real_candles_the_label_is_freqtrades_wherever_no_candle_is_ambiguous_or_gaps(market):
    positions = MARKETS[market]
    frame = frame_for(market, positions)
    clear = [
        (position, frame.resolution(row))
        for row, position in enumerate(positions)
        if not (position.ambiguous or position.gapped)
    ]
    other = [position.name for position, found in clear if (found.exit_reason or "NONE") != position.exit]
    at_expiry = [
        position.name for position, found in clear if (difference(position, found) or "").startswith("a candle")
    ]
    assert other == at_expiry
    assert [position.ambiguous for position in positions] == frame.ambiguous.tolist()


@pytest.mark.parametrize("market", MARKETS, ids=" ".join)
def test_on_real_candles_the_plain_walk_gives_what_the_frame_gives(market):
    positions = MARKETS[market][::7]
    frame, candles = frame_for(market, positions), candles_of(*market)
    spacing = int(min(later[0] - earlier[0] for earlier, later in pairwise(candles)))
    for row, position in enumerate(positions):
        walked = resolve(
            position.side,
            position.entry_price,
            position.stop_price,
            position.take_profit_price,
            candles,
            signal_time=position.entry_ts,
            expiry=position.expiry,
            candle_ms=spacing,
        )
        assert frame.resolution(row) == walked
