"""How current the pre-aggregates of a table are, the lock under which they change, and how coarse periods come to be.

Cells of hours (and sets of five minutes) are always there. Coarser periods are added up once they are over ("sealed"),
and change together with the finer ones from then on; that way an insert pays for one grain only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stateful_engine.domain import clock
from stateful_engine.domain.periods import Grain, Span, begin_of, end_of, floor_to, period_of, span
from stateful_engine.storage import rollup_cells, rollup_sets
from stateful_engine.storage.rollup_measures import ALL, Family
from stateful_engine.storage.rollup_sql import run

if TYPE_CHECKING:
    from sqlalchemy import Connection

COARSE = (Grain.HOUR, Grain.DAY, Grain.MONTH)

_COLUMNS = "changes, sealed_hour, sealed_day, sealed_month, forgotten"


@dataclass(frozen=True, slots=True)
class Mark:
    """How current the pre-aggregates of a table are (see `RollupMark`), and how many notes wait to be counted."""

    changes: int
    sealed: Mapping[Grain, int]
    forgotten: int
    waiting: int = 0


NO_MARK = Mark(0, dict.fromkeys(COARSE, 0), 0)
"""Of a table that has never had a row."""


def claim(connection: Connection, family: Family) -> Mark:
    """Lock the pre-aggregates of a table until the end of the transaction, and say that they change."""
    statement = (
        "INSERT INTO {schema}rollup_marks AS m (name, changes) VALUES (:name, 1) "
        "ON CONFLICT (name) DO UPDATE SET changes = m.changes + 1"
    )
    if connection.dialect.name == "sqlite":
        run(connection, statement, {"name": family.source})
        return mark_of(connection, family) or NO_MARK
    return _mark(run(connection, f"{statement} RETURNING {_COLUMNS}", {"name": family.source}).one())


def write_forgotten(connection: Connection, family: Family, cutoff: int) -> None:
    """Write down that rows older than `cutoff` are gone and stay counted."""
    run(
        connection,
        "UPDATE {schema}rollup_marks SET forgotten = :cutoff WHERE name = :name",
        {"name": family.source, "cutoff": cutoff},
    )


def abandon(connection: Connection, family: Family) -> None:
    """Say that there are no pre-aggregates of a table yet."""
    run(connection, "DELETE FROM {schema}rollup_marks WHERE name = :name", {"name": family.source})


def mark_of(connection: Connection, family: Family) -> Mark | None:
    """How current the pre-aggregates of a table are; None when there are none yet."""
    return marks_of(connection, (family,)).get(family.source)


def marks_of(connection: Connection, families: Iterable[Family]) -> dict[str, Mark]:
    """How current the pre-aggregates of tables are, without those that have none yet."""
    names = ", ".join(f"'{family.source}'" for family in families)
    statement = (
        f"SELECT name, {_COLUMNS}, (SELECT count(*) FROM {{schema}}rollup_pending AS p WHERE p.name = m.name) "
        f"FROM {{schema}}rollup_marks AS m WHERE name IN ({names})"
    )
    return {row[0]: _mark(row[1:]) for row in run(connection, statement)}


def _mark(row: Any) -> Mark:
    waiting = row[5] if len(row) > 5 else 0
    return Mark(row[0], {Grain.HOUR: row[1], Grain.DAY: row[2], Grain.MONTH: row[3]}, row[4], waiting)


def revisions(connection: Connection) -> dict[str, int]:
    """A number by table that grows with every transaction that changed it, counted yet or not."""
    statement = (
        "SELECT name, CAST(sum(n) AS BIGINT) FROM (SELECT name, changes AS n FROM {schema}rollup_marks UNION ALL "
        "SELECT name, 1 FROM {schema}rollup_pending) AS changed GROUP BY name"
    )
    return {row[0]: row[1] for row in run(connection, statement)}


def seal(connection: Connection, family: Family, mark: Mark) -> Mapping[Grain, int]:
    """Add up the periods that are over by now; returns up to which moment those of each grain exist."""
    now = clock.epoch_us()
    sealed = dict(mark.sealed)
    for grain in COARSE:
        until = floor_to(grain, now if grain is Grain.HOUR else min(now, sealed[Grain(grain - 1)]))
        if until > sealed[grain]:
            _seal(connection, family, grain, begin=sealed[grain], end=until)
            sealed[grain] = until
    if sealed != mark.sealed:
        write_sealed(connection, family, sealed)
    return sealed


def _seal(connection: Connection, family: Family, grain: Grain, *, begin: int, end: int) -> None:
    finer = Grain(grain - 1)
    parts = span(finer, begin, end)
    if grain is not Grain.HOUR:
        months = _months(connection, family, parts) if grain is Grain.MONTH else {}
        rollup_cells.seal(connection, family, grain, parts, months=months)
    if family.sets:
        months = _months(connection, family, parts) if grain is Grain.MONTH else {}
        rollup_sets.seal(connection, sorted(family.sets.values()), grain, parts, months=months)


def _months(connection: Connection, family: Family, days: Span) -> dict[int, Span]:
    """The days of each month from the first day that has any rows."""
    first = run(
        connection,
        f"SELECT min(period) FROM {{schema}}{family.cells} WHERE dimension = :all AND period BETWEEN :first AND :last",
        {"all": ALL, "first": days[0], "last": days[1]},
    ).scalar()
    if first is None:
        return {}
    begin, end = period_of(Grain.MONTH, begin_of(first)), period_of(Grain.MONTH, begin_of(days[1]))
    return {month: span(Grain.DAY, begin_of(month), end_of(month)) for month in range(begin, end + 1)}


def write_sealed(connection: Connection, family: Family, sealed: Mapping[Grain, int]) -> None:
    """Write down up to which moments coarse periods exist."""
    run(
        connection,
        "UPDATE {schema}rollup_marks SET sealed_hour = :hour, sealed_day = :day, sealed_month = :month "
        "WHERE name = :name",
        {
            "name": family.source,
            "hour": sealed[Grain.HOUR],
            "day": sealed[Grain.DAY],
            "month": sealed[Grain.MONTH],
        },
    )
