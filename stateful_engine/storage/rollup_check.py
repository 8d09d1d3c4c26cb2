"""Comparing the pre-aggregates with the rows they stand for, and the coarse periods with the fine ones.

The two are counted by different code (Python while rows come in, SQL here), so that a mistake in either shows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stateful_engine.domain.clock import from_epoch_us
from stateful_engine.domain.periods import (
    CUT,
    LENGTH,
    MONTH,
    MONTH_LENGTH,
    STRIDE,
    Grain,
    Span,
    begin_of,
    ceil_to,
    cuts_of,
    end_of,
    floor_to,
    grain_of,
    period_of,
    span,
)
from stateful_engine.storage import (
    funnel,
    funnel_days,
    rollup_cells,
    rollup_marks,
    rollup_month,
    rollup_sets,
    rollup_sql,
)
from stateful_engine.storage.rollup_build import Progress, silent
from stateful_engine.storage.rollup_marks import Mark
from stateful_engine.storage.rollup_measures import ALL, INTERACTIONS, SIGNALS, Family
from stateful_engine.storage.rollup_sql import Parameters, run

if TYPE_CHECKING:
    from sqlalchemy import Connection


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that is kept otherwise than it should be; `surplus` is what is kept less what is counted."""

    table: str
    begin: str
    grain: str
    what: str
    surplus: int

    def __str__(self) -> str:
        where = f"{self.grain.lower()} of {self.begin}, " if self.grain else ""
        return f"{self.table}: {where}{self.what}: {self.surplus:+d}"


