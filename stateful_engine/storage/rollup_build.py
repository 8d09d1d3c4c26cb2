"""Pre-aggregates made from the rows that are stored: the first time, and whenever they are rebuilt."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from stateful_engine.domain.clock import from_epoch_us
from stateful_engine.domain.periods import LENGTH, Grain, ceil_to, floor_to, period_of, span
from stateful_engine.storage import funnel, funnel_days, rollup_marks, rollup_sets, rollup_sql
from stateful_engine.storage.rollup_marks import Mark
from stateful_engine.storage.rollup_measures import INTERACTIONS, SIGNALS, Family
from stateful_engine.storage.rollup_sql import run

if TYPE_CHECKING:
    from sqlalchemy import Connection


Progress = Callable[[str, int, int], None]
"""Called with the name of a table, how many days of it are done, and how many there are."""


def silent(table: str, done: int, total: int) -> None:
    """Progress that nobody watches."""


def begin(connection: Connection) -> None:
    """At the beginning of a transaction: wait for running writers, then see everything at one and the same moment.

    Without that moment, rows and the note of a host that commits meanwhile might be counted both.
    """
    if connection.dialect.name != "sqlite":
        run(connection, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        run(connection, "LOCK TABLE {schema}rollup_marks IN SHARE ROW EXCLUSIVE MODE")


def build(connection: Connection, family: Family, mark: Mark, *, progress: Progress = silent) -> None:
    """Count all rows that are stored. The transaction has begun with `begin` and claimed the lock.

    Hours whose rows were deleted while their counts were kept stay as they are. The rows that notes of hosts speak of
    are stored by now; these notes are removed.
    """
    since = ceil_to(Grain.HOUR, mark.forgotten)
    _clear(connection, family, since)
    first, newest = rollup_sql.ends(connection, family)
    total = span(Grain.DAY, floor_to(Grain.DAY, max(first, since)), newest + 1)
    for begin, end in _days(connection, family, since):
        rollup_sql.fill(connection, family, rollup_sql.created_between(begin, end))
        progress(family.source, period_of(Grain.DAY, begin) - total[0] + 1, total[1] - total[0] + 1)
    rollup_sets.fill(connection, family, rollup_sql.created_between(since or None, None))
    if family is INTERACTIONS:
        funnel.rebuild(connection)
    if family in (SIGNALS, INTERACTIONS):
        funnel_days.reset(connection)
    rollup_marks.seal(connection, family, rollup_marks.renew(connection, family, mark))


def _days(connection: Connection, family: Family, since: int) -> Iterator[tuple[int, int]]:
    """The days that have rows, so that a statement counts what fits into memory."""
    made = rollup_sql.moment_sql(connection, "n.first")
    statement = (
        f"SELECT {made} FROM "
        f"(SELECT min(created_at) AS first FROM {{schema}}{family.source} WHERE created_at >= :begin) AS n"
    )
    while (first := run(connection, statement, {"begin": from_epoch_us(since)}).scalar()) is not None:
        begin, since = max(since, floor_to(Grain.DAY, first)), floor_to(Grain.DAY, first) + LENGTH[Grain.DAY]
        yield begin, since


def _clear(connection: Connection, family: Family, since: int) -> None:
    """Remove the finest periods from `since` on, and all coarse ones, whose numbers are higher."""
    cells, sets = period_of(Grain.HOUR, since), period_of(Grain.SLOT, since)
    run(connection, f"DELETE FROM {{schema}}{family.cells} WHERE period >= :since", {"since": cells})
    kinds = rollup_sets.of_kinds(family)
    run(connection, f"DELETE FROM {{schema}}rollup_sets WHERE {kinds} AND period >= :since", {"since": sets})
    run(connection, "DELETE FROM {schema}rollup_pending WHERE name = :name", {"name": family.source})
