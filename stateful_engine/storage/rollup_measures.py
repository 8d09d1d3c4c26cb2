"""What a row counts for: in which cells, and with which figures. `rollup_sql` says the same in SQL.

Rows come as they are inserted (dicts with times as datetimes or microseconds) or as they are stored; both are read as
the database would store them. All of this works on whole columns, as it is paid for with every insert.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from operator import itemgetter
from typing import Any, TypeVar

from stateful_engine.domain import amounts
from stateful_engine.domain.clock import to_epoch_us
from stateful_engine.domain.periods import LENGTH, Grain, period_of
from stateful_engine.domain.redaction import clean_text
from stateful_engine.domain.vocabulary import Outcome
from stateful_engine.storage.base import SHORT_TEXT, whole
from stateful_engine.storage.breath import breathe

T = TypeVar("T")

Row = Mapping[str, Any]
Column = list[Any]

ALL = ""
"""The dimension that holds all rows."""

NOTHING = ""
"""The value of rows that say nothing in a dimension."""

LONG_TEXT = "(long text)"
LONGEST = 80
SEPARATOR = "\x1f"

Cells = dict[tuple[str, int, str], dict[str, int]]
"""Figures by dimension, period and value."""


Columns = Callable[[str], Sequence[Any]]
"""What rows hold in a column, one value for each; None where a row does not say."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Columns of what rows say: a value by dimension (None: no cell there), and figures by measure."""

    values: Mapping[str, Sequence[Any]]
    measures: Mapping[str, Sequence[int]]


@dataclass(frozen=True, slots=True)
class Family:
    """The pre-aggregates of one table of records."""

    source: str
    cells: str
    dimensions: tuple[str, ...]
    measures: tuple[str, ...]
    facts: Callable[[Columns, Collection[str]], Facts]
    """What rows say, with the values of some dimensions."""

    split_measures: tuple[str, ...]
    """What reports say of the values of a dimension: some of the measures, as each costs time."""

    sets: Mapping[str, str]
    """Kinds of sets by the column that names their members."""

    @property
    def other_measures(self) -> tuple[str, ...]:
        """What reports say of a whole window only."""
        return tuple(name for name in self.measures if name not in self.split_measures)


def _signal_facts(rows: Columns, wanted: Collection[str]) -> Facts:
    outcomes = _each(rows("outcome"), lambda outcome: str(outcome or _PENDING))
    confidences = _units(rows("confidence"), amounts.MAX_CONFIDENCE)
    executed = [bool(flag) for flag in rows("is_executed")]
    values: dict[str, Column] = {name: _labels(rows(name)) for name in TEXTS if name in wanted}
    if "confidence" in wanted:
        values["confidence"] = _each(confidences, _confidence_bin)
    if "executed" in wanted:
        values["executed"] = ["1" if flag else "0" for flag in executed]
    if "pair" in wanted:
        both = (values.get(name) or _labels(rows(name)) for name in ("symbol", "timeframe"))
        values["pair"] = [SEPARATOR.join(pair) for pair in zip(*both, strict=True)]
    measures = {
        "total": [1] * len(outcomes),
        "executed": [int(flag) for flag in executed],
        "confidence_n": [int(amount is not None) for amount in confidences],
        "confidence": [amount or 0 for amount in confidences],
    }
    if any(outcome != _PENDING for outcome in outcomes):
        closed = _add_results(rows, outcomes, measures)
        _add_ends(rows, closed, values, measures, wanted=wanted)
    return Facts(values, measures)


_PENDING = Outcome.PENDING.value
_ENDS = tuple(word.value for word in (Outcome.WIN, Outcome.LOSS, Outcome.BREAKEVEN, Outcome.UNFILLED))
_CLOSED = frozenset(_ENDS[:3])

TEXTS = ("symbol", "timeframe", "action", "source_engine", "ai_model", "prompt_version", "market_conditions")
"""The dimensions of signals that are columns of theirs."""


def _labels(texts: Sequence[Any], longest: int = LONGEST) -> Column:
    """As `label`, once for each different text: those of a column are few."""
    if not _PLAIN.issuperset(map(type, texts)):
        return [label(text, longest) for text in texts]
    return _each(texts, lambda text: label(text, longest))


_PLAIN = frozenset((str, type(None)))


def _units(values: Sequence[Any], limit: float, unit: int = amounts.MICRO) -> list[int | None]:
    """As `amounts.units`, once for each different value: confidences, targets and stops repeat themselves."""
    return _each(values, lambda value: amounts.units(value, limit, unit))


def _each(values: Sequence[Any], make: Callable[[Any], T]) -> list[T]:
    """What `make` gives for each value, made once for each different one."""
    known = {value: make(value) for value in set(values)}
    return list(map(known.__getitem__, values))


def _confidence_bin(amount: int | None) -> str:
    return NOTHING if amount is None else str(amounts.confidence_bin(amount))


