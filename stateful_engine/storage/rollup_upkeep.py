"""Looking after the pre-aggregates: bring them up to date, make them again, compare them with the rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from stateful_engine.storage import rollup_build, rollup_marks, rollups
from stateful_engine.storage.rollup_measures import FAMILIES, Family

if TYPE_CHECKING:
    from stateful_engine.storage.database import Database


@dataclass(frozen=True, slots=True)
class Difference:
    """A cell that does not hold what its rows amount to."""

    table: str
    period: str
    dimension: str
    value: str
    measure: str
    kept: int
    counted: int


def catch_up(database: Database, family: Family) -> None:
    """Count what nobody has counted yet: notes of a host's transactions, or everything the first time."""
    with database.reading() as session:
        mark = rollup_marks.mark_of(session.connection(), family)
    if mark is None:
        rebuild(database, (family,))
    elif mark.waiting:
        with database.connection() as connection:
            rollups.settle(connection, family, rollups.Changes())


def rebuild(database: Database, families: tuple[Family, ...] = tuple(FAMILIES.values())) -> None:
    """Make the pre-aggregates again from the rows that are stored; writers wait meanwhile, and their spool keeps all.

    What was deleted by a cleanup that kept the figures stays counted.
    """
    with database.connection() as connection:
        rollup_build.begin(connection)
        for family in sorted(families, key=lambda family: family.source):
            rollup_build.build(connection, family, rollup_marks.claim(connection, family))
