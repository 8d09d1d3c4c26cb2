"""Figures that only the rows themselves give exactly: results in the order of their ends, and durations in theirs.

They are read for windows of few rows; larger ones are answered from pre-aggregates.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any

from stateful_engine.domain import amounts
from stateful_engine.domain.clock import to_epoch_us
from stateful_engine.domain.periods import LENGTH, Grain
from stateful_engine.storage.rollup_expressions import Sql, confidence_bin
from stateful_engine.storage.rollup_sql import Where, created_between, moment_sql, run

if TYPE_CHECKING:
    from sqlalchemy import Connection


@dataclass(frozen=True, slots=True)
class SignalConditions:
    """Which signals a report is about; None leaves a condition out.

    `symbol_raw` is the symbol as it was written. `hour` (0-23) and `weekday` (0 is Monday) are of the signal's time in
    UTC; `confidence` is the first digit of a bin of ten points, 9 includes 100. With `min_confidence` only signals that
    state at least that much are meant.
    """

    symbol: str | None = None
    symbol_raw: str | None = None
    timeframe: str | None = None
    action: str | None = None
    source_engine: str | None = None
    ai_model: str | None = None
    prompt_version: str | None = None
    market_conditions: str | None = None
    hour: int | None = None
    weekday: int | None = None
    confidence: int | None = None
    min_confidence: float | None = None
    executed: bool | None = None

    def given(self) -> dict[str, Any]:
        """The conditions that are not left out."""
        if self == _EVERYTHING:
            return {}
        found = ((each.name, getattr(self, each.name)) for each in fields(self))
        return {name: value for name, value in found if value is not None}

    def where(self, connection: Connection) -> Where | None:
        """The conditions in SQL; None without any."""
        given = self.given()
        if not given:
            return None
        raw = given.pop("symbol_raw", None)
        parts = [_condition(connection, name) for name in given if name != "symbol"]
        if "symbol" in given:
            parts.append("(symbol = :symbol OR (symbol_raw = :symbol_raw AND symbol_raw != symbol))")
            given["symbol_raw"] = raw or given["symbol"]
        return " AND ".join(parts), given


_EVERYTHING = SignalConditions()


def _condition(connection: Connection, name: str) -> str:
    if name in {"hour", "weekday"}:
        made = moment_sql(connection, "created_at")
        of_hour, of_weekday = f"{made} / {LENGTH[Grain.HOUR]} % 24", f"({made} / {LENGTH[Grain.DAY]} + 3) % 7"
        return f"({of_hour if name == 'hour' else of_weekday}) = :{name}"
    if name == "confidence":
        amount = f"({Sql(connection.dialect.name).units('confidence', amounts.MAX_CONFIDENCE)})"
        return f"({confidence_bin(amount)}) = CAST(CAST(:confidence AS INTEGER) AS TEXT)"
    if name == "min_confidence":
        return "confidence >= :min_confidence"
    return "is_executed = :executed" if name == "executed" else f"{name} = :{name}"


def closed_trades(connection: Connection, where: Where) -> list[tuple[int, int | None, int | None]]:
    """When the closed signals of a window ended, what they brought in percent and in R (in millionths), in order."""
    ended = moment_sql(connection, "coalesce(closed_at, created_at)")
    statement = (
        f"SELECT {ended}, pnl_percentage, r_multiple FROM {{schema}}signal_history "
        f"WHERE outcome IN ('WIN', 'LOSS', 'BREAKEVEN') AND {where[0]} ORDER BY 1, id"
    )
    return [
        (row[0], amounts.units(row[1], amounts.MAX_PERCENT), amounts.units(row[2], amounts.MAX_R))
        for row in run(connection, statement, where[1])
    ]


def latencies(connection: Connection, where: Where) -> list[int]:
    """How long the queries of a window took, in microseconds, ascending."""
    statement = (
        f"SELECT processing_time_ms FROM {{schema}}gpt_query_log WHERE processing_time_ms IS NOT NULL AND {where[0]}"
    )
    found = (
        amounts.units(value, amounts.MAX_MILLISECONDS, 1000) for value in run(connection, statement, where[1]).scalars()
    )
    return sorted(amount for amount in found if amount is not None)


SAMPLE = 500
"""How many closed signals a sample has at most."""

_EXCURSION = "signal_id, symbol, timeframe, action, outcome, r_multiple, mae_r, mfe_r, created_at, id"


def excursions(connection: Connection, given: SignalConditions, *, since: datetime | None) -> list[dict[str, Any]]:
    """The latest closed signals, at most `SAMPLE`, those of them whose excursions in R are known; newest first."""
    window = created_between(None if since is None else to_epoch_us(since), None)
    parts = [window, *([only] if (only := given.where(connection)) else [])]
    where = " AND ".join(condition for condition, _ in parts)
    each = " UNION ALL ".join(
        f"SELECT * FROM (SELECT {_EXCURSION} FROM {{schema}}signal_history WHERE outcome = '{word}' AND {where} "
        f"ORDER BY created_at DESC, id DESC LIMIT {SAMPLE}) AS {word.lower()}"
        for word in ("WIN", "LOSS", "BREAKEVEN")
    )
    statement = f"SELECT * FROM ({each}) AS closed ORDER BY created_at DESC, id DESC LIMIT {SAMPLE}"
    found = run(connection, statement, {name: value for _, values in parts for name, value in values.items()})
    names = _EXCURSION.split(", ")[:-2]
    rows = (dict(zip(names, row, strict=False)) for row in found)
    return [row for row in rows if row["mae_r"] is not None and row["mfe_r"] is not None]
