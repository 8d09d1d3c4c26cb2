"""How much data an experiment needs before it starts, and whether a metric can be trusted: the A/A test."""

from __future__ import annotations

import math
import random
from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass
from itertools import compress
from typing import Any

from stateful_engine.domain.distributions import normal_cdf, normal_quantile
from stateful_engine.domain.effects import check_alpha, delta_variance, welch
from stateful_engine.domain.experiment_design import Design, design_of
from stateful_engine.domain.experiment_metrics import metric_spec
from stateful_engine.domain.moments import RatioMoments, finite_values
from stateful_engine.domain.proportions import wilson_interval
from stateful_engine.domain.sequential import TUNING_FLOOR, half_width
from stateful_engine.errors import InvalidInputError

_LARGEST = 1e15


@dataclass(frozen=True, slots=True)
class Plan:
    """What an experiment will need.

    `n_per_arm` and `n_total` count signals (pairs for the paired design), `clusters_total` the independent units behind
    them: give it as `planned_n` to the verdict. `weeks` is None when the present volume is not known or 0.
    """

    metric: str
    design: str
    mde: float
    n_per_arm: int
    n_total: int
    clusters_total: int
    design_effect: float
    weeks: float | None
    alpha: float
    power: float
    method: str

    def as_dict(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class AATest:
    """How often a metric finds a difference between two random parts of the same data.

    An honest metric at alpha 0.05 lies near 0.05: `trustworthy` means that `rate` is not clearly above alpha.
    """

    runs: int
    false_positives: int
    rate: float
    interval: tuple[float, float]
    alpha: float
    clusters: int
    values: int
    trustworthy: bool
    reason: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {**asdict(self), "interval": list(self.interval)}


def sample_size(
    mde: float,
    sd: float,
    *,
    mean: float | None = None,
    relative: bool = False,
    alpha: float = 0.05,
    power: float = 0.8,
    sequential: bool = False,
    design_effect: float = 1.0,
) -> int:
    """How many values each of two arms needs to find a true difference of `mde` with probability `power`.

    `mde` is in the metric's unit, or a share of `mean` with `relative`; `sd` is the deviation of one value.
    n = design effect * (z_alpha + z_power)^2 * (variance of the difference at n = 1) / mde^2; with `sequential` z_alpha
    is that of the confidence sequence at its tuning point (3.04 instead of 1.96 for alpha 0.05).
    """
    check_alpha(alpha)
    _check_positive(mde=abs(mde), sd=sd, design_effect=design_effect)
    if not 0.0 < power < 1.0:
        raise InvalidInputError(f"power {power!r} is not between 0 and 1; 0.8 is usual")
    reach = (_z_alpha(alpha, sequential=sequential) + normal_quantile(power)) / mde
    variance = _difference_variance(mde, sd, mean=mean, relative=relative)
    size = design_effect * reach * reach * variance
    if not size < _LARGEST:
        raise InvalidInputError(
            f"an effect of {mde:g} at a deviation of {sd:g} needs more values than there will ever be"
        )
    return max(2, math.ceil(size))


def power_at(
    n_per_arm: float,
    mde: float,
    sd: float,
    *,
    mean: float | None = None,
    relative: bool = False,
    alpha: float = 0.05,
    sequential: bool = False,
) -> float:
    """The probability that `n_per_arm` values in each of two arms find a true difference of `mde` (two-sided)."""
    check_alpha(alpha)
    _check_positive(n_per_arm=n_per_arm, sd=sd)
    stderr = math.sqrt(_difference_variance(mde, sd, mean=mean, relative=relative) / n_per_arm)
    z = _z_alpha(alpha, sequential=sequential)
    return normal_cdf(mde / stderr - z) + normal_cdf(-mde / stderr - z)


def minimum_effect(
    n_per_arm: float,
    sd: float,
    *,
    mean: float | None = None,
    relative: bool = False,
    alpha: float = 0.05,
    power: float = 0.8,
    sequential: bool = False,
) -> float | None:
    """The smallest positive difference that `n_per_arm` values in each arm find with probability `power`.

    None when no difference is large enough, which relative differences of a noisy metric allow.
    """

    def reaches(mde: float) -> bool:
        found = power_at(n_per_arm, mde, sd, mean=mean, relative=relative, alpha=alpha, sequential=sequential)
        return found >= power

    if not alpha < power < 1.0:
        raise InvalidInputError(f"power {power!r} is not between alpha and 1; 0.8 is usual")
    unit = 1.0 if relative else sd
    high = next((unit * 2.0**k for k in range(-20, 40) if reaches(unit * 2.0**k)), None)
    if high is None:
        return None
    low = high / 2.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if reaches(middle) else (middle, high)
    return high


def _difference_variance(mde: float, sd: float, *, mean: float | None, relative: bool) -> float:
    if not relative:
        return 2.0 * sd * sd
    if mean is None or not mean > 0.0:
        raise InvalidInputError("a relative effect needs a mean above 0; plan an absolute one instead")
    return delta_variance(mean, sd * sd, 1, mean_b=mean * (1.0 + mde), var_b=sd * sd, n_b=1, relative=True)


def _z_alpha(alpha: float, *, sequential: bool) -> float:
    if not sequential:
        return normal_quantile(1.0 - alpha / 2.0)
    return half_width(1.0, TUNING_FLOOR, alpha=alpha, tuning=TUNING_FLOOR)


def _check_positive(**values: float) -> None:
    for name, value in values.items():
        if not 0.0 < value < math.inf:
            raise InvalidInputError(f"{name} must be a number above 0; {value!r} plans nothing")


def plan(
    metric: str,
    mde: float,
    sd: float | None = None,
    design: str = Design.SIGNAL,
    rho: float = 0.0,
    *,
    signals_per_week: float | None = None,
    signals_per_cluster: float = 1.0,
    baseline: float | None = None,
    alpha: float = 0.05,
    power: float = 0.8,
    sequential: bool = True,
) -> Plan:
    """How many signals and weeks it takes to find a true difference of `mde` (absolute, in the metric's unit).

    `sd`: deviation of one value; a share may give its `baseline` in 0..1 instead. `rho`: for `paired` the correlation
    of the two engines' results on one episode; otherwise the correlation of signals within a cluster, of which there
    are `signals_per_cluster`: n grows by the design effect 1 + (m - 1) rho (Kish 1965). Pairs need
    (z_alpha + z_power)^2 * 2 sd^2 (1 - rho) / mde^2 episodes in all.
    """
    spec, kind = metric_spec(metric), design_of(design)
    deviation = _deviation(sd, baseline if spec.is_share else None)
    _check_cluster(rho, signals_per_cluster)
    paired = kind is Design.PAIRED
    effect = 1.0 - rho if paired else 1.0 + (signals_per_cluster - 1.0) * rho
    per_arm = sample_size(
        mde, deviation, alpha=alpha, power=power, sequential=sequential, design_effect=max(effect, 1e-6)
    )
    total = per_arm if paired else 2 * per_arm
    return Plan(
        metric=spec.name,
        design=kind.value,
        mde=mde,
        n_per_arm=per_arm,
        n_total=total,
        clusters_total=total if paired else math.ceil(total / signals_per_cluster),
        design_effect=effect,
        weeks=total / signals_per_week if signals_per_week and signals_per_week > 0 else None,
        alpha=alpha,
        power=power,
        method="confidence sequence" if sequential else "one look",
    )


def _deviation(sd: float | None, baseline: float | None) -> float:
    if sd is not None:
        return sd
    if baseline is None or not 0.0 < baseline < 1.0:
        raise InvalidInputError(
            "how far values lie apart is not said; give sd, the deviation of one value, or baseline, the present value "
            "of a share between 0 and 1 (--sd or --baseline)"
        )
    return math.sqrt(baseline * (1.0 - baseline))


def _check_cluster(rho: float, signals_per_cluster: float) -> None:
    if not 0.0 <= rho <= 1.0:
        raise InvalidInputError(f"rho {rho!r} is no correlation within 0..1; 0 means independent signals")
    if not 1.0 <= signals_per_cluster < math.inf:
        raise InvalidInputError(f"signals_per_cluster {signals_per_cluster!r} is below 1; 1 means no clusters")


def aa_test(
    values: Sequence[float],
    clusters: Sequence[Hashable] | None = None,
    runs: int = 1000,
    seed: int = 0,
    *,
    alpha: float = 0.05,
) -> AATest:
    """Split past data at random into two arms `runs` times and count how often a difference is "found".

    `values`: one per signal; `clusters`: what the signals share (None = all independent). Whole clusters are dealt
    out, and the test is that of the verdict's fixed look, so the rate is the metric's true false-positive rate.
    """
    check_alpha(alpha)
    known = finite_values(values)
    if runs < 1:
        raise InvalidInputError("an A/A test needs at least one run; 1000 is usual")
    if clusters is not None and len(clusters) != len(known):
        raise InvalidInputError("values and clusters differ in length; give one cluster per value")
    sums = _cluster_sums(known, range(len(known)) if clusters is None else clusters)
    found = _count_false_positives(sums, runs=runs, seed=seed, alpha=alpha)
    reason = _nothing_to_test(sums)
    low, high = wilson_interval(found, runs)
    return AATest(
        runs=runs,
        false_positives=found,
        rate=found / runs,
        interval=(low, high),
        alpha=alpha,
        clusters=len(sums),
        values=len(known),
        trustworthy=reason is None and low <= alpha,
        reason=reason,
    )


def _nothing_to_test(sums: Sequence[tuple[float, float]]) -> str | None:
    if len(sums) < 4:
        return "fewer than four clusters cannot be split into two arms"
    if not _moments_of(sums).variance > 0.0:
        return "all outcomes are equal"
    return None


def _cluster_sums(values: Sequence[float], clusters: Sequence[Hashable]) -> list[tuple[float, float]]:
    """(sum of values, number of values) of each cluster."""
    members: dict[Hashable, list[float]] = {}
    for cluster, value in zip(clusters, values, strict=True):
        members.setdefault(cluster, []).append(value)
    return [(math.fsum(group), float(len(group))) for group in members.values()]


def _moments_of(sums: Sequence[tuple[float, float]]) -> RatioMoments:
    total = RatioMoments()
    for m, d in sums:
        total += RatioMoments(1, m, m * m, d, d * d, m * d)
    return total


def _count_false_positives(sums: Sequence[tuple[float, float]], *, runs: int, seed: int, alpha: float) -> int:
    """Toss a coin for each cluster, as the hash does. Sums over chosen columns keep the inner loop out of Python."""
    columns = list(zip(*((m, m * m, d, d * d, m * d) for m, d in sums), strict=True))
    totals = [math.fsum(column) for column in columns]
    n, dealer, found = len(sums), random.Random(seed), 0
    for _ in range(runs):
        chosen = dealer.randbytes(n).translate(_LAST_BIT)
        half = [sum(compress(column, chosen)) for column in columns]
        rest = [total - part for total, part in zip(totals, half, strict=True)]
        of_half = sum(chosen)
        found += welch(RatioMoments(of_half, *half), RatioMoments(n - of_half, *rest)).p_value < alpha
    return found


_LAST_BIT = bytes(byte & 1 for byte in range(256))
