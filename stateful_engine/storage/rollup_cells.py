"""Cells: what the rows of a period amount to by one dimension; how they are written, added up and read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from stateful_engine.domain.periods import FACTOR, STRIDE, Grain, Span, begin_of, period_of
from stateful_engine.storage.rollup_measures import Cells, Family, merge
from stateful_engine.storage.rollup_sql import run

_KEYS = ("dimension", "period", "value")


def add(connection: Connection, family: Family, cells: Cells, sealed: Mapping[Grain, int]) -> None:
    """Add to the cells of hours, and to those of the days and months that are sealed already."""
    wanted: Cells = {}
    for (dimension, hour, value), figures in cells.items():
        moment = begin_of(hour)
        periods = [hour, *(period_of(grain, moment) for grain in (Grain.DAY, Grain.MONTH) if moment < sealed[grain])]
        for period in periods:
            merge(wanted, {(dimension, period, value): figures})
    _upsert(connection, family, {key: figures for key, figures in wanted.items() if any(figures.values())})


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


def seal(connection: Connection, family: Family, grain: Grain, parts: Span, *, months: Mapping[int, Span]) -> None:
    """Make the cells of coarse periods out of the next finer ones, `parts`; `months` names the days of each month."""
    if grain is Grain.MONTH and not months:
        return
    sums = ", ".join(f"CAST(sum({name}) AS BIGINT)" for name in family.measures)
    period, source = coarser(grain, months)
    run(
        connection,
        f"INSERT INTO {{schema}}{family.cells} (dimension, period, value, {', '.join(family.measures)}) "
        f"SELECT dimension, {period}, value, {sums} FROM {{schema}}{family.cells} AS c {source} "
        "WHERE c.period BETWEEN :first AND :last GROUP BY 1, 2, 3",
        {"first": parts[0], "last": parts[1]},
    )


def coarser(grain: Grain, months: Mapping[int, Span]) -> tuple[str, str]:
    """The SQL for the coarse period that a row `c` of the next finer grain belongs to, and the join it needs."""
    if grain is not Grain.MONTH:
        return f"(c.period - {(grain - 1) * STRIDE}) / {FACTOR[grain]} + {grain * STRIDE}", ""
    rows = " UNION ALL ".join(f"SELECT {month} AS m, {days[0]} AS f, {days[1]} AS l" for month, days in months.items())
    return "months.m", f"JOIN ({rows}) AS months ON c.period BETWEEN months.f AND months.l"


def read(
    connection: Connection, family: Family, dimensions: Iterable[str], spans: Sequence[Span], *, by_period: bool = False
) -> list[dict[str, Any]]:
    """The cells of whole periods, added up: dicts with `dimension`, `value`, the measures, and `period` if wanted."""
    if not spans:
        return []
    keys = "dimension, period, value" if by_period else "dimension, value"
    sums = ", ".join(f"CAST(sum({name}) AS BIGINT) AS {name}" for name in family.measures)
    names = ", ".join(f"'{name}'" for name in dimensions)
    statement = (
        f"SELECT {keys}, {sums} FROM {{schema}}{family.cells} WHERE dimension IN ({names}) AND {within(spans)} "
        f"GROUP BY {keys} HAVING sum(total) <> 0"
    )
    return [dict(row) for row in run(connection, statement).mappings()]


def within(spans: Sequence[Span]) -> str:
    """The condition that a period lies in one of `spans`, of which there is at least one."""
    return f"({' OR '.join(f'period BETWEEN {first} AND {last}' for first, last in spans)})"
