"""What to show to people who think in chances: posteriors of the effect. For display only, never for the verdict."""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from stateful_engine.domain.distributions import normal_cdf, normal_pdf, normal_quantile
from stateful_engine.domain.effects import Data, Difference, Interval, check_alpha, spread_between
from stateful_engine.domain.moments import as_summary
from stateful_engine.domain.proportions import check_counts
from stateful_engine.errors import InvalidInputError


@dataclass(frozen=True, slots=True)
class Prior:
    """A normal belief about the effect, held before the data, on the scale of the difference that is asked for."""

    mean: float = 0.0
    variance: float = 1.0


@dataclass(frozen=True, slots=True)
class BayesianEffect:
    """The posterior of the difference B - A.

    `risk` is what is lost on average by (keeping A, shipping B). Without usable data the chance is one half, `reason`
    says why and the rest is unknown.
    """

    estimate: float
    ci: Interval
    stddev: float
    chance_to_win: float
    risk: tuple[float | None, float | None]
    reason: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """As JSON: only finite numbers, None, text and lists."""
        return {**asdict(self), "ci": list(self.ci), "risk": list(self.risk)}


@dataclass(frozen=True, slots=True)
class BetaPosterior:
    """The posterior of a share: mean, standard deviation and interval; `approximate` when scipy is missing."""

    mean: float
    stddev: float
    ci: tuple[float, float]
    approximate: bool = False


def bayesian_effect(
    a: Data,
    b: Data,
    *,
    difference: str = Difference.ABSOLUTE,
    alpha: float = 0.05,
    prior: Prior | Mapping[str, float] | None = None,
) -> BayesianEffect:
    """The normal posterior of the difference: the data's estimate, combined with a normal prior when one is given."""
    check_alpha(alpha)
    spread = spread_between(as_summary(a), as_summary(b), difference=difference)
    if spread.reason is not None:
        return BayesianEffect(spread.estimate, (None, None), 0.0, 0.5, (None, None), spread.reason)
    mean, stddev = _posterior(spread.estimate, spread.stderr, _prior(prior))
    width = normal_quantile(1.0 - alpha / 2.0) * stddev
    return BayesianEffect(
        mean, (mean - width, mean + width), stddev, normal_cdf(mean / stddev), expected_loss(mean, stddev)
    )


def _prior(prior: Prior | Mapping[str, float] | None) -> Prior | None:
    known = Prior(prior["mean"], prior["variance"]) if isinstance(prior, Mapping) else prior
    if known is not None and not (math.isfinite(known.mean) and 0.0 < known.variance < math.inf):
        raise InvalidInputError("a prior needs a finite mean and a variance above 0; leave it out for none")
    return known


def _posterior(estimate: float, stderr: float, prior: Prior | None) -> tuple[float, float]:
    if prior is None:
        return estimate, stderr
    weight = prior.variance / (prior.variance + stderr * stderr)
    return weight * estimate + (1.0 - weight) * prior.mean, math.sqrt(weight) * stderr


def expected_loss(mu: float, sigma: float) -> tuple[float, float]:
    """What is lost on average by (keeping A, shipping B) when the effect is normal with mean `mu`, deviation `sigma`.

    (E max(X, 0), E max(-X, 0)); with `sigma` 0 the effect is certain.
    """
    if not (math.isfinite(mu) and 0.0 <= sigma < math.inf):
        raise InvalidInputError("expected loss needs a finite mean and a deviation of at least 0")
    if sigma == 0.0:
        return max(mu, 0.0), max(-mu, 0.0)
    return _mean_above_zero(mu, sigma), _mean_above_zero(-mu, sigma)


def _mean_above_zero(mu: float, sigma: float) -> float:
    z = mu / sigma
    return max(mu * normal_cdf(z) + sigma * normal_pdf(z), 0.0)


def beta_posterior(
    successes: int, n: int, *, alpha: float = 0.05, prior: tuple[float, float] = (1.0, 1.0)
) -> BetaPosterior:
    """The Beta posterior of a share after `successes` of `n`, with a uniform prior unless told otherwise."""
    check_counts(successes, n)
    check_alpha(alpha)
    won, lost = prior[0] + successes, prior[1] + n - successes
    mean = won / (won + lost)
    stddev = math.sqrt(mean * (1.0 - mean) / (won + lost + 1.0))
    exact = _beta_interval(won, lost, alpha)
    if exact is not None:
        return BetaPosterior(mean, stddev, exact)
    width = normal_quantile(1.0 - alpha / 2.0) * stddev
    return BetaPosterior(mean, stddev, (max(mean - width, 0.0), min(mean + width, 1.0)), approximate=True)


def _beta_interval(won: float, lost: float, alpha: float) -> tuple[float, float] | None:
    try:
        special: Any = importlib.import_module("scipy.special")
    except ImportError:
        return None
    low, high = (float(special.betaincinv(won, lost, tail)) for tail in (alpha / 2.0, 1.0 - alpha / 2.0))
    return low, high


def beta_chance(x_a: int, n_a: int, x_b: int, n_b: int) -> float:
    """The chance that B's share exceeds A's, both with uniform priors, after x of n successes in each.

    Exact finite sum over the successes of B. Source: Miller, "Formulas for Bayesian A/B testing" (2015).
    """
    check_counts(x_a, n_a)
    check_counts(x_b, n_b)
    won_a, lost_a, lost_b = x_a + 1, n_a - x_a + 1, n_b - x_b + 1
    constant = _log_beta(won_a, lost_a)
    terms = (
        math.exp(_log_beta(won_a + i, lost_a + lost_b) - math.log(lost_b + i) - _log_beta(1 + i, lost_b) - constant)
        for i in range(x_b + 1)
    )
    return min(math.fsum(terms), 1.0)


def _log_beta(left: float, right: float) -> float:
    return math.lgamma(left) + math.lgamma(right) - math.lgamma(left + right)
