"""Intervals for shares that stay right for few trials and extreme shares, where p plus-minus 1.96 se is wrong."""

from __future__ import annotations

import math

from stateful_engine.domain.distributions import normal_quantile
from stateful_engine.domain.effects import check_alpha
from stateful_engine.errors import InvalidInputError


def check_counts(x: float, n: float) -> None:
    """Refuse counts that cannot be: negative, not finite, or more successes than trials."""
    if not 0 <= x <= n < math.inf:
        raise InvalidInputError(f"{x!r} of {n!r} is no count of successes; give 0 <= x <= n")


def wilson_interval(x: float, n: float, alpha: float = 0.05) -> tuple[float, float]:
    """Wilson's score interval for x successes in n trials; (0, 1), that is nothing known, without trials.

    Source: Wilson 1927; Newcombe, Statistics in Medicine 17 (1998), 857, method 3.
    """
    check_counts(x, n)
    check_alpha(alpha)
    if n == 0:
        return 0.0, 1.0
    z = normal_quantile(1.0 - alpha / 2.0)
    centre = (x + z * z / 2.0) / (n + z * z)
    width = z * math.sqrt(x * (n - x) / n + z * z / 4.0) / (n + z * z)
    return (0.0 if x == 0 else max(centre - width, 0.0)), (1.0 if x == n else min(centre + width, 1.0))


def newcombe_difference(x1: float, n1: float, x2: float, n2: float, alpha: float = 0.05) -> tuple[float, float]:
    """The interval for p1 - p2 of two independent shares; as wide as (-1, 1) allows when one has no trials.

    Source: Newcombe, Statistics in Medicine 17 (1998), 873, method 10 (hybrid score).
    """
    low1, high1 = wilson_interval(x1, n1, alpha)
    low2, high2 = wilson_interval(x2, n2, alpha)
    if n1 == 0 or n2 == 0:
        return max(low1 - high2, -1.0), min(high1 - low2, 1.0)
    p1, p2 = x1 / n1, x2 / n2
    low = p1 - p2 - math.hypot(p1 - low1, high2 - p2)
    high = p1 - p2 + math.hypot(high1 - p1, p2 - low2)
    return max(low, -1.0), min(high, 1.0)
