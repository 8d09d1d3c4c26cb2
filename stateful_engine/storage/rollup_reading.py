"""What a window amounts to: read from whole periods and from the rows at its edges, or with filters from rows alone.

A report reads everything at one moment (one snapshot), so that whole hours and the rows at their edges fit together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stateful_engine.domain.periods import LENGTH, Cover, Grain, begin_of, ceil_to, cover, floor_to
from stateful_engine.storage import rollup_cells, rollup_marks, rollup_sets, rollup_sql, rollup_upkeep
from stateful_engine.storage.rollup_marks import Mark
from stateful_engine.storage.rollup_measures import ALL, Family
from stateful_engine.storage.rollup_sql import Where

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from stateful_engine.storage.database import Database

Figures = dict[str, int]
"""Figures by measure."""

Split = dict[str, Figures]
"""Figures by value of a dimension."""


@dataclass(frozen=True, slots=True)
class Window:
    """From `begin` (None: from the first row on) up to, and without, `end`; microseconds since the epoch."""

    begin: int | None
    end: int

    def where(self, *more: Where) -> Where:
        """The condition on rows, together with others."""
        parts = (rollup_sql.created_between(self.begin, self.end), *more)
        return " AND ".join(condition for condition, _ in parts), {
            name: value for _, parameters in parts for name, value in parameters.items()
        }


@dataclass(frozen=True, slots=True)
class Answer:
    """What a window amounts to: in all, by day (days since the epoch, ascending), and by dimension."""

    total: Figures
    days: dict[int, Figures]
    splits: dict[str, Split]


@dataclass(frozen=True, slots=True)
class View:
    """One moment of one table and its pre-aggregates."""

    connection: Connection
    family: Family
    mark: Mark
    newest: int | None
    revision: int
    """Grows with every write to the tables that are looked at."""

    def read(self, window: Window, dimensions: Iterable[str], only: Where | None = None) -> Answer:
        """What the rows of a window amount to; `only` those that meet a condition, which are read one by one."""
        wanted = tuple(dimensions)
        return self._from_periods(window, wanted) if only is None else self.from_rows(window, wanted, only)

    def _from_periods(self, window: Window, dimensions: tuple[str, ...]) -> Answer:
        fine, coarse = self._cover(window, Grain.DAY), self._cover(window, Grain.MONTH)
        days = _by_day(rollup_cells.read(self.connection, self.family, (ALL,), fine.spans, by_period=True))
        rows = rollup_cells.read(self.connection, self.family, dimensions, coarse.spans) if dimensions else []
        splits = _split(rows)
        for edge in coarse.edges:
            where = rollup_sql.created_between(edge.begin, edge.end)
            found = self._cells(where, dimensions)
            _merge_split(splits, found, sign=edge.sign)
            _merge(days.setdefault(edge.begin // LENGTH[Grain.DAY], {}), _total(found), sign=edge.sign)
        return _answer(self.family, days, splits)

    def from_rows(self, window: Window, dimensions: tuple[str, ...], only: Where = ("1 = 1", {})) -> Answer:
        """The same, read from the rows alone."""
        where = window.where(only)
        rows = rollup_sql.cells_of_rows(self.connection, self.family, where, (ALL,), by_hour=True)
        return _answer(self.family, _by_day(rows), _split(self._cells(where, dimensions)))

    def count_distinct(self, window: Window, column: str, only: Where | None = None) -> int:
        """How many different people or conversations the rows of a window name in `column`."""
        if only is not None:
            return rollup_sets.count_distinct_in_rows(self.connection, self.family, column, window.where(only))
        covered = self._cover(window, Grain.MONTH, finest=Grain.SLOT)
        return rollup_sets.count_distinct(self.connection, self.family, column, covered)

    def hours(self, window: Window, only: Where | None = None) -> dict[int, Figures]:
        """Figures by hour of the day (UTC)."""
        if only is not None:
            where = window.where(only)
            return _by_hour(rollup_sql.cells_of_rows(self.connection, self.family, where, (ALL,), by_hour=True))
        covered = self._cover(window, Grain.HOUR)
        found = _by_hour(rollup_cells.read(self.connection, self.family, (ALL,), covered.spans, by_period=True))
        for edge in covered.edges:
            rows = self._cells(rollup_sql.created_between(edge.begin, edge.end), ())
            _merge(found.setdefault(_hour_of(edge.begin), {}), _total(rows), sign=edge.sign)
        return {hour: found[hour] for hour in sorted(found) if found[hour].get("total")}

    def _cells(self, where: Where, dimensions: tuple[str, ...]) -> list[dict[str, Any]]:
        return rollup_sql.cells_of_rows(self.connection, self.family, where, (ALL, *dimensions))

    def _cover(self, window: Window, coarsest: Grain, *, finest: Grain = Grain.HOUR) -> Cover:
        """The periods of a window. Where rows are gone there are no edges to read: the window begins with the hour."""
        begin = window.begin or 0
        if begin < self.mark.forgotten:
            begin = floor_to(Grain.HOUR, begin)
        is_open = self.newest is None or self.newest < window.end
        return cover(
            begin,
            ceil_to(Grain.HOUR, window.end) if is_open else window.end,
            finest=finest,
            coarsest=coarsest,
            sealed=self.mark.sealed,
            subtract=finest is Grain.HOUR,
        )


@contextmanager
def view(database: Database, family: Family, *others: Family) -> Iterator[View]:
    """A table and its pre-aggregates at this moment, after counting what nobody has counted yet, in `others` too."""
    families = (family, *others)
    with _snapshot(database) as connection:
        found = _look(connection, families)
        if found is not None:
            yield found
            return
    for behind in families:
        rollup_upkeep.catch_up(database, behind)
    with _snapshot(database) as connection:
        yield _view(connection, families, rollup_marks.marks_of(connection, families))


@contextmanager
def _snapshot(database: Database) -> Iterator[Connection]:
    with database.reading() as session:
        if database.dialect == "sqlite":
            connection = session.connection()
            connection.exec_driver_sql("BEGIN")
            yield connection
        else:
            yield session.connection(execution_options={"isolation_level": "REPEATABLE READ"})


def _look(connection: Connection, families: Sequence[Family]) -> View | None:
    """None where something has to be counted first; an empty table needs no counting."""
    marks = rollup_marks.marks_of(connection, families)
    if any(mark.waiting for mark in marks.values()):
        return None
    if any(family.source not in marks and _newest(connection, family) is not None for family in families):
        return None
    return _view(connection, families, marks)


def _view(connection: Connection, families: Sequence[Family], marks: Mapping[str, Mark]) -> View:
    first = families[0]
    revision = sum(mark.changes for mark in marks.values())
    mark = marks.get(first.source, rollup_marks.NO_MARK)
    return View(connection, first, mark, _newest(connection, first), revision)


def _newest(connection: Connection, family: Family) -> int | None:
    """When the newest row was made; the inner query is one that both databases answer from an index."""
    found: int | None = rollup_sql.run(
        connection,
        f"SELECT {rollup_sql.moment_sql(connection, 'n.newest')} FROM "
        f"(SELECT max(created_at) AS newest FROM {{schema}}{family.source}) AS n",
    ).scalar()
    return found


def _by_day(rows: Iterable[Mapping[str, Any]]) -> dict[int, Figures]:
    days: dict[int, Figures] = {}
    for row in rows:
        _merge(days.setdefault(begin_of(row["period"]) // LENGTH[Grain.DAY], {}), _figures(row))
    return days


def _by_hour(rows: Iterable[Mapping[str, Any]]) -> dict[int, Figures]:
    hours: dict[int, Figures] = {}
    for row in rows:
        _merge(hours.setdefault(_hour_of(begin_of(row["period"])), {}), _figures(row))
    return hours


def _split(rows: Iterable[Mapping[str, Any]]) -> dict[str, Split]:
    splits: dict[str, Split] = {}
    _merge_split(splits, rows)
    return splits


def _merge_split(splits: dict[str, Split], rows: Iterable[Mapping[str, Any]], *, sign: int = 1) -> None:
    for row in rows:
        if row["dimension"] != ALL:
            split = splits.setdefault(row["dimension"], {})
            _merge(split.setdefault(row["value"], {}), _figures(row), sign=sign)


def _total(rows: Iterable[Mapping[str, Any]]) -> Figures:
    return next((_figures(row) for row in rows if row["dimension"] == ALL), {})


def _figures(row: Mapping[str, Any]) -> Figures:
    return {name: amount for name, amount in row.items() if name not in _KEYS}


_KEYS = frozenset({"dimension", "period", "value"})


def _merge(into: Figures, more: Figures, *, sign: int = 1) -> None:
    for name, amount in more.items():
        into[name] = into.get(name, 0) + sign * amount


def _answer(family: Family, days: dict[int, Figures], splits: dict[str, Split]) -> Answer:
    total = dict.fromkeys(family.measures, 0)
    for figures in days.values():
        _merge(total, figures)
    present = {day: days[day] for day in sorted(days) if days[day].get("total")}
    for name, split in splits.items():
        splits[name] = {value: figures for value, figures in split.items() if figures["total"]}
    return Answer(total, present, splits)


def _hour_of(moment: int) -> int:
    return moment // LENGTH[Grain.HOUR] % 24
