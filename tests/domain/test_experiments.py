"""The statistics of experiments, against published vectors, scipy and first principles."""

from __future__ import annotations

import inspect
import json
import math
import random
import sys
from typing import Any

import pytest
import scipy.special
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from stateful_engine.domain import assignment, distributions
from stateful_engine.domain.experiments import (
    Moments,
    Prior,
    Proportion,
    RatioMoments,
    bayesian_effect,
    benjamini_hochberg,
    beta_chance,
    beta_posterior,
    cluster_moments,
    confidence_sequence,
    crossed_units,
    cuped_theta,
    delta_variance,
    expected_loss,
    holm,
    moments,
    newcombe_difference,
    paired,
    paired_sequence,
    ratio_moments,
    relative_difference,
    sample_size,
    srm_p_value,
    tuning_for,
    welch,
    wilson_interval,
)
from stateful_engine.errors import InvalidInputError
from tests.domain.experiment_truth import truth


def agrees(result: Any, case: dict[str, Any]) -> None:
    """Each expected field equals ours within the case's decimals; None means unbounded."""
    for name, expected in case["expected"].items():
        found = getattr(result, name)
        pairs = zip(found, expected, strict=True) if isinstance(expected, list) else [(found, expected)]
        for ours, theirs in pairs:
            assert close(ours, theirs, case["decimals"]), f"{name}: {ours} is not {theirs}"


def close(ours: float | None, theirs: float | None, decimals: int) -> bool:
    if ours is None or theirs is None:
        return ours is theirs
    return abs(ours - theirs) <= 0.6 * 10.0**-decimals


@pytest.mark.parametrize("case", truth("frequentist"))
def test_welch_agrees_with_the_published_vectors(case: dict[str, Any]) -> None:
    agrees(welch(**case["inputs"]), case)


@pytest.mark.parametrize("case", truth("sequential"))
def test_the_confidence_sequence_agrees_with_the_published_vectors(case: dict[str, Any]) -> None:
    agrees(confidence_sequence(**case["inputs"]), case)


@pytest.mark.parametrize("case", truth("bayesian"))
def test_the_posterior_agrees_with_the_published_vectors(case: dict[str, Any]) -> None:
    agrees(bayesian_effect(**case["inputs"]), case)


@pytest.mark.parametrize("case", truth("expected_loss"))
def test_expected_loss_agrees_with_the_published_vectors(case: dict[str, Any]) -> None:
    found = expected_loss(case["inputs"]["mu"], case["inputs"]["sigma"])
    assert found == pytest.approx(case["expected"]["risk"], abs=0.6 * 10.0 ** -case["decimals"])


@pytest.mark.parametrize("case", truth("srm"))
def test_the_sample_ratio_agrees_with_the_published_vectors(case: dict[str, Any]) -> None:
    assert close(srm_p_value(**case["inputs"]), case["expected"], case["decimals"])


@pytest.mark.parametrize("case", truth("multiple_testing"))
def test_adjusted_p_values_agree_with_the_published_vectors(case: dict[str, Any]) -> None:
    adjust = holm if case["inputs"]["method"] == "holm" else benjamini_hochberg
    assert adjust(case["inputs"]["p"]) == pytest.approx(case["expected"], abs=1e-8)


@pytest.mark.parametrize("case", truth("relative_sign"))
def test_a_relative_difference_keeps_its_direction(case: dict[str, Any]) -> None:
    assert relative_difference(**case["inputs"]) == pytest.approx(case["expected"], abs=1e-5)


@pytest.mark.parametrize("case", truth("wilson"))
def test_wilson_agrees_with_the_published_table(case: dict[str, Any]) -> None:
    assert wilson_interval(**case["inputs"]) == pytest.approx(case["expected"], abs=0.6e-4)


@pytest.mark.parametrize("case", truth("newcombe_difference"))
def test_newcombe_agrees_with_the_published_table(case: dict[str, Any]) -> None:
    assert newcombe_difference(**case["inputs"]) == pytest.approx(case["expected"], abs=0.6e-4)


@pytest.mark.parametrize("case", [one for one in truth("power") if one.values[0]["inputs"].get("kind") == "variance"])
def test_the_delta_variance_agrees_with_the_published_vectors(case: dict[str, Any]) -> None:
    given_ = {key: value for key, value in case["inputs"].items() if key != "kind"}
    positional = [given_.pop(key) for key in ("mean_a", "var_a", "n_a")]
    assert delta_variance(*positional, **given_) == pytest.approx(case["expected"], abs=0.6 * 10.0 ** -case["decimals"])


