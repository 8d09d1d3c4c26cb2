"""Periods of time in UTC, and how a window is covered by as few of them as possible.

Counts are kept by period: five minutes, hours, eight hours, days, eight days, 64 days, each made of the ones before. A
window of a report begins at any microsecond, so that it is covered by whole periods, the coarsest that fit, and by the
edges that remain, which have to be counted row by row. With these lengths a month takes some 20 periods and a year not
many more. Moments are microseconds since the epoch; a period is one whole number that sorts by time within its grain.

The last 30 days before the hour in progress are kept as one more period, the month, as most reports begin in its first
hour. What came in that hour up to the end of each of its five minutes is kept as well, as cuts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache

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

MONTH_LENGTH = 30 * LENGTH[Grain.DAY]
MONTH = 6 * STRIDE
"""The last 30 days before a moment that is written down elsewhere."""

MONTH_LAGS = 8 * LENGTH[Grain.HOUR]
"""So far may a window be from the month that it is read from; hours make up for it."""

CUT = 7 * STRIDE
"""Where the numbers of cuts begin."""

_LENGTHS = (*(LENGTH[grain] for grain in Grain), MONTH_LENGTH, LENGTH[Grain.SLOT])

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
    """What adds up to a window: periods, less some finer ones, and edges."""

    spans: tuple[Span, ...]
    edges: tuple[Edge, ...] = ()
    less: tuple[Span, ...] = ()


def period_of(grain: Grain, moment: int) -> int:
    """The period that `moment` lies in."""
    return grain * STRIDE + moment // LENGTH[grain]


def cut_before(moment: int) -> int:
    """What came before `moment`, a boundary of five minutes, in the hour that it cuts in two."""
    return CUT + moment // LENGTH[Grain.SLOT] - 1


def cuts_of(hour: int) -> Span:
    """All cuts of the hour that begins at `hour`."""
    return cut_before(hour + LENGTH[Grain.SLOT]), cut_before(hour + LENGTH[Grain.HOUR] - LENGTH[Grain.SLOT])


def grain_of(period: int) -> Grain:
    """How long a period is."""
    return Grain(period // STRIDE)


def begin_of(period: int) -> int:
    """The moment at which a period begins."""
    return period % STRIDE * _LENGTHS[period // STRIDE]


def end_of(period: int) -> int:
    """The moment at which the next period begins."""
    return begin_of(period) + LENGTH[grain_of(period)]


def floor_to(grain: Grain, moment: int) -> int:
    """The beginning of the period that `moment` lies in."""
    return moment - moment % LENGTH[grain]


def ceil_to(grain: Grain, moment: int) -> int:
    """`moment` itself where a period begins, else the beginning of the next one."""
    return floor_to(grain, moment + LENGTH[grain] - 1)


def span(grain: Grain, begin: int, end: int) -> Span:
    """All periods from one boundary up to another; a period that `end` lies in is the last one."""
    return period_of(grain, begin), period_of(grain, end - 1)


@lru_cache(maxsize=64)
def cover(
    begin: int,
    end: int,
    *,
    finest: Grain,
    coarsest: Grain = COARSEST,
    sealed: int,
    growing: bool = False,
    subtract: bool = False,
    borrow: bool = False,
) -> Cover:
    """How the window from `begin` up to, and without, `end` is put together.

    Periods of the finest grain always exist; those of coarser ones as far as they end by the moment `sealed`, and where
    they are `growing` those in progress too, with what came before that moment. With `subtract` a window that begins in
    the first half of a period takes the whole of it and gives back what came before; with `borrow` coarser periods are
    treated alike, so that half as many are needed.
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
    climb = _Climb(coarsest, sealed, growing=growing, borrow=borrow)
    climb.up(low, high, finest)
    return Cover(tuple(climb.spans), tuple(edges), tuple(climb.less))


@dataclass(slots=True)
class _Climb:
    """Whole periods between two boundaries: coarse ones inside, finer ones towards both ends.

    Where coarse periods grow, `sealed` is a boundary of every grain, as those in progress end there for now.
    """

    coarsest: Grain
    sealed: int
    growing: bool
    borrow: bool
    spans: list[Span] = field(default_factory=list)
    less: list[Span] = field(default_factory=list)

    def up(self, low: int, high: int, grain: Grain) -> None:
        """Cover what lies between two boundaries of `grain`."""
        inner_low, inner_high = low, low
        if grain is not self.coarsest:
            inner_high = self._last_boundary(high, Grain(grain + 1))
            inner_low = self._first_boundary(low, inner_high, Grain(grain + 1))
        if inner_low >= inner_high:
            self._add(grain, low, high)
            return
        if inner_low < low:
            self.less.append(span(grain, inner_low, low))
        self._add(grain, low, inner_low)
        self._add(grain, inner_high, high)
        self.up(inner_low, inner_high, Grain(grain + 1))

    def _add(self, grain: Grain, low: int, high: int) -> None:
        if low < high:
            self.spans.append(span(grain, low, high))

    def _last_boundary(self, high: int, grain: Grain) -> int:
        """Up to where coarse periods may serve."""
        return self.sealed if self.growing and self.sealed <= high else floor_to(grain, min(high, self.sealed))

    def _first_boundary(self, low: int, high: int, grain: Grain) -> int:
        """From where on coarse periods serve: the next boundary, or the one before where that saves some finer ones."""
        before, after = floor_to(grain, low), ceil_to(grain, low)
        saves_some = low - before + LENGTH[Grain(grain - 1)] < min(after, high) - low
        return before if self.borrow and saves_some else after


def covers_by_month(begin: int, end: int, *, sealed: int, cut: int) -> tuple[Cover, Cover] | None:
    """How a window of about 30 days is put together from the month up to `sealed`, where that lies close by.

    Returns two covers with the same edge: one of days and shorter periods, as the month tells nothing by day, and one
    with the month. `end` is the end of an hour; `cut` is the hour of which cuts are kept.
    """
    first, hour = sealed - MONTH_LENGTH, floor_to(Grain.HOUR, begin)
    if not first <= hour <= first + MONTH_LAGS or not sealed <= end <= sealed + MONTH_LAGS:
        return None
    step, next_hour = LENGTH[Grain.SLOT if hour == cut else Grain.HOUR], hour + LENGTH[Grain.HOUR]
    boundary = hour + (begin - hour + step // 2) // step * step
    edge = Edge(boundary, begin, -1) if boundary < begin else Edge(begin, boundary)
    edges = (edge,) if boundary != begin else ()
    cuts = ((cut_before(boundary),) * 2,) if hour < boundary < next_hour else ()
    low = next_hour if boundary == next_hour else hour
    days = cover(low, end, finest=Grain.HOUR, coarsest=Grain.DAY, sealed=sealed, growing=True)
    hours = (span(Grain.HOUR, sealed, end),) if sealed < end else ()
    less = (span(Grain.HOUR, first, low),) if first < low else ()
    return Cover(days.spans, edges, cuts), Cover(((MONTH, MONTH), *hours), edges, (*less, *cuts))
