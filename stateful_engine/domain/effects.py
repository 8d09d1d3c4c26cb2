"""What variant B changes against variant A: the difference and its uncertainty, or that nothing is known.

Differences are B - A, absolute by default: an expectancy in R or a P&L may be negative or near zero, where a relative
change has no meaning. `difference="relative"` is for strictly positive metrics such as latency or cost.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from stateful_engine.domain.distributions import t_cdf, t_is_approximate, t_quantile
from stateful_engine.domain.moments import Summary, as_summary
from stateful_engine.domain.vocabulary import Word
from stateful_engine.errors import InvalidInputError

Data = Summary | Mapping[str, Any] | Sequence[float]
Interval = tuple[float | None, float | None]


class Side(Word):
    """Which differences count against "no difference"."""

    TWO_SIDED = "two-sided"
    GREATER = "greater"
    LESSER = "lesser"


class Difference(Word):
    """How the change is expressed: in the metric's own unit, or as a share of A."""

    ABSOLUTE = "absolute"
    RELATIVE = "relative"


@dataclass(frozen=True, slots=True)
class Effect:
    """A difference B - A: estimate, interval (None = unbounded), standard error, p-value.

    Where nothing can be concluded `reason` says why, the p-value is 1, the estimate 0 and the interval unbounded on
    both sides; of a relative difference without a positive baseline the estimate at least keeps its direction.
    `approximate` is True when the normal distribution stood in for Student's t.
    """

    estimate: float
    ci: Interval
    stderr: float
    p_value: float
    n: int = 0
    df: float | None = None
    method: str = "welch"
    approximate: bool = False
    reason: str | None = None

    @property
    def known(self) -> bool:
        """Whether the data allow any conclusion."""
        return self.reason is None

    def as_dict(self) -> dict[str, Any]:
        """As JSON: only finite numbers, None, text and lists."""
        return {**asdict(self), "ci": list(self.ci)}


@dataclass(frozen=True, slots=True)
class Spread:
    """An estimate with its standard error, n units in all and degrees of freedom; `reason` when there is none."""

    estimate: float
    stderr: float
    n: int
    df: float
    reason: str | None = None

    def unknown_effect(self, method: str) -> Effect:
        """The effect that says that nothing is known."""
        return Effect(self.estimate, (None, None), 0.0, 1.0, n=self.n, method=method, reason=self.reason)


def relative_difference(mean_a: float, mean_b: float) -> float | None:
    """(B - A) / |A|: keeps its direction when the baseline is negative; None when the baseline is 0."""
    return (mean_b - mean_a) / abs(mean_a) if mean_a else None


def delta_variance(
    mean_a: float, var_a: float, n_a: int, *, mean_b: float, var_b: float, n_b: int, relative: bool = False
) -> float:
    """The variance of the estimated difference; of the relative one by the delta method. 0 where it is not defined."""
    if n_a <= 0 or n_b <= 0 or (relative and not mean_a):
        return 0.0
    if not relative:
        return var_a / n_a + var_b / n_b
    ratio = mean_b / mean_a
    return (var_b / n_b + var_a / n_a * ratio * ratio) / mean_a / mean_a


def spread_between(a: Summary, b: Summary, *, difference: str = Difference.ABSOLUTE) -> Spread:
    """The estimated difference B - A and its standard error, or the reason why there is none."""
    relative = _difference(difference) is Difference.RELATIVE
    reason = _no_spread(a, b)
    if reason is not None:
        return Spread(0.0, 0.0, a.n + b.n, 0.0, reason)
    estimate = relative_difference(a.mean, b.mean) if relative else b.mean - a.mean
    if estimate is None or (relative and not a.mean > 0.0):
        return Spread(estimate or 0.0, 0.0, a.n + b.n, 0.0, "a relative difference needs a baseline above 0")
    variance = delta_variance(a.mean, a.variance, a.n, mean_b=b.mean, var_b=b.variance, n_b=b.n, relative=relative)
    if not (0.0 < variance < math.inf and math.isfinite(estimate)):
        return Spread(0.0, 0.0, a.n + b.n, 0.0, "the outcomes are too close to 0 or to each other to compare")
    return Spread(estimate, math.sqrt(variance), a.n + b.n, _welch_satterthwaite(a, b))


