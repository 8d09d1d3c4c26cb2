"""Periods of time in UTC, and how a window is covered by as few of them as possible.

Counts are kept by period: five minutes, hours, eight hours, days, eight days, 64 days, each made of the ones before. A
window of a report begins at any microsecond, so that it is covered by whole periods, the coarsest that fit, and by the
edges that remain, which have to be counted row by row. With these lengths a month takes some 20 periods and a year not
many more. Moments are microseconds since the epoch; a period is one whole number that sorts by time within its grain.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

SECOND = 1_000_000
STRIDE = 100_000_000
"""Periods of one grain begin at a multiple of this; all grains fit into 32 bits until the year 2900."""


class Grain(IntEnum):
    """How long a period is."""

    SLOT = 0
    HOUR = 1
    SHIFT = 2
    DAY = 3
    OCTAD = 4
    SEASON = 5


LENGTH = {
    Grain.SLOT: 300 * SECOND,
    Grain.HOUR: 3_600 * SECOND,
    Grain.SHIFT: 8 * 3_600 * SECOND,
    Grain.DAY: 86_400 * SECOND,
    Grain.OCTAD: 8 * 86_400 * SECOND,
    Grain.SEASON: 64 * 86_400 * SECOND,
}
"""Microseconds of a period."""

COARSEST = Grain.SEASON

Span = tuple[int, int]
"""The first and the last period of a run, both included."""


@dataclass(frozen=True, slots=True)
class Edge:
    """A part of a window that no whole period covers; `sign` is -1 when it has to be taken away from one."""

    begin: int
    end: int
    sign: int = 1


@dataclass(frozen=True, slots=True)
class Cover:
    """What adds up to a window."""

    spans: tuple[Span, ...]
    edges: tuple[Edge, ...] = ()


def period_of(grain: Grain, moment: int) -> int:
    """The period that `moment` lies in."""
    return grain * STRIDE + moment // LENGTH[grain]


def grain_of(period: int) -> Grain:
    """How long a period is."""
    return Grain(period // STRIDE)


def begin_of(period: int) -> int:
    """The moment at which a period begins."""
    return period % STRIDE * LENGTH[grain_of(period)]


def end_of(period: int) -> int:
    """The moment at which the next period begins."""
    return begin_of(period) + LENGTH[grain_of(period)]


def factor(grain: Grain) -> int:
    """How many periods of the next finer grain make one."""
    return LENGTH[grain] // LENGTH[Grain(grain - 1)]


def floor_to(grain: Grain, moment: int) -> int:
    """The beginning of the period that `moment` lies in."""
    return moment - moment % LENGTH[grain]


def ceil_to(grain: Grain, moment: int) -> int:
    """`moment` itself where a period begins, else the beginning of the next one."""
    return floor_to(grain, moment + LENGTH[grain] - 1)


def span(grain: Grain, begin: int, end: int) -> Span:
    """All periods from one boundary up to another."""
    return period_of(grain, begin), period_of(grain, end) - 1


def cover(
    begin: int,
    end: int,
    *,
    finest: Grain,
    coarsest: Grain = COARSEST,
    sealed: int,
    subtract: bool = False,
) -> Cover:
    """How the window from `begin` up to, and without, `end` is put together.

    Periods of the finest grain always exist; those of coarser ones as far as they end by the moment `sealed`. With
    `subtract` a window that begins in the first half of a period takes the whole of it and gives back what came before.
    """
    low, high = ceil_to(finest, begin), floor_to(finest, end)
    if low > high:
        return Cover((), (Edge(begin, end),))
    edges = []
    before = floor_to(finest, begin)
    if subtract and begin - before < low - begin:
        edges.append(Edge(before, begin, -1))
        low = before
    elif begin < low:
        edges.append(Edge(begin, low))
    if high < end:
        edges.append(Edge(high, end))
    return Cover(tuple(_climb(low, high, finest, coarsest, sealed)), tuple(edges))


def _climb(low: int, high: int, grain: Grain, coarsest: Grain, sealed: int) -> list[Span]:
    """Whole periods between two boundaries of `grain`: coarse ones inside, finer ones towards both ends."""
    if low >= high:
        return []
    if grain is coarsest:
        return [span(grain, low, high)]
    next_grain = Grain(grain + 1)
    inner_low = ceil_to(next_grain, low)
    inner_high = floor_to(next_grain, min(high, sealed))
    if inner_low >= inner_high:
        return [span(grain, low, high)]
    outer = [span(grain, *ends) for ends in ((low, inner_low), (inner_high, high)) if ends[0] < ends[1]]
    return outer + _climb(inner_low, inner_high, next_grain, coarsest, sealed)
