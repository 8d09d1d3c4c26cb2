"""The last month, kept added up: most reports are on the 30 days that end now, and read it as one period.

It ends where coarse periods do (`Mark.sealed`) and moves on with them, by what the hours at its two ends amount to. As
windows begin amid its first hour, what came in that hour up to each of its five minutes is kept as well ("cuts"), so
that few rows have to be counted one by one. Only signals are asked about often enough.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stateful_engine.domain.periods import (
    COARSEST,
    CUT,
    LENGTH,
    MONTH,
    MONTH_LENGTH,
    Grain,
    cover,
    cuts_of,
    period_of,
    span,
)
from stateful_engine.storage import rollup_sql
from stateful_engine.storage.rollup_cells import within
from stateful_engine.storage.rollup_measures import Family
from stateful_engine.storage.rollup_sql import run

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from stateful_engine.storage.rollup_marks import Mark


def move(connection: Connection, family: Family, mark: Mark, until: int) -> int:
    """Let the month end at `until`, up to which coarse periods were just sealed; returns the hour that is cut.

    A few hours are added and taken away; what is not there, or far behind, is made anew.
    """
    if mark.has_month and until - mark.sealed <= LENGTH[Grain.DAY]:
        _add_hours(connection, family, mark.sealed, until)
    else:
        _make(connection, family, until)
    return _make_cuts(connection, family, until - MONTH_LENGTH, mark.forgotten)


def _add_hours(connection: Connection, family: Family, sealed: int, until: int) -> None:
    come, gone = span(Grain.HOUR, sealed, until), span(Grain.HOUR, sealed - MONTH_LENGTH, until - MONTH_LENGTH)
    grown = ", ".join(f"{name} = c.{name} + excluded.{name}" for name in family.measures)
    parts = _parts(family, f"period BETWEEN {come[0]} AND {come[1]}", f"period BETWEEN {gone[0]} AND {gone[1]}")
    _insert(connection, family, parts, on_conflict=f"ON CONFLICT (dimension, period, value) DO UPDATE SET {grown}")
    run(connection, f"DELETE FROM {{schema}}{family.cells} WHERE {_month(family)} AND total = 0")


def _make(connection: Connection, family: Family, until: int) -> None:
    run(connection, f"DELETE FROM {{schema}}{family.cells} WHERE {_month(family)}")
    whole = cover(
        until - MONTH_LENGTH, until, finest=Grain.HOUR, coarsest=COARSEST, sealed=until, growing=True, borrow=True
    )
    _insert(connection, family, _parts(family, within(whole.spans), within(whole.less)), on_conflict="")


def _parts(family: Family, condition: str, less: str) -> str:
    """The cells of periods that meet a condition, less those of others."""
    source = f"FROM {{schema}}{family.cells} WHERE {rollup_sql.any_dimension(family)} AND"
    taken = ", ".join(f"-{name} AS {name}" for name in family.measures)
    return (
        f"SELECT dimension, value, {', '.join(family.measures)} {source} {condition} UNION ALL "
        f"SELECT dimension, value, {taken} {source} {less}"
    )


def _insert(connection: Connection, family: Family, parts: str, *, on_conflict: str) -> None:
    sums = ", ".join(f"CAST(sum({name}) AS BIGINT)" for name in family.measures)
    run(
        connection,
        f"INSERT INTO {{schema}}{family.cells} AS c (dimension, period, value, {', '.join(family.measures)}) "
        f"SELECT dimension, {MONTH}, value, {sums} FROM ({parts}) AS parts "
        f"GROUP BY dimension, value ORDER BY dimension, value {on_conflict}",
    )


def _month(family: Family) -> str:
    return f"{rollup_sql.any_dimension(family)} AND period = {MONTH}"


def _make_cuts(connection: Connection, family: Family, hour: int, forgotten: int) -> int:
    """Make the cuts of the hour that begins at `hour`, whose rows have to be there still."""
    run(
        connection, f"DELETE FROM {{schema}}{family.cells} WHERE {rollup_sql.any_dimension(family)} AND period >= {CUT}"
    )
    if hour < forgotten:
        return 0
    cuts, parameters = cuts_statement(connection, family, hour)
    columns = ", ".join(("dimension", "period", "value", *family.measures))
    run(connection, f"INSERT INTO {{schema}}{family.cells} ({columns}) {cuts}", parameters)
    return hour


def cuts_statement(connection: Connection, family: Family, hour: int) -> tuple[str, rollup_sql.Parameters]:
    """The statement that counts the cuts of an hour out of its rows, and its parameters."""
    where = rollup_sql.created_between(hour, hour + LENGTH[Grain.HOUR])
    slots = rollup_sql.cells_statement(connection, family, where, grain=Grain.SLOT)
    first, last = cuts_of(hour)
    begin = period_of(Grain.SLOT, hour)
    sums = ", ".join(f"CAST(sum({name}) AS BIGINT) AS {name}" for name in family.measures)
    numbers = range(first, last + 1)
    cuts = " UNION ALL ".join(f"SELECT {number} AS cut, {begin + number - first} AS slot" for number in numbers)
    return (
        f"SELECT dimension, cut AS period, value, {sums} FROM ({slots}) AS slots "
        f"JOIN ({cuts}) AS cuts ON period <= slot GROUP BY dimension, cut, value ORDER BY dimension, cut, value",
        where[1],
    )