def _difference(text: str) -> Difference:
    try:
        return Difference(text)
    except ValueError:
        raise InvalidInputError(f"unknown difference {text!r}; use absolute or relative") from None


def side_of(text: str) -> Side:
    """The side that `text` names ("two-sided", "greater", "lesser")."""
    try:
        return Side(text)
    except ValueError:
        raise InvalidInputError(f"unknown side {text!r}; use two-sided, greater or lesser") from None


def check_alpha(alpha: float) -> float:
    """`alpha` when it is a usable error rate, inside (0, 1)."""
    if not 0.0 < alpha < 1.0:
        raise InvalidInputError(f"alpha {alpha!r} is not between 0 and 1; 0.05 is usual")
    return alpha


def _no_spread(a: Summary, b: Summary) -> str | None:
    """Why the two arms allow no conclusion, or None."""
    for name, arm in (("A", a), ("B", b)):
        if arm.n <= 0:
            return f"arm {name} has no data"
        if arm.n < 2:
            return f"arm {name} has a single unit"
        if not arm.variance > 0.0:
            return f"all outcomes of arm {name} are equal"
    return None


def _welch_satterthwaite(a: Summary, b: Summary) -> float:
    share_a, share_b = a.variance / a.n, b.variance / b.n
    weight = share_a / (share_a + share_b)
    return 1.0 / (weight**2 / (a.n - 1) + (1.0 - weight) ** 2 / (b.n - 1))


def welch(
    a: Data,
    b: Data,
    *,
    difference: str = Difference.ABSOLUTE,
    alpha: float = 0.05,
    side: str = Side.TWO_SIDED,
) -> Effect:
    """Welch's t-test of B against A for one look at a size that was fixed before.

    `a`, `b`: moments, plain values, or the JSON of moments. Clustered moments count clusters. For repeated looks use
    `confidence_sequence`. Relative standard errors come from the delta method with the degrees of freedom of the
    absolute difference (GrowthBook's convention). Too little data gives an effect with `reason`, never an error.
    """
    spread = spread_between(as_summary(a), as_summary(b), difference=difference)
    return _t_effect(spread, alpha=alpha, side=side, method="welch")


def paired(differences: Data, *, alpha: float = 0.05, side: str = Side.TWO_SIDED) -> Effect:
    """The t-test of differences B - A that were taken pair by pair, for the `paired` design (one look)."""
    return _t_effect(spread_of_pairs(as_summary(differences)), alpha=alpha, side=side, method="paired t")


def spread_of_pairs(differences: Summary) -> Spread:
    """The mean of paired differences and its standard error, or the reason why there is none."""
    if differences.n < 2:
        return Spread(0.0, 0.0, differences.n, 0.0, "fewer than two pairs")
    if not differences.variance > 0.0:
        return Spread(0.0, 0.0, differences.n, 0.0, "all pairs differ by the same amount")
    stderr = math.sqrt(differences.variance) / math.sqrt(differences.n)
    return Spread(differences.mean, stderr, differences.n, differences.n - 1.0)


def _t_effect(spread: Spread, *, alpha: float, side: str, method: str) -> Effect:
    check_alpha(alpha)
    wanted = side_of(side)
    if spread.reason is not None:
        return spread.unknown_effect(method)
    tail = alpha / 2.0 if wanted is Side.TWO_SIDED else alpha
    width = -t_quantile(tail, spread.df) * spread.stderr
    return Effect(
        spread.estimate,
        interval(spread.estimate, width, wanted),
        spread.stderr,
        _t_p_value(spread.estimate / spread.stderr, spread.df, wanted),
        n=spread.n,
        df=spread.df,
        method=method,
        approximate=t_is_approximate(),
    )


def _t_p_value(t: float, df: float, side: Side) -> float:
    if side is Side.TWO_SIDED:
        return min(2.0 * t_cdf(-abs(t), df), 1.0)
    return t_cdf(-t if side is Side.GREATER else t, df)


def interval(estimate: float, width: float, side: Side) -> Interval:
    """The interval of a test: open towards the side that the test does not look at."""
    low = None if side is Side.LESSER else estimate - width
    high = None if side is Side.GREATER else estimate + width
    return low, high
