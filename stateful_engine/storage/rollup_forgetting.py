"""What becomes of pre-aggregates when rows are deleted: by default the figures stay, and only names go."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from stateful_engine.domain.periods import Grain, begin_of, ceil_to, end_of, floor_to, period_of
from stateful_engine.storage import funnel, funnel_days, rollup_build, rollup_marks, rollup_sets, rollup_sql, rollups
from stateful_engine.storage.rollup_marks import Mark
from stateful_engine.storage.rollup_measures import INTERACTIONS, SIGNALS, Family
from stateful_engine.storage.rollup_sql import run

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from stateful_engine.storage.database import Database


FORGOTTEN = "forgotten:"
PERSON_COLUMNS = ("user_id", "user_ref")
"""The columns that name people."""


def keep_figures_before(database: Database, family: Family, cutoff: int, *, for_good: bool = True) -> None:
    """Before rows older than `cutoff` are deleted: say that they stay counted, and cannot be counted again.

    Unless their figures stay `for_good`, it is only until they are dropped. Days are counted some at a time, so that
    writers get their turn.
    """
    counts_days = family is SIGNALS and for_good
    if counts_days:
        funnel_days.catch_up(database, patience=math.inf)
    with database.connection() as connection:
        mark = rollup_marks.claim(connection, family)
        if cutoff > mark.forgotten:
            if counts_days:
                funnel_days.count_before(connection, cutoff)
            rollup_marks.write_forgotten(connection, family, cutoff)


def drop_figures_before(database: Database, family: Family, cutoff: int) -> None:
    """After rows older than `cutoff` were deleted: let them no longer count; the hour of `cutoff` is counted again."""
    with database.connection() as connection:
        mark = _begin(connection, family)
        hour = floor_to(Grain.HOUR, cutoff)
        rows_are_there = mark.forgotten <= cutoff
        until = ceil_to(Grain.HOUR, cutoff) if rows_are_there else hour
        _delete_fine(connection, family, until)
        if rows_are_there:
            where = rollup_sql.created_between(hour, until)
            rollup_sql.fill(connection, family, where)
            rollup_sets.fill(connection, family, where)
            rollup_marks.write_forgotten(connection, family, 0)
            if family is INTERACTIONS:
                funnel.rebuild(connection)
        if family is SIGNALS:
            funnel_days.drop_before(connection, cutoff)
        if family in (SIGNALS, INTERACTIONS):
            funnel_days.reset(connection)
        _reseal(connection, family, mark)


def _begin(connection: Connection, family: Family) -> Mark:
    rollup_build.begin(connection)
    rollups.settle(connection, family, rollups.Changes())
    return rollup_marks.claim(connection, family)


def _delete_fine(connection: Connection, family: Family, until: int) -> None:
    """Delete all hours and slots before a moment."""
    hours, slots = (period_of(grain, until) for grain in (Grain.HOUR, Grain.SLOT))
    statement = f"DELETE FROM {{schema}}{family.cells} WHERE period < :until"
    run(connection, statement, {"until": hours})
    condition = rollup_sets.of_kinds(family)
    run(connection, f"DELETE FROM {{schema}}rollup_sets WHERE {condition} AND period < :until", {"until": slots})


def _reseal(connection: Connection, family: Family, mark: Mark) -> None:
    """Make all coarse periods again out of the fine ones."""
    coarse_cells, coarse_sets = period_of(Grain.SHIFT, 0), period_of(Grain.HOUR, 0)
    run(connection, f"DELETE FROM {{schema}}{family.cells} WHERE period >= :coarse", {"coarse": coarse_cells})
    condition = rollup_sets.of_kinds(family)
    run(
        connection,
        f"DELETE FROM {{schema}}rollup_sets WHERE {condition} AND period >= :coarse",
        {"coarse": coarse_sets},
    )
    rollup_marks.seal(connection, family, rollup_marks.without_coarse(mark))


def forget_name(connection: Connection, family: Family, user_id: str) -> None:
    """Keep a person in the counts of people as a number without a name."""
    for kind in (kind for column, kind in family.sets.items() if column in PERSON_COLUMNS):
        run(
            connection,
            "UPDATE {schema}rollup_members SET value = :nobody || number WHERE kind = :kind AND value = :value",
            {"nobody": FORGOTTEN, "kind": kind, "value": user_id},
        )


def recount_people(database: Database, family: Family, slots: Iterable[int]) -> None:
    """After rows of these slots were deleted: count the people and conversations of the rows that are left."""
    with database.connection() as connection:
        mark = _begin(connection, family)
        for slot in sorted(set(slots)):
            if begin_of(slot) >= mark.forgotten:
                condition = f"{rollup_sets.of_kinds(family)} AND period = :slot"
                run(connection, f"DELETE FROM {{schema}}rollup_sets WHERE {condition}", {"slot": slot})
                rollup_sets.fill(connection, family, rollup_sql.created_between(begin_of(slot), end_of(slot)))
        _reseal(connection, family, mark)
