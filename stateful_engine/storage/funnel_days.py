"""How far the signals of whole days came, kept so that the way of a year's signals is not followed one by one.

A day that is over is counted when somebody asks for it. Whoever changes one of its signals, or the way of one, marks it
as stale in the same transaction; the next reader counts it again. A writer holds the lock of the pre-aggregates that it
changes until it commits, and a reader who counts holds those of signals and interactions, so that no mark is lost.
Days whose signals were deleted while their figures were kept stay as they are.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stateful_engine.domain import clock
from stateful_engine.domain.periods import LENGTH, SECOND, Grain, ceil_to
from stateful_engine.storage import funnel, rollup_marks, rollup_sql
from stateful_engine.storage.funnel import Cells
from stateful_engine.storage.rollup_measures import INTERACTIONS, SIGNALS
from stateful_engine.storage.rollup_sql import fetched, run

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from stateful_engine.storage.database import Database
    from stateful_engine.storage.rollup_reading import Window

NAME = "signal_funnel"
"""Under which `rollup_marks` says up to when days are looked after."""

STALE = "stale"
DAY = LENGTH[Grain.DAY]
SKEW = 3_600 * SECOND
"""How far the clocks of two writers may differ: a day counts as over so much later, and is marked so much earlier."""

DAYS_AT_A_TIME = 8
AT_A_TIME_SECONDS = 0.25
"""How long days are counted before writers get their turn."""

PATIENCE_SECONDS = 20.0
"""How long a reader counts days altogether; the days that are left are read signal by signal."""


def mark(connection: Connection, days: Iterable[int]) -> None:
    """Say that days (since the epoch) have to be counted again; today is not kept, so that it needs no mark."""
    over = (clock.epoch_us() + SKEW) // DAY
    rows = [{"day": day} for day in sorted(set(days)) if day < over]
    if rows:
        run(connection, _MARK, rows)


_MARK = (
    f"INSERT INTO {{schema}}rollup_funnel (day, kind, source, step, bin) VALUES (:day, '{STALE}', '', '', '') "
    "ON CONFLICT (day, kind, source, step, bin) DO NOTHING"
)


def days_of(connection: Connection, signal_ids: Iterable[str]) -> set[int]:
    """The days on which signals were made."""
    made = rollup_sql.moment_sql(connection, "created_at")
    statement = f"SELECT DISTINCT {made} / {DAY} FROM {{schema}}signal_history WHERE signal_id IN :names"
    return {row[0] for row in rollup_sql.fetched_in(connection, statement, sorted(set(signal_ids)))}


def mark_of_user(connection: Connection, user_id: str) -> None:
    """Before the way of a user is forgotten: mark the days of the signals on it."""
    rollup_marks.claim(connection, INTERACTIONS)
    statement = "SELECT signal_id FROM {schema}signal_funnel WHERE user_id = :user_id"
    mark(connection, days_of(connection, run(connection, statement, {"user_id": user_id}).scalars()))


def reset(connection: Connection) -> None:
    """Forget what is kept of the days whose signals are there; the next readers count them."""
    first = _first_day(connection)
    run(connection, "DELETE FROM {schema}rollup_funnel WHERE day >= :first", {"first": first})
    run(connection, "DELETE FROM {schema}rollup_marks WHERE name = :name", {"name": NAME})


def drop_before(connection: Connection, cutoff: int) -> None:
    """Forget days before the one of `cutoff`."""
    run(connection, "DELETE FROM {schema}rollup_funnel WHERE day < :day", {"day": cutoff // DAY})


def _first_day(connection: Connection) -> int:
    """The first day of which no signal was deleted while its figures were kept."""
    known = rollup_marks.mark_of(connection, SIGNALS) or rollup_marks.NO_MARK
    return ceil_to(Grain.DAY, known.forgotten) // DAY


# Counting days


def catch_up(database: Database, since: int | None = None, *, patience: float | None = None) -> None:
    """Count the days from the moment `since` on that are over and stale, the latest first."""
    first = 0 if since is None else since // DAY
    until = time.monotonic() + (PATIENCE_SECONDS if patience is None else patience)
    while time.monotonic() < until:
        with database.reading() as session:
            if _is_current(session.connection(), first):
                return
        with database.connection() as connection:
            _lock(connection)
            _look_after(connection, (clock.epoch_us() - SKEW) // DAY)
            _count_stale(connection, first, time.monotonic() + AT_A_TIME_SECONDS)


def count_before(connection: Connection, cutoff: int) -> None:
    """Count every day up to the one of `cutoff`, before signals of theirs are deleted."""
    _lock(connection)
    _look_after(connection, cutoff // DAY + 1)
    _count_stale(connection, 0, None)


def _is_current(connection: Connection, since: int) -> bool:
    looked_after, stale = _state(connection)
    first = max(since, _first_day(connection))
    return looked_after >= (clock.epoch_us() - SKEW) // DAY and not any(day >= first for day in stale)


def _state(connection: Connection) -> tuple[int, list[int]]:
    """The first day that is not looked after yet, and the days that have to be counted again."""
    found = fetched(connection, f"SELECT sealed_until FROM {{schema}}rollup_marks WHERE name = '{NAME}'")
    stale = fetched(connection, f"SELECT day FROM {{schema}}rollup_funnel WHERE kind = '{STALE}' ORDER BY day DESC")
    return (found[0][0] // DAY if found else 0), [row[0] for row in stale]


def _lock(connection: Connection) -> None:
    """Wait for writers of signals and interactions, and let none begin; SQLite lets only one write anyway."""
    if connection.dialect.name != "sqlite":
        names = ", ".join(f"'{family.source}'" for family in (SIGNALS, INTERACTIONS))
        run(connection, f"SELECT 1 FROM {{schema}}rollup_marks WHERE name IN ({names}) ORDER BY name FOR UPDATE")


def _look_after(connection: Connection, until: int) -> None:
    """From now on keep the days before `until`: they are stale at first."""
    known, _ = _state(connection)
    if known >= until:
        return
    earliest = rollup_sql.ends(connection, SIGNALS)[0] // DAY
    begin = max(known, _first_day(connection), earliest)
    days = [{"day": day} for day in range(begin, until)] if earliest else []
    if days:
        run(connection, _MARK, days)
    run(
        connection,
        "INSERT INTO {schema}rollup_marks (name, sealed_until) VALUES (:name, :until) "
        "ON CONFLICT (name) DO UPDATE SET sealed_until = excluded.sealed_until",
        {"name": NAME, "until": until * DAY},
    )


def _count_stale(connection: Connection, since: int, until: float | None) -> None:
    """Count what is stale, some days at a time; a mark on a day whose signals are gone has nothing to say."""
    first = _first_day(connection)
    looked_after, marked = _state(connection)
    stale = [day for day in marked if day >= since]
    while stale:
        newest = stale[0]
        some = [day for day in stale if day > newest - DAYS_AT_A_TIME]
        _count(connection, [day for day in some if first <= day < looked_after])
        run(connection, f"DELETE FROM {{schema}}rollup_funnel WHERE kind = '{STALE}' AND day >= {some[-1]}")
        stale = stale[len(some) :]
        if until is not None and time.monotonic() >= until:
            return


def _count(connection: Connection, days: Sequence[int]) -> None:
    """Count days anew, which lie close together."""
    if not days:
        return
    where = rollup_sql.created_between(min(days) * DAY, (max(days) + 1) * DAY)
    counted = funnel.cells_by_day(connection, where)
    run(connection, "DELETE FROM {schema}rollup_funnel WHERE day = :day", [{"day": day} for day in days])
    rows = [
        {"day": day, "kind": kind, "source": source, "step": step, "bin": of_time, "total": total, "us": amount}
        for day in days
        for (kind, source, step), bins in counted.get(day, {}).items()
        for of_time, (total, amount) in bins.items()
    ]
    if rows:
        columns = "day, kind, source, step, bin, total, microseconds"
        values = ":day, :kind, :source, :step, :bin, :total, :us"
        run(connection, f"INSERT INTO {{schema}}rollup_funnel ({columns}) VALUES ({values})", rows)


# Reading


@dataclass(slots=True)
class _Days:
    """Which days of a window are kept, and the times beside them."""

    kept: list[tuple[int, int]] = field(default_factory=list)
    beside: list[tuple[int, int]] = field(default_factory=list)

    @property
    def within(self) -> str:
        """The condition on kept days; there are some."""
        return "(" + " OR ".join(f"day BETWEEN {first} AND {last}" for first, last in self.kept) + ")"


def read(connection: Connection, window: Window) -> Cells:
    """How far the signals of a window came: kept days, and the rows beside them."""
    days = _days(connection, window)
    found: Cells = {}
    if days.kept:
        statement = (
            "SELECT kind, source, step, bin, CAST(sum(total) AS BIGINT), CAST(sum(microseconds) AS BIGINT) "
            f"FROM {{schema}}rollup_funnel WHERE {days.within} AND kind <> '{STALE}' GROUP BY kind, source, step, bin"
        )
        funnel.add_cells(found, fetched(connection, statement))
    for begin, end in days.beside:
        for key, bins in funnel.cells(connection, rollup_sql.created_between(begin, end)).items():
            funnel.add_cells(found, ((*key, label, *figures) for label, figures in bins.items()))
    return found


def reached(connection: Connection, window: Window) -> dict[str, int]:
    """How many signals of the window took each step, without their times: the same counts at less cost."""
    days = _days(connection, window)
    found: Counter[str] = Counter()
    if days.kept:
        statement = (
            "SELECT step, CAST(sum(total) AS BIGINT) FROM {schema}rollup_funnel "
            f"WHERE {days.within} AND kind = '{funnel.SIGNAL}' GROUP BY step"
        )
        found.update(dict(fetched(connection, statement)))
    for begin, end in days.beside:
        found.update(funnel.reached(connection, rollup_sql.created_between(begin, end)))
    return dict(found)


def _days(connection: Connection, window: Window) -> _Days:
    """Runs of kept days inside a window; one that begins within a day whose signals are gone begins with that day."""
    looked_after, marked = _state(connection)
    first, stale = _first_day(connection), set(marked)
    earliest = _earliest(connection)
    if earliest is None:
        return _Days()
    begin = max(window.begin or 0, earliest)
    if begin // DAY < first:
        begin -= begin % DAY
    found, at = _Days(), begin
    for day in range(ceil_to(Grain.DAY, begin) // DAY, min(window.end // DAY, looked_after)):
        if day in stale and day >= first:
            continue
        if found.kept and found.kept[-1][1] == day - 1:
            found.kept[-1] = found.kept[-1][0], day
        else:
            found.kept.append((day, day))
            if at < day * DAY:
                found.beside.append((at, day * DAY))
        at = (day + 1) * DAY
    if at < window.end:
        found.beside.append((at, window.end))
    return found


def _earliest(connection: Connection) -> int | None:
    """When the first signal that is there, or still counted, was made."""
    made, _ = rollup_sql.ends(connection, SIGNALS)
    kept = fetched(connection, "SELECT min(day) FROM {schema}rollup_funnel")[0][0]
    known = [moment for moment in (made or None, None if kept is None else kept * DAY) if moment is not None]
    return min(known) if known else None


def differing(connection: Connection) -> int:
    """How many of the kept days do not say what their rows say."""
    looked_after, stale = _state(connection)
    first, earliest = _first_day(connection), rollup_sql.ends(connection, SIGNALS)[0] // DAY
    begin = max(first, earliest) if earliest else looked_after
    wrong = sum(day >= first for day in _kept(connection, 0, begin))
    for day in range(begin, looked_after, DAYS_AT_A_TIME):
        days = set(range(day, min(day + DAYS_AT_A_TIME, looked_after))) - set(stale)
        counted = funnel.cells_by_day(connection, rollup_sql.created_between(day * DAY, (day + DAYS_AT_A_TIME) * DAY))
        kept = _kept(connection, day, day + DAYS_AT_A_TIME)
        wrong += sum(kept.get(each, {}) != counted.get(each, {}) for each in days)
    return wrong


def _kept(connection: Connection, begin: int, end: int) -> dict[int, Cells]:
    statement = (
        "SELECT day, kind, source, step, bin, total, microseconds FROM {schema}rollup_funnel "
        f"WHERE day >= {begin} AND day < {end} AND kind <> '{STALE}'"
    )
    found: dict[int, Cells] = {}
    for day, *cell in fetched(connection, statement):
        funnel.add_cells(found.setdefault(day, {}), [cell])
    return found
