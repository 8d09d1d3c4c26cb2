"""What a window amounts to: read from whole periods and from the rows at its edges, or with filters from rows alone.

A report reads everything at one moment (one snapshot), so that whole hours and the rows at their edges fit together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import islice, repeat
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy.exc import DBAPIError

from stateful_engine.domain.periods import COARSEST, LENGTH, Cover, Grain, ceil_to, cover, covers_by_month, floor_to
from stateful_engine.storage import (
    rollup_cells,
    rollup_edges,
    rollup_foresight,
    rollup_marks,
    rollup_sets,
    rollup_sql,
    rollup_upkeep,
)
from stateful_engine.storage.rollup_cells import Figures, Sums, Told
from stateful_engine.storage.rollup_marks import Mark, State
from stateful_engine.storage.rollup_measures import Family
from stateful_engine.storage.rollup_sql import Where
from stateful_engine.storage.snapshots import asked_once, begun, snapshot

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from stateful_engine.storage.database import Database

HOUR_OF_WEEK = "hour_of_week"
"""The dimension of the hours of the week, which only rows have: whole periods tell theirs by themselves."""

K = TypeVar("K", str, int)


class FiguresBy(Mapping[K, Figures]):
    """Figures by key, in order. They are named when somebody asks for those of a key, as reports show few of many."""

    def __init__(self, names: Sequence[str], told: Mapping[K, Told]) -> None:
        self._names = names
        total = names.index("total")
        self._told: dict[K, Told] = {key: told[key] for key in sorted(told) if told[key][total]}

    def __getitem__(self, key: K) -> Figures:
        return dict(zip(self._names, self._told[key], strict=True))

    def __iter__(self) -> Iterator[K]:
        return iter(self._told)

    def __len__(self) -> int:
        return len(self._told)

    def by_number(self) -> FiguresBy[int]:
        """The same, by keys that are numbers as texts."""
        return FiguresBy(self._names, {int(key): figures for key, figures in self._told.items()})

    def of(self, *names: str) -> list[tuple[Any, ...]]:
        """The keys, each with some of its figures."""
        if not self._told:
            return []
        places = [self._names.index(name) for name in names]
        found: Iterable[Any] = map(itemgetter(*places), self._told.values())
        columns = [found] if len(names) == 1 else zip(*found, strict=True)
        return list(zip(self._told, *columns, strict=True))


Split = FiguresBy[str]
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
    days: FiguresBy[int]
    splits: dict[str, Split]

    def split(self, dimension: str) -> Split:
        """The figures by value of a dimension, none where no row has one."""
        return self.splits.get(dimension) or FiguresBy(("total",), {})


@dataclass(frozen=True, slots=True)
class View:
    """One moment of one table and its pre-aggregates."""

    moment: Callable[[], Connection]
    """A connection that sees this moment."""

    family: Family
    mark: Mark
    newest: int | None
    revision: int
    """Grows with every write to the tables that are looked at."""

    @property
    def connection(self) -> Connection:
        """A connection that sees this moment; raises `Overtaken` where that has passed."""
        return self.moment()

    def read(self, window: Window, dimensions: Iterable[str], only: Where | None = None) -> Answer:
        """What the rows of a window amount to; `only` those that meet a condition, which are read one by one."""
        wanted = tuple(dimensions)
        return self._from_periods(window, wanted) if only is None else self.from_rows(window, wanted, only)

    def _from_periods(self, window: Window, dimensions: tuple[str, ...]) -> Answer:
        fine, coarse = _covers(window, self.mark, is_open=self.is_open(window))
        sums = rollup_cells.read(self.connection, self.family, dimensions, days=fine, whole=coarse)
        for edge in coarse.edges:
            sums.add(rollup_edges.counted(self.connection, self.family, edge, dimensions), edge.sign)
        return self.put_together(sums)

    def put_together(self, sums: Sums) -> Answer:
        """The answer, from what the window amounts to."""
        names = self.family.split_measures
        of_days = map(sum, zip(*sums.days.values(), strict=True)) if sums.days else repeat(0)
        total = dict(
            zip((*names, *self.family.other_measures), (*islice(of_days, len(names)), *sums.others), strict=True)
        )
        splits = {name: FiguresBy(names, split) for name, split in sums.splits.items()}
        return Answer(total, FiguresBy(names, sums.days), splits)

    def from_rows(self, window: Window, dimensions: tuple[str, ...], only: Where = ("1 = 1", {})) -> Answer:
        """The same, read from the rows alone."""
        return self.put_together(rollup_cells.of_rows(self.connection, self.family, window.where(only), dimensions))

    def count_distinct(self, window: Window, column: str, only: Where | None = None) -> int:
        """How many different people or conversations the rows of a window name in `column`."""
        if only is not None:
            return rollup_sets.count_distinct_in_rows(self.connection, self.family, column, window.where(only))
        covered = self._cover(window, COARSEST, finest=Grain.SLOT)
        return rollup_sets.count_distinct(self.connection, self.family, column, covered)

    def hours_of_week(self, window: Window, only: Where | None = None) -> FiguresBy[int]:
        """What reports say of the hours of the week (UTC), 0 to 167 from Monday on; those without rows are left out."""
        if only is not None:
            found = rollup_cells.of_rows(self.connection, self.family, window.where(only), (HOUR_OF_WEEK,))
            return FiguresBy(self.family.split_measures, found.splits[HOUR_OF_WEEK]).by_number()
        covered = self._cover(window, Grain.HOUR)
        hours = rollup_cells.read_hours_of_week(self.connection, self.family, covered.spans)
        for edge in covered.edges:
            hour = (edge.begin // LENGTH[Grain.HOUR] + 72) % 168
            for figures in rollup_edges.counted(self.connection, self.family, edge, ()).days.values():
                rollup_cells.add_to(hours, hour, figures, edge.sign)
        return FiguresBy(self.family.split_measures, hours)

    def _cover(self, window: Window, coarsest: Grain, *, finest: Grain = Grain.HOUR) -> Cover:
        return _cover(window, coarsest, self.mark, is_open=self.is_open(window), finest=finest)

    def is_open(self, window: Window) -> bool:
        """Whether nothing was made after the end of a window, so that it may as well end with the hour."""
        return self.newest is None or self.newest < window.end

    def has_read(self, window: Window) -> bool:  # noqa: ARG002
        """Whether what was foreseen of a window is read already."""
        return False


@dataclass(frozen=True, slots=True)
class _HavingRead(View):
    """A view that answers what it is asked about one window from what it has read already."""

    window: Window
    only: Where | None
    dimensions: frozenset[str]
    answer: Answer

    def has_read(self, window: Window) -> bool:
        return window == self.window

    def read(self, window: Window, dimensions: Iterable[str], only: Where | None = None) -> Answer:
        wanted = tuple(dimensions)
        if window == self.window and only == self.only and self.dimensions.issuperset(wanted):
            return self.answer
        return View.read(self, window, wanted, only)

    def hours_of_week(self, window: Window, only: Where | None = None) -> FiguresBy[int]:
        if only is None or window != self.window or only != self.only:
            return View.hours_of_week(self, window, only)
        return self.answer.split(HOUR_OF_WEEK).by_number()


def having_read(view: View, window: Window, dimensions: Iterable[str], only: Where | None = None) -> View:
    """The same view for several reports on one window: what they read of it is read once, for all of them."""
    wanted = tuple(dict.fromkeys([*dimensions, *([HOUR_OF_WEEK] if only else [])]))
    return _having_read(view, window, wanted, only, view.read(window, wanted, only))


def _having_read(view: View, window: Window, dimensions: Iterable[str], only: Where | None, answer: Answer) -> View:
    parts = (view.moment, view.family, view.mark, view.newest, view.revision)
    return _HavingRead(*parts, window, only, frozenset(dimensions), answer)


class Overtaken(Exception):
    """Somebody wrote after everything that was foreseen had been read, and then more is asked: read without it."""


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What a report will read, of a window that ends now."""

    window: Window
    dimensions: tuple[str, ...]


