"""How much an experiment needs, and the test that asks whether a metric can be trusted."""

from __future__ import annotations

import json
import math
import random
from typing import Any

import pytest

from stateful_engine.domain.experiments import aa_test, minimum_effect, plan, power_at, sample_size
from stateful_engine.errors import InvalidInputError


def test_the_sample_size_is_the_textbooks() -> None:
    # (1.959964 + 0.841621)^2 * 2 / 0.5^2 = 62.8 for a standardised effect of one half
    assert sample_size(0.5, 1.0) == 63
    assert sample_size(-0.5, 1.0) == 63
    assert sample_size(0.5, 1.0, design_effect=2.0) == 126


def test_being_allowed_to_look_every_day_costs_about_twice_the_data() -> None:
    assert sample_size(0.1, 1.0, sequential=True) / sample_size(0.1, 1.0) == pytest.approx(1.917, abs=0.01)


@pytest.mark.parametrize("options", [{}, {"relative": True, "mean": 2.0}, {"sequential": True}])
def test_power_sample_size_and_smallest_effect_tell_the_same_story(options: dict[str, Any]) -> None:
    n = sample_size(0.2, 1.5, **options)
    assert power_at(n, 0.2, 1.5, **options) == pytest.approx(0.8, abs=0.001)
    assert minimum_effect(n, 1.5, **options) == pytest.approx(0.2, rel=0.002)


def test_without_any_effect_the_power_is_the_error_rate() -> None:
    assert power_at(1000, 0.0, 1.0) == pytest.approx(0.05)


def test_a_metric_too_noisy_for_a_relative_effect_has_no_smallest_one() -> None:
    assert minimum_effect(2, 100.0, mean=1.0, relative=True) is None


@pytest.mark.parametrize(
    "call",
    [
        lambda: sample_size(0.0, 1.0),
        lambda: sample_size(0.1, 0.0),
        lambda: sample_size(math.nan, 1.0),
        lambda: sample_size(0.1, math.inf),
        lambda: sample_size(0.1, 1.0, power=1.0),
        lambda: sample_size(0.1, 1.0, alpha=0.0),
        lambda: sample_size(0.1, 1.0, relative=True),
        lambda: sample_size(0.1, 1.0, relative=True, mean=-2.0),
        lambda: power_at(0, 0.1, 1.0),
        lambda: minimum_effect(100, 1.0, power=0.04),
        lambda: plan("sharpe", 0.1, 1.0),
        lambda: plan("expectancy_r", 0.1, 1.0, "crossover"),
        lambda: plan("expectancy_r", 0.1),
        lambda: plan("expectancy_r", 0.1, baseline=0.5),
        lambda: plan("win_rate", 0.1, baseline=1.0),
        lambda: plan("expectancy_r", 0.1, 1.0, rho=1.5),
        lambda: plan("expectancy_r", 0.1, 1.0, rho=math.nan),
        lambda: plan("expectancy_r", 0.1, 1.0, signals_per_cluster=0.5),
        lambda: aa_test([1.0, 2.0], runs=0),
        lambda: aa_test([1.0, 2.0], ["a"]),
        lambda: aa_test([1.0, math.nan]),
    ],
)
def test_a_plan_that_cannot_be_made_is_refused(call: Any) -> None:
    with pytest.raises(InvalidInputError):
        call()


def test_a_plan_says_how_many_signals_and_weeks() -> None:
    made = plan("expectancy_r", 0.2, 1.2, "signal", 0.3, signals_per_week=350, signals_per_cluster=4, sequential=False)
    assert made.design_effect == pytest.approx(1.9)
    assert made.n_per_arm == math.ceil(1.9 * 7.848880 * 2 * 1.44 / 0.04)
    assert (made.n_total, made.clusters_total) == (2 * made.n_per_arm, math.ceil(made.n_total / 4))
    assert made.weeks == pytest.approx(made.n_total / 350)
    json.dumps(made.as_dict(), allow_nan=False)


@pytest.mark.parametrize("volume", [None, 0, -3])
def test_without_a_present_volume_the_weeks_are_unknown(volume: float | None) -> None:
    assert plan("expectancy_r", 0.2, 1.2, signals_per_week=volume).weeks is None


def test_pairs_need_less_the_more_the_engines_agree() -> None:
    alone = plan("expectancy_r", 0.2, 1.2, "paired", 0.0)
    alike = plan("expectancy_r", 0.2, 1.2, "paired", 0.8)
    assert alike.n_total == pytest.approx(alone.n_total * 0.2, abs=1)
    assert (alone.n_total, alone.clusters_total) == (alone.n_per_arm, alone.n_per_arm)
    assert plan("expectancy_r", 0.2, 1.2, "paired", 1.0).n_total == 2


def test_a_share_is_planned_from_its_baseline() -> None:
    made = plan("win_rate", 0.05, baseline=0.5, sequential=False)
    assert made.n_per_arm == math.ceil(7.848880 * 2 * 0.25 / 0.0025)


def test_a_planned_size_finds_the_effect_as_often_as_it_promises() -> None:
    from stateful_engine.domain.experiments import moments, welch

    dealer, n = random.Random(11), sample_size(0.5, 1.0)
    found = 0
    for _ in range(600):
        a = moments(dealer.gauss(0, 1) for _ in range(n))
        b = moments(dealer.gauss(0.5, 1) for _ in range(n))
        found += welch(a, b).p_value < 0.05
    assert found / 600 == pytest.approx(0.8, abs=0.05)


def clustered(clusters: int, size: int, *, seed: int = 5) -> tuple[list[float], list[str]]:
    """R multiples whose clusters share most of their fate."""
    dealer = random.Random(seed)
    values, names = [], []
    for cluster in range(clusters):
        common = dealer.choice((-1.0, 1.5))
        for _ in range(size):
            values.append(common if dealer.random() < 0.8 else dealer.choice((-1.0, 1.5)))
            names.append(f"c{cluster}")
    return values, names


def test_an_honest_metric_passes_its_a_a_test() -> None:
    values, clusters = clustered(200, 5)
    found = aa_test(values, clusters, runs=1000, seed=3)
    assert found.rate <= 0.07
    assert found.interval[0] <= 0.05
    assert found.trustworthy
    assert (found.clusters, found.values, found.runs) == (200, 1000, 1000)
    assert found == aa_test(values, clusters, runs=1000, seed=3)
    assert found != aa_test(values, clusters, runs=1000, seed=4)
    json.dumps(found.as_dict(), allow_nan=False)


def test_a_metric_that_one_outlier_rules_does_not_find_more_than_it_may() -> None:
    found = aa_test([*([0.1, -0.1] * 100), 5000.0], runs=400)
    assert found.rate <= 0.05


@pytest.mark.parametrize(
    ("values", "reason"),
    [([], "fewer"), ([1.0], "fewer"), ([1.0, 2.0, 3.0], "fewer"), ([0.1] * 50, "equal"), ([0.0] * 50, "equal")],
)
def test_an_a_a_test_of_nothing_finds_nothing_and_says_so(values: list[float], reason: str) -> None:
    found = aa_test(values, runs=50)
    assert (found.false_positives, found.trustworthy) == (0, False)
    assert reason in str(found.reason)
