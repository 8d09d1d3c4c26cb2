"""A whole report in one question: what it will read of a window is asked for together with how the table stands.

Which periods cover a window follows from how its table stands. That changes once an hour, so that it is taken to be as
it was last time; the answer says how it is, and where that was otherwise, the report is read step by step. On a
connection of our own the question is prepared once, as planning it takes longer than answering it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from itertools import count
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakSet

from sqlalchemy.exc import DBAPIError

from stateful_engine.domain.periods import STRIDE, Cover, Edge, Grain, Span, period_of
from stateful_engine.storage import copying, faults, rollup_cells, rollup_marks
from stateful_engine.storage.rollup_cells import Sums
from stateful_engine.storage.rollup_edges import EdgeTable
from stateful_engine.storage.rollup_expressions import Sql
from stateful_engine.storage.rollup_marks import Mark, State
from stateful_engine.storage.rollup_measures import FAMILIES, SIGNALS, Family
from stateful_engine.storage.rollup_sql import ALONE, schema_prefix

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from stateful_engine.storage.database import Database

_NOT_PREPARED = {"26000", "42P05", "0A000"}
"""How PostgreSQL says that a prepared statement is not there, is there already, or answers otherwise than it did:
behind a pooler that hands out another session each time, and after a migration."""

_STATE = "state"
_PARAMETERS = ", ".join((*("integer", "integer"), *("integer[]",) * 4, *("timestamptz",) * 2, *("integer",) * 2))
_PLANNING = f"SET LOCAL plan_cache_mode = force_generic_plan; {ALONE}"
"""The periods are few, whatever the planner expects: planning is not worth repeating."""

_NO_EDGE = Edge(0, 0)
_numbers = count()

_last: WeakKeyDictionary[Database, dict[str, Mark]] = WeakKeyDictionary()
_unfit: WeakSet[Database] = WeakSet()


@dataclass(frozen=True, slots=True)
class Found:
    """What a question has found: how the table stands, and what the window amounts to."""

    state: State
    sums: Sums


def remember(database: Database, family: Family, mark: Mark | None) -> None:
    """Keep how current the pre-aggregates of a table are, for the next report."""
    if mark is not None:
        _last.setdefault(database, {})[family.source] = mark


def expected(database: Database, family: Family) -> Mark | None:
    """How current they may still be; None where nobody knows, or reports have to be read step by step.

    Reports on signals alone are asked for often enough. Nothing is prepared on the connections of a host.
    """
    if family is not SIGNALS or not database.own or database in _unfit or not copying.is_possible(database.engine):
        return None
    return _last.get(database, {}).get(family.source)


def is_forgetful(database: Database, error: DBAPIError) -> bool:
    """Whether an error means that statements do not stay prepared; from now on reports are read step by step then."""
    if faults.sqlstate(error) not in _NOT_PREPARED:
        return False
    _unfit.add(database)
    return True


@dataclass(slots=True)
class Question:
    """Asks how a table stands, and for what `rollup_cells.read` reads of two covers, with the rows at their edge."""

    family: Family
    dimensions: tuple[str, ...]
    fine: Cover
    coarse: Cover
    _name: str = ""

    def is_short(self) -> bool:
        """Whether periods are few enough to be named one by one; of days there is one run, and one edge at most."""
        days, shorter = _by_length(self.fine.spans)
        few = all(_count(spans) <= rollup_cells.FEW_PERIODS for spans in (shorter, self.coarse.spans))
        return few and len(days) == 1 and len(self.coarse.edges) < 2

    def text(self, connection: Connection) -> str:
        """The question in SQL, for a transaction that has just begun."""
        statement, digest = self._statement(connection)
        known = connection.info.get(digest)
        self._name = known or f"{digest}_{next(_numbers)}"
        prepare = "" if known else f"PREPARE {self._name} ({_PARAMETERS}) AS {statement}; "
        return f"{prepare}{_PLANNING}; EXECUTE {self._name} ({self._arguments()})"

    def _statement(self, connection: Connection) -> tuple[str, str]:
        return _statement(self.family.source, self.dimensions, schema_prefix(connection))

    def _arguments(self) -> str:
        literal = Sql("postgresql").literal
        edge = self.coarse.edges[0] if self.coarse.edges else _NO_EDGE
        hour = period_of(Grain.HOUR, edge.begin)
        rows = f"{literal(edge.begin)}, {literal(edge.end)}, {hour}, {edge.sign}"
        return f"{_periods(self.fine.spans, self.fine.less, self.coarse.spans, self.coarse.less)}, {rows}"

    def found(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> Found:
        """What the answer says. The statement is prepared by now, for the next question on this connection."""
        connection.info[self._statement(connection)[1]] = self._name
        state = State(None, None, 0)
        cells: list[tuple[Any, ...]] = []
        for row in rows:
            if row[0] == _STATE:
                state = rollup_marks.state_of(row[2:])
            else:
                cells.append(row)
        return Found(state, rollup_cells.sorted_out(self.family, self.dimensions, cells))


@lru_cache(maxsize=16)
def _statement(source: str, dimensions: tuple[str, ...], schema: str) -> tuple[str, str]:
    """The statement, and what its name begins with: behind a pooler, two that differ must never share a name."""
    family = FAMILIES[source]
    of_days = {"period BETWEEN $1 AND $2": "", "period = ANY($3)": "", "period = ANY($4)": "-"}
    days = " UNION ALL ".join(
        rollup_cells.days_source(family, condition, sign=sign) for condition, sign in of_days.items()
    )
    edge = EdgeTable(dimensions)
    state = rollup_marks.state_statement(family, "postgresql", more=rollup_cells.padding(family, 8))
    parts = (
        *rollup_cells.days_statements(family),
        *edge.whole("$9"),
        rollup_cells.splits_statement(family, dimensions, "period = ANY($5)", ["period = ANY($6)"], edge.values()),
        f"SELECT '{_STATE}', NULL, {state.removeprefix('SELECT ')}",
    )
    rows = edge.source("created_at >= $7 AND created_at < $8", factor="$10")
    statement = f"WITH days AS ({days}), edge AS ({rows}) {' UNION ALL '.join(parts)}".replace("{schema}", schema)
    return statement, f"stateful_engine_{sha256(statement.encode()).hexdigest()[:16]}"


@lru_cache(maxsize=64)
def _periods(fine: tuple[Span, ...], *others: tuple[Span, ...]) -> str:
    """Periods as arguments; they stay the same for some minutes."""
    days, shorter = _by_length(fine)
    return f"{days[0][0]}, {days[0][1]}, {', '.join(map(_array, (shorter, *others)))}"


def _by_length(spans: Iterable[Span]) -> tuple[list[Span], list[Span]]:
    """Runs of days, and runs of shorter periods."""
    found: tuple[list[Span], list[Span]] = [], []
    for span in spans:
        found[span[0] < Grain.DAY * STRIDE].append(span)
    return found


def _count(spans: Iterable[Span]) -> int:
    return sum(last - first + 1 for first, last in spans)


def _array(spans: Iterable[Span]) -> str:
    return f"'{{{', '.join(str(period) for first, last in spans for period in range(first, last + 1))}}}'"
