"""What stored rows count for, said in SQL: for the edges of windows, for filters, and to rebuild and check.

`rollup_measures` says the same in Python; the two are compared by `flask stateful rollup check`. Statements are text,
as they are made of columns of ours alone and run too often to be compiled each time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, TextClause, bindparam, text

from stateful_engine.domain.clock import from_epoch_us
from stateful_engine.domain.periods import LENGTH, STRIDE, Grain
from stateful_engine.storage.base import UtcDateTime
from stateful_engine.storage.copying import driver_errors, is_possible
from stateful_engine.storage.rollup_expressions import Sql, facts_of
from stateful_engine.storage.rollup_measures import ALL, FAMILIES, Family

Where = tuple[str, Mapping[str, Any]]
"""Conditions on the columns of a table of records, with their parameters."""

Parameters = Mapping[str, Any] | Sequence[Mapping[str, Any]]

_AT_A_TIME = 500


def created_between(begin: int | None, end: int | None) -> Where:
    """The rows of a window; None leaves a side open."""
    conditions, parameters = [], {}
    if begin is not None:
        conditions.append("created_at >= :begin")
        parameters["begin"] = from_epoch_us(begin)
    if end is not None:
        conditions.append("created_at < :end")
        parameters["end"] = from_epoch_us(end)
    return " AND ".join(conditions) or "1 = 1", parameters


def cells_of_rows(
    connection: Connection, family: Family, where: Where, dimensions: Iterable[str]
) -> list[tuple[str, str, dict[str, int]]]:
    """What stored rows amount to, by dimension and value; `day` (since the epoch) and `hour_of_week` are such, too."""
    statement = _cells(family.source, tuple(dimensions), connection.dialect.name, where[0], grain=None)
    found = run(connection, statement, where[1])
    return [(row[0], row[1], dict(zip(family.measures, row[2:], strict=True))) for row in found]


def ends(connection: Connection, family: Family) -> tuple[int, int]:
    """When the first and the last row of a table were made, in microseconds; both 0 when it is empty."""
    found = []
    for which in ("min", "max"):
        inner = f"SELECT {which}(created_at) AS at FROM {{schema}}{family.source}"
        found.append(run(connection, f"SELECT {moment_sql(connection, 'n.at')} FROM ({inner}) AS n").scalar() or 0)
    return found[0], found[1]


def cells_statement(connection: Connection, family: Family, where: Where, *, grain: Grain = Grain.HOUR) -> str:
    """The statement that counts all cells of stored rows by hour, or by shorter periods."""
    every = (ALL, *family.dimensions)
    return _cells(family.source, every, connection.dialect.name, where[0], grain=grain)


def any_dimension(family: Family) -> str:
    """A condition that all cells meet, by which those of few periods are found in the index."""
    return f"dimension IN ({', '.join(map(repr, (ALL, *family.dimensions)))})"


def fill(connection: Connection, family: Family, where: Where) -> None:
    """Make the cells of stored rows by hour; there are none yet for these hours."""
    columns = ", ".join(("dimension", "period", "value", *family.measures))
    rows = cells_statement(connection, family, where)
    run(connection, f"INSERT INTO {{schema}}{family.cells} ({columns}) {rows}", where[1])


def run(connection: Connection, statement: str, parameters: Parameters | None = None) -> Any:
    """Run a statement in which `{schema}` stands before the names of our tables; times are taken as they are stored.

    With several sets of parameters it runs once for each.
    """
    times = tuple(name for name in ("begin", "end") if parameters and name in parameters)
    return connection.execute(_clause(statement, schema_prefix(connection), times), parameters)


def fetched(connection: Connection, statement: str) -> list[tuple[Any, ...]]:
    """What a statement without parameters says, straight from the driver, as reports ask several and are in a hurry."""
    text_of = statement.replace("{schema}", schema_prefix(connection))
    with driver_errors(connection, text_of):
        cursor = connection.connection.cursor()
        try:
            cursor.execute(text_of)
            return list(cursor.fetchall())
        finally:
            cursor.close()


def fetched_soon(connection: Connection, statement: str) -> list[tuple[Any, ...]]:
    """As `fetched`, for what reads few rows: PostgreSQL is told to start no other processes, which takes longer.

    It often believes that there are more. What is told holds until the end of the transaction.
    """
    if connection.dialect.name != "postgresql":
        return fetched(connection, statement)
    if is_possible(connection):
        return fetched(connection, f"{ALONE}; {statement}")
    connection.exec_driver_sql(ALONE)
    return fetched(connection, statement)


ALONE = "SET LOCAL max_parallel_workers_per_gather = 0"


@lru_cache(maxsize=256)
def _clause(statement: str, schema: str, times: tuple[str, ...]) -> TextClause:
    """Made once, as most statements run again and again."""
    clause = text(statement.replace("{schema}", schema))
    return clause.bindparams(*(bindparam(name, type_=UtcDateTime()) for name in times))


def run_in(connection: Connection, statement: str, names: Sequence[str]) -> None:
    """Run a statement with `IN :names`, some names at a time."""
    clause = text(statement.replace("{schema}", schema_prefix(connection))).bindparams(
        bindparam("names", expanding=True)
    )
    for start in range(0, len(names), _AT_A_TIME):
        connection.execute(clause, {"names": list(names[start : start + _AT_A_TIME])})


def fetched_in(connection: Connection, statement: str, names: Sequence[str]) -> list[Any]:
    """What a statement with `IN :names` says, some names at a time."""
    clause = text(statement.replace("{schema}", schema_prefix(connection))).bindparams(
        bindparam("names", expanding=True)
    )
    found: list[Any] = []
    for start in range(0, len(names), _AT_A_TIME):
        found += connection.execute(clause, {"names": list(names[start : start + _AT_A_TIME])})
    return found


def moment_sql(connection: Connection, column: str) -> str:
    """The expression for a time as microseconds since the epoch."""
    return Sql(connection.dialect.name).moment(column)


def schema_prefix(connection: Connection) -> str:
    """What stands before the names of our tables on this connection."""
    translation = connection.get_execution_options().get("schema_translate_map") or {}
    schema = translation.get(None)
    return "" if schema is None else f"{connection.dialect.identifier_preparer.quote(schema)}."


@lru_cache(maxsize=256)
def _cells(family_name: str, dimensions: tuple[str, ...], dialect: str, where: str, *, grain: Grain | None) -> str:
    family = FAMILIES[family_name]
    facts = facts_of(family, dialect)
    inner = ", ".join([*facts.columns, *named(facts.derived)])
    values = {f"by_{name}": facts.values[name] for name in dimensions if name != ALL}
    outer = named(facts.measures) + named(values)
    if grain is not None:
        outer.append(f"{grain * STRIDE} + made / {LENGTH[grain]} AS period")
    sums = ", ".join(f"CAST(sum({name}) AS BIGINT) AS {name}" for name in family.measures)
    parts = [_part(name, sums, period="" if grain is None else "period, ") for name in dimensions]
    return (
        f"WITH facts AS (SELECT {', '.join(outer)} FROM (SELECT {inner} FROM {{schema}}{family.source} WHERE {where} "
        f"{Sql(dialect).as_it_is}) AS numbers) " + " UNION ALL ".join(parts)
    )


def named(expressions: Mapping[str, str]) -> list[str]:
    """Expressions as a SELECT has them."""
    return [f"{expression} AS {name}" for name, expression in expressions.items()]


def _part(dimension: str, sums: str, *, period: str) -> str:
    """All rows by one dimension; an empty table has no cells."""
    if dimension == ALL:
        grouping = f" GROUP BY {period[:-2]}" if period else ""
        return f"SELECT '' AS dimension, {period}'' AS value, {sums} FROM facts{grouping} HAVING count(*) > 0"
    column = f"by_{dimension}"
    return (
        f"SELECT '{dimension}' AS dimension, {period}{column} AS value, {sums} FROM facts "
        f"WHERE {column} IS NOT NULL GROUP BY {period}{column}"
    )


def counted_columns(family: Family) -> Sequence[str]:
    """The columns that decide what a row counts for."""
    return _COLUMNS[family.source]


_COLUMNS = {
    "signal_history": (
        *("created_at", "symbol", "timeframe", "action", "source_engine", "ai_model", "prompt_version"),
        *("market_conditions", "confidence", "is_executed", "outcome", "ambiguous", "pnl_percentage", "r_multiple"),
        "closed_at",
    ),
    "gpt_query_log": (
        *("created_at", "endpoint", "response_status", "ai_model_used", "is_successful", "processing_time_ms"),
        *("tokens_used", "prompt_tokens", "completion_tokens", "cost_usd", "conversation_ref", "user_ref"),
    ),
    "user_interaction": ("created_at", "interaction_type", "interaction_source", "user_id"),
}
