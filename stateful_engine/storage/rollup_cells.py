"""Cells: what the rows of a period amount to by one dimension; how they are written, added up and read."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Connection

from stateful_engine.domain.periods import (
    LENGTH,
    MONTH,
    STRIDE,
    Cover,
    Grain,
    Span,
    begin_of,
    floor_to,
    period_of,
    span,
)
from stateful_engine.storage.rollup_measures import ALL, FAMILIES, Cells, Family, merge
from stateful_engine.storage.rollup_sql import Where, any_dimension, cells_of_rows, fetched_soon, run

if TYPE_CHECKING:
    from stateful_engine.storage.rollup_marks import Mark

Figures = dict[str, int]
"""Figures by measure."""

K = TypeVar("K", str, int)

Told = tuple[int, ...]
"""Figures in the order of a family's `split_measures`, or of its `other_measures`."""

OTHERS = "others"
"""In the place of a dimension: what is told of a whole window only."""


@dataclass(slots=True)
class Sums:
    """What a window amounts to: figures by day and by dimension and value, and the others of the whole."""

    days: dict[int, Told]
    splits: dict[str, dict[str, Told]]
    others: Told

    @classmethod
    def nothing(cls, family: Family, dimensions: Iterable[str]) -> Sums:
        return cls({}, {name: {} for name in dimensions}, (0,) * len(family.other_measures))

    def add(self, more: Sums, sign: int = 1) -> None:
        """Add other sums of the same kind, or with `sign` -1 take them away."""
        for day, figures in more.days.items():
            add_to(self.days, day, figures, sign)
        for dimension, split in more.splits.items():
            for value, figures in split.items():
                add_to(self.splits[dimension], value, figures, sign)
        self.others = added(self.others, more.others, sign)


COARSE = tuple(grain for grain in Grain if grain > Grain.HOUR)

_KEYS = ("dimension", "period", "value")


def add(connection: Connection, family: Family, cells: Cells, mark: Mark) -> None:
    """Add to the cells of hours, and for hours that are sealed already to those of all coarser periods."""
    wanted: Cells = {}
    coarser_periods = {hour: _coarser_periods(begin_of(hour), mark) for hour in {hour for _, hour, _ in cells}}
    for (dimension, hour, value), figures in cells.items():
        for period in (hour, *coarser_periods[hour]):
            merge(wanted, {(dimension, period, value): figures})
    _upsert(connection, family, {key: figures for key, figures in wanted.items() if any(figures.values())})


def _coarser_periods(moment: int, mark: Mark) -> list[int]:
    if moment >= mark.sealed:
        return []
    return [period_of(grain, moment) for grain in COARSE] + [MONTH] * mark.has_in_month(moment)


def _upsert(connection: Connection, family: Family, cells: Cells) -> None:
    if not cells:
        return
    names = sorted({name for figures in cells.values() for name in figures})
    keys = sorted(cells)
    columns: dict[str, list[Any]] = {name: [key[index] for key in keys] for index, name in enumerate(_KEYS)}
    columns |= {name: [cells[key].get(name, 0) for key in keys] for name in names}
    updates = ", ".join(f"{name} = c.{name} + excluded.{name}" for name in names)
    into = f"INSERT INTO {{schema}}{family.cells} AS c ({', '.join(columns)})"
    on_conflict = f"ON CONFLICT (dimension, period, value) DO UPDATE SET {updates}"
    if connection.dialect.name == "sqlite":
        statement = f"{into} VALUES ({', '.join('?' * len(columns))}) {on_conflict}".replace("{schema}", "")
        connection.exec_driver_sql(statement, list(zip(*columns.values(), strict=True)))
        return
    arrays = ", ".join(f"CAST(:{name} AS {_KEY_TYPES.get(name, 'bigint')}[])" for name in columns)
    statement = f"{into} SELECT * FROM unnest({arrays}) {on_conflict}"
    run(connection, statement, {name: _array(column) for name, column in columns.items()})


def _array(values: Sequence[Any]) -> str:
    """An array as PostgreSQL reads it: one text is sent and understood sooner than an expression of many values."""
    if type(values[0]) is str:
        escaped = (text.replace("\\", r"\\").replace('"', r"\"") for text in values)
        return '{"' + '","'.join(escaped) + '"}'
    return f"{{{','.join(map(str, values))}}}"


_KEY_TYPES = {"dimension": "text", "period": "integer", "value": "text"}