@contextmanager
def view(database: Database, family: Family, *others: Family, foreseen: Foreseen | None = None) -> Iterator[View]:
    """A table and its pre-aggregates at this moment, after counting what nobody has counted yet, in `others` too.

    What is `foreseen` may have been read already, which `has_read` tells; the block may then end with `Overtaken`.
    """
    families = (family, *others)
    with ExitStack() as stack:
        seen = None if foreseen is None else _looked_ahead(stack, database, family, foreseen)
        if seen is None:
            seen = _looked(stack, database, families)
        if seen is not None:
            yield seen
            return
    for behind in families:
        rollup_upkeep.catch_up(database, behind)
    with snapshot(database, _states_of(families)) as (connection, rows):
        yield _view(lambda: connection, families, rollup_marks.states_in(rows))


def _looked(stack: ExitStack, database: Database, families: Sequence[Family]) -> View | None:
    """The view, or None when something has to be counted before."""
    connection, rows = stack.enter_context(snapshot(database, _states_of(families)))
    states = rollup_marks.states_in(rows)
    rollup_foresight.remember(database, families[0], states[families[0].source].mark)
    if any(state.is_behind for state in states.values()):
        stack.close()
        return None
    return _view(lambda: connection, families, states)


def _looked_ahead(stack: ExitStack, database: Database, family: Family, foreseen: Foreseen) -> View | None:
    """The view that has read what is foreseen, as far as that was right; None when it has to be looked at as usual."""
    mark = rollup_foresight.expected(database, family)
    if mark is None:
        return None
    question = rollup_foresight.Question(family, foreseen.dimensions, *_covers(foreseen.window, mark, is_open=True))
    if not question.is_short():
        return None
    try:
        connection, rows = stack.enter_context(asked_once(database, question.text))
    except DBAPIError as error:
        if rollup_foresight.is_forgetful(database, error):
            return None
        raise
    found = question.found(connection, rows)
    rollup_foresight.remember(database, family, found.state.mark)
    if found.state.is_behind:
        stack.close()
        return None
    seen = _view(_later(connection, family, found.state), (family,), {family.source: found.state})
    if not seen.mark.is_read_like(mark) or not seen.is_open(foreseen.window):
        return seen
    answer = seen.put_together(found.sums)
    return _having_read(seen, foreseen.window, foreseen.dimensions, None, answer)


