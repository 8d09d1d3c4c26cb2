"""How far a stated confidence may be trusted, on examples small enough to check by hand."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stateful_engine.domain import calibration
from stateful_engine.errors import InvalidInputError

WON = [1, 0, 1, 1]
STATED = [90, 80, 60, 70]
FUNCTIONS = (
    calibration.brier,
    calibration.brier_skill,
    calibration.expected_calibration_error,
    calibration.auc,
    calibration.overconfidence,
)


def test_the_brier_score_is_the_mean_squared_error():
    assert calibration.brier([0, 1, 1, 0], [0.1, 0.9, 0.8, 0.3]) == pytest.approx(0.0375)
    assert calibration.brier(WON, STATED) == pytest.approx((0.01 + 0.64 + 0.16 + 0.09) / 4)


def test_skill_is_measured_against_always_stating_the_base_rate():
    assert calibration.brier_skill([1, 0, 1, 0], [0.5] * 4) == 0.0
    assert calibration.brier_skill([1, 0, 1, 0], [1.0, 0.0, 1.0, 0.0]) == 1.0
    assert calibration.brier_skill([1, 1], [0.9, 0.8]) is None


def test_confidence_may_be_percent_or_probability_and_the_scale_settles_doubt():
    assert calibration.brier(WON, STATED) == pytest.approx(calibration.brier(WON, [stated / 100 for stated in STATED]))
    assert calibration.brier([0], [1]) == 1.0
    assert calibration.brier([0], [1], scale=100) == pytest.approx(0.0001)


def test_the_table_bins_the_integer_confidence_and_puts_a_hundred_in_the_last_row():
    table = calibration.reliability_table([1, 0, 1, 1, 0, 1], [9.9, 10, 29, 89.7, 90, 100])
    assert [(row.low, row.high) for row in table] == [(low, low + 9) for low in range(0, 90, 10)] + [(90, 100)]
    assert [row.n for row in table] == [1, 1, 1, 0, 0, 0, 0, 0, 1, 2]
    last = table[-1]
    assert (last.wins, last.win_rate, last.mean_confidence) == (1, 0.5, pytest.approx(0.95))
    assert last.interval is not None
    assert table[4].win_rate is None
    assert table[4].interval is None


@pytest.mark.parametrize("confidence", range(101))
def test_a_probability_falls_into_the_bin_of_its_percent(confidence):
    (row,) = (row for row in calibration.reliability_table([1], [confidence / 100], scale=1) if row.n)
    assert row.low <= confidence <= row.high


def test_the_calibration_error_weighs_each_bin_by_its_size():
    won, stated = [1, 1, 0, 0], [95, 95, 95, 15]
    assert calibration.expected_calibration_error(won, stated) == pytest.approx(
        3 / 4 * abs(2 / 3 - 0.95) + 1 / 4 * 0.15
    )


def test_auc_counts_ties_as_half():
    assert calibration.auc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]) == 0.75
    assert calibration.auc([0, 1], [70, 70]) == 0.5
    assert calibration.auc([1, 0, 1, 0], [80, 80, 60, 20]) == 0.625
    assert calibration.auc([1, 1], [70, 80]) is None


def test_overconfidence_is_what_was_promised_beyond_what_was_won():
    assert calibration.overconfidence(WON, STATED) == pytest.approx(0.75 - 0.75)
    assert calibration.overconfidence([0, 0], [80, 60]) == pytest.approx(0.7)


def test_forecasts_without_a_result_or_without_a_confidence_are_left_out():
    won, stated = [1, None, 0, float("nan"), 1], [80, 90, None, 70, float("nan")]
    assert calibration.brier(won, stated) == pytest.approx(0.04)
    assert calibration.overconfidence(won, stated) == pytest.approx(-0.2)


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
def test_without_forecasts_there_is_no_figure(function):
    assert function([], []) is None


def test_swapped_arguments_and_impossible_confidences_are_refused_with_the_remedy():
    with pytest.raises(InvalidInputError, match="outcomes first, confidences second"):
        calibration.brier(STATED, WON)
    with pytest.raises(InvalidInputError, match="outside 0 to 100"):
        calibration.brier(WON, [101, 1, 1, 1])
    with pytest.raises(InvalidInputError, match="outside 0 to 1"):
        calibration.brier([1], [-0.1])


def test_the_report_withholds_a_figure_until_it_has_its_minimum_n():
    few = calibration.calibration_report(WON, STATED)
    assert (few.n, few.wins, few.brier, few.auc, few.expected_calibration_error) == (4, 3, None, None, None)
    enough = calibration.calibration_report(WON * 8, STATED * 8)
    assert enough.brier == pytest.approx(0.225)
    assert enough.auc is not None
    assert enough.overconfidence == pytest.approx(0.0)
    assert enough.expected_calibration_error is None
    assert calibration.calibration_report(WON * 25, STATED * 25).expected_calibration_error is not None


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 100)), max_size=150))
def test_pre_aggregated_counts_give_the_report_of_the_single_forecasts(forecasts):
    counts: dict[float, tuple[int, int]] = {}
    for won, stated in forecasts:
        wins, losses = counts.get(stated / 100, (0, 0))
        counts[stated / 100] = (wins + won, losses + 1 - won)
    won, stated = [pair[0] for pair in forecasts], [pair[1] for pair in forecasts]
    report = calibration.calibration_report(won, stated, scale=100)
    assert report == calibration.report_of_cells(counts)
    json.dumps(asdict(report), allow_nan=False)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 5)), min_size=1, max_size=30))
def test_auc_is_the_share_of_pairs_in_which_the_winner_had_more(forecasts):
    winners = [stated for won, stated in forecasts if won]
    losers = [stated for won, stated in forecasts if not won]
    pairs = [(winner > loser) + (winner == loser) / 2 for winner in winners for loser in losers]
    found = calibration.auc([won for won, _ in forecasts], [stated for _, stated in forecasts])
    assert found == (pytest.approx(sum(pairs) / len(pairs)) if pairs else None)
