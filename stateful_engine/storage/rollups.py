"""Pre-aggregates: what is derived from rows is kept in step with them, within the same transaction.

What a transaction changes is gathered while it runs and written once, at its end: first a row of `rollup_marks`, which
is the lock that writers of one table queue for and the place where readers see that something is new, then the cells in
the order of their keys. So locks are short, and nobody waits for somebody who waits for him. A transaction of a host
that we have joined may last; it leaves a note in `rollup_pending` instead, which the next writer or reader counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import orjson

from stateful_engine.domain.periods import LENGTH, Grain, begin_of, period_of
from stateful_engine.storage import funnel, funnel_days, rollup_cells, rollup_marks, rollup_sets
from stateful_engine.storage.breath import breathe
from stateful_engine.storage.rollup_measures import FAMILIES, INTERACTIONS, SIGNALS, Cells, Family, Row, cells_of, merge
from stateful_engine.storage.rollup_sql import run

if TYPE_CHECKING:
    from sqlalchemy import Connection


@dataclass(slots=True)
class Changes:
    """What one transaction changes in the pre-aggregates of one table."""

    cells: Cells = field(default_factory=dict)
    members: rollup_sets.Members = field(default_factory=dict)
    steps: funnel.Steps = field(default_factory=dict)
    inserted: int = 0


Ledger = dict[str, Changes]
"""Changes by table."""

_open: WeakKeyDictionary[Connection, Ledger] = WeakKeyDictionary()


# What writers call


def count(connection: Connection, rows: Mapping[str, Sequence[Row]], *, sign: int = 1) -> None:
    """Count new rows by table, in the transaction that inserts them.

    With `sign` -1 take away what deleted rows counted for, people excepted.
    """
    with _gathering(connection) as ledger:
        for name in rows.keys() & FAMILIES.keys():
            if rows[name]:
                _note(ledger, FAMILIES[name], rows[name], sign=sign)


def revise(connection: Connection, table: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Move a row of `table` that was changed from where it counted to where it counts now, in the same transaction."""
    with _gathering(connection) as ledger:
        changes = ledger.setdefault(table, Changes())
        merge(changes.cells, cells_of(FAMILIES[table], [before], sign=-1))
        merge(changes.cells, cells_of(FAMILIES[table], [after]))


@contextmanager
def kept_in_step(connection: Connection) -> Iterator[None]:
    """Around a transaction of ours: what it has changed is written at its end, and nothing when it fails."""
    with _ledger_of(connection) as ledger:
        yield
    for name in sorted(ledger):
        settle(connection, FAMILIES[name], ledger[name])


@contextmanager
def noted(connection: Connection) -> Iterator[None]:
    """Around our part of a host's transaction: what it has changed is left as a note, which locks nothing."""
    with _ledger_of(connection) as ledger:
        yield
    for name in sorted(ledger):
        statement = "INSERT INTO {schema}rollup_pending (name, payload) VALUES (:name, :payload)"
        run(connection, statement, {"name": name, "payload": _packed(ledger[name])})


@contextmanager
def _ledger_of(connection: Connection) -> Iterator[Ledger]:
    ledger: Ledger = {}
    _open[connection] = ledger
    try:
        yield ledger
    finally:
        _open.pop(connection, None)


@contextmanager
def _gathering(connection: Connection) -> Iterator[Ledger]:
    """The ledger of the transaction; on a connection that nobody looks after it is settled at once."""
    ledger = _open.get(connection)
    if ledger is not None:
        yield ledger
        return
    with kept_in_step(connection):
        yield _open[connection]


def _note(ledger: Ledger, family: Family, rows: Sequence[Row], *, sign: int) -> None:
    changes = ledger.setdefault(family.source, Changes())
    merge(changes.cells, cells_of(family, rows, sign=sign))
    if sign < 0:
        return
    changes.inserted += len(rows)
    for key, names in rollup_sets.members_of(family, rows).items():
        changes.members.setdefault(key, set()).update(names)
    if family is INTERACTIONS:
        funnel.merge(changes.steps, funnel.steps_of(rows))


# What happens at the end of a transaction


def settle(connection: Connection, family: Family, changes: Changes) -> None:
    """Write changes, and what lies there as notes; where earlier rows were never counted, leave that to `rebuild`."""
    breathe()
    mark = rollup_marks.claim(connection, family)
    if mark.changes == 1 and _has_more_rows(connection, family, changes.inserted):
        rollup_marks.abandon(connection, family)
        return
    _take_notes(connection, family, changes)
    mark = rollup_marks.seal(connection, family, mark)
    if mark.cut and period_of(Grain.HOUR, mark.cut) in {hour for _, hour, _ in changes.cells}:
        rollup_marks.drop_cuts(connection, family)
    rollup_cells.add(connection, family, changes.cells, mark)
    rollup_sets.add(connection, changes.members, mark.sealed)
    funnel.add(connection, changes.steps)
    funnel_days.mark(connection, _days(connection, family, changes))


def _days(connection: Connection, family: Family, changes: Changes) -> set[int]:
    """The days whose signals have changed, or the way of one."""
    if family is SIGNALS:
        return {begin_of(hour) // LENGTH[Grain.DAY] for _, hour, _ in changes.cells}
    if not changes.steps:
        return set()
    return funnel_days.days_of(connection, (signal_id for signal_id, _ in changes.steps))


def _has_more_rows(connection: Connection, family: Family, count: int) -> bool:
    statement = f"SELECT count(*) FROM (SELECT 1 FROM {{schema}}{family.source} LIMIT :enough) AS found"
    return bool(run(connection, statement, {"enough": count + 1}).scalar() != count)


def _take_notes(connection: Connection, family: Family, changes: Changes) -> None:
    """Add what lies there as notes to `changes`, and remove the notes."""
    select = "SELECT id, payload FROM {schema}rollup_pending WHERE name = :name"
    notes = run(connection, select, {"name": family.source}).all()
    for _, payload in notes:
        _unpack(payload, changes)
    if notes:
        delete = "DELETE FROM {schema}rollup_pending WHERE id = :id"
        run(connection, delete, [{"id": row[0]} for row in notes])


def has_notes(connection: Connection, family: Family) -> bool:
    """Whether transactions of a host have left something to count."""
    statement = "SELECT 1 FROM {schema}rollup_pending WHERE name = :name LIMIT 1"
    return run(connection, statement, {"name": family.source}).first() is not None


def _packed(changes: Changes) -> str:
    """Changes as JSON, every mapping as a list of pairs."""
    pairs = [
        [[*key, figures] for key, figures in changes.cells.items()],
        [[*key, sorted(names)] for key, names in changes.members.items()],
        [[*key, steps] for key, steps in changes.steps.items()],
    ]
    return orjson.dumps(pairs).decode()


def _unpack(payload: Any, changes: Changes) -> None:
    """Add packed changes to others; drivers give JSON as text or as what it says."""
    cells, members, steps = orjson.loads(payload) if isinstance(payload, str) else payload
    merge(changes.cells, {(dimension, hour, value): figures for dimension, hour, value, figures in cells})
    for kind, slot, names in members:
        changes.members.setdefault((kind, slot), set()).update(names)
    funnel.merge(
        changes.steps,
        {(signal, user): {step: (at[0], at[1]) for step, at in taken.items()} for signal, user, taken in steps},
    )