@pytest.mark.parametrize("case", [one for one in truth("moments") if "theta" in one.values[0]["expected"]])
def test_cuped_theta_agrees_with_the_published_vectors(case: dict[str, Any]) -> None:
    arm = case["inputs"]["post"], case["inputs"]["pre"]
    assert cuped_theta([arm, arm]) == pytest.approx(case["expected"]["theta"], abs=1e-5)


A = [0.4, -1.0, 1.5, -1.0, 2.0, 0.1, -0.7, 1.1]
B = [1.2, -1.0, 1.9, 0.3, 2.2, -0.4, 1.6, 0.9, 0.2, 1.4]


@pytest.mark.parametrize("side", ["two-sided", "greater", "lesser"])
def test_welch_equals_scipy_on_raw_values(side: str) -> None:
    ours = welch(A, B, side=side)
    name = {"lesser": "less"}.get(side, side)
    theirs = scipy.stats.ttest_ind(B, A, equal_var=False, alternative=name)
    low, high = theirs.confidence_interval(0.95)
    assert ours.p_value == pytest.approx(theirs.pvalue)
    assert ours.df == pytest.approx(theirs.df)
    assert ours.ci == (
        None if math.isinf(low) else pytest.approx(low),
        None if math.isinf(high) else pytest.approx(high),
    )
    assert not ours.approximate


def test_the_paired_test_equals_scipy_on_raw_values() -> None:
    ours, theirs = paired(A), scipy.stats.ttest_1samp(A, 0.0)
    assert (ours.estimate, ours.p_value) == (pytest.approx(sum(A) / 8), pytest.approx(theirs.pvalue))
    assert ours.ci == pytest.approx(tuple(theirs.confidence_interval(0.95)))


def test_the_relative_variance_is_that_of_the_delta_method() -> None:
    ours = welch(
        {"type": "mean", "n": 100, "sum": 1000, "sum_squares": 10_099}, Moments(80, 960, 11_678), difference="relative"
    )
    var_a, var_b = 99 / 99, (11_678 - 960 * 12) / 79
    assert ours.estimate == pytest.approx(0.2)
    assert ours.stderr == pytest.approx(math.sqrt(var_b / 80 / 100 + var_a / 100 * 144 / 10_000))


def test_moments_of_two_days_add_up_to_those_of_both() -> None:
    both = Moments.of(A) + Moments.of(B)
    at_once = moments([*A, *B])
    assert (both.n, both.mean, both.variance) == (18, pytest.approx(at_once.mean), pytest.approx(at_once.variance))
    assert Proportion(10, 4) + Proportion(5, 1) == Proportion(15, 5)
    left, right = ratio_moments([(1, 2), (3, 4)]), ratio_moments([(5, 6)])
    assert left + right == ratio_moments([(1, 2), (3, 4), (5, 6)])


def test_moments_are_mean_and_sample_variance() -> None:
    found = moments(A)
    assert found.mean == pytest.approx(scipy.stats.describe(A).mean)
    assert found.variance == pytest.approx(scipy.stats.describe(A).variance)


def test_clusters_of_one_give_the_variance_of_independent_values() -> None:
    clustered, plain = cluster_moments(enumerate(A)), moments(A)
    assert (clustered.n, clustered.mean) == (plain.n, pytest.approx(plain.mean))
    assert clustered.variance == pytest.approx(plain.variance)


def test_copies_of_a_signal_within_its_cluster_add_no_certainty() -> None:
    once = welch(cluster_moments(enumerate(A)), cluster_moments(enumerate(B)))
    five_times = welch(
        cluster_moments((i, value) for i, value in enumerate(A) for _ in range(5)),
        cluster_moments((i, value) for i, value in enumerate(B) for _ in range(5)),
    )
    assert five_times.p_value == pytest.approx(once.p_value)
    assert welch(A * 5, B * 5).p_value < once.p_value / 5