def differences(connection: Connection, family: Family, *, progress: Progress = silent) -> Iterator[Difference]:
    """What is kept otherwise than the rows and the finer periods say; nothing when all is well.

    Hours whose rows were deleted while their figures were kept are not compared.
    """
    mark = rollup_marks.mark_of(connection, family) or rollup_marks.NO_MARK
    since = ceil_to(Grain.HOUR, mark.forgotten)
    seasons = _seasons(connection, family, since)
    for begin, end in seasons:
        yield from _cells_against_rows(connection, family, begin, end)
        yield from _sets_against_rows(connection, family, begin, end)
        progress(family.source, *((moment - seasons[0][0]) // LENGTH[Grain.DAY] for moment in (end, seasons[-1][1])))
    yield from _coarse_against_fine(connection, family, mark)
    if mark.has_month:
        yield from _month_against_hours(connection, family, mark)
    if family is INTERACTIONS and not mark.forgotten:
        wrong = funnel.differing(connection)
        if wrong:
            yield Difference("signal_funnel", "", "", "rows that differ from the interactions", wrong)
    if family is SIGNALS:
        wrong = funnel_days.differing(connection)
        if wrong:
            yield Difference("rollup_funnel", "", "", "days that differ from their signals", wrong)


def _seasons(connection: Connection, family: Family, since: int) -> list[tuple[int, int]]:
    """The seasons that have rows or cells, one after another, so that memory stays bounded."""
    hours = span(Grain.HOUR, 0, STRIDE * LENGTH[Grain.HOUR])
    kept = run(
        connection,
        f"SELECT min(period), max(period) FROM {{schema}}{family.cells} WHERE dimension = :all "
        f"AND period BETWEEN {hours[0]} AND {hours[1]}",
        {"all": ALL},
    ).one()
    moments = [moment for moment in rollup_sql.ends(connection, family) if moment]
    moments += [begin_of(period) for period in kept if period is not None]
    if not moments:
        return []
    first, last = (period_of(Grain.SEASON, moment) for moment in (max(min(moments), since), max(moments)))
    return [(max(begin_of(season), since), end_of(season)) for season in range(first, last + 1)]


def _cells_against_rows(connection: Connection, family: Family, begin: int, end: int) -> Iterator[Difference]:
    where = rollup_sql.created_between(begin, end)
    counted = rollup_sql.cells_statement(connection, family, where)
    return _cells_that_differ(connection, family, span(Grain.HOUR, begin, end), counted, where[1])


def _cells_that_differ(
    connection: Connection, family: Family, periods: Span, counted: str, parameters: Parameters | None = None
) -> Iterator[Difference]:
    """What is kept of some periods, against a statement that counts their cells."""
    kept = ", ".join(family.measures)
    taken = ", ".join(f"-{name}" for name in family.measures)
    sums = ", ".join(f"CAST(sum({name}) AS BIGINT) AS {name}" for name in family.measures)
    wrong = " OR ".join(f"sum({name}) <> 0" for name in family.measures)
    statement = (
        f"SELECT dimension, period, value, {sums} FROM ("
        f"SELECT dimension, period, value, {kept} FROM {{schema}}{family.cells} "
        f"WHERE period BETWEEN {periods[0]} AND {periods[1]} UNION ALL "
        f"SELECT dimension, period, value, {taken} FROM ({counted}) AS counted"
        f") AS compared GROUP BY dimension, period, value HAVING {wrong} ORDER BY period, dimension, value"
    )
    for row in run(connection, statement, parameters).mappings():
        yield from _of_cell(family, dict(row))


def _of_cell(family: Family, row: dict[str, Any]) -> Iterator[Difference]:
    for name in family.measures:
        if row[name]:
            what = f"{name} of {row['dimension'] or 'all'} {row['value']!r}"
            yield _difference(family.cells, row["period"], what, row[name])


def _sets_against_rows(connection: Connection, family: Family, begin: int, end: int) -> Iterator[Difference]:
    slots = span(Grain.SLOT, begin, end)
    for column, kind in family.sets.items():
        counted = rollup_sets.in_rows(connection, family, column, rollup_sql.created_between(begin, end))
        kept = rollup_sets.kept(connection, kind, [slots])
        yield from _of_sets(kind, kept, counted)


def _of_sets(kind: str, kept: dict[int, set[int]], counted: dict[int, set[int]]) -> Iterator[Difference]:
    for period in sorted(kept.keys() | counted.keys()):
        surplus = kept.get(period, set()) ^ counted.get(period, set())
        if surplus:
            yield _difference("rollup_sets", period, f"members of {kind!r} that differ", len(surplus))


def _coarse_against_fine(connection: Connection, family: Family, mark: Mark) -> Iterator[Difference]:
    """Coarse periods are compared with what sealing would make of the finer ones."""
    for grain in rollup_cells.COARSE:
        yield from _coarse_cells(connection, family, grain, mark.sealed)
    for grain in rollup_sets.COARSE:
        parts = span(Grain(grain - 1), 0, floor_to(grain, mark.sealed))
        for kind in family.sets.values():
            joined: dict[int, set[int]] = {}
            for period, members in rollup_sets.kept(connection, kind, [parts]).items():
                joined.setdefault(period_of(grain, begin_of(period)), set()).update(members)
            whole = span(grain, 0, floor_to(grain, mark.sealed))
            yield from _of_sets(kind, rollup_sets.kept(connection, kind, [whole]), joined)


def _month_against_hours(connection: Connection, family: Family, mark: Mark) -> Iterator[Difference]:
    """The month is compared with its hours, cuts with the rows of their hour."""
    first, last = span(Grain.HOUR, mark.sealed - MONTH_LENGTH, mark.sealed)
    hours = (
        f"SELECT dimension, {MONTH} AS period, value, {', '.join(family.measures)} FROM {{schema}}{family.cells} "
        f"WHERE period BETWEEN {first} AND {last}"
    )
    yield from _cells_that_differ(connection, family, (MONTH, MONTH), hours)
    if mark.cut:
        counted, parameters = rollup_month.cuts_statement(connection, family, mark.cut)
        yield from _cells_that_differ(connection, family, cuts_of(mark.cut), counted, parameters)


def _coarse_cells(connection: Connection, family: Family, grain: Grain, sealed: int) -> Iterator[Difference]:
    names = ", ".join(family.measures)
    statement = f"SELECT dimension, period, value, {names} FROM {{schema}}{family.cells} WHERE period BETWEEN :a AND :b"
    totals: dict[tuple[str, int, str], dict[str, int]] = {}
    for sign, (first, last) in ((-1, rollup_cells.parts_of(grain, 0, sealed)), (1, span(grain, 0, sealed))):
        for row in run(connection, statement, {"a": first, "b": last}).mappings():
            period = row["period"] if sign > 0 else period_of(grain, begin_of(row["period"]))
            sums = totals.setdefault((row["dimension"], period, row["value"]), dict.fromkeys(family.measures, 0))
            for name in family.measures:
                sums[name] += sign * row[name]
    for (dimension, period, value), sums in sorted(totals.items()):
        if any(sums.values()):
            yield from _of_cell(family, {"dimension": dimension, "period": period, "value": value, **sums})


def _difference(table: str, period: int, what: str, surplus: int) -> Difference:
    if period == MONTH:
        return Difference(table, "the last 30 days", "MONTH", what, surplus)
    begin = from_epoch_us(begin_of(period)).isoformat()
    return Difference(table, begin, "CUT" if period >= CUT else grain_of(period).name, what, surplus)
