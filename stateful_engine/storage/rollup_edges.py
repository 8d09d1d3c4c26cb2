"""Rows at the edge of a window, which no whole period covers: at most half an hour of them, counted one by one.

The more signals a table has, the more of them are at an edge, and nothing else of a report grows. So they are
counted in the way that is soonest done. PostgreSQL puts them together by itself, by all dimensions in one pass. SQLite
hands signals over by column, one JSON text each, which is read sooner than thousands of single values; what a row counts
for is then one whole number with a field of bits for each measure, added up once by dimension, not once by measure.
"""

from __future__ import annotations

import struct
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import compress
from typing import TYPE_CHECKING, Any

import orjson

from stateful_engine.domain import amounts
from stateful_engine.domain.periods import Edge, Grain, period_of
from stateful_engine.domain.vocabulary import Outcome
from stateful_engine.storage import rollup_cells, rollup_sql
from stateful_engine.storage.rollup_cells import Told
from stateful_engine.storage.rollup_expressions import Sql, facts_of
from stateful_engine.storage.rollup_measures import ALL, SIGNALS, TEXTS, Family, label

if TYPE_CHECKING:
    from sqlalchemy import Connection

Split = dict[str, Told]
Counted = tuple[Told | None, dict[str, Split]]
"""Figures of all rows, None when there are none, and by dimension and value."""


def counted(connection: Connection, family: Family, edge: Edge, dimensions: Sequence[str]) -> Counted:
    """What the rows at an edge amount to; its sign is left to the caller."""
    if connection.dialect.name == "postgresql":
        return _by_postgresql(connection, family, edge, tuple(dimensions))
    if family is SIGNALS and connection.dialect.name == "sqlite":
        return _by_fields(connection, edge, tuple(dimensions))
    return _by_statement(connection, family, edge, dimensions)


def _by_postgresql(connection: Connection, family: Family, edge: Edge, dimensions: tuple[str, ...]) -> Counted:
    told = rollup_cells.told(family)
    parts = [rollup_sql.total_of_numbers(family, told, str(period_of(Grain.HOUR, edge.begin)), "1")]
    if dimensions:
        rest = ", NULL" * (len(told) - len(family.split_measures))
        parts.append(f"SELECT parts.*{rest} FROM ({rollup_sql.splits_of_numbers(family, dimensions, '1')}) AS parts")
    numbers = rollup_sql.numbers_statement(family, _between(edge, "postgresql"))
    rows = rollup_sql.fetched(connection, f"WITH numbers AS MATERIALIZED ({numbers}) {' UNION ALL '.join(parts)}")
    days, splits = rollup_cells.sorted_out(family, dimensions, rows)
    return next(iter(days.values()), None), splits


def _by_statement(connection: Connection, family: Family, edge: Edge, dimensions: Sequence[str]) -> Counted:
    """As reports with filters count."""
    where = rollup_sql.created_between(edge.begin, edge.end)
    total: Told | None = None
    splits: dict[str, Split] = {name: {} for name in dimensions}
    for dimension, value, found in rollup_sql.cells_of_rows(connection, family, where, (ALL, *dimensions)):
        figures = tuple(map(found.__getitem__, rollup_cells.told(family)))
        if dimension == ALL:
            total = figures
        else:
            splits[dimension][value] = figures[: len(family.split_measures)]
    return total, splits


def _between(edge: Edge, dialect: str) -> str:
    literal = Sql(dialect).literal
    return f"created_at >= {literal(edge.begin)} AND created_at < {literal(edge.end)}"


# SQLite

Columns = Mapping[str, list[Any]]

_KIND = ("outcome", "is_executed", "ambiguous")
_AMOUNTS = {"confidence": "confidence_amount", "pnl": "pnl_amount", "r": "r_amount"}
"""Amounts in millionths by measure, those of results of closed signals only."""

_FIELD_BITS = 64
_FIELDS = {name: _FIELD_BITS * index for index, name in enumerate(SIGNALS.split_measures)}
"""Where the field of a measure begins."""

_SIGNS = sum(1 << begin + _FIELD_BITS - 1 for begin in _FIELDS.values())
_NUMBERS = struct.Struct(f"<{len(_FIELDS)}q")


