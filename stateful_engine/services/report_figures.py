"""What all reports share: percentages, averages and intervals out of whole-number sums."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from functools import lru_cache
from typing import Any

from stateful_engine.domain import amounts, metrics
from stateful_engine.domain.vocabulary import Weekday

Figures = Mapping[str, int]

THIN = 20
"""Cells with fewer cases say little; they are marked."""

NOTHING_SAID = "(none)"
"""Stands in a report for rows that say nothing in a dimension."""

EPOCH_DAY = date(1970, 1, 1)
WEEKDAYS = tuple(day.value for day in Weekday)
"""The days of the week as reports name them, from 0."""


def percent(part: int, whole: int) -> float | None:
    """`part` of `whole` in percent to two decimals; None of nothing."""
    return round(part / whole * 100, 2) if whole else None


def interval(part: int, whole: int) -> list[float] | None:
    """The 95 % Wilson interval of a share, in percent to two decimals; None of nothing."""
    bounds = _interval(part, whole)
    return None if bounds is None else list(bounds)


@lru_cache(maxsize=4096)
def _interval(part: int, whole: int) -> tuple[float, float] | None:
    """Of most cells the counts are those of the last report."""
    bounds = metrics.wilson_interval(part, whole)
    return None if bounds is None else (round(bounds.low * 100, 2), round(bounds.high * 100, 2))


def rate(name: str, part: int, whole: int) -> dict[str, Any]:
    """A share under its name, with its n and its interval; 0 of nothing."""
    return {name: percent(part, whole) or 0.0, f"{name}_n": whole, f"{name}_ci": interval(part, whole)}


def average(total: int, n: int, unit: int = amounts.MICRO) -> float | None:
    """The mean of amounts, to two decimals; None of nothing."""
    return round(total / n / unit, 2) if n else None


def rounded(value: float | None, digits: int = 2) -> float | None:
    """A figure to some decimals; None, and what is not finite, is None."""
    return None if value is None or not math.isfinite(value) else round(value, digits)


def shown(value: str) -> str:
    """The value of a dimension as a report shows it."""
    return value or NOTHING_SAID


@lru_cache(maxsize=4096)
def day_text(day: int) -> str:
    """The date of a day since the epoch, ISO 8601."""
    return (EPOCH_DAY + timedelta(days=day)).isoformat()


def nearest_rank(ascending: Sequence[tuple[float, int]], rank: int) -> float | None:
    """The percentile by the nearest-rank method, of values with their counts."""
    wanted = math.ceil(rank / 100 * sum(count for _, count in ascending))
    seen = 0
    for value, count in ascending:
        seen += count
        if seen >= wanted > 0:
            return value
    return None