def seal(connection: Connection, family: Family, begin: int, end: int) -> None:
    """Bring the cells of coarse periods from the hour `begin` up to the hour `end`.

    Periods in progress grow, so that a window that ends now is read from few of them. A few hours are added to what is
    there; after a long time each grain is made anew out of the next finer one, which is less work then.
    """
    if end - begin > LENGTH[Grain.DAY]:
        for grain in COARSE:
            parts = parts_of(grain, begin, end)
            _seal(connection, family, grain, Grain(grain - 1), parts, update="{0} = excluded.{0}")
        return
    for grain in COARSE:
        hours = span(Grain.HOUR, begin, end)
        _seal(connection, family, grain, Grain.HOUR, hours, update="{0} = c.{0} + excluded.{0}")


def _seal(connection: Connection, family: Family, grain: Grain, finer: Grain, parts: Span, *, update: str) -> None:
    """Put the cells of finer periods into those of coarse ones. What is read together is written side by side."""
    run(
        connection,
        f"INSERT INTO {{schema}}{family.cells} AS c (dimension, period, value, {', '.join(family.measures)}) "
        f"SELECT dimension, {coarser(grain, finer)}, value, {_sums(family.measures)} FROM {{schema}}{family.cells} "
        f"WHERE {any_dimension(family)} AND period BETWEEN :first AND :last GROUP BY 1, 2, 3 ORDER BY 1, 2, 3 "
        f"ON CONFLICT (dimension, period, value) DO UPDATE SET {', '.join(map(update.format, family.measures))}",
        {"first": parts[0], "last": parts[1]},
    )


def parts_of(grain: Grain, begin: int, end: int) -> Span:
    """The periods of the next finer grain that coarse periods from `begin` up to `end` are made of."""
    return span(Grain(grain - 1), floor_to(grain, begin), end)


def coarser(grain: Grain, finer: Grain) -> str:
    """The SQL for the coarse period that a finer period belongs to."""
    return f"(period - {finer * STRIDE}) / {LENGTH[grain] // LENGTH[finer]} + {grain * STRIDE}"


HOUR_OF_WEEK = f"(period - {Grain.HOUR * STRIDE} + 72) % 168"
"""The SQL for the hour of the week, from Monday on, that a cell of an hour stands for; 1970 began on a Thursday."""


def read(connection: Connection, family: Family, dimensions: Sequence[str], *, days: Cover, whole: Cover) -> Sums:
    """What whole periods amount to, in one question. `days` are periods of a day or less, the `whole` of any."""
    statement = _question(family.source, tuple(dimensions), replace(days, edges=()), replace(whole, edges=()))
    return sorted_out(family, dimensions, fetched_soon(connection, statement))


