"""Can the numbers of an experiment be trusted at all: sample ratio, units that changed sides, many tests at once."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from stateful_engine.domain.distributions import chi_square_tail
from stateful_engine.errors import InvalidInputError


def srm_p_value(observed: Sequence[float | None], weights: Sequence[float | None]) -> float:
    """How likely a split of units at least this uneven is when assignment works (sample ratio mismatch).

    `observed`: exposed units per arm, None when missing; `weights`: the intended shares, of any sum. Arms of weight 0
    or without a count are left out, of the total and of the degrees of freedom. Fewer than two arms or no units: 1.
    Source: Pearson's chi-square; Fabijan et al., "Diagnosing Sample Ratio Mismatch" (KDD 2019).
    """
    arms = [
        (count, weight)
        for count, weight in zip(observed, weights, strict=False)
        if _is_present(count) and _is_present(weight) and count is not None and weight
    ]
    if any(count < 0 or weight < 0 for count, weight in arms):
        raise InvalidInputError("counts and weights cannot be negative; give the exposed units and the planned shares")
    total, share = math.fsum(count for count, _ in arms), math.fsum(weight for _, weight in arms)
    if len(arms) < 2 or total <= 0:
        return 1.0
    expected = [total * weight / share for _, weight in arms]
    statistic = math.fsum((count - wanted) ** 2 / wanted for (count, _), wanted in zip(arms, expected, strict=True))
    return chi_square_tail(statistic, len(arms) - 1)


def _is_present(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


@dataclass(frozen=True, slots=True)
class CrossedUnits:
    """Units that were exposed to more than one variant, of all exposed units; `examples` names a few."""

    units: int = 0
    crossed: int = 0
    examples: tuple[str, ...] = ()

    @property
    def share(self) -> float:
        """Crossed units as a share of all, 0 without units."""
        return self.crossed / self.units if self.units else 0.0


def crossed_units(exposures: Iterable[tuple[str, str]], *, examples: int = 5) -> CrossedUnits:
    """Which units saw more than one variant, from (unit, variant) pairs; their outcomes belong to no arm."""
    first: dict[str, str] = {}
    crossed: dict[str, None] = {}
    for unit, variant in exposures:
        if first.setdefault(unit, variant) != variant:
            crossed[unit] = None
    return CrossedUnits(len(first), len(crossed), tuple(crossed)[:examples])


def holm(p: Sequence[float | None]) -> list[float | None]:
    """p-values adjusted so that the chance of any false one stays below alpha, in the order given.

    For declared primaries. None (not tested) stays None and counts in no adjustment. Source: Holm 1979.
    """
    adjusted = list(p)
    largest = 0.0
    ranked = _ranked(p)
    for rank, (value, index) in enumerate(ranked):
        largest = max(largest, min(value * (len(ranked) - rank), 1.0))
        adjusted[index] = largest
    return adjusted


def benjamini_hochberg(p: Sequence[float | None]) -> list[float | None]:
    """p-values adjusted so that the share of false ones among the found stays below alpha, in the order given.

    For everything that is not a declared primary. None stays None. Source: Benjamini and Hochberg 1995.
    """
    adjusted = list(p)
    smallest = 1.0
    ranked = _ranked(p)
    for rank, (value, index) in reversed(list(enumerate(ranked, start=1))):
        smallest = min(smallest, value * len(ranked) / rank)
        adjusted[index] = smallest
    return adjusted


def _ranked(p: Sequence[float | None]) -> list[tuple[float, int]]:
    ranked = sorted((value, index) for index, value in enumerate(p) if value is not None)
    if any(not 0.0 <= value <= 1.0 for value, _ in ranked):
        raise InvalidInputError("a p-value lies outside 0..1; give None for what was not tested")
    return ranked
