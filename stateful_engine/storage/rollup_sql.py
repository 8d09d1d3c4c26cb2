"""What stored rows count for, said in SQL: for the edges of windows, for filters, and to rebuild and check.

`rollup_measures` says the same in Python; the two are compared by `flask stateful rollup check`. Statements are text,
as they are made of columns of ours alone and run too often to be compiled each time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, bindparam, text

from stateful_engine.domain import amounts
from stateful_engine.domain.clock import from_epoch_us
from stateful_engine.domain.periods import LENGTH, STRIDE, Grain
from stateful_engine.storage.base import SHORT_TEXT, UtcDateTime
from stateful_engine.storage.rollup_measures import ALL, LONG_TEXT, LONGEST, NOTHING, Family

Where = tuple[str, Mapping[str, Any]]
"""Conditions on the columns of a table of records, with their parameters."""

Parameters = Mapping[str, Any] | Sequence[Mapping[str, Any]]

_AT_A_TIME = 500
_DAY = LENGTH[Grain.DAY]
_CLOSED = "outcome IN ('WIN', 'LOSS', 'BREAKEVEN')"


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
    connection: Connection, family: Family, where: Where, dimensions: Iterable[str], *, by_hour: bool = False
) -> list[dict[str, Any]]:
    """The cells that stored rows make up: dicts with `dimension`, `value`, the measures, and `period` if by hour."""
    statement = _cells(family.source, tuple(dimensions), connection.dialect.name, where[0], by_hour=by_hour)
    return [dict(row) for row in run(connection, statement, where[1]).mappings()]


def cells_statement(connection: Connection, family: Family, where: Where) -> str:
    """The statement that counts all cells of stored rows by hour."""
    every = (ALL, *family.dimensions)
    return _cells(family.source, every, connection.dialect.name, where[0], by_hour=True)


def fill(connection: Connection, family: Family, where: Where) -> None:
    """Make the cells of stored rows by hour; there are none yet for these hours."""
    columns = ", ".join(("dimension", "period", "value", *family.measures))
    rows = cells_statement(connection, family, where)
    run(connection, f"INSERT INTO {{schema}}{family.cells} ({columns}) {rows}", where[1])


def run(connection: Connection, statement: str, parameters: Parameters | None = None) -> Any:
    """Run a statement in which `{schema}` stands before the names of our tables; times are taken as they are stored.

    With several sets of parameters it runs once for each.
    """
    clause = text(statement.replace("{schema}", schema_prefix(connection)))
    times = [name for name in ("begin", "end") if parameters and name in parameters]
    return connection.execute(clause.bindparams(*(bindparam(name, type_=UtcDateTime()) for name in times)), parameters)


def run_in(connection: Connection, statement: str, names: Sequence[str]) -> None:
    """Run a statement with `IN :names`, some names at a time."""
    clause = text(statement.replace("{schema}", schema_prefix(connection))).bindparams(
        bindparam("names", expanding=True)
    )
    for start in range(0, len(names), _AT_A_TIME):
        connection.execute(clause, {"names": list(names[start : start + _AT_A_TIME])})


def moment_sql(connection: Connection, column: str) -> str:
    """The expression for a time as microseconds since the epoch."""
    return _Sql(connection.dialect.name).moment(column)


def schema_prefix(connection: Connection) -> str:
    """What stands before the names of our tables on this connection."""
    translation = connection.get_execution_options().get("schema_translate_map") or {}
    schema = translation.get(None)
    return "" if schema is None else f"{connection.dialect.identifier_preparer.quote(schema)}."


def value_sql(connection: Connection, family: Family, dimension: str) -> str:
    """The expression for the value that a row has in a dimension."""
    return _FACTS[family.source](_Sql(connection.dialect.name))[1][dimension]


@lru_cache(maxsize=256)
def _cells(source: str, dimensions: tuple[str, ...], dialect: str, where: str, *, by_hour: bool) -> str:
    sql = _Sql(dialect)
    measures, values = _FACTS[source](sql)
    wanted = {name: values[name] for name in dimensions if name != ALL}
    facts = [f"{expression} AS {name}" for name, expression in {**measures, **_prefixed(wanted)}.items()]
    if by_hour:
        facts.append(f"{Grain.HOUR * STRIDE} + {sql.moment('created_at')} / {LENGTH[Grain.HOUR]} AS period")
    sums = ", ".join(f"CAST(sum({name}) AS BIGINT) AS {name}" for name in measures)
    period = "period, " if by_hour else ""
    parts = [_part(name, sums, period=period) for name in dimensions]
    return f"WITH facts AS (SELECT {', '.join(facts)} FROM {{schema}}{source} WHERE {where}) " + " UNION ALL ".join(
        parts
    )


def _prefixed(values: Mapping[str, str]) -> dict[str, str]:
    return {f"by_{name}": expression for name, expression in values.items()}


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


class _Sql:
    """The few expressions that the databases spell differently."""

    def __init__(self, dialect: str) -> None:
        self._is_sqlite = dialect == "sqlite"

    def moment(self, column: str) -> str:
        """A time as microseconds since the epoch."""
        if self._is_sqlite:
            return f"(CAST(strftime('%s', {column}) AS INTEGER) * 1000000 + CAST(substr({column}, 21, 6) AS INTEGER))"
        return f"CAST(extract(epoch FROM {column}) * 1000000 AS BIGINT)"

    def units(self, column: str, limit: float, unit: int = amounts.MICRO) -> str:
        """As `amounts.units`: a cast truncates on SQLite, and rounds to even on PostgreSQL, where it must not."""
        scaled = f"{column} * {unit}.0 + CASE WHEN {column} < 0 THEN -0.5 ELSE 0.5 END"
        whole = f"CAST({scaled} AS INTEGER)" if self._is_sqlite else f"CAST(trunc({scaled}) AS BIGINT)"
        return f"CASE WHEN abs({column}) <= {limit} THEN {whole} END"

    def text(self, expression: str) -> str:
        return f"CAST({expression} AS TEXT)"

    def character(self, code: int) -> str:
        return f"{'char' if self._is_sqlite else 'chr'}({code})"

    def label(self, column: str, longest: int = LONGEST) -> str:
        """As `rollup_measures.label`."""
        return (
            f"CASE WHEN {column} IS NULL THEN '{NOTHING}' WHEN length({column}) > {longest} THEN '{LONG_TEXT}' "
            f"ELSE {column} END"
        )


def confidence_bin(sql: _Sql, amount: str) -> str:
    """As `amounts.confidence_bin`, as text."""
    number = f"{amount} / {10 * amounts.MICRO}"
    return (
        f"CASE WHEN {amount} IS NULL THEN '' WHEN {amount} < 0 THEN '0' WHEN {number} > 9 THEN '9' "
        f"ELSE {sql.text(number)} END"
    )


def _signal_facts(sql: _Sql) -> tuple[dict[str, str], dict[str, str]]:
    confidence = f"({sql.units('confidence', amounts.MAX_CONFIDENCE)})"
    measures = {
        "total": "1",
        "executed": "CASE WHEN is_executed THEN 1 ELSE 0 END",
        **{word.lower(): _flag(f"outcome = '{word}'") for word in ("WIN", "LOSS", "BREAKEVEN", "UNFILLED")},
        "ambiguous_win": _flag("outcome = 'WIN' AND ambiguous"),
        "ambiguous_loss": _flag("outcome = 'LOSS' AND ambiguous"),
        "confidence_n": _flag(f"{confidence} IS NOT NULL"),
        "confidence": f"coalesce({confidence}, 0)",
        **_amounts(sql, "pnl", "pnl_percentage", amounts.MAX_PERCENT),
        **_amounts(sql, "r", "r_multiple", amounts.MAX_R),
    }
    texts = ("symbol", "timeframe", "action", "source_engine", "ai_model", "prompt_version", "market_conditions")
    values = {name: sql.label(name) for name in texts}
    values["confidence"] = confidence_bin(sql, confidence)
    values["executed"] = "CASE WHEN is_executed THEN '1' ELSE '0' END"
    closing = f"{sql.moment('coalesce(closed_at, created_at)')} / {_DAY}"
    values["closed_on"] = f"CASE WHEN {_CLOSED} THEN {sql.text(closing)} END"
    mark = sql.character(31)
    values["forecast"] = (
        f"CASE WHEN outcome IN ('WIN', 'LOSS') AND {confidence} BETWEEN 0 AND {100 * amounts.MICRO} THEN "
        f"{sql.text(confidence)} || {mark} || {values['source_engine']} || {mark} || {values['ai_model']} END"
    )
    return measures, values


def _flag(condition: str) -> str:
    return f"CASE WHEN {condition} THEN 1 ELSE 0 END"


def _amounts(sql: _Sql, name: str, column: str, limit: int) -> dict[str, str]:
    """Count, sum, gains and squares. A square is put together from halves of the amount, as it exceeds 64 bits."""
    found = f"(CASE WHEN {_CLOSED} THEN {sql.units(column, limit)} END)"
    amount = f"coalesce({found}, 0)"
    size = f"abs({amount})"
    high, low = f"({size} / 1000000)", f"({size} % 1000000)"
    rest = f"(2 * {high} * {low} * 1000000 + {low} * {low})"
    return {
        f"{name}_n": _flag(f"{found} IS NOT NULL"),
        name: amount,
        f"{name}_gain": f"CASE WHEN {amount} > 0 THEN {amount} ELSE 0 END",
        f"{name}_square_high": f"{high} * {high} * 1000 + {rest} / {amounts.SQUARE_BASE}",
        f"{name}_square_low": f"{rest} % {amounts.SQUARE_BASE}",
    }


def _query_facts(sql: _Sql) -> tuple[dict[str, str], dict[str, str]]:
    latency = f"({sql.units('processing_time_ms', amounts.MAX_MILLISECONDS, 1000)})"
    cost = f"({sql.units('cost_usd', amounts.MAX_COST, amounts.NANO)})"
    measures = {
        "total": "1",
        "successful": "CASE WHEN is_successful THEN 1 ELSE 0 END",
        "latency_n": _flag(f"{latency} IS NOT NULL"),
        "latency": f"coalesce({latency}, 0)",
        "tokens_n": _flag(_countable("tokens_used")),
        **{name: _tokens(column) for name, column in _TOKENS.items()},
        "cost_n": _flag(f"{cost} IS NOT NULL"),
        "cost": f"coalesce({cost}, 0)",
    }
    values = {
        "endpoint": sql.label("endpoint", SHORT_TEXT),
        "status": f"coalesce({sql.text('response_status')}, '{NOTHING}')",
        "model": sql.label("ai_model_used"),
        "latency": f"CASE WHEN {latency} IS NOT NULL THEN {_latency_bin(sql, latency)} END",
    }
    return measures, values


_TOKENS = {"tokens": "tokens_used", "prompt_tokens": "prompt_tokens", "completion_tokens": "completion_tokens"}


def _countable(column: str) -> str:
    return f"{column} BETWEEN -{amounts.MAX_TOKENS} AND {amounts.MAX_TOKENS}"


def _tokens(column: str) -> str:
    return f"CASE WHEN {_countable(column)} THEN {column} ELSE 0 END"


def _latency_bin(sql: _Sql, latency: str) -> str:
    """As `amounts.latency_bin`."""
    amount = f"CASE WHEN {latency} < 0 THEN 0 ELSE {latency} END"
    digits = sql.text(amount)
    lead = f"CAST(substr({digits}, 1, 3) AS INTEGER)"
    step = f"CASE WHEN {lead} < 200 THEN 2 WHEN {lead} < 500 THEN 5 ELSE 10 END"
    coarse = sql.text(f"{lead} - {lead} % {step}")
    dropped = sql.text(f"length({digits}) - 3")
    return f"CASE WHEN {latency} < 1000 THEN {digits} || 'e0' ELSE {coarse} || 'e' || {dropped} END"


def _interaction_facts(sql: _Sql) -> tuple[dict[str, str], dict[str, str]]:
    values = {"type": sql.label("interaction_type"), "source": sql.label("interaction_source")}
    return {"total": "1"}, values


_FACTS = {
    "signal_history": _signal_facts,
    "gpt_query_log": _query_facts,
    "user_interaction": _interaction_facts,
}


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
