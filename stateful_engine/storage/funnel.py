"""The way of a signal from being generated to being closed, kept as one row per signal and user.

Interactions may arrive in any order and more than once; of each step the earliest counts. The source of a step is the
door through which it was taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from stateful_engine.domain.periods import LENGTH, Grain
from stateful_engine.domain.vocabulary import InteractionType
from stateful_engine.storage.rollup_expressions import latency_bin
from stateful_engine.storage.rollup_measures import Row, label, moment_of
from stateful_engine.storage.rollup_sets import stored_text
from stateful_engine.storage.rollup_sql import Where, moment_sql, run, run_in

NOBODY = ""
"""Stands for a user who was not named."""

Step = tuple[int, str]
"""When, and through which door."""

Steps = dict[tuple[str, str], dict[str, Step]]
"""The first `seen` and `executed` by signal and user."""

_DAY = LENGTH[Grain.DAY]

_STEP_OF = {
    InteractionType.VIEW.value: "seen",
    InteractionType.CLICK.value: "seen",
    InteractionType.EXECUTE.value: "executed",
}


def steps_of(rows: Sequence[Row]) -> Steps:
    """The steps that interactions stand for; those that are none, or belong to no signal, are passed over."""
    found: Steps = {}
    for row in rows:
        step = _STEP_OF.get(label(row.get("interaction_type")))
        if step is not None and row.get("signal_id") is not None:
            user = NOBODY if row.get("user_id") is None else stored_text(row["user_id"])
            at = (moment_of(row["created_at"]), label(row.get("interaction_source")))
            merge(found, {(stored_text(row["signal_id"]), user): {step: at}})
    return found


def merge(into: Steps, more: Steps) -> None:
    """Add steps to others; the earlier of two wins, of two at the same moment the one whose source sorts first."""
    for key, steps in more.items():
        known = into.setdefault(key, {})
        for step, at in steps.items():
            known[step] = min(at, known.get(step, at))


def add(connection: Connection, steps: Steps) -> None:
    """Write down steps, where they come before what is known."""
    rows = [_parameters(key, steps[key]) for key in sorted(steps)]
    if not rows:
        return
    updates = ", ".join(
        f"{step}_{part} = CASE WHEN {_comes_first(step)} THEN excluded.{step}_{part} ELSE f.{step}_{part} END"
        for step in ("seen", "executed")
        for part in ("at", "source")
    )
    names = tuple(rows[0])
    is_sqlite = connection.dialect.name == "sqlite"
    source = f"VALUES ({', '.join(f':{name}' for name in names)})" if is_sqlite else _given(names)
    statement = (
        f"INSERT INTO {{schema}}signal_funnel AS f ({', '.join(names)}) {source} "
        f"ON CONFLICT (signal_id, user_id) DO UPDATE SET {updates}"
    )
    run(connection, statement, rows if is_sqlite else {name: [row[name] for row in rows] for name in names})


def _parameters(key: tuple[str, str], steps: Mapping[str, Step]) -> dict[str, Any]:
    seen, executed = steps.get("seen", (None, None)), steps.get("executed", (None, None))
    return {
        "signal_id": key[0],
        "user_id": key[1],
        "seen_at": seen[0],
        "seen_source": seen[1],
        "executed_at": executed[0],
        "executed_source": executed[1],
    }


_TYPES = {"seen_at": "bigint", "executed_at": "bigint"}


def _given(names: Iterable[str]) -> str:
    arrays = ", ".join(f"CAST(:{name} AS {_TYPES.get(name, 'text')}[])" for name in names)
    return f"SELECT * FROM unnest({arrays})"


def _comes_first(step: str) -> str:
    at, source = f"{step}_at", f"{step}_source"
    return f"f.{at} IS NULL OR excluded.{at} < f.{at} OR (excluded.{at} = f.{at} AND excluded.{source} < f.{source})"


@dataclass(frozen=True, slots=True)
class Stage:
    """How many signals came so far, and the median time since the step before, in seconds."""

    source: str
    step: str
    count: int
    median_seconds: float | None


_WAYS = "FROM made CROSS JOIN {schema}signal_funnel AS f WHERE f.signal_id = made.signal_id"
"""The ways of the signals in `made`. SQLite keeps to the order of a CROSS JOIN, so that it looks the few signals up in
the many ways, by their key, and never reads all ways to find those few.
"""


def stages(connection: Connection, where: Where, *, by_source: bool) -> list[Stage]:
    """How far the signals of a window came: `generated`, `seen`, `executed`, `closed`, each part of the one before.

    Whoever executes a signal has seen it; only executed signals count as closed. `by_source` tells the signals apart by
    where they came from.
    """
    found = run(connection, _stages(connection, where[0], by_source=by_source) + _MEDIAN, where[1])
    return [Stage(row[0], row[1], row[2], _seconds(row[3])) for row in found]


def _stages(connection: Connection, where: str, *, by_source: bool) -> str:
    """The steps that signals took, as `took`: a row for each, with the time since the step before."""
    source = "coalesce(source, '')" if by_source else "''"
    made, executed = (moment_sql(connection, column) for column in ("created_at", "coalesce(executed_at, created_at)"))
    closed = moment_sql(connection, "coalesce(closed_at, updated_at, created_at)")
    return (
        f"WITH made AS (SELECT signal_id, {source} AS source, {made} AS at, {made} / {_DAY} AS day, "
        f"CASE WHEN is_executed THEN {executed} END AS executed, "
        f"CASE WHEN is_executed AND outcome IN ('WIN', 'LOSS', 'BREAKEVEN') THEN {closed} END AS closed "
        f"FROM {{schema}}signal_history WHERE {where}), "
        f"looks AS (SELECT made.signal_id, f.seen_at AS at {_WAYS} AND f.seen_at IS NOT NULL UNION ALL "
        f"SELECT made.signal_id, f.executed_at {_WAYS} AND f.executed_at IS NOT NULL UNION ALL "
        "SELECT signal_id, executed FROM made WHERE executed IS NOT NULL), "
        "seen AS (SELECT made.signal_id, made.day, made.source, made.at AS made, made.executed, min(looks.at) AS at "
        "FROM made JOIN looks ON looks.signal_id = made.signal_id "
        "GROUP BY made.signal_id, made.day, made.source, made.at, made.executed), "
        "took AS (SELECT day, source, 'generated' AS step, NULL AS seconds FROM made UNION ALL "
        "SELECT day, source, 'seen', at - made FROM seen UNION ALL "
        "SELECT day, source, 'executed', executed - at FROM seen WHERE executed IS NOT NULL UNION ALL "
        "SELECT day, source, 'closed', closed - executed FROM made WHERE closed IS NOT NULL) "
    )


_MEDIAN = (
    "SELECT source, step, max(n), avg(seconds) FROM (SELECT source, step, seconds, "
    "row_number() OVER (PARTITION BY source, step ORDER BY seconds) AS place, "
    "count(*) OVER (PARTITION BY source, step) AS n FROM took) AS ranked "
    "WHERE place IN ((n + 1) / 2, (n + 2) / 2) GROUP BY source, step ORDER BY source, step"
)
"""Count and median of `took`: the middle value, or the mean of the two in the middle."""


_IS_SEEN = (
    "EXISTS (SELECT 1 FROM {schema}signal_funnel AS f WHERE f.signal_id = signal_history.signal_id "
    "AND (f.seen_at IS NOT NULL OR f.executed_at IS NOT NULL))"
)


def only_seen(connection: Connection, where: Where) -> int:
    """How many signals of a window somebody came to although nobody is known to have executed them."""
    statement = f"SELECT count(*) FROM {{schema}}signal_history WHERE {where[0]} AND NOT is_executed AND {_IS_SEEN}"
    return int(run(connection, statement, where[1]).scalar())


def reached(connection: Connection, where: Where) -> dict[str, int]:
    """How many signals of a window took each step, without their times."""
    flags = {
        "generated": "1 = 1",
        "seen": f"is_executed OR {_IS_SEEN}",
        "executed": "is_executed",
        "closed": "is_executed AND outcome IN ('WIN', 'LOSS', 'BREAKEVEN')",
    }
    sums = ", ".join(f"coalesce(sum(CASE WHEN {flag} THEN 1 ELSE 0 END), 0)" for flag in flags.values())
    found = run(connection, f"SELECT {sums} FROM {{schema}}signal_history WHERE {where[0]}", where[1]).one()
    return {step: int(count) for step, count in zip(flags, found, strict=True)}


def visits(connection: Connection, where: Where) -> list[Stage]:
    """What users did with the signals of a window, by the door they came through first: `seen` and `executed`.

    Each user counts once per signal; times are since the signal was made, and since it was seen.
    """
    found = run(connection, _visits(connection, where[0]) + _MEDIAN, where[1])
    return [Stage(row[0], row[1], row[2], _seconds(row[3])) for row in found]


def _visits(connection: Connection, where: str) -> str:
    """The steps that users took, as `took`."""
    made = moment_sql(connection, "created_at")
    return (
        f"WITH made AS (SELECT signal_id, {made} AS at, {made} / {_DAY} AS day "
        f"FROM {{schema}}signal_history WHERE {where}), "
        "pairs AS (SELECT made.day, coalesce(f.seen_source, f.executed_source) AS source, made.at AS made, "
        f"coalesce(f.seen_at, f.executed_at) AS seen, f.executed_at AS executed {_WAYS}), "
        "took AS (SELECT day, source, 'seen' AS step, seen - made AS seconds FROM pairs UNION ALL "
        "SELECT day, source, 'executed', executed - seen FROM pairs WHERE executed IS NOT NULL) "
    )


SIGNAL, VISIT = "signal", "visit"
"""Cells count signals by where they came from, and users by the door through which they came."""

Bins = dict[str, tuple[int, int]]
"""How many took a step, and how long together, by the bin of their time."""

Cells = dict[tuple[str, str, str], Bins]
"""Bins by kind, source and step."""


def cells(connection: Connection, where: Where) -> Cells:
    """How far the signals of a window came, in a form that can be added up: times by bins of at most 2.5 %."""
    found: Cells = {}
    for cells_of_day in cells_by_day(connection, where).values():
        for key, bins in cells_of_day.items():
            add_cells(found, ((*key, bin_of_time, *figures) for bin_of_time, figures in bins.items()))
    return found


def cells_by_day(connection: Connection, where: Where) -> dict[int, Cells]:
    """The same for each day (since the epoch) on which signals were made."""
    found: dict[int, Cells] = {}
    ways = {SIGNAL: _stages(connection, where[0], by_source=True), VISIT: _visits(connection, where[0])}
    for kind, way in ways.items():
        statement = (
            f"{way} SELECT day, '{kind}', source, step, {_BIN} AS bin, count(*), "
            "CAST(coalesce(sum(seconds), 0) AS BIGINT) FROM took GROUP BY day, source, step, bin"
        )
        for day, *cell in run(connection, statement, where[1]):
            add_cells(found.setdefault(day, {}), [cell])
    return found


_BIN = f"CASE WHEN seconds IS NULL THEN '' ELSE {latency_bin('seconds')} END"


def add_cells(into: Cells, rows: Iterable[Any]) -> None:
    """Add rows of kind, source, step, bin, count and microseconds to cells."""
    for kind, source, step, bin_of_time, count, microseconds in rows:
        bins = into.setdefault((kind, source, step), {})
        known = bins.get(bin_of_time, (0, 0))
        bins[bin_of_time] = known[0] + count, known[1] + microseconds


def _seconds(microseconds: Any) -> float | None:
    return None if microseconds is None else float(microseconds) / 1e6


def rebuild(connection: Connection) -> None:
    """Make all rows again out of the interactions that are stored."""
    run(connection, "DELETE FROM {schema}signal_funnel")
    made = moment_sql(connection, "created_at")
    statement = (
        f"SELECT id, {made} AS created_at, interaction_type, interaction_source, signal_id, user_id "
        "FROM {schema}user_interaction WHERE id > :after AND signal_id IS NOT NULL "
        "AND interaction_type IN ('VIEW', 'CLICK', 'EXECUTE') ORDER BY id LIMIT 5000"
    )
    after = 0
    while rows := [dict(row) for row in run(connection, statement, {"after": after}).mappings()]:
        add(connection, steps_of(rows))
        after = rows[-1]["id"]


def differing(connection: Connection) -> int:
    """How many rows do not say what the interactions with signals that are stored say."""
    made = moment_sql(connection, "created_at")
    user = f"coalesce(user_id, '{NOBODY}')"
    counted = (
        f"SELECT signal_id, {user} AS user_id, "
        f"min(CASE WHEN interaction_type IN ('VIEW', 'CLICK') THEN {made} END) AS seen_at, "
        f"min(CASE WHEN interaction_type = 'EXECUTE' THEN {made} END) AS executed_at FROM {{schema}}user_interaction "
        "WHERE interaction_type IN ('VIEW', 'CLICK', 'EXECUTE') "
        f"GROUP BY signal_id, {user}"
    )
    of_signals = "WHERE signal_id IN (SELECT signal_id FROM {schema}signal_history)"
    columns = "signal_id, user_id, coalesce(seen_at, -1) AS seen_at, coalesce(executed_at, -1) AS executed_at"
    statement = (
        f"SELECT count(*) FROM (SELECT signal_id, user_id FROM ("
        f"SELECT {columns} FROM {{schema}}signal_funnel {of_signals} UNION ALL "
        f"SELECT {columns} FROM ({counted}) AS counted {of_signals}"
        ") AS both_sides GROUP BY signal_id, user_id, seen_at, executed_at HAVING count(*) <> 2) AS wrong"
    )
    return int(run(connection, statement).scalar())


def delete_of(connection: Connection, signal_ids: Sequence[str]) -> None:
    """Forget the way of signals that are gone."""
    run_in(connection, "DELETE FROM {schema}signal_funnel WHERE signal_id IN :names", signal_ids)


def forget_user(connection: Connection, user_id: str) -> None:
    """Forget what one user did."""
    run(connection, "DELETE FROM {schema}signal_funnel WHERE user_id = :user_id", {"user_id": user_id})
