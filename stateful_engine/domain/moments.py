"""What an experiment keeps of its data: sums that can be added up, from which every statistic is computed.

`Moments` for independent values, `Proportion` for 0/1 values, `RatioMoments` for values that come in clusters (all
signals of one market episode, all signals of one user): there the cluster is the unit and the delta method gives the
variance, so that correlated signals do not fake significance. Each is merged with `+`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from stateful_engine.errors import InvalidInputError

_ROUNDING = 1e-12
"""Below this share of the sum of squares a variance is rounding noise: equal values must not look precise."""


class Summary(Protocol):
    """What every statistic needs: n units, their mean, and the variance of one unit's contribution to it."""

    @property
    def n(self) -> int: ...

    @property
    def mean(self) -> float: ...

    @property
    def variance(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Moments:
    """n, sum and sum of squares of independent values. Mean and variance are 0 where they are not defined."""

    n: int = 0
    sum: float = 0.0
    sum_squares: float = 0.0

    @classmethod
    def of(cls, values: Iterable[float]) -> Moments:
        """The moments of `values`, summed without losing digits."""
        known = finite_values(values)
        return cls(len(known), math.fsum(known), math.fsum(value * value for value in known))

    @property
    def mean(self) -> float:
        """The average, 0 without values."""
        return self.sum / self.n if self.n > 0 else 0.0

    @property
    def variance(self) -> float:
        """The sample variance (divisor n - 1), 0 for fewer than two or equal values."""
        if self.n < 2:
            return 0.0
        return _noise_free(self.sum_squares - self.sum * self.sum / self.n, scale=self.sum_squares) / (self.n - 1)

    def __add__(self, other: Moments) -> Moments:
        return Moments(self.n + other.n, self.sum + other.sum, self.sum_squares + other.sum_squares)


@dataclass(frozen=True, slots=True)
class Proportion:
    """n trials of which `sum` succeeded."""

    n: int = 0
    sum: float = 0.0

    @property
    def mean(self) -> float:
        """The share of successes, 0 without trials."""
        return self.sum / self.n if self.n > 0 else 0.0

    @property
    def variance(self) -> float:
        """p (1 - p), 0 without trials or with one outcome only."""
        return max(self.mean * (1.0 - self.mean), 0.0)

    def __add__(self, other: Proportion) -> Proportion:
        return Proportion(self.n + other.n, self.sum + other.sum)


@dataclass(frozen=True, slots=True)
class RatioMoments:
    """A ratio of two sums over n clusters: numerator `m`, denominator `d`, their squares and their product.

    For a mean per signal, `m` is the sum of a cluster's values and `d` its number of signals.
    """

    n: int = 0
    m: float = 0.0
    m_squares: float = 0.0
    d: float = 0.0
    d_squares: float = 0.0
    m_d: float = 0.0

    @property
    def mean(self) -> float:
        """The ratio of the sums, 0 without a denominator."""
        return self.m / self.d if self.d else 0.0

    @property
    def variance(self) -> float:
        """Delta-method variance of one cluster's contribution: var(m - ratio d) over the mean denominator squared.

        Source: Deng, Knoblich and Lu, "Applying the Delta Method in Metric Analytics" (KDD 2018).
        """
        if self.n < 2 or not self.d:
            return 0.0
        ratio = self.mean
        parts = (self.m_squares, -2.0 * ratio * self.m_d, ratio * ratio * self.d_squares)
        spread = _noise_free(math.fsum(parts), scale=math.fsum(abs(part) for part in parts))
        return spread / (self.n - 1) / (self.d / self.n) ** 2

    def __add__(self, other: RatioMoments) -> RatioMoments:
        return RatioMoments(
            self.n + other.n,
            self.m + other.m,
            self.m_squares + other.m_squares,
            self.d + other.d,
            self.d_squares + other.d_squares,
            self.m_d + other.m_d,
        )


def _noise_free(spread: float, *, scale: float) -> float:
    return spread if spread > _ROUNDING * scale else 0.0


def finite_values(values: Iterable[float]) -> list[float]:
    """`values` as a list; refuses NaN and infinities, which would poison every sum after them."""
    known = [float(value) for value in values]
    if not all(map(math.isfinite, known)):
        raise InvalidInputError("a value is not a finite number; leave out what is not known and call again")
    return known


def moments(values: Iterable[float]) -> Moments:
    """n, sum and sum of squares of `values`, with their mean and variance."""
    return Moments.of(values)


def cluster_moments(pairs: Iterable[tuple[object, float]]) -> RatioMoments:
    """The moments of values that come in clusters, from (cluster, value) pairs in any order.

    Add the results of two calls only when no cluster occurs in both.
    """
    clusters: dict[object, list[float]] = {}
    for cluster, value in pairs:
        clusters.setdefault(cluster, []).append(value)
    return ratio_moments((math.fsum(finite_values(values)), float(len(values))) for values in clusters.values())


def ratio_moments(pairs: Iterable[tuple[float, float]]) -> RatioMoments:
    """The moments of a ratio metric from one (numerator, denominator) pair per cluster."""
    known = [(m, d) for m, d in pairs if finite_values((m, d))]
    return RatioMoments(
        len(known),
        math.fsum(m for m, _ in known),
        math.fsum(m * m for m, _ in known),
        math.fsum(d for _, d in known),
        math.fsum(d * d for _, d in known),
        math.fsum(m * d for m, d in known),
    )


def as_summary(data: Summary | Mapping[str, Any] | Sequence[float]) -> Summary:
    """Data in any of the forms the statistics accept: a summary, plain values, or the JSON of a summary.

    JSON: `{"type": "mean", n, sum, sum_squares}`, `{"type": "proportion", n, sum}` or
    `{"type": "ratio", n, m: [sum, sum of squares], d: [sum, sum of squares], md}`.
    """
    if isinstance(data, Mapping):
        return _summary_from_json(data)
    if isinstance(data, Sequence):
        return Moments.of(data)
    return data


def _summary_from_json(data: Mapping[str, Any]) -> Summary:
    kind = data.get("type", "mean")
    try:
        if kind == "mean":
            return Moments(data["n"], data["sum"], data["sum_squares"])
        if kind == "proportion":
            return Proportion(data["n"], data["sum"])
        if kind == "ratio":
            (m, m_squares), (d, d_squares) = data["m"], data["d"]
            return RatioMoments(data["n"], m, m_squares, d, d_squares, data["md"])
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInputError(f"the moments of a {kind} are incomplete ({error}); give every sum") from error
    raise InvalidInputError(f"unknown kind of moments {kind!r}; use mean, proportion or ratio")


def cuped_theta(arms: Iterable[tuple[Sequence[float], Sequence[float]]]) -> float:
    """How much of a value known before the experiment explains the value in it, pooled over (post, pre) arms.

    theta = sum of covariances / sum of the variances of pre; 0 when pre never varies. Source: Deng, Xu, Kohavi and
    Walker, "Improving the Sensitivity of Online Controlled Experiments" (WSDM 2013).
    """
    covariance = variance = 0.0
    for post, pre in arms:
        covariance += _covariance(post, pre)
        variance += Moments.of(pre).variance
    return covariance / variance if variance > 0 else 0.0


def _covariance(left: Sequence[float], right: Sequence[float]) -> float:
    if len(left) != len(right):
        raise InvalidInputError("post and pre differ in length; give one value of each per unit")
    n = len(left)
    if n < 2:
        return 0.0
    product = math.fsum(one * other for one, other in zip(left, right, strict=True))
    return (product - math.fsum(left) * math.fsum(right) / n) / (n - 1)
