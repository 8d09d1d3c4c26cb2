"""The figures of trading: their values on small examples, and None wherever a number would be a lie."""

from __future__ import annotations

import json
import math
from datetime import date

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stateful_engine.domain import metrics
from stateful_engine.errors import InvalidInputError

MIXED = [2.0, -1.0, 0.0, 1.0, -1.0, 3.0]
ALL_WON = [1.0, 2.0]
ALL_LOST = [-1.0, -1.5]

OF_RESULTS = (
    metrics.win_rate,
    metrics.win_rate_all,
    metrics.expectancy,
    metrics.expectancy_ratio,
    metrics.profit_factor,
    metrics.payoff,
    metrics.break_even_win_rate,
    metrics.kelly,
    metrics.sqn,
    metrics.sharpe,
    metrics.sortino,
    metrics.calmar,
    metrics.annual_return,
    metrics.max_drawdown,
    metrics.current_drawdown,
)


def test_the_win_rate_leaves_breakeven_out_and_the_other_one_counts_it():
    assert metrics.win_rate(MIXED) == 3 / 5
    assert metrics.win_rate_all(MIXED) == 3 / 6
    assert metrics.win_rate(67, 22) == pytest.approx(0.752808988)
    assert metrics.win_rate_all(3, 6) == 0.5


def test_pending_unfilled_and_hold_are_in_no_rate():
    outcomes = ["WIN", "LOSS", "BREAKEVEN", "PENDING", "UNFILLED", "HOLD", None, float("nan")]
    assert metrics.win_rate(outcomes) == 1 / 2
    assert metrics.win_rate_all(outcomes) == 1 / 3


@pytest.mark.parametrize("metric", OF_RESULTS, ids=lambda metric: metric.__name__)
@pytest.mark.parametrize("nothing", [[], [None, float("nan")]])
def test_without_results_there_is_no_figure(metric, nothing):
    if metric in {metrics.annual_return, metrics.max_drawdown, metrics.current_drawdown, metrics.calmar} and nothing:
        assert not metric(nothing)
    else:
        assert metric(nothing) is None


def test_counts_of_nothing_give_no_rate():
    assert metrics.win_rate(0, 0) is None
    assert metrics.win_rate_all(0, 0) is None
    assert metrics.wilson_interval(0, 0) is None
    assert metrics.win_rate_bounds(0, 0) is None
    assert metrics.durations([(1, None)]) is None


def test_expectancy_is_the_mean_and_its_ratio_is_per_unit_of_average_loss():
    assert metrics.expectancy(MIXED) == pytest.approx(4 / 6)
    assert metrics.expectancy_ratio(MIXED) == pytest.approx((1 + 2.0) * 0.5 - 1)
    assert metrics.expectancy_ratio(ALL_WON) is None
    assert metrics.expectancy_ratio(ALL_LOST) == -1.0


def test_the_profit_factor_is_never_infinite_but_says_that_it_is_unbounded():
    assert metrics.profit_factor(MIXED) == 3.0
    assert metrics.profit_factor(ALL_LOST) == 0.0
    assert metrics.profit_factor(ALL_WON) is None
    assert metrics.profit_factor_unbounded(ALL_WON)
    assert not metrics.profit_factor_unbounded(MIXED)
    assert not metrics.profit_factor_unbounded([0.0])
    assert metrics.profit_factor_of_sums(6.0, -2.0) == metrics.profit_factor_of_sums(6.0, 2.0) == 3.0


def test_payoff_break_even_win_rate_and_kelly_go_together():
    assert metrics.payoff(MIXED) == 2.0
    assert metrics.break_even_win_rate(MIXED) == pytest.approx(1 / 3)
    assert metrics.kelly(MIXED) == pytest.approx(0.5 - 0.5 / 2)
    assert metrics.kelly([1.0, -1.0, -1.0]) == pytest.approx(-1 / 3)
    for one_sided in (ALL_WON, ALL_LOST):
        assert metrics.payoff(one_sided) is None
        assert metrics.kelly(one_sided) is None


def test_the_wilson_interval_is_the_textbooks():
    low, high = metrics.wilson_interval(67, 89)
    assert (round(low, 6), round(high, 6)) == (0.65398, 0.830718)
    assert metrics.wilson_interval(0, 10) == pytest.approx((0.0, 0.277533), abs=1e-6)
    assert metrics.wilson_interval(10, 10) == pytest.approx((0.722467, 1.0), abs=1e-6)
    with pytest.raises(InvalidInputError, match="0 <= successes <= n"):
        metrics.wilson_interval(3, 2)


def test_ambiguous_outcomes_give_a_lower_and_an_upper_win_rate():
    assert metrics.win_rate_bounds(6, 4, ambiguous_wins=1, ambiguous_losses=2) == (0.5, 0.8)
    assert metrics.win_rate_bounds(6, 4) == (0.6, 0.6)


