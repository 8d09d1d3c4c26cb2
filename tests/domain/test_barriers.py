"""One signal on a handful of candles: every line of the rule table, told as a trade."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from datetime import datetime, timezone

import pytest

from stateful_engine.domain.barriers import Resolution, Unresolved, resolve
from stateful_engine.errors import InvalidInputError

MINUTE = 60_000


def candles(*rows: tuple[float, float, float, float], start: int = 0, step: int = MINUTE):
    """Candles from (open, high, low, close), one minute apart."""
    return [(start + index * step, *row) for index, row in enumerate(rows)]


QUIET = (100.0, 101.0, 99.0, 100.0)
UP = (100.0, 112.0, 99.0, 111.0)
DOWN = (100.0, 101.0, 94.0, 95.0)
BOTH_GREEN = (100.0, 112.0, 94.0, 101.0)
BOTH_RED = (100.0, 112.0, 94.0, 99.0)
BOTH_FLAT = (100.0, 112.0, 94.0, 100.0)


def buy(*rows, **options) -> Resolution:
    """A long at 100 with its stop at 95 and its target at 110."""
    return resolve("BUY", 100.0, 95.0, 110.0, candles(*rows), **options)


def sell(*rows, **options) -> Resolution:
    """The mirror image: a short at 100 with its stop at 105 and its target at 90."""
    mirrored = [(200 - at_open, 200 - low, 200 - high, 200 - close) for at_open, high, low, close in rows]
    return resolve("SELL", 100.0, 105.0, 90.0, candles(*mirrored), **options)


def test_the_first_twelve_fields_are_the_promised_ones_in_order():
    assert [field.name for field in fields(Resolution)][:12] == [
        "exit_reason",
        "outcome",
        "entry_time",
        "entry_price",
        "exit_time",
        "exit_price",
        "pnl_percentage",
        "r_multiple",
        "mfe_r",
        "mae_r",
        "ambiguous",
        "data_gap",
    ]


def test_a_target_that_is_touched_wins_two_r():
    found = buy(QUIET, UP)
    assert (found.exit_reason, found.outcome, found.exit_time, found.exit_price) == ("TP", "WIN", MINUTE, 110.0)
    assert (found.entry_time, found.entry_price) == (0, 100.0)
    assert (found.pnl_percentage, found.r_multiple) == (10.0, 2.0)
    assert (found.ambiguous, found.data_gap, found.reason) == (False, False, None)


def test_a_stop_that_is_touched_loses_one_r():
    found = buy(QUIET, (100.0, 101.0, 95.0, 96.0))
    assert (found.exit_reason, found.outcome, found.exit_price, found.r_multiple) == ("SL", "LOSS", 95.0, -1.0)


@pytest.mark.parametrize("rows", [(QUIET, UP), (DOWN,), (BOTH_GREEN,), (QUIET, (112.0, 113.0, 90.0, 100.0)), (QUIET,)])
def test_a_short_is_the_mirror_image_of_a_long(rows):
    long, short = buy(*rows), sell(*rows)
    assert (long.exit_reason, long.outcome, long.exit_time) == (short.exit_reason, short.outcome, short.exit_time)
    assert (long.pnl_percentage, long.r_multiple) == (short.pnl_percentage, short.r_multiple)
    assert (long.mfe_pct, long.mae_pct, long.mfe_r, long.mae_r) == (
        short.mfe_pct,
        short.mae_pct,
        short.mfe_r,
        short.mae_r,
    )
    assert short.entry_price == 100.0
    assert long.exit_price is None or short.exit_price == 200.0 - long.exit_price


@pytest.mark.parametrize(
    ("idea", "reason"),
    [
        (("HOLD", 100, 95, 110), Unresolved.NO_TRADE),
        ((None, 100, 95, 110), Unresolved.NO_TRADE),
        (("BUY", None, 95, 110), Unresolved.NO_ENTRY),
        (("BUY", 0, 95, 110), Unresolved.NO_ENTRY),
        (("BUY", float("nan"), 95, 110), Unresolved.NO_ENTRY),
        (("BUY", 100, None, None), Unresolved.NO_BARRIER),
        (("BUY", 100, 0.0, float("inf")), Unresolved.NO_BARRIER),
        (("BUY", 100, 105, 110), Unresolved.STOP_SIDE),
        (("BUY", 100, 100, 110), Unresolved.STOP_SIDE),
        (("SELL", 100, 95, 90), Unresolved.STOP_SIDE),
        (("BUY", 100, 95, 99), Unresolved.TARGET_SIDE),
        (("SELL", 100, 105, 100), Unresolved.TARGET_SIDE),
    ],
)
def test_an_idea_that_is_no_trade_is_not_resolvable_and_says_why(idea, reason):
    found = resolve(*idea, candles(QUIET, UP))
    assert (found.exit_reason, found.outcome, found.reason) == (None, "PENDING", reason)
    assert not found.resolvable


def test_a_side_that_nobody_knows_is_refused():
    with pytest.raises(InvalidInputError, match="use BUY, SELL or HOLD"):
        resolve("UP", 100, 95, 110, candles(QUIET))


def test_only_candles_that_open_at_or_after_the_signal_count():
    assert buy(DOWN, QUIET, UP, signal_time=1).exit_reason == "TP"
    assert buy(DOWN, QUIET, UP, signal_time=0).exit_reason == "SL"
    assert buy(DOWN, QUIET, UP, signal_time=MINUTE).entry_time == MINUTE


def test_expiry_ends_the_position_at_the_open_of_the_first_candle_at_or_after_it_before_any_barrier():
    found = buy(QUIET, (103.0, 104.0, 94.0, 96.0), UP, expiry=MINUTE)
    assert (found.exit_reason, found.exit_price, found.exit_time) == ("EXPIRED", 103.0, MINUTE)
    assert (found.outcome, found.r_multiple) == ("WIN", 0.6)
    assert (found.mfe_r, found.mae_r) == (0.6, -0.2)
    assert buy(QUIET, UP, expiry=MINUTE + 1).exit_reason == "TP"


def test_an_open_beyond_the_stop_fills_there_and_loses_more_than_one_r():
    found = buy(QUIET, (92.0, 93.0, 91.0, 92.0))
    assert (found.exit_reason, found.exit_price, found.r_multiple, found.outcome) == ("SL", 92.0, -1.6, "LOSS")
    assert buy(QUIET, (95.0, 111.0, 94.0, 110.0)).exit_price == 95.0


def test_an_open_beyond_the_target_fills_there_or_at_the_level_if_asked():
    gap = (113.0, 114.0, 90.0, 112.0)
    assert (buy(QUIET, gap).exit_reason, buy(QUIET, gap).exit_price) == ("TP", 113.0)
    assert buy(QUIET, gap, tp_gap_fill="level").exit_price == 110.0


def test_after_a_gap_exit_the_rest_of_that_candle_is_no_excursion():
    found = buy(QUIET, (92.0, 120.0, 80.0, 92.0))
    assert (found.mfe_r, found.mae_r) == (0.2, -1.6)
    found = buy(QUIET, (113.0, 114.0, 90.0, 112.0))
    assert (found.mfe_r, found.mae_r) == (2.6, -0.2)


@pytest.mark.parametrize(
    ("policy", "row", "reason"),
    [
        ("pessimistic", BOTH_GREEN, "SL"),
        ("pessimistic", BOTH_RED, "SL"),
        ("optimistic", BOTH_GREEN, "TP"),
        ("optimistic", BOTH_RED, "TP"),
        ("candle_color", BOTH_GREEN, "SL"),
        ("candle_color", BOTH_RED, "TP"),
        ("candle_color", BOTH_FLAT, "SL"),
    ],
)
def test_both_barriers_inside_one_candle_go_by_the_policy_and_are_marked(policy, row, reason):
    for found in (buy(QUIET, row, policy=policy), sell(QUIET, row, policy=policy)):
        assert (found.exit_reason, found.ambiguous) == (reason, True)


def test_the_policy_skip_leaves_an_ambiguous_signal_pending_at_that_candle():
    found = buy(QUIET, BOTH_GREEN, UP, policy="skip")
    assert (found.exit_reason, found.outcome, found.ambiguous) == (None, "PENDING", True)
    assert (found.reason, found.resumable_from, found.resolvable) == (Unresolved.AMBIGUOUS, MINUTE, True)
    assert found.mfe_r == 0.2


def test_a_finer_series_decides_what_one_candle_cannot():
    finer = candles((100.0, 111.0, 99.0, 108.0), (108.0, 109.0, 94.0, 95.0), start=MINUTE, step=MINUTE // 2)
    found = buy(QUIET, BOTH_GREEN, finer=finer)
    assert (found.exit_reason, found.exit_time, found.ambiguous) == ("TP", MINUTE, False)
    reverse = candles((100.0, 101.0, 94.0, 95.0), (95.0, 112.0, 95.0, 111.0), start=MINUTE, step=MINUTE // 2)
    assert buy(QUIET, BOTH_GREEN, finer=reverse).exit_reason == "SL"


def test_a_finer_series_may_come_from_a_callable_that_is_asked_for_that_candle_only():
    asked = []

    def fetch(start, end):
        asked.append((start, end))
        return candles(UP, start=start, step=MINUTE // 2)

    assert buy(QUIET, BOTH_RED, finer=fetch).exit_reason == "TP"
    assert asked == [(MINUTE, 2 * MINUTE)]


def test_a_finer_series_that_cannot_tell_either_leaves_it_to_the_policy():
    elsewhere = candles(UP, start=10 * MINUTE)
    vague = candles(BOTH_RED, start=MINUTE)
    for finer in ([], elsewhere, vague):
        found = buy(QUIET, BOTH_RED, policy="optimistic", finer=finer)
        assert (found.exit_reason, found.ambiguous) == ("TP", True)


def test_a_target_counts_when_touched_unless_strict():
    touch = (100.0, 110.0, 99.0, 105.0)
    assert buy(QUIET, touch).exit_reason == "TP"
    assert buy(QUIET, touch, strict_tp=True).outcome == "PENDING"
    assert buy(QUIET, (110.0, 110.0, 99.0, 105.0), strict_tp=True).outcome == "PENDING"
    assert buy(QUIET, UP, strict_tp=True).exit_price == 110.0


def test_when_the_candles_end_the_signal_stays_pending_and_says_from_when_to_go_on():
    found = buy(QUIET, (100.0, 104.0, 97.0, 103.0), signal_time=0)
    assert (found.outcome, found.exit_reason, found.reason) == ("PENDING", None, Unresolved.STILL_OPEN)
    assert (found.resumable_from, found.mfe_r, found.mae_r) == (2 * MINUTE, 0.8, -0.6)
    assert (found.pnl_percentage, found.r_multiple, found.exit_price) == (None, None, None)
    assert buy(signal_time=5).resumable_from == 5


def test_a_pending_signal_resumes_with_only_the_candles_that_came_since():
    early = buy(QUIET, (100.0, 104.0, 97.0, 103.0), signal_time=0)
    later = candles((103.0, 104.0, 102.0, 103.0), UP, start=2 * MINUTE)
    found = resolve("BUY", 100.0, 95.0, 110.0, later, signal_time=0, resumed=early)
    assert (found.exit_reason, found.exit_time, found.entry_time) == ("TP", 3 * MINUTE, 0)
    assert (found.mfe_r, found.mae_r, found.data_gap) == (2.0, -0.6, False)


def test_missing_candles_are_walked_over_and_marked():
    gapped = [*candles(QUIET, QUIET), *candles(UP, start=3 * MINUTE)]
    found = resolve("BUY", 100.0, 95.0, 110.0, gapped)
    assert (found.exit_reason, found.data_gap) == ("TP", True)
    assert not buy(QUIET, QUIET, UP).data_gap


def test_a_gap_after_the_exit_or_before_the_signal_is_not_marked():
    gapped = [*candles(QUIET), *candles(QUIET, UP, start=3 * MINUTE), *candles(UP, start=9 * MINUTE)]
    assert not resolve("BUY", 100.0, 95.0, 110.0, gapped, signal_time=3 * MINUTE).data_gap
    assert resolve("BUY", 100.0, 95.0, 110.0, gapped, signal_time=MINUTE).data_gap


def test_a_candle_without_prices_counts_as_missing():
    broken = [(0, *QUIET), (MINUTE, None, None, None, None), (2 * MINUTE, float("nan"), 200, 1, 1), (3 * MINUTE, *UP)]
    found = resolve("BUY", 100.0, 95.0, 110.0, broken)
    assert (found.exit_reason, found.exit_time, found.data_gap) == ("TP", 3 * MINUTE, True)


def test_candles_out_of_order_are_refused_with_the_remedy():
    for times in ((MINUTE, 0), (0, 0)):
        with pytest.raises(InvalidInputError, match="sort them and drop repeated ones"):
            resolve("BUY", 100.0, 95.0, 110.0, [(ts, *QUIET) for ts in times])
    with pytest.raises(InvalidInputError, match="sort them"):
        resolve("BUY", 100.0, 95.0, 110.0, [(ts, *QUIET) for ts in (0, 0)], candle_ms=MINUTE)


def test_a_market_entry_takes_the_next_open_and_measures_r_from_there():
    found = resolve(
        "BUY", 100.0, 95.0, 110.0, candles(QUIET, (101.0, 112.0, 100.0, 111.0)), entry_mode="next_open", signal_time=1
    )
    assert (found.entry_time, found.entry_price, found.exit_price) == (MINUTE, 101.0, 110.0)
    assert found.r_multiple == 9.0 / 6.0


def test_a_market_entry_needs_no_price_but_a_barrier_already_passed_is_no_trade():
    assert resolve("BUY", None, 95.0, 110.0, candles(UP), entry_mode="next_open").exit_reason == "TP"
    passed = resolve("BUY", 100.0, 95.0, 110.0, candles((94.0, 120.0, 90.0, 100.0)), entry_mode="next_open")
    assert (passed.reason, passed.resolvable) == (Unresolved.STOP_SIDE, False)
    assert resolve("BUY", 100.0, 95.0, 110.0, [], entry_mode="next_open").reason is Unresolved.NOT_ENTERED


def limit(*rows, price=98.0, **options) -> Resolution:
    return resolve(
        "BUY",
        100.0,
        95.0,
        110.0,
        candles(*rows),
        entry_mode="limit",
        limit_price=price,
        **{"signal_time": 0, **options},
    )


def test_a_limit_that_is_reached_enters_at_its_price():
    found = limit(QUIET, (100.0, 101.0, 97.0, 100.0), UP)
    assert (found.entry_time, found.entry_price, found.exit_reason) == (MINUTE, 98.0, "TP")
    assert found.r_multiple == 4.0
    assert found.candles_waited == 1


def test_a_limit_without_a_price_of_its_own_stands_at_the_entry_price():
    assert limit((101.0, 102.0, 100.0, 101.0), UP, price=None).entry_price == 100.0


def test_a_limit_that_is_never_reached_lapses_unfilled_and_is_no_trade():
    found = limit(QUIET, QUIET, DOWN, limit_valid_candles=2)
    assert (found.exit_reason, found.outcome, found.exit_time) == ("EXPIRED_UNFILLED", "UNFILLED", 2 * MINUTE)
    assert (found.entry_price, found.pnl_percentage, found.r_multiple, found.mfe_r) == (None, None, None, None)
    assert limit(QUIET, DOWN, expiry=MINUTE).exit_reason == "EXPIRED_UNFILLED"
    assert limit(QUIET, QUIET, limit_valid_candles=3).reason is Unresolved.NOT_ENTERED


def test_a_limit_fills_at_the_open_when_that_is_better():
    assert limit((97.0, 98.0, 96.0, 97.0), UP).entry_price == 97.0
    assert limit((94.0, 98.0, 93.0, 97.0), UP).reason is Unresolved.STOP_SIDE


def test_in_the_candle_that_fills_a_limit_the_stop_counts():
    found = limit((100.0, 101.0, 94.0, 96.0))
    assert (found.entry_price, found.exit_reason, found.r_multiple) == (98.0, "SL", -1.0)


def test_in_a_falling_candle_that_fills_a_limit_the_high_came_before_the_fill():
    found = limit((100.0, 112.0, 97.0, 99.0), QUIET)
    assert (found.outcome, found.reason) == ("PENDING", Unresolved.STILL_OPEN)
    assert limit((100.0, 112.0, 97.0, 99.0)).mfe_pct == pytest.approx(100 / 98)
    assert limit((100.0, 112.0, 97.0, 101.0)).exit_reason == "TP"


def test_finer_candles_show_whether_the_target_came_after_the_fill():
    before = candles((100.0, 112.0, 99.0, 99.0), (99.0, 101.0, 97.0, 101.0), step=MINUTE // 2)
    found = limit((100.0, 112.0, 97.0, 101.0), finer=before, candle_ms=MINUTE)
    assert (found.outcome, found.entry_price, found.mfe_r) == ("PENDING", 98.0, 1.0)
    after = candles((100.0, 101.0, 97.0, 98.0), (98.0, 112.0, 98.0, 99.0), step=MINUTE // 2)
    assert limit((100.0, 112.0, 97.0, 99.0), finer=after, candle_ms=MINUTE).exit_reason == "TP"


def test_a_moved_stop_takes_effect_with_the_next_candle_and_r_keeps_the_initial_stop():
    rows = (QUIET, (100.0, 106.0, 100.0, 105.0), (105.0, 106.0, 101.0, 102.0))
    found = buy(*rows, stop_moves=[(MINUTE + 1, 102.0)])
    assert (found.exit_reason, found.exit_price, found.exit_time) == ("SL", 102.0, 2 * MINUTE)
    assert (found.outcome, found.r_multiple) == ("WIN", 0.4)
    assert buy(*rows).outcome == "PENDING"


def test_stop_moves_from_before_the_signal_belong_to_another_trade():
    assert buy(QUIET, QUIET, UP, signal_time=MINUTE, stop_moves=[(0, 99.5)]).exit_reason == "TP"


def test_without_a_stop_there_is_no_r_and_percent_decides_the_outcome():
    found = resolve("BUY", 100.0, None, 110.0, candles(QUIET, UP))
    assert (found.outcome, found.pnl_percentage) == ("WIN", 10.0)
    assert (found.r_multiple, found.mfe_r, found.mae_r) == (None, None, None)
    assert (found.mfe_pct, found.mae_pct) == (10.0, -1.0)


def test_a_result_within_the_threshold_is_breakeven_and_the_threshold_is_yours():
    expired = {"expiry": MINUTE}
    assert buy(QUIET, (100.25, 101.0, 99.0, 100.0), **expired).outcome == "BREAKEVEN"
    assert buy(QUIET, (99.75, 101.0, 99.0, 100.0), **expired).outcome == "BREAKEVEN"
    assert buy(QUIET, (100.5, 101.0, 99.0, 100.0), **expired).outcome == "WIN"
    assert buy(QUIET, (100.5, 101.0, 99.0, 100.0), **expired, break_even_r=0.2).outcome == "BREAKEVEN"


def test_excursions_count_the_exit_candle_only_up_to_the_exit_on_the_exit_side():
    taken = buy((100.0, 104.0, 96.0, 100.0), (100.0, 130.0, 97.0, 120.0))
    assert (taken.mfe_pct, taken.mae_pct, taken.mfe_r, taken.mae_r) == (10.0, -4.0, 2.0, -0.8)
    stopped = buy((100.0, 104.0, 96.0, 100.0), (100.0, 107.0, 80.0, 90.0))
    assert (stopped.mfe_pct, stopped.mae_pct, stopped.mfe_r, stopped.mae_r) == (7.0, -5.0, 1.4, -1.0)
    assert (stopped.best_price, stopped.worst_price) == (107.0, 95.0)


@pytest.mark.parametrize(
    ("option", "remedy"),
    [
        ({"policy": "hopeful"}, "pessimistic, candle_color, optimistic, skip"),
        ({"entry_mode": "market"}, "at_signal, next_open, limit"),
        ({"tp_gap_fill": "middle"}, "open, level"),
        ({"entry_mode": "limit", "limit_valid_candles": 0}, "at least 1"),
    ],
)
def test_an_unknown_option_is_refused_with_the_choices(option, remedy):
    with pytest.raises(InvalidInputError, match=remedy):
        buy(QUIET, **option)


def test_times_may_be_datetimes():
    at = datetime(2026, 1, 1, tzinfo=timezone.utc)
    start = int(at.timestamp() * 1000)
    found = resolve("BUY", 100.0, 95.0, 110.0, candles(QUIET, UP, start=start), signal_time=at, expiry=start + 1)
    assert (found.entry_time, found.exit_reason, found.exit_price) == (start, "EXPIRED", 100.0)


def test_a_resolution_is_json():
    for found in (buy(QUIET, UP), buy(QUIET), buy(QUIET, BOTH_RED, policy="skip"), limit(QUIET, limit_valid_candles=1)):
        assert json.loads(json.dumps(asdict(found), allow_nan=False))["outcome"] == found.outcome
