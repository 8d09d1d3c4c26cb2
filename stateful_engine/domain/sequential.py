"""Looking every day without being fooled: intervals that hold at all times at once.

The asymptotic confidence sequence of Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, "Time-uniform central limit
theory and asymptotic confidence sequences" (arXiv:2103.06476 v7), in the form of GrowthBook: n counts both arms, the
variance is that of the difference times n.
"""

from __future__ import annotations

import math

from stateful_engine.domain.effects import (
    Data,
    Difference,
    Effect,
    Side,
    Spread,
    check_alpha,
    interval,
    side_of,
    spread_between,
    spread_of_pairs,
)
from stateful_engine.domain.moments import as_summary
from stateful_engine.errors import InvalidInputError

TUNING_FLOOR = 200
"""The smallest n for which the interval is tightest; below it asymptotics do not carry."""

_SMALLEST_P, _LARGEST_P = 1e-5, 0.4999
_ALPHA_STEP = 1.25
_RISING_ALPHAS = tuple(_SMALLEST_P * _ALPHA_STEP**k for k in range(49))
"""One-sided error rates to try, from the smallest to just below one half."""


def tuning_for(planned_n: int | None) -> int:
    """At which n (both arms) the sequence shall be tightest: the planned size, at least 200."""
    return max(planned_n or 0, TUNING_FLOOR)


def confidence_sequence(
    a: Data,
    b: Data,
    *,
    difference: str = Difference.ABSOLUTE,
    alpha: float = 0.05,
    side: str = Side.TWO_SIDED,
    tuning: float = TUNING_FLOOR,
) -> Effect:
    """B against A with an interval and p-value that may be looked at as often as wanted.

    `tuning` is the n (both arms together) at which the interval is tightest: take the planned size
    (`tuning_for(planned_n)`). One-sided p-values lie within 0.00001..0.4999, where their formula holds.
    """
    spread = spread_between(as_summary(a), as_summary(b), difference=difference)
    return always_valid(spread, alpha=alpha, side=side, tuning=tuning)


def paired_sequence(
    differences: Data, *, alpha: float = 0.05, side: str = Side.TWO_SIDED, tuning: float = TUNING_FLOOR
) -> Effect:
    """As `confidence_sequence`, for differences B - A that were taken pair by pair; n counts pairs."""
    return always_valid(spread_of_pairs(as_summary(differences)), alpha=alpha, side=side, tuning=tuning)


def always_valid(spread: Spread, *, alpha: float, side: str, tuning: float) -> Effect:
    """The always-valid effect of an estimate with its standard error."""
    check_alpha(alpha)
    if not (math.isfinite(tuning) and tuning > 0):
        raise InvalidInputError(f"tuning {tuning!r} is not a positive size; give the planned n")
    wanted = side_of(side)
    if wanted is not Side.TWO_SIDED and alpha >= _LARGEST_P:
        raise InvalidInputError(f"a one-sided alpha of {alpha!r} is not below one half; 0.05 is usual")
    if spread.reason is not None:
        return spread.unknown_effect("confidence sequence")
    width = half_width(spread.stderr, spread.n, alpha=alpha, tuning=tuning, two_sided=wanted is Side.TWO_SIDED)
    return Effect(
        spread.estimate,
        interval(spread.estimate, width, wanted),
        spread.stderr,
        _p_value(spread, alpha=alpha, side=wanted, tuning=tuning),
        n=spread.n,
        method="confidence sequence",
    )


def _rho(alpha: float, tuning: float) -> float:
    """The mixing parameter that makes the sequence tightest at n = `tuning` (equation 161)."""
    log_alpha = -2.0 * math.log(alpha)
    return math.sqrt((log_alpha + math.log(log_alpha + 1.0)) / tuning)


def half_width(stderr: float, n: int, *, alpha: float, tuning: float, two_sided: bool = True) -> float:
    """Half the interval's width: equation 9 of the paper, or 134 for one side."""
    rho = _rho(alpha if two_sided else 2.0 * alpha, tuning)
    growth = n * rho * rho + 1.0
    ratio = math.sqrt(growth) / (alpha if two_sided else 2.0 * alpha)
    scale = 2.0 * growth / (n * rho) ** 2
    return stderr * math.sqrt(n) * math.sqrt(scale * (math.log(ratio) if two_sided else math.log1p(ratio)))


def _p_value(spread: Spread, *, alpha: float, side: Side, tuning: float) -> float:
    if side is Side.TWO_SIDED:
        return _two_sided_p(spread, rho=_rho(alpha, tuning))
    towards = spread.estimate if side is Side.GREATER else -spread.estimate
    return _one_sided_p(towards, spread, tuning=tuning)


def _two_sided_p(spread: Spread, *, rho: float) -> float:
    """One over the e-value of "no difference" (equation 155); below alpha exactly when the interval excludes 0."""
    weight = spread.n * rho * rho
    t = spread.estimate / spread.stderr
    log_e = t * t * weight / (2.0 * (weight + 1.0)) - 0.5 * math.log1p(weight)
    return math.exp(-log_e) if log_e > 0.0 else 1.0


def _one_sided_p(towards: float, spread: Spread, *, tuning: float) -> float:
    """The smallest alpha whose one-sided interval excludes 0, by bisection; the largest meaningful one if none does.

    The width falls with alpha until shortly before one half, where it grows without bound: only the falling part
    answers the question.
    """

    def excludes(alpha: float) -> bool:
        return half_width(spread.stderr, spread.n, alpha=alpha, tuning=tuning, two_sided=False) < towards

    if excludes(_SMALLEST_P):
        return _SMALLEST_P
    high = next((alpha for alpha in _RISING_ALPHAS if excludes(alpha)), None)
    if high is None:
        return _LARGEST_P
    low = high / _ALPHA_STEP
    while high - low > 1e-7:
        middle = 0.5 * (low + high)
        low, high = (low, middle) if excludes(middle) else (middle, high)
    return high
