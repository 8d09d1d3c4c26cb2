"""What stored rows count for, in SQL: the expressions. `rollup_measures` says the same in Python.

They are written in two steps, so that nothing is worked out twice: `derived` turns a row's columns into whole numbers,
`measures` and `values` turn these into figures and into the values of dimensions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from stateful_engine.domain import amounts
from stateful_engine.domain.clock import from_epoch_us
from stateful_engine.domain.periods import LENGTH, Grain
from stateful_engine.storage.base import SHORT_TEXT
from stateful_engine.storage.rollup_measures import LONG_TEXT, LONGEST, NOTHING, Family

_DAY, _HOUR = LENGTH[Grain.DAY], LENGTH[Grain.HOUR]
_IS_CLOSED = "outcome IN ('WIN', 'LOSS', 'BREAKEVEN')"

Expressions = dict[str, str]
"""SQL by name."""


@dataclass(frozen=True, slots=True)
class Facts:
    """The columns that rows are counted by, and what is made of them."""

    columns: tuple[str, ...]
    derived: Expressions
    measures: Expressions
    values: Expressions


class Sql:
    """The few expressions that the databases spell differently."""

    def __init__(self, dialect: str) -> None:
        self._is_sqlite = dialect == "sqlite"

    @property
    def as_it_is(self) -> str:
        """The end of an inner SELECT that the planner must not dissolve, or it repeats its expressions."""
        return "LIMIT -1 OFFSET 0" if self._is_sqlite else "OFFSET 0"

    def moment(self, column: str) -> str:
        """A time as microseconds since the epoch. SQLite would round it to thousandths, into the next second even."""
        if self._is_sqlite:
            whole = f"CAST(strftime('%s', substr({column}, 1, 19)) AS INTEGER)"
            return f"({whole} * 1000000 + CAST(substr({column}, 21, 6) AS INTEGER))"
        return f"CAST(extract(epoch FROM {column}) * 1000000 AS BIGINT)"

    def day(self, column: str) -> str:
        """The day of a time, in whichever form is worked out soonest; `day_text` says which since the epoch it is."""
        if self._is_sqlite:
            return f"substr({column}, 1, 10)"
        return f"CAST(date_part('day', {column} - TIMESTAMPTZ '1970-01-01 00:00:00+00') AS INTEGER)"

    def day_text(self, day: str) -> str:
        if self._is_sqlite:
            day = f"CAST(julianday({day}) - 2440587.5 AS INTEGER)"
        return f"CAST({day} AS TEXT)"

    def literal(self, moment: int) -> str:
        """A moment as it is compared with a column of times."""
        text = from_epoch_us(moment).isoformat(" ", "microseconds")
        return f"'{text[:26]}'" if self._is_sqlite else f"TIMESTAMPTZ '{text}'"

    def units(self, column: str, limit: float, unit: int = amounts.MICRO) -> str:
        """As `amounts.units`: `round` does so on SQLite, while PostgreSQL rounds to even, which it must not."""
        if self._is_sqlite:
            whole = f"CAST(round({column} * {unit}.0) AS INTEGER)"
        else:
            scaled = f"{column} * {unit}.0 + CASE WHEN {column} < 0 THEN -0.5 ELSE 0.5 END"
            whole = f"CAST(trunc({scaled}) AS BIGINT)"
        return f"CASE WHEN abs({column}) <= {limit} THEN {whole} END"

    def character(self, code: int) -> str:
        return f"{'char' if self._is_sqlite else 'chr'}({code})"

    def label(self, column: str, longest: int = LONGEST) -> str:
        """As `rollup_measures.label`."""
        return (
            f"CASE WHEN {column} IS NULL THEN '{NOTHING}' WHEN length({column}) > {longest} THEN '{LONG_TEXT}' "
            f"ELSE {column} END"
        )


def facts_of(family: Family, dialect: str) -> Facts:
    """How the rows of a table are counted on a kind of database. `day` and `hour_of_week` are dimensions of all."""
    facts = _FACTS[family.source](Sql(dialect))
    facts.derived["made"] = Sql(dialect).moment("created_at")
    facts.values["day"] = f"CAST(made / {_DAY} AS TEXT)"
    facts.values["hour_of_week"] = f"CAST((made / {_HOUR} + 72) % 168 AS TEXT)"
    return facts


def confidence_bin(amount: str) -> str:
    """As `amounts.confidence_bin`, as text."""
    number = f"{amount} / {10 * amounts.MICRO}"
    return (
        f"CASE WHEN {amount} IS NULL THEN '' WHEN {amount} < 0 THEN '0' WHEN {number} > 9 THEN '9' "
        f"ELSE CAST({number} AS TEXT) END"
    )


def _r_bin(amount: str) -> str:
    """As `amounts.r_bin`; the division truncates towards 0, so that it is done above 0."""
    first, last = amounts.R_BINS[0], amounts.R_BINS[-1]
    lowest = first * amounts.R_BIN
    return (
        f"CASE WHEN {amount} < {lowest} THEN '{first}' WHEN {amount} >= {last * amounts.R_BIN} THEN '{last}' "
        f"ELSE CAST(({amount} - {lowest}) / {amounts.R_BIN} + {first} AS TEXT) END"
    )


def _signal_facts(sql: Sql) -> Facts:
    texts = ("symbol", "timeframe", "action", "source_engine", "ai_model", "prompt_version", "market_conditions")
    labels = {name: sql.label(name) for name in texts}
    mark = sql.character(31)
    return Facts(
        columns=(*texts, "is_executed", "outcome", "ambiguous"),
        derived={
            "confidence_amount": sql.units("confidence", amounts.MAX_CONFIDENCE),
            "closed_day": f"CASE WHEN {_IS_CLOSED} THEN {sql.day('coalesce(closed_at, created_at)')} END",
            "pnl_amount": f"CASE WHEN {_IS_CLOSED} THEN {sql.units('pnl_percentage', amounts.MAX_PERCENT)} END",
            "r_amount": f"CASE WHEN {_IS_CLOSED} THEN {sql.units('r_multiple', amounts.MAX_R)} END",
        },
        measures={
            "total": "1",
            "executed": _flag("is_executed"),
            **{word.lower(): _flag(f"outcome = '{word}'") for word in ("WIN", "LOSS", "BREAKEVEN", "UNFILLED")},
            "ambiguous_win": _flag("outcome = 'WIN' AND ambiguous"),
            "ambiguous_loss": _flag("outcome = 'LOSS' AND ambiguous"),
            **_known("confidence"),
            **_results("pnl"),
            **_results("r"),
        },
        values={
            **labels,
            "confidence": confidence_bin("confidence_amount"),
            "executed": "CASE WHEN is_executed THEN '1' ELSE '0' END",
            "pair": f"{labels['symbol']} || {mark} || {labels['timeframe']}",
            "closed_on": sql.day_text("closed_day"),
            "executed_on": f"CASE WHEN is_executed THEN {sql.day_text('closed_day')} END",
            "r_bin": f"CASE WHEN r_amount IS NOT NULL THEN {_r_bin('r_amount')} END",
            "forecast": (
                f"CASE WHEN outcome IN ('WIN', 'LOSS') AND confidence_amount BETWEEN 0 AND {100 * amounts.MICRO} THEN "
                f"CAST(confidence_amount AS TEXT) || {mark} || {labels['source_engine']} || {mark} || "
                f"{labels['ai_model']} END"
            ),
        },
    )


def _flag(condition: str) -> str:
    return f"CASE WHEN {condition} THEN 1 ELSE 0 END"


def _known(name: str) -> Expressions:
    """Count and sum of an amount that may be unknown."""
    return {f"{name}_n": _flag(f"{name}_amount IS NOT NULL"), name: f"coalesce({name}_amount, 0)"}


def _results(name: str) -> Expressions:
    """Count, sum, gains and squares."""
    amount = f"{name}_amount"
    high, low = f"(abs({amount}) / 1000000)", f"(abs({amount}) % 1000000)"
    rest = f"(2 * {high} * {low} * 1000000 + {low} * {low})"
    return {
        **_known(name),
        f"{name}_gain": f"CASE WHEN {amount} > 0 THEN {amount} ELSE 0 END",
        f"{name}_square_high": _square(
            amount, f"/ {amounts.SQUARE_BASE}", f"{high} * {high} * 1000 + {rest} / {amounts.SQUARE_BASE}"
        ),
        f"{name}_square_low": _square(amount, f"% {amounts.SQUARE_BASE}", f"{rest} % {amounts.SQUARE_BASE}"),
    }


def _square(amount: str, part: str, of_large: str) -> str:
    """A part of a square; those that exceed 64 bits are put together from halves of the amount."""
    fits = f"{amount} BETWEEN -{FITS} AND {FITS}"
    return f"CASE WHEN {fits} THEN {amount} * {amount} {part} ELSE coalesce({of_large}, 0) END"


FITS = 3_000_000_000
"""Amounts up to this have squares of 63 bits."""


def _query_facts(sql: Sql) -> Facts:
    return Facts(
        columns=("endpoint", "response_status", "ai_model_used", "is_successful", *_TOKENS.values()),
        derived={
            "latency_amount": sql.units("processing_time_ms", amounts.MAX_MILLISECONDS, 1000),
            "cost_amount": sql.units("cost_usd", amounts.MAX_COST, amounts.NANO),
        },
        measures={
            "total": "1",
            "successful": _flag("is_successful"),
            **_known("latency"),
            "tokens_n": _flag(_countable("tokens_used")),
            **{name: f"CASE WHEN {_countable(column)} THEN {column} ELSE 0 END" for name, column in _TOKENS.items()},
            **_known("cost"),
        },
        values={
            "endpoint": sql.label("endpoint", SHORT_TEXT),
            "status": f"coalesce(CAST(response_status AS TEXT), '{NOTHING}')",
            "model": sql.label("ai_model_used"),
            "latency": f"CASE WHEN latency_amount IS NOT NULL THEN {latency_bin('latency_amount')} END",
        },
    )


_TOKENS = {"tokens": "tokens_used", "prompt_tokens": "prompt_tokens", "completion_tokens": "completion_tokens"}


def _countable(column: str) -> str:
    return f"{column} BETWEEN -{amounts.MAX_TOKENS} AND {amounts.MAX_TOKENS}"


def latency_bin(latency: str) -> str:
    """As `amounts.latency_bin`."""
    digits = f"CAST(CASE WHEN {latency} < 0 THEN 0 ELSE {latency} END AS TEXT)"
    lead = f"CAST(substr({digits}, 1, 3) AS INTEGER)"
    step = f"CASE WHEN {lead} < 200 THEN 2 WHEN {lead} < 500 THEN 5 ELSE 10 END"
    coarse = f"CAST({lead} - {lead} % {step} AS TEXT)"
    dropped = f"CAST(length({digits}) - 3 AS TEXT)"
    return f"CASE WHEN {latency} < 1000 THEN {digits} || 'e0' ELSE {coarse} || 'e' || {dropped} END"


def _interaction_facts(sql: Sql) -> Facts:
    return Facts(
        columns=("interaction_type", "interaction_source"),
        derived={},
        measures={"total": "1"},
        values={"type": sql.label("interaction_type"), "source": sql.label("interaction_source")},
    )


_FACTS: dict[str, Callable[[Sql], Facts]] = {
    "signal_history": _signal_facts,
    "gpt_query_log": _query_facts,
    "user_interaction": _interaction_facts,
}