def _later(connection: Connection, family: Family, state: State) -> Callable[[], Connection]:
    """Begins to see one moment when that is asked for first, provided that the table still stands as it did before."""

    @cache
    def moment() -> Connection:
        rows = begun(connection, _states_of((family,))(connection))
        if rollup_marks.states_in(rows)[family.source] != state:
            raise Overtaken
        return connection

    return moment


def _states_of(families: Sequence[Family]) -> Callable[[Connection], str]:
    def question(connection: Connection) -> str:
        statement = rollup_marks.states_statement(families, connection.dialect.name)
        return statement.replace("{schema}", rollup_sql.schema_prefix(connection))

    return question


def _view(moment: Callable[[], Connection], families: Sequence[Family], states: Mapping[str, State]) -> View:
    first = states[families[0].source]
    revision = sum(state.mark.changes for state in states.values() if state.mark is not None)
    return View(moment, families[0], first.mark or rollup_marks.NO_MARK, first.newest, revision)


def _covers(window: Window, mark: Mark, *, is_open: bool) -> tuple[Cover, Cover]:
    """The periods of a window: of a day or less, and of any length, with the same edges."""
    begin = _begin(window, mark)
    if mark.has_month and is_open:
        end = ceil_to(Grain.HOUR, window.end)
        by_month = covers_by_month(begin, end, sealed=mark.sealed, cut=mark.cut)
        if by_month is not None:
            return by_month
    fine, coarse = (_cover(window, grain, mark, is_open=is_open) for grain in (Grain.DAY, COARSEST))
    return fine, coarse


def _begin(window: Window, mark: Mark) -> int:
    """Where a window begins. Where rows are gone there are no edges to read: it begins with the hour."""
    begin = window.begin or 0
    return floor_to(Grain.HOUR, begin) if begin < mark.forgotten else begin


def _cover(window: Window, coarsest: Grain, mark: Mark, *, is_open: bool, finest: Grain = Grain.HOUR) -> Cover:
    return cover(
        _begin(window, mark),
        ceil_to(Grain.HOUR, window.end) if is_open else window.end,
        finest=finest,
        coarsest=coarsest,
        sealed=mark.sealed,
        growing=finest is Grain.HOUR,
        subtract=finest is Grain.HOUR,
        borrow=finest is Grain.HOUR and coarsest is COARSEST,
    )
