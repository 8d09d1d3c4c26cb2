"""The verdict: each state has its story, and bad data never become a recommendation."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from stateful_engine.domain.experiments import (
    Arm,
    CrossedUnits,
    Difference,
    Evidence,
    Looks,
    MaturityCounts,
    Measured,
    Moments,
    Proportion,
    Thresholds,
    VerdictState,
    cluster_moments,
    confidence_sequence,
    judge,
    moments,
)
from stateful_engine.errors import InvalidInputError

N = 1000


def arm(mean: float, n: int = N) -> Moments:
    """Outcomes one R above and below a mean, half each."""
    return moments([mean - 1.0, mean + 1.0] * (n // 2))


def expectancy(lift: float, **changes: Any) -> Measured:
    return replace(Measured("expectancy_r", arm(0.1), arm(0.1 + lift)), **changes)


FULL = Arm(units=N, positives=N // 2, negatives=N // 2)
CALM = Evidence((expectancy(0.0),), arm_a=FULL, arm_b=FULL, days=10.0, planned_n=4 * N)


def lifted(lift: float, **changes: Any) -> Evidence:
    return replace(CALM, primaries=(expectancy(lift),), **changes)


def state_of(evidence: Evidence, **rules: Any) -> VerdictState:
    found = judge(evidence, Thresholds(**rules))
    json.dumps(found.as_dict(), allow_nan=False)
    assert found.reason
    return found.state


def test_a_clear_gain_recommends_b_with_its_numbers_and_method() -> None:
    found = judge(lifted(0.3))
    assert found.state is VerdictState.SHIP_B
    assert "expectancy_r" in found.reason
    number = found.numbers[0]
    assert (number.mean_a, number.mean_b) == (pytest.approx(0.1), pytest.approx(0.4))
    assert number.effect.estimate == pytest.approx(0.3)
    assert number.effect.ci[0] is not None
    assert number.effect.ci[0] > 0.0
    assert number.p_adjusted < 0.05
    assert number.better is True
    assert "confidence sequence" in found.method


def test_a_clear_loss_keeps_a() -> None:
    assert state_of(lifted(-0.3)) is VerdictState.KEEP_A


def test_where_less_is_better_a_fall_is_a_gain() -> None:
    latency = Measured("latency_ms", arm(300.0), arm(299.5))
    found = judge(replace(CALM, primaries=(latency,)))
    assert found.state is VerdictState.SHIP_B
    assert found.numbers[0].effect.estimate == pytest.approx(-0.5)
    low, high = found.numbers[0].improvement
    assert low is not None
    assert high is not None
    assert 0.0 < low < 0.5 < high


def test_no_difference_yet_continues_and_says_what_is_needed() -> None:
    found = judge(CALM)
    assert found.state is VerdictState.CONTINUE
    assert found.needed.clusters_to_plan == 2 * N
    assert str(2 * N) in found.reason
    assert judge(replace(CALM, planned_n=None)).state is VerdictState.CONTINUE


def test_no_difference_at_the_planned_size_is_inconclusive() -> None:
    assert state_of(replace(CALM, planned_n=2 * N)) is VerdictState.INCONCLUSIVE


def test_a_difference_inside_the_margin_is_equivalent_and_the_cheaper_is_advised() -> None:
    found = judge(replace(CALM, primaries=(expectancy(0.0, margin=0.3),), cheaper="B"))
    assert found.state is VerdictState.EQUIVALENT
    assert "take B" in found.reason
    assert judge(replace(CALM, primaries=(expectancy(0.0, margin=0.05),))).state is VerdictState.CONTINUE


def test_an_established_difference_inside_the_margin_still_does_not_matter() -> None:
    tiny = replace(CALM, primaries=(expectancy(0.2, margin=0.5),))
    assert judge(tiny).numbers[0].better is True
    assert state_of(tiny) is VerdictState.EQUIVALENT


@pytest.mark.parametrize(
    ("changes", "needed"),
    [
        ({"days": 2.5}, "0.5 days"),
        ({"arm_a": replace(FULL, positives=19)}, "1 positive outcomes in A"),
        ({"arm_a": replace(FULL, negatives=0)}, "20 negative outcomes in A"),
        ({"arm_b": replace(FULL, positives=18)}, "2 positive outcomes in B"),
        ({"arm_b": replace(FULL, negatives=19)}, "1 negative outcomes in B"),
        ({"primaries": (Measured("expectancy_r", arm(0.1, 48), arm(2.0)),)}, "2 clusters in A"),
        ({"primaries": (Measured("expectancy_r", arm(0.1), arm(2.0, 40)),)}, "10 clusters in B"),
        ({"maturity": MaturityCounts(closed=90, unmarked=10)}, "10 prices at the horizon"),
    ],
)
def test_too_little_data_collects_however_large_the_difference(changes: dict[str, Any], needed: str) -> None:
    found = judge(replace(lifted(2.0), **changes))
    assert found.state is VerdictState.COLLECTING
    assert needed in found.reason
    assert not found.needed.nothing


def test_exactly_the_minimum_is_enough() -> None:
    least = Arm(units=50, positives=20, negatives=20)
    evidence = Evidence(
        (Measured("expectancy_r", arm(0.0, 50), arm(3.0, 50)),), arm_a=least, arm_b=least, days=3.0, planned_n=100
    )
    assert state_of(evidence) is VerdictState.SHIP_B


def test_a_few_unmarked_signals_are_tolerated_and_maturity_is_told() -> None:
    found = judge(replace(lifted(0.3), maturity=MaturityCounts(closed=80, marked=16, unmarked=4, running=25)))
    assert found.state is VerdictState.SHIP_B
    assert found.maturity == pytest.approx(96 / 125)


def test_a_split_that_does_not_fit_the_weights_invalidates_everything() -> None:
    found = judge(lifted(2.0, arm_a=replace(FULL, units=800)))
    assert found.state is VerdictState.INVALID
    assert "800 : 1000" in found.reason
    assert found.srm_p_value < 0.001
    uneven = lifted(2.0, arm_a=replace(FULL, units=800, weight=0.8), arm_b=replace(FULL, units=200, weight=0.2))
    assert judge(uneven).state is VerdictState.SHIP_B


def test_units_that_saw_both_variants_invalidate_everything() -> None:
    found = judge(lifted(2.0, crossed=CrossedUnits(1000, 11)))
    assert found.state is VerdictState.INVALID
    assert "11 of 1000" in found.reason
    assert judge(lifted(2.0, crossed=CrossedUnits(1000, 10))).state is VerdictState.SHIP_B


@pytest.mark.parametrize("baseline", [-0.2, 0.0])
def test_a_relative_difference_on_a_baseline_that_is_not_positive_is_invalid(baseline: float) -> None:
    measured = Measured("expectancy_r", arm(baseline), arm(1.0), difference=Difference.RELATIVE)
    found = judge(replace(CALM, primaries=(measured,)))
    assert found.state is VerdictState.INVALID
    assert "not above 0" in found.reason


def test_a_negative_baseline_is_no_obstacle_to_the_absolute_difference() -> None:
    measured = Measured("expectancy_r", arm(-0.5), arm(-0.1))
    assert state_of(replace(CALM, primaries=(measured,))) is VerdictState.SHIP_B


def test_a_guardrail_stops_b_although_the_primary_gains() -> None:
    slower = Measured("latency_ms", arm(300.0), arm(301.0))
    found = judge(lifted(0.3, guardrails=(slower,)))
    assert found.state is VerdictState.STOP_GUARDRAIL
    assert "latency_ms" in found.reason
    tolerated = replace(slower, margin=2.0)
    assert judge(lifted(0.3, guardrails=(tolerated,))).state is VerdictState.SHIP_B


def test_a_guardrail_that_improves_stops_nothing() -> None:
    faster = Measured("latency_ms", arm(300.0), arm(299.0))
    found = judge(lifted(0.3, guardrails=(faster,)))
    assert (found.state, found.numbers[1].better) == (VerdictState.SHIP_B, True)


def test_harm_is_told_before_the_three_days_are_over_but_not_from_a_handful() -> None:
    errors = Measured("error_rate", Proportion(N, 10), Proportion(N, 200))
    assert state_of(replace(CALM, guardrails=(errors,), days=0.5)) is VerdictState.STOP_GUARDRAIL
    handful = Measured("error_rate", Proportion(40, 1), Proportion(40, 39))
    assert state_of(replace(CALM, guardrails=(handful,))) is VerdictState.CONTINUE


def test_a_flawless_control_does_not_hide_a_failing_challenger() -> None:
    errors = Measured("error_rate", Proportion(N, 0), Proportion(N, 200))
    assert state_of(replace(CALM, guardrails=(errors,))) is VerdictState.STOP_GUARDRAIL
    both_flawless = Measured("error_rate", Proportion(N, 0), Proportion(N, 0))
    assert state_of(replace(CALM, guardrails=(both_flawless,))) is VerdictState.CONTINUE


def test_guardrails_share_their_error_rate() -> None:
    # just beyond the reach of alpha 0.05, not of 0.05 / 4
    evidence = lifted(0.0, guardrails=(Measured("latency_ms", arm(300.0), arm(300.145)),))
    assert state_of(evidence) is VerdictState.STOP_GUARDRAIL
    others = tuple(Measured(name, arm(1.0), arm(1.0)) for name in ("tokens", "cost_usd", "error_rate"))
    assert state_of(replace(evidence, guardrails=evidence.guardrails + others)) is VerdictState.CONTINUE


def test_primaries_that_disagree_are_inconclusive() -> None:
    found = judge(replace(CALM, primaries=(expectancy(0.5), Measured("brier", arm(0.2), arm(0.9)))))
    assert found.state is VerdictState.INCONCLUSIVE
    assert "better in expectancy_r and worse in brier" in found.reason


def test_several_primaries_are_held_to_holm() -> None:
    barely = Measured("win_rate", arm(0.5), arm(0.655))
    p = confidence_sequence(barely.a, barely.b, tuning=4 * N).p_value
    assert 0.0125 < p < 0.05
    assert state_of(replace(CALM, primaries=(barely,))) is VerdictState.SHIP_B
    flat = tuple(Measured(name, arm(0.5), arm(0.5)) for name in ("expectancy_r", "brier", "click_rate"))
    found = judge(replace(CALM, primaries=(barely, *flat)))
    assert found.state is VerdictState.CONTINUE
    assert found.numbers[0].p_adjusted == pytest.approx(min(4 * p, 1.0))


def test_pairs_are_judged_by_their_differences() -> None:
    gains = moments([-0.1, 0.3] * 300)
    measured = Measured("expectancy_r", arm(0.1, 600), arm(0.2, 600), differences=gains)
    unpaired = replace(measured, differences=None)
    assert state_of(replace(CALM, primaries=(measured,), planned_n=2000)) is VerdictState.SHIP_B
    assert state_of(replace(CALM, primaries=(unpaired,), planned_n=2000)) is VerdictState.CONTINUE
    assert judge(replace(CALM, primaries=(measured,), planned_n=2000)).needed.clusters_to_plan == 1400
    assert state_of(replace(CALM, primaries=(measured,), planned_n=600), looks=Looks.FIXED) is VerdictState.SHIP_B


def test_a_single_look_waits_for_the_planned_size_and_then_uses_the_t_test() -> None:
    assert state_of(lifted(0.3), looks=Looks.FIXED) is VerdictState.CONTINUE
    found = judge(lifted(0.1, planned_n=2 * N), Thresholds(looks=Looks.FIXED))
    assert found.state is VerdictState.SHIP_B
    assert found.numbers[0].effect.method == "welch"
    assert judge(lifted(0.1, planned_n=2 * N)).state is VerdictState.INCONCLUSIVE
    with pytest.raises(InvalidInputError, match="planned_n"):
        judge(lifted(0.1, planned_n=None), Thresholds(looks=Looks.FIXED))


def test_an_experiment_without_data_collects() -> None:
    empty = Evidence((Measured("expectancy_r", Moments(), Moments()),))
    found = judge(empty)
    assert found.state is VerdictState.COLLECTING
    assert found.numbers[0].p_adjusted == 1.0
    assert (found.needed.clusters_a, found.needed.days) == (50, 3.0)
    json.dumps(found.as_dict(), allow_nan=False)


def test_one_arm_without_data_is_never_a_recommendation() -> None:
    nobody = replace(CALM, primaries=(Measured("expectancy_r", arm(1.0), Moments()),), arm_b=Arm())
    assert state_of(nobody) is VerdictState.INVALID
    silent = replace(CALM, primaries=(Measured("expectancy_r", arm(1.0), Moments()),))
    assert state_of(silent) is VerdictState.COLLECTING


@pytest.mark.parametrize(("a", "b"), [(0.1, 0.1), (0.1, 0.2), (-1.0, 2.0), (0.0, 0.0)])
def test_outcomes_that_are_all_equal_tell_nothing(a: float, b: float) -> None:
    equal = Measured("expectancy_r", moments([a] * N), moments([b] * N))
    found = judge(replace(CALM, primaries=(equal,)))
    assert found.state is VerdictState.COLLECTING
    assert "equal" in found.reason
    assert state_of(replace(CALM, primaries=(equal,), planned_n=N)) is VerdictState.INCONCLUSIVE


def test_many_signals_of_few_users_do_not_pass_for_many_units() -> None:
    few = Measured(
        "expectancy_r",
        cluster_moments((f"u{i % 30}", float(i % 2)) for i in range(3000)),
        cluster_moments((f"u{i % 30}", 3.0 + i % 2) for i in range(3000)),
    )
    found = judge(replace(CALM, primaries=(few,)))
    assert found.state is VerdictState.COLLECTING
    assert found.needed.clusters_a == 20


def test_a_verdict_without_a_primary_or_on_an_unknown_metric_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="primary"):
        judge(replace(CALM, primaries=()))
    with pytest.raises(InvalidInputError, match="unknown metric"):
        judge(replace(CALM, primaries=(Measured("sharpe", arm(0.0), arm(0.0)),)))
