"""Periods: whatever the window, what adds up to it is every hour of it, once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stateful_engine.domain.periods import (
    CUT,
    LENGTH,
    MONTH,
    MONTH_LENGTH,
    Cover,
    Grain,
    Span,
    begin_of,
    cover,
    covers_by_month,
    end_of,
    floor_to,
    grain_of,
    period_of,
)

HOUR = LENGTH[Grain.HOUR]
DAYS = 200
hours = st.integers(0, DAYS * 24)


def hours_of(period: int, sealed: int) -> range:
    """The hours that a period holds: all of its own, and of a coarse one those that are sealed."""
    end = end_of(period) if grain_of(period) is Grain.HOUR else min(end_of(period), sealed)
    return range(begin_of(period) // HOUR, end // HOUR)


def counted(covered: Cover, sealed: int) -> Counter[int]:
    found: Counter[int] = Counter()
    for sign, spans in ((1, covered.spans), (-1, covered.less)):
        for first, last in spans:
            for period in range(first, last + 1):
                for hour in hours_of(period, sealed):
                    found[hour] += sign
    return found


@given(begin=hours, length=hours, sealed=hours, borrow=st.booleans(), coarsest=st.sampled_from(list(Grain)[1:]))
def test_a_window_is_covered_once_by_periods_that_grow(
    begin: int, length: int, sealed: int, borrow: bool, coarsest: Grain
) -> None:
    end = begin + length
    covered = cover(
        begin * HOUR,
        end * HOUR,
        finest=Grain.HOUR,
        coarsest=coarsest,
        sealed=sealed * HOUR,
        growing=True,
        borrow=borrow,
    )
    assert covered.edges == ()
    expected = Counter(range(begin, end))
    found = counted(covered, sealed * HOUR)
    assert {hour: count for hour, count in found.items() if count} == expected


def pieces(covered: Cover, sealed: int) -> Iterator[tuple[int, int, int]]:
    """What a cover adds and takes away: from when to when, and with which sign."""
    for sign, spans in ((1, covered.spans), (-1, covered.less)):
        for first, last in spans:
            for period in range(first, last + 1):
                if period == MONTH:
                    yield sealed - MONTH_LENGTH, sealed, sign
                elif period >= CUT:
                    yield floor_to(Grain.HOUR, begin_of(period)), begin_of(period) + LENGTH[Grain.SLOT], sign
                else:
                    coarse = grain_of(period) > Grain.HOUR
                    yield begin_of(period), min(end_of(period), sealed) if coarse else end_of(period), sign
    for edge in covered.edges:
        yield edge.begin, edge.end, edge.sign


def covered_parts(covered: Cover, sealed: int) -> dict[int, int]:
    """The moments at which more or less is covered than before, and how many times more."""
    changes: Counter[int] = Counter()
    for begin, end, sign in pieces(covered, sealed):
        changes[begin] += sign
        changes[end] -= sign
    return {moment: change for moment, change in changes.items() if change}


@given(
    late=st.one_of(st.integers(0, 9 * HOUR), st.sampled_from([0, HOUR - 1, HOUR, HOUR // 12, HOUR // 24])),
    hours_since=st.integers(0, 9),
    sealed=st.integers(64 * 24, DAYS * 24),
    cut=st.booleans(),
)
def test_thirty_days_are_covered_once_by_the_month_that_is_kept(
    late: int, hours_since: int, sealed: int, cut: bool
) -> None:
    until = sealed * HOUR
    begin, end = until - MONTH_LENGTH + late, until + hours_since * HOUR
    covers = covers_by_month(begin, end, sealed=until, cut=floor_to(Grain.HOUR, begin) if cut else 0)
    assert (covers is None) == (late >= 9 * HOUR or hours_since > 8)
    for covered in covers or ():
        assert covered_parts(covered, until) == {begin: 1, end: -1}
        assert sum(edge.end - edge.begin for edge in covered.edges) <= HOUR // (24 if cut else 2)


def count(spans: tuple[Span, ...]) -> int:
    return sum(last - first + 1 for first, last in spans)


@given(now=st.integers(64 * 24, DAYS * 24))
def test_a_month_that_ends_now_takes_few_periods(now: int) -> None:
    """Of the shorter ones at most half as many as make one of the next, and one for the hour in progress."""
    end = (now + 1) * HOUR
    covered = cover(
        end - 31 * LENGTH[Grain.DAY],
        end,
        finest=Grain.HOUR,
        sealed=now * HOUR,
        growing=True,
        borrow=True,
    )
    assert count(covered.spans) + count(covered.less) <= 17


@pytest.mark.parametrize("late", [0, HOUR // 3, HOUR // 2 + 1])
def test_sets_are_covered_by_whole_periods_that_are_over(late: int) -> None:
    sealed = floor_to(Grain.HOUR, 100 * LENGTH[Grain.DAY] + 5 * HOUR)
    covered = cover(0, sealed + late, finest=Grain.SLOT, sealed=sealed)
    assert not covered.less
    for first, last in covered.spans:
        assert end_of(last) <= sealed or grain_of(first) is Grain.SLOT
    assert covered.spans[-1] == (period_of(Grain.SEASON, 0), period_of(Grain.SEASON, 0))
