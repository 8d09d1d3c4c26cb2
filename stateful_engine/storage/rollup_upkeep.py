"""Looking after the pre-aggregates: bring them up to date, make them again, compare them with the rows."""

from __future__ import annotations

import math
from itertools import islice
from typing import TYPE_CHECKING

from stateful_engine.storage import funnel_days, rollup_build, rollup_check, rollup_marks, rollups
from stateful_engine.storage.rollup_build import Progress, silent
from stateful_engine.storage.rollup_check import Difference
from stateful_engine.storage.rollup_measures import FAMILIES, Family

if TYPE_CHECKING:
    from stateful_engine.storage.database import Database

ALL_FAMILIES = tuple(FAMILIES[name] for name in sorted(FAMILIES))


def catch_up(database: Database, family: Family) -> None:
    """Count what nobody has counted yet: notes of a host's transactions, or everything the first time."""
    with database.reading() as session:
        state = rollup_marks.states_of(session.connection(), (family,))[family.source]
    if state.mark is None or state.mark.stale:
        rebuild(database, (family,))
    elif state.waiting:
        with database.connection() as connection:
            rollups.settle(connection, family, rollups.Changes())


def rebuild(database: Database, families: tuple[Family, ...] = ALL_FAMILIES, *, progress: Progress = silent) -> None:
    """Make the pre-aggregates again from the rows that are stored; writers wait meanwhile, and their spool keeps all.

    What was deleted by a cleanup that kept the figures stays counted.
    """
    for family in families:
        with database.connection() as connection:
            rollup_build.begin(connection)
            rollup_build.build(connection, family, rollup_marks.claim(connection, family), progress=progress)
    if families == ALL_FAMILIES:
        funnel_days.catch_up(database, patience=math.inf)


def check(database: Database, *, most: int = 100, progress: Progress = silent) -> list[Difference]:
    """What is kept otherwise than the rows say, at most `most` of it; writers wait meanwhile."""
    for family in ALL_FAMILIES:
        catch_up(database, family)
    with database.connection() as connection:
        rollup_build.begin(connection)
        for family in ALL_FAMILIES:
            rollups.settle(connection, family, rollups.Changes())
        found = (
            wrong
            for family in ALL_FAMILIES
            for wrong in rollup_check.differences(connection, family, progress=progress)
        )
        return list(islice(found, most))