def _add_results(rows: Columns, outcomes: list[str], measures: dict[str, list[int]]) -> list[bool]:
    """How signals ended and what they brought; returns which are closed."""
    for word in _ENDS:
        measures[word.lower()] = [int(outcome == word) for outcome in outcomes]
    doubtful = [bool(flag) for flag in rows("ambiguous")]
    for name in ("win", "loss"):
        measures[f"ambiguous_{name}"] = [int(a and b) for a, b in zip(measures[name], doubtful, strict=True)]
    closed = [outcome in _CLOSED for outcome in outcomes]
    _add_amounts(measures, "pnl", rows("pnl_percentage"), closed, limit=amounts.MAX_PERCENT)
    _add_amounts(measures, "r", rows("r_multiple"), closed, limit=amounts.MAX_R)
    return closed


def _add_ends(
    rows: Columns,
    closed: list[bool],
    values: dict[str, Column],
    measures: Mapping[str, list[int]],
    *,
    wanted: Collection[str],
) -> None:
    """When signals ended, with how much R, and whether their confidence was right."""
    if "closed_on" in wanted or "executed_on" in wanted:
        days = _closing_days(rows, closed)
        values["closed_on"] = days
        values["executed_on"] = [day if flag else None for flag, day in zip(rows("is_executed"), days, strict=True)]
    if "r_bin" in wanted:
        values["r_bin"] = [
            str(amounts.r_bin(amount)) if known else None
            for amount, known in zip(measures["r"], measures["r_n"], strict=True)
        ]
    if "forecast" in wanted:
        said = zip(rows("confidence"), rows("source_engine"), rows("ai_model"), strict=True)
        values["forecast"] = [
            _forecast(*row) if win or loss else None
            for row, win, loss in zip(said, measures["win"], measures["loss"], strict=True)
        ]


def _add_amounts(
    measures: dict[str, list[int]], name: str, values: Sequence[Any], closed: Sequence[bool], *, limit: int
) -> None:
    found = _units([value if ended else None for value, ended in zip(values, closed, strict=True)], limit)
    squares = {amount: amounts.square(amount or 0) for amount in set(found)}
    measures[f"{name}_n"] = [int(amount is not None) for amount in found]
    measures[name] = [amount or 0 for amount in found]
    measures[f"{name}_gain"] = [max(amount or 0, 0) for amount in found]
    measures[f"{name}_square_high"] = [squares[amount][0] for amount in found]
    measures[f"{name}_square_low"] = [squares[amount][1] for amount in found]


