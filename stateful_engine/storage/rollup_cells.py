"""Cells: what the rows of a period amount to by one dimension; how they are written, added up and read."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, TypeVar

from sqlalchemy import Connection

from stateful_engine.domain.periods import LENGTH, STRIDE, Grain, Span, begin_of, factor, floor_to, period_of
from stateful_engine.storage.rollup_measures import ALL, FAMILIES, Cells, Family, merge
from stateful_engine.storage.rollup_sql import fetched, run

Figures = dict[str, int]
"""Figures by measure."""

K = TypeVar("K", str, int)

Told = tuple[int, ...]
"""Figures in the order of `told`; those of a value of a dimension end with the family's `split_measures`."""

_KEYS = ("dimension", "period", "value")


def add(connection: Connection, family: Family, cells: Cells, sealed: int) -> None:
    """Add to the cells of hours, and to those of the coarser periods that are sealed already."""
    wanted: Cells = {}
    for (dimension, hour, value), figures in cells.items():
        for period in (hour, *sealed_periods(begin_of(hour), Grain.HOUR, sealed)):
            merge(wanted, {(dimension, period, value): figures})
    _upsert(connection, family, {key: figures for key, figures in wanted.items() if any(figures.values())})


def sealed_periods(moment: int, finest: Grain, sealed: int) -> list[int]:
    """The periods coarser than `finest` that a moment lies in and that are sealed."""
    return [period_of(grain, moment) for grain in Grain if grain > finest and moment < floor_to(grain, sealed)]


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
        marks = ", ".join(f":{name}" for name in columns)
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        run(connection, f"{into} VALUES ({marks}) {on_conflict}", rows)
        return
    arrays = ", ".join(f"CAST(:{name} AS {_KEY_TYPES.get(name, 'bigint')}[])" for name in columns)
    run(connection, f"{into} SELECT * FROM unnest({arrays}) {on_conflict}", columns)


_KEY_TYPES = {"dimension": "text", "period": "integer", "value": "text"}


def seal(connection: Connection, family: Family, grain: Grain, parts: Span) -> None:
    """Make the cells of coarse periods out of those of the next finer grain, `parts`."""
    run(
        connection,
        f"INSERT INTO {{schema}}{family.cells} (dimension, period, value, {', '.join(family.measures)}) "
        f"SELECT dimension, {coarser(grain)}, value, {_sums(family.measures)} FROM {{schema}}{family.cells} "
        "WHERE period BETWEEN :first AND :last GROUP BY 1, 2, 3",
        {"first": parts[0], "last": parts[1]},
    )


def coarser(grain: Grain) -> str:
    """The SQL for the coarse period that a period of the next finer grain belongs to."""
    return f"(period - {(grain - 1) * STRIDE}) / {factor(grain)} + {grain * STRIDE}"


HOUR_OF_WEEK = f"(period - {Grain.HOUR * STRIDE} + 72) % 168"
"""The SQL for the hour of the week, from Monday on, that a cell of an hour stands for; 1970 began on a Thursday."""


def read(
    connection: Connection, family: Family, dimensions: Sequence[str], *, days: Sequence[Span], spans: Sequence[Span]
) -> tuple[dict[int, Told], dict[str, dict[str, Told]]]:
    """All measures of whole periods by day, and what reports say of the values of dimensions, in one question.

    `days` are periods of a day or less, `spans` any.
    """
    by_day: dict[int, Told] = {}
    splits: dict[str, dict[str, Told]] = {name: {} for name in dimensions}
    several = len(family.split_measures) + 2
    for row in fetched(connection, _question(family.source, tuple(dimensions), tuple(days), tuple(spans))):
        if row[0] == ALL:
            add_to(by_day, begin_of(int(row[1])) // LENGTH[Grain.DAY], row[2:])
        else:
            splits[row[0]][row[1]] = row[2:several]
    return by_day, splits


def add_to(into: dict[K, Told], key: K, figures: Told, sign: int = 1) -> None:
    """Add figures to those of a key, or with `sign` -1 take them away."""
    known = into.get(key)
    if known is None:
        into[key] = figures if sign > 0 else tuple(map(operator.neg, figures))
    else:
        into[key] = tuple(map(operator.add if sign > 0 else operator.sub, known, figures))


def told(family: Family) -> tuple[str, ...]:
    """The measures, those that reports say of values first."""
    return tuple(dict.fromkeys((*family.split_measures, *family.measures)))


@lru_cache(maxsize=64)
def _question(source: str, dimensions: tuple[str, ...], days: tuple[Span, ...], spans: tuple[Span, ...]) -> str:
    """Made once, as the periods of a report stay the same for an hour."""
    family = FAMILIES[source]
    names = told(family)
    parts = [
        f"SELECT dimension, CAST(period AS TEXT) AS value, {', '.join(names)} FROM {{schema}}{family.cells} "
        f"WHERE dimension = '' AND {within(days)}"
    ]
    if dimensions and spans:
        rest = ", NULL" * (len(names) - len(family.split_measures))
        wanted = ", ".join(f"'{name}'" for name in dimensions)
        parts.append(
            f"SELECT dimension, value, {_sums(family.split_measures)}{rest} FROM {{schema}}{family.cells} "
            f"WHERE dimension IN ({wanted}) AND {within(spans)} GROUP BY dimension, value"
        )
    return " UNION ALL ".join(parts)


def read_hours_of_week(connection: Connection, family: Family, spans: Sequence[Span]) -> dict[int, Told]:
    """What reports say of whole hours, added up by the hour of the week."""
    statement = (
        f"SELECT {HOUR_OF_WEEK}, {_sums(family.split_measures)} FROM {{schema}}{family.cells} "
        f"WHERE dimension = '' AND {within(spans)} GROUP BY 1"
    )
    return {row[0]: row[1:] for row in fetched(connection, statement)}


def _sums(measures: Iterable[str]) -> str:
    return ", ".join(f"CAST(sum({name}) AS BIGINT)" for name in measures)


FEW_PERIODS = 100
"""So many periods are named one by one: one search of the index for all of them is planned and done sooner."""


def within(spans: Sequence[Span]) -> str:
    """The condition that a period lies in one of `spans`."""
    if 0 < sum(last - first + 1 for first, last in spans) <= FEW_PERIODS:
        return f"period IN ({', '.join(str(one) for first, last in spans for one in range(first, last + 1))})"
    return f"({' OR '.join(f'period BETWEEN {first} AND {last}' for first, last in spans) or '1 = 0'})"