def sorted_out(family: Family, dimensions: Iterable[str], rows: Iterable[tuple[Any, ...]]) -> Sums:
    """The rows of the statements below."""
    sums = Sums.nothing(family, dimensions)
    days, splits, split_end, others_end = sums.days, sums.splits, *(2 + number for number in _widths(family))
    for row in rows:
        if row[0] == ALL:
            add_to(days, begin_of(int(row[1])) // LENGTH[Grain.DAY], row[2:split_end])
        elif row[0] != OTHERS:
            splits[row[0]][row[1]] = row[2:split_end]
        elif row[2] is not None:
            sums.others = added(sums.others, row[2:others_end])
    return sums


def of_rows(connection: Connection, family: Family, where: Where, dimensions: Iterable[str]) -> Sums:
    """What the rows that meet a condition amount to."""
    sums = Sums.nothing(family, dimensions)
    for dimension, value, found in cells_of_rows(connection, family, where, ("day", *dimensions)):
        figures = tuple(map(found.__getitem__, family.split_measures))
        if dimension == "day":
            sums.days[int(value)] = figures
            sums.others = added(sums.others, tuple(map(found.__getitem__, family.other_measures)))
        else:
            sums.splits[dimension][value] = figures
    return sums


def _widths(family: Family) -> tuple[int, int]:
    return len(family.split_measures), len(family.other_measures)


def added(figures: Told, more: Told, sign: int = 1) -> Told:
    """The sums of figures, or with `sign` -1 their differences."""
    return tuple(map(operator.add if sign > 0 else operator.sub, figures, more))


def add_to(into: dict[K, Told], key: K, figures: Told, sign: int = 1) -> None:
    """Add figures to those of a key, or with `sign` -1 take them away."""
    known = into.get(key)
    if known is not None:
        into[key] = added(known, figures, sign)
    else:
        into[key] = figures if sign > 0 else tuple(map(operator.neg, figures))


@lru_cache(maxsize=64)
def _question(source: str, dimensions: tuple[str, ...], days: Cover, whole: Cover) -> str:
    """Made once, as the periods of a report stay the same for some minutes."""
    family = FAMILIES[source]
    parts = days_statements(family)
    if dimensions and whole.spans:
        less = [within(whole.less)] if whole.less else []
        parts.append(splits_statement(family, dimensions, within(whole.spans), less))
    of_days = [days_source(family, within(days.spans))]
    of_days += [days_source(family, within(days.less), sign="-")] if days.less else []
    return f"WITH days AS ({' UNION ALL '.join(of_days)}) {' UNION ALL '.join(parts)}"


def width(family: Family) -> int:
    """How many figures a row has, whatever it tells."""
    return max(_widths(family))


def padding(family: Family, used: int) -> str:
    """What makes rows as wide as all others."""
    return ", NULL" * (width(family) - used)


def days_source(family: Family, condition: str, *, sign: str = "") -> str:
    """The table `days`: the cells of all rows of the periods that meet a condition, or with `sign` what they take."""
    measures = ", ".join(f"{sign}{name} AS {name}" for name in family.measures)
    return f"SELECT period, {measures} FROM {{schema}}{family.cells} WHERE dimension = '' AND {condition}"


def days_statements(family: Family) -> list[str]:
    """What reports say of each of the `days`, and of all of them."""
    split, others = _widths(family)
    told = f"SELECT '{ALL}' AS dimension, CAST(period AS TEXT) AS value, {', '.join(family.split_measures)}"
    found = [f"{told}{padding(family, split)} FROM days"]
    if others:
        found.append(f"SELECT '{OTHERS}', NULL, {_sums(family.other_measures)}{padding(family, others)} FROM days")
    return found


def splits_statement(
    family: Family, dimensions: Iterable[str], condition: str, less: Iterable[str], more: Iterable[str] = ()
) -> str:
    """What reports say of the values of dimensions, over the periods that meet a condition, less those of others.

    `more` are further figures of this kind, as statements.
    """
    wanted = f"dimension IN ({', '.join(map(repr, dimensions))})"
    names, cells = ", ".join(family.split_measures), f"{{schema}}{family.cells} WHERE {wanted} AND"
    taken = ", ".join(f"-{name}" for name in family.split_measures)
    parts = [f"SELECT dimension, value, {taken} FROM {cells} {each}" for each in less]
    source = f"{cells} {condition}"
    if parts := [*parts, *more]:
        source = f"({' UNION ALL '.join([f'SELECT dimension, value, {names} FROM {source}', *parts])}) AS parts"
    return splits_source(family, source)


def splits_source(family: Family, source: str) -> str:
    """What reports say of the values of dimensions, from figures that are by these."""
    rest = padding(family, len(family.split_measures))
    return f"SELECT dimension, value, {_sums(family.split_measures)}{rest} FROM {source} GROUP BY dimension, value"


def read_hours_of_week(connection: Connection, family: Family, spans: Sequence[Span]) -> dict[int, Told]:
    """What reports say of whole hours, added up by the hour of the week."""
    statement = (
        f"SELECT {HOUR_OF_WEEK}, {_sums(family.split_measures)} FROM {{schema}}{family.cells} "
        f"WHERE dimension = '' AND {within(spans)} GROUP BY 1"
    )
    return {row[0]: row[1:] for row in fetched_soon(connection, statement)}


def _sums(measures: Iterable[str]) -> str:
    return ", ".join(f"CAST(sum({name}) AS BIGINT)" for name in measures)


FEW_PERIODS = 100
"""So many periods are named one by one: one search of the index for all of them is planned and done sooner."""


def within(spans: Sequence[Span]) -> str:
    """The condition that a period lies in one of `spans`."""
    if 0 < sum(last - first + 1 for first, last in spans) <= FEW_PERIODS:
        return f"period IN ({', '.join(str(one) for first, last in spans for one in range(first, last + 1))})"
    return f"({' OR '.join(f'period BETWEEN {first} AND {last}' for first, last in spans) or '1 = 0'})"