def _closing_days(rows: Columns, closed: Sequence[bool]) -> list[str | None]:
    """The days, since the epoch, on which closed signals ended; those that do not say when, on which they were made."""
    ends = rows("closed_at")
    if None in ends:
        ends = [made if end is None else end for end, made in zip(ends, rows("created_at"), strict=True)]
    length = LENGTH[Grain.DAY]
    days = [moment_of(end) // length if ended else None for end, ended in zip(ends, closed, strict=True)]
    texts = {day: None if day is None else str(day) for day in set(days)}
    return [texts[day] for day in days]


def _forecast(confidence: Any, engine: Any, model: Any) -> str | None:
    """Confidence, engine and model of a signal that won or lost, as one value; None without a confidence."""
    amount = amounts.units(confidence, 100)
    if amount is None or amount < 0:
        return None
    return SEPARATOR.join((str(amount), label(engine), label(model)))


def _query_facts(rows: Columns, _: Collection[str]) -> Facts:
    latencies = _units(rows("processing_time_ms"), amounts.MAX_MILLISECONDS, 1000)
    values: dict[str, Column] = {
        "endpoint": _labels(rows("endpoint"), SHORT_TEXT),
        "status": [_whole_text(status) for status in rows("response_status")],
        "model": _labels(rows("ai_model_used")),
        "latency": [None if amount is None else amounts.latency_bin(amount) for amount in latencies],
    }
    measures = {
        "total": [1] * len(latencies),
        "successful": [int(_is_successful(flag)) for flag in rows("is_successful")],
        "latency_n": [int(amount is not None) for amount in latencies],
        "latency": [amount or 0 for amount in latencies],
    }
    _add_known(measures, "tokens", [_tokens(count) for count in rows("tokens_used")])
    _add_known(measures, "cost", _units(rows("cost_usd"), amounts.MAX_COST, amounts.NANO))
    for name in ("prompt_tokens", "completion_tokens"):
        measures[name] = [_tokens(count) or 0 for count in rows(name)]
    return Facts(values, measures)


def _is_successful(value: Any) -> bool:
    return True if value is None else bool(value)


def _add_known(measures: dict[str, list[int]], name: str, found: Column) -> None:
    measures[f"{name}_n"] = [int(amount is not None) for amount in found]
    measures[name] = [amount or 0 for amount in found]


def _tokens(value: Any) -> int | None:
    count = None if value is None else whole(value)
    return count if count is not None and abs(count) <= amounts.MAX_TOKENS else None


def _whole_text(value: Any) -> str:
    number = None if value is None else whole(value)
    return NOTHING if number is None else str(number)


def _interaction_facts(rows: Columns, _: Collection[str]) -> Facts:
    values = {"type": _labels(rows("interaction_type")), "source": _labels(rows("interaction_source"))}
    return Facts(values, {"total": [1] * len(values["type"])})


SIGNALS = Family(
    source="signal_history",
    cells="rollup_signals",
    dimensions=(
        *("symbol", "timeframe", "action", "source_engine", "ai_model", "prompt_version", "market_conditions"),
        *("pair", "confidence", "executed", "closed_on", "executed_on", "r_bin", "forecast"),
    ),
    measures=(
        *("total", "executed", "win", "loss", "breakeven", "unfilled", "ambiguous_win", "ambiguous_loss"),
        *("confidence_n", "confidence", "pnl_n", "pnl", "pnl_gain", "pnl_square_high", "pnl_square_low"),
        *("r_n", "r", "r_gain", "r_square_high", "r_square_low"),
    ),
    facts=_signal_facts,
    split_measures=("total", "executed", "win", "loss", "confidence_n", "confidence", "pnl_n", "pnl", "r_n", "r"),
    sets={},
)
QUERIES = Family(
    source="gpt_query_log",
    cells="rollup_queries",
    dimensions=("endpoint", "status", "model", "latency"),
    measures=(
        *("total", "successful", "latency_n", "latency", "tokens_n", "tokens", "prompt_tokens", "completion_tokens"),
        *("cost_n", "cost"),
    ),
    facts=_query_facts,
    split_measures=("total", "successful", "latency_n", "latency", "tokens_n", "tokens", "cost_n", "cost"),
    sets={"conversation_ref": "conversation", "user_ref": "gpt_user"},
)
INTERACTIONS = Family(
    source="user_interaction",
    cells="rollup_interactions",
    dimensions=("type", "source"),
    measures=("total",),
    facts=_interaction_facts,
    split_measures=("total",),
    sets={"user_id": "user"},
)
FAMILIES = {family.source: family for family in (SIGNALS, QUERIES, INTERACTIONS)}


def cells_of(family: Family, rows: Sequence[Row], *, sign: int = 1) -> Cells:
    """What `rows` amount to, by hour; with `sign` -1 what their going takes away."""
    facts = family.facts(lambda name: [row.get(name) for row in rows], family.dimensions)
    hours = _hours([row["created_at"] for row in rows])
    measures = {name: column for name, column in facts.measures.items() if any(column)}
    together = {name: sign * sum(column) for name, column in measures.items()}
    cells: Cells = {}
    for dimension, values in ((ALL, [ALL] * len(rows)), *facts.values.items()):
        breathe()
        for (hour, value), indices in _groups(hours, values).items():
            all_of_them = len(indices) == len(rows)
            cells[dimension, hour, value] = dict(together) if all_of_them else _summed(measures, indices, sign)
    return cells


def _summed(measures: Mapping[str, Sequence[int]], indices: Sequence[int], sign: int) -> dict[str, int]:
    """What some of the rows amount to."""
    if len(indices) == 1:
        return {name: sign * column[indices[0]] for name, column in measures.items()}
    picked = itemgetter(*indices)
    return {name: sign * sum(picked(column)) for name, column in measures.items()}


def _groups(hours: list[int], values: Sequence[Any]) -> dict[tuple[int, str], Sequence[int]]:
    """The rows of each hour and value; those without a value have no cell.

    The rows of a batch are often of one hour, and often say one thing; these need not be looked at one by one.
    """
    if len(set(hours)) == 1:
        if len(set(values)) == 1:
            return {} if values[0] is None else {(hours[0], values[0]): range(len(values))}
        by_value: defaultdict[str | None, list[int]] = defaultdict(list)
        for index, value in enumerate(values):
            by_value[value].append(index)
        return {(hours[0], value): indices for value, indices in by_value.items() if value is not None}
    found: dict[tuple[int, str], list[int]] = {}
    for index, key in enumerate(zip(hours, values, strict=True)):
        if key[1] is not None:
            found.setdefault(key, []).append(index)
    return dict(found)


def merge(into: Cells, more: Cells) -> None:
    """Add cells to others; figures that cancel out stay as 0."""
    for key, figures in more.items():
        known = into.get(key)
        if known is None:
            into[key] = dict(figures)
            continue
        for name, amount in figures.items():
            known[name] = known.get(name, 0) + amount


@lru_cache(maxsize=16_384)
def _label(text: str, longest: int) -> str:
    kept = clean_text(text)[0][:SHORT_TEXT]
    return kept if len(kept) <= longest else LONG_TEXT


def label(value: Any, longest: int = LONGEST) -> str:
    """A text as the value of a dimension; sentences are gathered in one, as a report by them says nothing."""
    return NOTHING if value is None else _label(value if type(value) is str else str(value), longest)


def moment_of(value: datetime | int) -> int:
    """A time as microseconds since the epoch."""
    return to_epoch_us(value) if isinstance(value, datetime) else int(value)


def _hours(created: list[Any]) -> list[int]:
    """The hours of times. The rows of a batch are often of one hour, and need not be looked at one by one then."""
    if not created:
        return []
    moments = created if set(map(type, created)) == {int} else [moment_of(made) for made in created]
    first, last = (period_of(Grain.HOUR, moment) for moment in (min(moments), max(moments)))
    return [first] * len(moments) if first == last else [period_of(Grain.HOUR, moment) for moment in moments]