def _by_fields(connection: Connection, edge: Edge, dimensions: tuple[str, ...]) -> Counted:
    columns = _columns(connection, edge, dimensions)
    kinds = list(zip(*(columns[name] for name in _KIND), strict=True))
    rows = _packed(columns, kinds)
    total = _told(columns, Counter(kinds), sum(rows)) if rows else None
    return total, {name: _split(columns[name], rows, is_text=name in TEXTS) for name in dimensions}


def _columns(connection: Connection, edge: Edge, dimensions: tuple[str, ...]) -> Columns:
    statement = f"{_columns_statement(dimensions)} WHERE {_between(edge, 'sqlite')})"
    found = rollup_sql.fetched(connection, statement)[0]
    return dict(zip((*_KIND, *_AMOUNTS, *dimensions), map(orjson.loads, found), strict=True))


@lru_cache(maxsize=64)
def _columns_statement(dimensions: tuple[str, ...]) -> str:
    """Asks for columns, up to the condition on rows. Texts come as they are: each that differs is made a label once."""
    facts = facts_of(SIGNALS, "sqlite")
    values = (name if name in TEXTS else facts.values[name] for name in dimensions)
    asked = ", ".join(f"json_group_array({sql})" for sql in (*_KIND, *_AMOUNTS.values(), *values))
    derived = (f"{sql} AS {name}" for name, sql in facts.derived.items() if name != "made")
    return f"SELECT {asked} FROM (SELECT {', '.join([*facts.columns, *derived])} FROM {SIGNALS.source}"


def _packed(columns: Columns, kinds: list[tuple[str, int, int]]) -> list[int]:
    """What each row counts for."""
    ones = {name: 1 << begin for name, begin in _FIELDS.items()}
    of_kind = {
        kind: ones["total"] + ones["executed"] * bool(kind[1]) + ones.get(str(kind[0]).lower(), 0)
        for kind in set(kinds)
    }
    known = (_amount_fields(columns[name], ones[f"{name}_n"], _FIELDS[name]) for name in _AMOUNTS)
    return [a + b + c + d for a, b, c, d in zip(map(of_kind.__getitem__, kinds), *known, strict=True)]


def _amount_fields(found: list[int | None], one: int, begin: int) -> list[int]:
    return [0 if amount is None else one + (amount << begin) for amount in found]


def _split(values: list[str | None], rows: list[int], *, is_text: bool) -> Split:
    """The figures of rows by value; without one a text is a label all the same, and anything else no value."""
    sums: defaultdict[str | None, int] = defaultdict(int)
    for value, row in zip(values, rows, strict=True):
        sums[value] += row
    if not is_text:
        return {value: _unpacked(row) for value, row in sums.items() if value is not None}
    labels: defaultdict[str, int] = defaultdict(int)
    for value, row in sums.items():
        labels[label(value)] += row
    return {value: _unpacked(row) for value, row in labels.items()}


def _unpacked(row: int) -> Told:
    """The figures in the fields of a sum. A negative one borrows from the next field, which it is given back."""
    return _NUMBERS.unpack((row + _SIGNS ^ _SIGNS).to_bytes(_NUMBERS.size, "little"))


def _told(columns: Columns, kinds: Counter[tuple[str, int, int]], together: int) -> Told:
    """The figures of all rows: those of splits, and what only the whole is asked for."""
    found = dict(zip(_FIELDS, _unpacked(together), strict=True))
    for word in (Outcome.WIN, Outcome.LOSS, Outcome.BREAKEVEN, Outcome.UNFILLED):
        numbers = {kind: n for kind, n in kinds.items() if kind[0] == word.value}
        found[word.value.lower()] = sum(numbers.values())
        found[f"ambiguous_{word.value.lower()}"] = sum(compress(numbers.values(), (kind[2] for kind in numbers)))
    for name in ("pnl", "r"):
        found |= _gains(name, Counter(columns[name]))
    return tuple(map(found.__getitem__, rollup_cells.told(SIGNALS)))


def _gains(name: str, known: Counter[int | None]) -> dict[str, int]:
    """Gains and squares of results."""
    numbers = [(amount, n) for amount, n in known.items() if amount]
    squares = [(*amounts.square(amount), n) for amount, n in numbers]
    return {
        f"{name}_gain": sum(amount * n for amount, n in numbers if amount > 0),
        f"{name}_square_high": sum(high * n for high, _, n in squares),
        f"{name}_square_low": sum(low * n for _, low, n in squares),
    }
