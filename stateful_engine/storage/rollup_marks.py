"""How current the pre-aggregates of a table are, the lock under which they change, and how coarse periods come to be.

Cells of hours (and sets of five minutes) are always there. Hours are added to the cells of all coarser periods once
they are over ("sealed"), and change together with these from then on; that way an insert pays for one grain only. Sets
of coarse periods are made when the whole period is over.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from stateful_engine.domain import clock
from stateful_engine.domain.periods import MONTH_LENGTH, Grain, floor_to, span
from stateful_engine.storage import rollup_cells, rollup_month, rollup_sets
from stateful_engine.storage.rollup_expressions import Sql
from stateful_engine.storage.rollup_measures import SIGNALS, Family
from stateful_engine.storage.rollup_sql import fetched, run

if TYPE_CHECKING:
    from sqlalchemy import Connection

_COLUMNS = "changes, sealed_until, forgotten, stale, month_at, cut_hour"


@dataclass(frozen=True, slots=True)
class Mark:
    """How current the pre-aggregates of a table are; see `RollupMark`."""

    changes: int
    sealed: int
    forgotten: int
    stale: bool = False
    has_month: bool = False
    cut: int = 0

    def is_read_like(self, other: Mark) -> bool:
        """Whether a window is put together from the same periods by both."""
        return replace(self, changes=other.changes) == other

    def has_in_month(self, moment: int) -> bool:
        """Whether what is kept of the month has what was made at a moment."""
        return self.has_month and self.sealed - MONTH_LENGTH <= moment < self.sealed


NO_MARK = Mark(0, 0, 0)
"""Of a table that has never had a row."""


def claim(connection: Connection, family: Family) -> Mark:
    """Lock the pre-aggregates of a table until the end of the transaction, and say that they change."""
    statement = (
        "INSERT INTO {schema}rollup_marks AS m (name, changes) VALUES (:name, 1) ON CONFLICT (name) DO UPDATE "
        "SET changes = m.changes + 1, month_at = CASE WHEN m.month_at = m.changes THEN m.changes + 1 ELSE 0 END"
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


def renew(connection: Connection, family: Family, mark: Mark) -> Mark:
    """Write down that the cells of hours have been made from the rows, and no coarser ones yet."""
    statement = (
        "UPDATE {schema}rollup_marks SET sealed_until = 0, stale = false, month_at = 0, cut_hour = 0 WHERE name = :name"
    )
    run(connection, statement, {"name": family.source})
    return replace(without_coarse(mark), stale=False)


def without_coarse(mark: Mark) -> Mark:
    """The same mark where nothing is kept but the finest periods."""
    return replace(mark, sealed=0, has_month=False, cut=0)


def drop_cuts(connection: Connection, family: Family) -> None:
    """Write down that cuts do not say any more what the rows of their hour say."""
    statement = "UPDATE {schema}rollup_marks SET cut_hour = 0 WHERE name = :name"
    run(connection, statement, {"name": family.source})


def abandon(connection: Connection, family: Family) -> None:
    """Say that there are no pre-aggregates of a table yet."""
    run(connection, "DELETE FROM {schema}rollup_marks WHERE name = :name", {"name": family.source})


def mark_of(connection: Connection, family: Family) -> Mark | None:
    """How current the pre-aggregates of a table are; None when there are none yet."""
    return states_of(connection, (family,))[family.source].mark


@dataclass(frozen=True, slots=True)
class State:
    """The mark of a table, None when there is none yet; when its newest row was made; how many notes wait."""

    mark: Mark | None
    newest: int | None
    waiting: int

    @property
    def is_behind(self) -> bool:
        """Whether something has to be counted before anything is read; an empty table needs no counting."""
        return self.newest is not None if self.mark is None else self.mark.stale or bool(self.waiting)


def states_of(connection: Connection, families: Iterable[Family]) -> dict[str, State]:
    """How tables stand, in one statement."""
    return states_in(fetched(connection, states_statement(families, connection.dialect.name)))


def states_statement(families: Iterable[Family], dialect: str) -> str:
    """Asks how tables stand; the newest row is asked for in a form that is answered from an index."""
    return " UNION ALL ".join(
        f"SELECT '{family.source}', {_state(family.source, dialect, 'stale')} {_always(family.source)}"
        for family in families
    )


def state_statement(family: Family, dialect: str, *, more: str) -> str:
    """Asks how one table stands, in numbers only, with `more` columns after them."""
    return f"SELECT {_state(family.source, dialect, 'CAST(stale AS INTEGER)')}{more} {_always(family.source)}"


def states_in(rows: Iterable[Sequence[Any]]) -> dict[str, State]:
    """The states that rows of `states_statement` tell."""
    return {row[0]: state_of(row[1:]) for row in rows}


def state_of(row: Sequence[Any]) -> State:
    """The state that a row tells without its name."""
    return State(None if row[2] is None else _mark(row[2:8]), row[0], row[1])


def _state(source: str, dialect: str, stale: str) -> str:
    return (
        f"(SELECT {Sql(dialect).moment('n.newest')} FROM "
        f"(SELECT max(created_at) AS newest FROM {{schema}}{source}) AS n), "
        f"(SELECT count(*) FROM {{schema}}rollup_pending WHERE name = '{source}'), "
        f"changes, sealed_until, forgotten, {stale}, month_at, cut_hour"
    )


def _always(source: str) -> str:
    """One row, whether a table has a mark or not."""
    return f"FROM (SELECT 1 AS one) AS always LEFT JOIN {{schema}}rollup_marks ON name = '{source}'"


def _mark(row: Any) -> Mark:
    changes, sealed, forgotten, stale, month_at, cut = row
    return Mark(changes, sealed, forgotten, bool(stale), 0 < month_at == changes, cut)


def revisions(connection: Connection) -> dict[str, int]:
    """A number by table that grows with every transaction that changed it, counted yet or not."""
    statement = (
        "SELECT name, CAST(sum(n) AS BIGINT) FROM (SELECT name, changes AS n FROM {schema}rollup_marks UNION ALL "
        "SELECT name, 1 FROM {schema}rollup_pending) AS changed GROUP BY name"
    )
    return {row[0]: row[1] for row in run(connection, statement)}


def seal(connection: Connection, family: Family, mark: Mark) -> Mark:
    """Add up the hours and sets that are over by now; returns the mark that says so.

    What is stale is not worth it.
    """
    until = floor_to(Grain.HOUR, clock.epoch_us())
    if until <= mark.sealed or mark.stale:
        return mark
    rollup_cells.seal(connection, family, mark.sealed, until)
    for grain in rollup_sets.COARSE:
        begin, end = floor_to(grain, mark.sealed), floor_to(grain, until)
        if begin < end and family.sets:
            rollup_sets.seal(connection, family.sets.values(), grain, span(Grain(grain - 1), begin, end))
    has_month = family is SIGNALS
    cut = rollup_month.move(connection, family, mark, until) if has_month else 0
    statement = (
        f"UPDATE {{schema}}rollup_marks SET sealed_until = :until, month_at = {'changes' if has_month else '0'}, "
        "cut_hour = :cut WHERE name = :name"
    )
    run(connection, statement, {"name": family.source, "until": until, "cut": cut})
    return replace(mark, sealed=until, has_month=has_month, cut=cut)