def test_the_cluster_variance_is_the_textbook_delta_method() -> None:
    pairs = [(3.0, 2.0), (-1.0, 1.0), (4.5, 5.0), (0.2, 1.0), (2.0, 3.0)]
    m, d = Moments.of(y for y, _ in pairs), Moments.of(k for _, k in pairs)
    covariance = (sum(y * k for y, k in pairs) - m.sum * d.sum / 5) / 4
    ratio = m.mean / d.mean
    textbook = m.variance / d.mean**2 + m.mean**2 * d.variance / d.mean**4 - 2 * covariance * m.mean / d.mean**3
    assert ratio_moments(pairs).mean == pytest.approx(ratio)
    assert ratio_moments(pairs).variance == pytest.approx(textbook)


NOTHING: list[tuple[str, Any, Any]] = [
    ("no data at all", Moments(), Moments()),
    ("one arm empty", moments(A), Moments()),
    ("the other arm empty", Moments(), moments(B)),
    ("single units", moments([1.0]), moments([2.0])),
    ("all outcomes equal", moments([0.1] * 300), moments([0.2] * 300)),
    ("all outcomes zero", moments([0.0] * 300), moments([0.0] * 300)),
    ("one arm all equal", moments([-1.0] * 300), moments(A * 30)),
    ("only losses", Proportion(100, 0), Proportion(100, 0)),
    ("only wins in one", Proportion(100, 100), Proportion(100, 0)),
    ("equal clusters", cluster_moments((i // 3, 0.1) for i in range(99)), cluster_moments((i, 0.3) for i in range(99))),
    ("no denominators", RatioMoments(10, 5.0, 5.0), RatioMoments(10, 7.0, 7.0)),
]


@pytest.mark.parametrize("difference", ["absolute", "relative"])
@pytest.mark.parametrize(("name", "a", "b"), NOTHING, ids=[name for name, _, _ in NOTHING])
def test_nothing_significant_comes_from_nothing(name: str, a: Any, b: Any, difference: str) -> None:
    for effect in (welch(a, b, difference=difference), confidence_sequence(a, b, difference=difference)):
        assert (effect.estimate, effect.p_value, effect.ci, effect.known) == (0.0, 1.0, (None, None), False)
        assert effect.reason
        json.dumps(effect.as_dict(), allow_nan=False)
    posterior = bayesian_effect(a, b, difference=difference)
    assert (posterior.chance_to_win, posterior.ci, posterior.risk) == (0.5, (None, None), (None, None))
    json.dumps(posterior.as_dict(), allow_nan=False)


@pytest.mark.parametrize("baseline", [-0.2, 0.0])
def test_a_relative_difference_without_a_positive_baseline_concludes_nothing_and_says_so(baseline: float) -> None:
    a, b = moments([baseline - 1, baseline + 1] * 500), moments([baseline, baseline + 2] * 500)
    relative = welch(a, b, difference="relative")
    assert (relative.known, relative.p_value) == (False, 1.0)
    assert "above 0" in str(relative.reason)
    assert relative.estimate >= 0.0
    assert welch(a, b).p_value < 1e-6


def test_the_variance_of_a_difference_that_is_not_defined_is_zero() -> None:
    assert delta_variance(1.0, 1.0, 0, mean_b=1.0, var_b=1.0, n_b=5) == 0.0
    assert delta_variance(0.0, 1.0, 5, mean_b=1.0, var_b=1.0, n_b=5, relative=True) == 0.0
    assert delta_variance(7, 2, 4, mean_b=5, var_b=0.5, n_b=15) == pytest.approx(2 / 4 + 0.5 / 15)


def test_a_baseline_that_all_but_vanishes_concludes_nothing() -> None:
    effect = welch([0.0, 1e-310], [1.0, 2.0, 4.0], difference="relative")
    assert (effect.known, effect.estimate) == (False, 0.0)


@pytest.mark.parametrize("size", [1e-150, 1e-160, 1e-200, 1e-300, 5e-324])
@pytest.mark.parametrize("difference", ["absolute", "relative"])
def test_vanishing_values_divide_by_nothing(size: float, difference: str) -> None:
    for a, b in (([size, 2 * size], [size, 3 * size]), ([size, 2 * size], [1.0, 2.0]), ([1.0, 2.0], [size, 0.0])):
        for effect in (welch(a, b, difference=difference), confidence_sequence(a, b, difference=difference)):
            json.dumps(effect.as_dict(), allow_nan=False)
        for prior in (None, Prior(0.1, 0.1)):
            json.dumps(bayesian_effect(a, b, difference=difference, prior=prior).as_dict(), allow_nan=False)
        paired(a)


def test_a_relative_difference_from_zero_is_not_defined() -> None:
    assert relative_difference(0.0, 1.0) is None
    assert relative_difference(-10.0, -5.0) == 0.5
    assert relative_difference(-5.0, -10.0) == -1.0


@pytest.mark.parametrize("values", [[1.0], [0.5, 0.5, 0.5], []])
def test_pairs_that_never_vary_conclude_nothing(values: list[float]) -> None:
    for effect in (paired(values), paired_sequence(values)):
        assert (effect.p_value, effect.known) == (1.0, False)


def test_values_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="finite"):
        moments([1.0, math.nan])
    with pytest.raises(InvalidInputError, match="finite"):
        cluster_moments([("a", math.inf)])


@pytest.mark.parametrize(
    "data",
    [{"type": "mean", "n": 1}, {"type": "median", "n": 1}, {"type": "ratio", "n": 2, "m": [1], "d": [1, 2], "md": 1}],
)
def test_incomplete_or_unknown_moments_are_refused(data: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        welch(data, data)


@pytest.mark.parametrize(
    "options", [{"alpha": 0.0}, {"alpha": 1.0}, {"alpha": math.nan}, {"side": "left"}, {"difference": "ratio"}]
)
def test_options_that_cannot_be_meant_are_refused(options: dict[str, Any]) -> None:
    for test in (welch, confidence_sequence):
        with pytest.raises(InvalidInputError):
            test(A, B, **options)


@pytest.mark.parametrize("tuning", [0, -1, math.nan, math.inf])
def test_a_tuning_that_is_no_size_is_refused(tuning: float) -> None:
    with pytest.raises(InvalidInputError, match="planned n"):
        confidence_sequence(A, B, tuning=tuning)


def test_without_scipy_the_normal_distribution_stands_in_and_the_result_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    exact = welch(A, B)
    exact_share = beta_posterior(8, 10)
    monkeypatch.setitem(sys.modules, "scipy.special", None)
    rough = welch(A, B)
    assert (exact.approximate, rough.approximate) == (False, True)
    assert rough.p_value == pytest.approx(2 * scipy.stats.norm.sf(abs(rough.estimate / rough.stderr)))
    assert rough.p_value != exact.p_value
    rough_share = beta_posterior(8, 10)
    assert (exact_share.approximate, rough_share.approximate) == (False, True)
    assert rough_share.ci[1] <= 1.0
    assert not confidence_sequence(A, B).approximate
    assert srm_p_value([5100, 4900], [0.5, 0.5]) == pytest.approx(0.0455, abs=1e-4)


@pytest.mark.parametrize("df", [1, 2, 3, 4, 5, 10, 31])
@pytest.mark.parametrize("x", [0.01, 1.0, 7.5, 60.0])
def test_the_chi_square_tail_is_exact_without_scipy(x: float, df: int) -> None:
    assert distributions.chi_square_tail(x, df) == pytest.approx(scipy.special.chdtrc(df, x), rel=1e-12)


def test_the_confidence_sequence_is_tightest_near_the_planned_size_and_wider_than_one_look() -> None:
    def width(tuning: float) -> float:
        low, high = confidence_sequence(moments(A * 50), moments(B * 50), tuning=tuning).ci
        assert low is not None
        assert high is not None
        return high - low

    n = len(A) * 50 + len(B) * 50
    low, high = welch(A * 50, B * 50).ci
    assert low is not None
    assert high is not None
    assert width(n) < width(n / 5)
    assert width(n) < width(n * 5)
    assert width(n) > 1.4 * (high - low)
    assert (tuning_for(None), tuning_for(10), tuning_for(5000)) == (200, 200, 5000)


@given(st.floats(0.001, 0.9), st.floats(-2.0, 2.0), st.floats(50, 5000))
def test_the_always_valid_p_value_is_below_alpha_exactly_when_the_interval_excludes_zero(
    alpha: float, shift: float, tuning: float
) -> None:
    a, b = moments(A * 20), moments([value + shift for value in A * 20])
    effect = confidence_sequence(a, b, alpha=alpha, tuning=tuning)
    low, high = effect.ci
    if low is not None and high is not None and min(abs(low), abs(high)) > 1e-9:
        assert (effect.p_value < alpha) is (low > 0 or high < 0)


@pytest.mark.parametrize("shift", [0.0, 0.2, 0.3, 0.5, 3.0])
def test_the_one_sided_p_value_is_the_alpha_at_which_the_bound_reaches_zero(shift: float) -> None:
    a, b = moments(A * 40), moments([value + shift for value in A * 40])
    p = confidence_sequence(a, b, side="greater", tuning=600).p_value
    assert 1e-5 <= p <= 0.4999
    if 1e-5 < p < 0.4999:
        low, high = confidence_sequence(a, b, side="greater", alpha=p, tuning=600).ci
        assert (low, high) == (pytest.approx(0.0, abs=1e-4), None)
    assert confidence_sequence(b, a, side="lesser", tuning=600).p_value == pytest.approx(p)
    assert confidence_sequence(a, b, side="lesser", tuning=600).p_value == 0.4999


def test_a_one_sided_alpha_of_a_half_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="one half"):
        confidence_sequence(A, B, side="greater", alpha=0.5)


def test_a_prior_pulls_the_posterior_and_narrows_it() -> None:
    flat, pulled = bayesian_effect(A, B), bayesian_effect(A, B, prior=Prior(0.0, 0.01))
    assert abs(pulled.estimate) < abs(flat.estimate)
    assert pulled.stddev < flat.stddev
    assert flat.estimate == welch(A, B).estimate
    for prior in (Prior(math.nan, 1.0), Prior(0.0, 0.0), {"mean": 0.0, "variance": -1.0}):
        with pytest.raises(InvalidInputError, match="prior"):
            bayesian_effect(A, B, prior=prior)


@pytest.mark.parametrize(("mu", "sigma"), [(0.1, 0.05), (0.0, 1.0), (-3.0, 0.1), (-0.5, 0.1), (40.0, 1e-3)])
def test_expected_loss_is_the_integral_it_claims_to_be(mu: float, sigma: float) -> None:
    steps = [mu + sigma * (k + 0.5) / 500 for k in range(-5000, 5000)]
    weights = [math.exp(-0.5 * ((x - mu) / sigma) ** 2) / 500 / math.sqrt(2 * math.pi) for x in steps]
    keep = math.fsum(max(x, 0.0) * w for x, w in zip(steps, weights, strict=True))
    ship = math.fsum(max(-x, 0.0) * w for x, w in zip(steps, weights, strict=True))
    assert expected_loss(mu, sigma) == pytest.approx((keep, ship), abs=1e-6)


def test_expected_loss_of_a_certain_effect_is_the_effect() -> None:
    assert expected_loss(0.3, 0.0) == (0.3, 0.0)
    assert expected_loss(-0.3, 0.0) == (0.0, 0.3)
    for mu, sigma in ((math.nan, 1.0), (0.0, -1.0), (0.0, math.inf)):
        with pytest.raises(InvalidInputError):
            expected_loss(mu, sigma)


def test_beta_posteriors_are_those_of_scipy_and_their_comparison_is_exact() -> None:
    found = beta_posterior(8, 10)
    theirs = scipy.stats.beta(9, 3)
    assert (found.mean, found.stddev) == (pytest.approx(theirs.mean()), pytest.approx(theirs.std()))
    assert found.ci == pytest.approx(theirs.interval(0.95))
    assert beta_chance(5, 10, 5, 10) == pytest.approx(0.5)
    assert beta_chance(0, 0, 0, 0) == pytest.approx(0.5)
    # with no data for A, P(B > U) for a uniform U is the mean of B
    assert beta_chance(0, 0, 8, 10) == pytest.approx(9 / 12)
    assert beta_chance(40, 100, 60, 100) + beta_chance(60, 100, 40, 100) == pytest.approx(1.0)


# Newcombe, Statistics in Medicine 17 (1998), 857, table I (method 3) and 873, table II (method 10).
@pytest.mark.parametrize(
    ("x", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_gives_the_values_of_newcombes_table(x: int, n: int, low: float, high: float) -> None:
    assert wilson_interval(x, n) == pytest.approx((low, high), abs=0.6e-4)
    assert wilson_interval(n - x, n) == pytest.approx((1 - high, 1 - low), abs=0.6e-4)


@pytest.mark.parametrize(
    ("counts", "low", "high"),
    [
        ((56, 70, 48, 80), 0.0524, 0.3339),
        ((9, 10, 3, 10), 0.1705, 0.8090),
        ((6, 7, 2, 7), 0.0582, 0.8062),
        ((5, 56, 0, 29), -0.0381, 0.1926),
        ((0, 10, 0, 20), -0.1611, 0.2775),
        ((10, 10, 0, 10), 0.6075, 1.0),
    ],
)
def test_newcombe_gives_the_values_of_his_table(counts: tuple[int, int, int, int], low: float, high: float) -> None:
    assert newcombe_difference(*counts) == pytest.approx((low, high), abs=0.6e-4)
    x1, n1, x2, n2 = counts
    assert newcombe_difference(x2, n2, x1, n1) == pytest.approx((-high, -low), abs=0.6e-4)


def test_shares_without_trials_are_entirely_open() -> None:
    assert wilson_interval(0, 0) == (0.0, 1.0)
    assert newcombe_difference(0, 0, 0, 0) == (-1.0, 1.0)
    low, high = newcombe_difference(5, 10, 0, 0)
    assert -1.0 <= low < 0.0 < high <= 1.0


@pytest.mark.parametrize(("x", "n"), [(-1, 5), (6, 5), (1, 0), (math.nan, 5), (0, math.inf)])
def test_counts_that_cannot_be_are_refused(x: float, n: float) -> None:
    for call in (
        lambda: wilson_interval(x, n),
        lambda: newcombe_difference(1, 2, x, n),
        lambda: beta_chance(1, 2, x, n),
    ):
        with pytest.raises(InvalidInputError):
            call()


@given(st.integers(0, 60), st.integers(0, 60), st.floats(0.001, 0.999))
def test_wilson_always_contains_the_share_and_stays_inside_zero_and_one(x: int, more: int, alpha: float) -> None:
    low, high = wilson_interval(x, x + more, alpha)
    assert 0.0 <= low <= high <= 1.0
    if x + more:
        assert low - 1e-12 <= x / (x + more) <= high + 1e-12


@pytest.mark.parametrize(
    ("observed", "weights", "expected"),
    [
        ([5000, 5000], [0.5, 0.5], 1.0),
        ([5100, 4900], [0.5, 0.5], 0.0455002639),
        ([5100, 4900], [50, 50], 0.0455002639),
        ([0, 5100, 4900], [0.0, 0.5, 0.5], 0.0455002639),
        ([700, 5100, 4900], [0.0, 0.5, 0.5], 0.0455002639),
        ([None, 5100, 4900], [0.2, 0.4, 0.4], 0.0455002639),
        ([5100, 4900, math.nan], [0.4, 0.4, 0.2], 0.0455002639),
        ([5100, 4900], [0.4, 0.4, 0.2], 0.0455002639),
        ([5100, 4900, 100], [0.5, 0.5], 0.0455002639),
        ([5100, 4900, 100], [0.5, 0.5, None], 0.0455002639),
        ([10, 0], [0.5, 0.5], 0.0015654),
        ([0, 0], [0.5, 0.5], 1.0),
        ([10], [1.0], 1.0),
        ([10, None], [0.5, 0.5], 1.0),
        ([10, 7], [1.0, 0.0], 1.0),
        ([], [], 1.0),
    ],
)
def test_the_sample_ratio_counts_only_arms_that_were_meant_to_get_units(
    observed: list[Any], weights: list[Any], expected: float
) -> None:
    assert srm_p_value(observed, weights) == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize(("observed", "weights"), [([-1, 5], [0.5, 0.5]), ([1, 5], [-0.5, 0.5])])
def test_negative_counts_and_weights_are_refused(observed: list[float], weights: list[float]) -> None:
    with pytest.raises(InvalidInputError, match="negative"):
        srm_p_value(observed, weights)


def test_the_sample_ratio_of_a_hopeless_split_is_tiny_but_a_number() -> None:
    assert 0.0 <= srm_p_value([10**9, 1], [0.5, 0.5]) < 1e-300


def test_holm_and_benjamini_hochberg_give_the_textbook_values_in_the_order_given() -> None:
    p = [0.02, 0.001, 0.9, 0.03]
    assert holm(p) == pytest.approx([0.06, 0.004, 0.9, 0.06])
    assert benjamini_hochberg(p) == pytest.approx([0.04, 0.004, 0.9, 0.04])
    assert benjamini_hochberg(p) == pytest.approx(list(scipy.stats.false_discovery_control(p)))


@pytest.mark.parametrize("adjust", [holm, benjamini_hochberg])
def test_what_was_not_tested_stays_out_of_the_adjustment(adjust: Any) -> None:
    assert adjust([]) == []
    assert adjust([None]) == [None]
    assert adjust([0.01, None, 0.04]) == [pytest.approx(0.02), None, pytest.approx(0.04)]
    with pytest.raises(InvalidInputError):
        adjust([0.5, 1.5])
    with pytest.raises(InvalidInputError):
        adjust([math.nan])


@given(st.lists(st.floats(0.0, 1.0), max_size=12))
def test_an_adjustment_never_makes_a_p_value_smaller_and_keeps_the_order(p: list[float]) -> None:
    for adjust in (holm, benjamini_hochberg):
        adjusted = [value for value in adjust(p) if value is not None]
        assert all(new >= old - 1e-15 for new, old in zip(adjusted, p, strict=True))
        ranked = [new for _, new in sorted(zip(p, adjusted, strict=True))]
        assert ranked == sorted(ranked)


def test_units_that_saw_two_variants_are_counted_and_named() -> None:
    found = crossed_units([("u1", "A"), ("u2", "B"), ("u1", "A"), ("u2", "A"), ("u2", "B"), ("u3", "A")])
    assert (found.units, found.crossed, found.examples) == (3, 1, ("u2",))
    assert found.share == pytest.approx(1 / 3)
    assert crossed_units([]).share == 0.0


def test_cuped_explains_with_what_was_known_before() -> None:
    dealer = random.Random(4)
    pre = [dealer.gauss(0, 1) for _ in range(400)]
    post = [2.0 * value + dealer.gauss(0, 0.1) for value in pre]
    assert cuped_theta([(post[:200], pre[:200]), (post[200:], pre[200:])]) == pytest.approx(2.0, abs=0.05)
    assert cuped_theta([([1.0, 2.0], [3.0, 3.0])]) == 0.0
    assert cuped_theta([([1.0], [3.0])]) == 0.0
    with pytest.raises(InvalidInputError, match="length"):
        cuped_theta([([1.0, 2.0], [3.0])])


@given(
    st.lists(st.floats(-1e6, 1e6, allow_nan=False), max_size=12),
    st.lists(st.floats(-1e6, 1e6, allow_nan=False), max_size=12),
    st.sampled_from(["absolute", "relative"]),
    st.sampled_from(["two-sided", "greater", "lesser"]),
)
def test_no_data_however_odd_give_nan_or_an_error(a: list[float], b: list[float], difference: str, side: str) -> None:
    for effect in (
        welch(a, b, difference=difference, side=side),
        confidence_sequence(a, b, difference=difference, side=side),
    ):
        json.dumps(effect.as_dict(), allow_nan=False)
        assert 0.0 <= effect.p_value <= 1.0
    json.dumps(bayesian_effect(a, b, difference=difference).as_dict(), allow_nan=False)


SIGNATURES = {
    assignment.bucket: "seed value version=2",
    assignment.bucket_ranges: "n coverage=1.0 weights=None",
    assignment.choose_variation: "x ranges",
    assignment.equal_weights: "n",
    assignment.in_namespace: "user_id namespace",
    srm_p_value: "observed weights",
    welch: "a b",
    confidence_sequence: "a b",
    bayesian_effect: "a b",
    expected_loss: "mu sigma",
    newcombe_difference: "x1 n1 x2 n2 alpha=0.05",
    wilson_interval: "x n alpha=0.05",
    holm: "p",
    benjamini_hochberg: "p",
    sample_size: "mde sd",
    moments: "values",
}


@pytest.mark.parametrize(("function", "positional"), SIGNATURES.items(), ids=lambda one: getattr(one, "__name__", ""))
def test_the_names_that_others_call_take_what_they_were_promised_to_take(function: Any, positional: str) -> None:
    parameters = inspect.signature(function).parameters.values()
    found = [
        one.name + ("" if one.default is one.empty else f"={one.default}")
        for one in parameters
        if one.kind is one.POSITIONAL_OR_KEYWORD
    ]
    assert " ".join(found) == positional