def test_the_quality_number_waits_for_thirty_trades():
    results = [1.0, -0.5] * 15
    assert metrics.sqn(results[:-1]) is None
    deviation = math.sqrt(30 * 0.75**2 / 29)
    assert metrics.sqn(results) == pytest.approx(math.sqrt(30) * 0.25 / deviation)
    assert metrics.sqn([1.0] * 40) is None


def test_daily_totals_hold_the_days_without_a_close():
    closes = [(date(2026, 1, 2), 1.0), (date(2026, 1, 4), -0.5), (date(2026, 1, 2), 0.5), (date(2026, 1, 3), None)]
    assert metrics.daily_totals(closes) == [1.5, 0.0, -0.5]
    assert metrics.daily_totals(closes, first=date(2026, 1, 1), last=date(2026, 1, 3)) == [0.0, 1.5, 0.0]
    assert metrics.daily_totals([]) == []
    assert metrics.daily_totals([], first=date(2026, 1, 1), last=date(2026, 1, 2)) == [0.0, 0.0]


def test_sharpe_and_sortino_are_per_root_of_the_year():
    daily = [1.0, 0.0, -1.0, 2.0]
    assert metrics.sharpe(daily) == pytest.approx(0.5 / math.sqrt(5 / 3) * math.sqrt(365))
    assert metrics.sortino(daily) == pytest.approx(0.5 / 0.5 * math.sqrt(365))
    assert metrics.sharpe(daily, 252) == pytest.approx(0.5 / math.sqrt(5 / 3) * math.sqrt(252))
    assert metrics.sharpe(daily, risk_free_per_period=0.5) == 0.0


def test_returns_that_never_vary_or_never_fall_have_no_ratio():
    assert metrics.sharpe([0.1] * 7) is None
    assert metrics.sharpe([1.0]) is None
    assert metrics.sortino([0.1, 0.2]) is None
    assert metrics.sortino([-1.0]) is None
    assert metrics.calmar([0.1, 0.2]) is None


def test_a_first_loss_is_a_drawdown_and_simultaneous_closes_are_netted():
    assert metrics.max_drawdown([-1.0, -1.0, 3.0]) == 2.0
    assert metrics.max_drawdown([1.0, 2.0]) == 0.0
    assert metrics.max_drawdown([2.0, -3.0, 2.0]) == 3.0
    assert metrics.max_drawdown([2.0, -3.0, 2.0], closed_at=[1, 2, 2]) == 1.0
    assert metrics.max_drawdown([-3.0, 2.0], closed_at=[2, 1]) == 3.0
    assert metrics.max_drawdown([0.5, -0.5], compounded=True) == 0.5


def test_the_current_drawdown_is_how_far_the_last_result_left_it_below_the_height():
    assert metrics.current_drawdown([]) is None
    assert metrics.current_drawdown([1.0, 2.0]) == 0.0
    assert metrics.current_drawdown([-1.0, -1.0]) == 2.0
    assert metrics.current_drawdown([2.0, -3.0, 2.0]) == 1.0
    assert metrics.current_drawdown([2.0, -3.0], closed_at=[2, 1]) == 1.0


def test_calmar_compounds_returns_and_adds_up_r():
    returns = [0.1, -0.1]
    assert metrics.calmar(returns, 2) == pytest.approx((1.1 * 0.9 - 1) / 0.1)
    assert metrics.calmar([1.0, -0.5], compounded=False) == pytest.approx(0.25 * 365 / 0.5)


def test_growth_needs_capital_and_time():
    assert metrics.cagr(1000, 1500, 365) == 0.5
    assert metrics.cagr(1000, 0, 365) == -1.0
    for start, end, days in ((0, 1, 1), (1000, -1, 365), (1000, 1100, 0), (1e-9, 1e9, 1)):
        assert metrics.cagr(start, end, days) is None
    assert metrics.annual_return([-2.0, 0.5]) is None


def test_streaks_end_with_the_other_side_or_with_breakeven():
    assert metrics.streaks([1.0, 1.0, 0.0, 1.0, -1.0, None, -1.0, -1.0]) == (2, 3)
    assert metrics.streaks(["LOSS", "WIN", "WIN", "PENDING", "WIN"]).max_consecutive_wins == 3
    assert metrics.streaks([]) == (0, 0)


def test_durations_say_how_long_positions_were_held():
    assert metrics.durations([(0, 10), (5, 35), (None, 3), (0, 20)]) == (3, 20.0, 20.0, 30.0)


@settings(max_examples=100, deadline=None)
@example([5e-324, -1e90])
@given(st.lists(st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True), st.floats(-5, 5)), max_size=40))
def test_every_figure_of_any_results_can_be_written_as_json(results):
    modest = [value if value is None or not math.isfinite(value) or abs(value) < 1e100 else 1.0 for value in results]
    figures = {metric.__name__: metric(modest) for metric in OF_RESULTS}
    figures["streaks"] = metrics.streaks(modest)
    json.dumps(figures, allow_nan=False)
