"""Rows at the edge of a window, which no whole period covers: at most half an hour of them, counted one by one.

The more signals a table has, the more of them are at an edge, and nothing else of a report grows. So they are counted
in the way that is soonest done. PostgreSQL puts them together by itself, by all dimensions in one pass. SQLite hands
signals over by column, one JSON text each, which is read sooner than thousands of single values; what a row counts for
is then one whole number with a field of bits for each measure, added up once by dimension, not once by measure.
"""

from __future__ import annotations

import struct
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import BigInteger

from stateful_engine.domain import amounts
from stateful_engine.domain.periods import LENGTH, Edge, Grain, period_of
from stateful_engine.storage import rollup_cells, rollup_sql
from stateful_engine.storage.base import Base
from stateful_engine.storage.rollup_cells import Sums, Told
from stateful_engine.storage.rollup_expressions import FITS, Sql, facts_of
from stateful_engine.storage.rollup_measures import ALL, SIGNALS, TEXTS, Family, label

if TYPE_CHECKING:
    from sqlalchemy import Connection


def counted(connection: Connection, family: Family, edge: Edge, dimensions: Sequence[str]) -> Sums:
    """What the rows at an edge amount to; its sign is left to the caller."""
    ways = {"postgresql": _by_postgresql, "sqlite": _by_fields} if family is SIGNALS else {}
    way = ways.get(connection.dialect.name)
    if way is not None:
        return way(connection, edge, dimensions)
    return rollup_cells.of_rows(connection, family, rollup_sql.created_between(edge.begin, edge.end), dimensions)


def _between(edge: Edge, dialect: str) -> str:
    literal = Sql(dialect).literal
    return f"created_at >= {literal(edge.begin)} AND created_at < {literal(edge.end)}"


def _numbers(dialect: str) -> str:
    """Signals with what their figures are made of."""
    facts = facts_of(SIGNALS, dialect)
    derived = {name: sql for name, sql in facts.derived.items() if name != "made"}
    return f"SELECT {', '.join([*facts.columns, *rollup_sql.named(derived)])} FROM {{schema}}{SIGNALS.source}"


# PostgreSQL


def _by_postgresql(connection: Connection, edge: Edge, dimensions: Sequence[str]) -> Sums:
    table = EdgeTable(tuple(dimensions))
    parts = table.whole(str(period_of(Grain.HOUR, edge.begin)))
    if dimensions:
        parts.append(rollup_cells.splits_source(SIGNALS, f"({' UNION ALL '.join(table.values())}) AS told"))
    source = table.source(_between(edge, "postgresql"), factor="1")
    rows = rollup_sql.fetched_soon(connection, f"WITH edge AS ({source}) {' UNION ALL '.join(parts)}")
    return rollup_cells.sorted_out(SIGNALS, dimensions, rows)


@dataclass(frozen=True, slots=True)
class EdgeTable:
    """The table `edge`, in which PostgreSQL puts signals together, and statements that read it.

    It has them by some dimensions one by one, and by all texts but the symbol together, which have few values each.
    """

    dimensions: tuple[str, ...]

    def source(self, where: str, *, factor: str) -> str:
        """The table of the rows that meet a condition, all figures `factor` times."""
        facts, keys = facts_of(SIGNALS, "postgresql"), self._keys()
        made = {key: facts.values[name] for name, key in keys.items() if key == f"by_{name}"}
        sets = ", ".join(f"({', '.join(keys[name] for name in group)})" for group in self._groups())
        which = f"GROUPING({', '.join(keys.values())})" if keys else "0"
        inner = f"{_numbers('postgresql')} WHERE {where} {Sql('postgresql').as_it_is}"
        return (
            f"SELECT {', '.join([*keys.values(), f'{which} AS which', *rollup_sql.named(_sums(factor))])} "
            f"FROM (SELECT {', '.join(['*', *rollup_sql.named(made)])} FROM ({inner}) AS numbers) AS facts "
            f"GROUP BY GROUPING SETS ({sets})"
        )

    def whole(self, key: str) -> list[str]:
        """What reports say of all rows, as of a cell with the value `key`, and what they say of the whole only."""
        split = ", ".join(f"CAST(sum({name}) AS BIGINT)" for name in SIGNALS.split_measures)
        others = ", ".join(_OTHERS.get(name, f"CAST(sum({name}) AS BIGINT)") for name in SIGNALS.other_measures)
        rows = f"FROM edge WHERE which = {self._which(self._groups()[-1])} HAVING sum(total) <> 0"
        return [
            f"SELECT '{ALL}', CAST({key} AS TEXT), {split} {rows}",
            f"SELECT '{rollup_cells.OTHERS}', NULL, {others} {rows}",
        ]

    def values(self) -> list[str]:
        """What reports say of the values of dimensions, which may come more than once."""
        facts, names = facts_of(SIGNALS, "postgresql"), ", ".join(SIGNALS.split_measures)
        return [
            f"SELECT '{name}' AS dimension, {facts.values[name] if key != f'by_{name}' else key} AS value, {names} "
            f"FROM edge WHERE which = {self._which(group)}{'' if name in TEXTS else f' AND {key} IS NOT NULL'}"
            for group in self._groups()
            for name, key in self._keys().items()
            if name in group
        ]

    def _keys(self) -> dict[str, str]:
        """The column for each dimension: one that is there already, where that says the same."""
        there = {"closed_on": "closed_day"} | {name: name for name in TEXTS}
        return {name: there.get(name, f"by_{name}") for name in self.dimensions}

    def _groups(self) -> list[list[str]]:
        """Dimensions that are put together, the last group has all rows; it may be of no dimension."""
        together = [name for name in self.dimensions if name in TEXTS and name != "symbol"]
        return [*([name] for name in self.dimensions if name not in together), together]

    def _which(self, group: Sequence[str]) -> int:
        """How PostgreSQL names a group: a bit for each dimension that it is not of."""
        return int("".join("01"[name not in group] for name in self.dimensions) or "0", 2)


def _sums(factor: str) -> dict[str, str]:
    """Figures of a group, of the types that cells have, as small ones are added up faster; squares are whole."""
    measures, columns = facts_of(SIGNALS, "postgresql").measures, Base.metadata.tables[SIGNALS.cells].columns
    sums = {
        name: f"{factor} * CAST(sum({sql}) AS {columns[name].type.compile()})"
        for name, sql in measures.items()
        if name not in _OTHERS
    }
    return sums | {f"{name}_square": f"{factor} * ({_squares(f'{name}_amount')})" for name in ("pnl", "r")}


def _squares(amount: str) -> str:
    small, large = f"abs({amount}) <= {FITS}", f"abs({amount}) > {FITS}"
    return (
        f"coalesce(sum({amount} * {amount}) FILTER (WHERE {small}), 0) + "
        f"coalesce(sum(CAST({amount} AS NUMERIC) * {amount}) FILTER (WHERE {large}), 0)"
    )


_OTHERS = {
    f"{name}_square_{part}": f"CAST({function}(sum({name}_square), {amounts.SQUARE_BASE}) AS BIGINT)"
    for name in ("pnl", "r")
    for part, function in (("high", "div"), ("low", "mod"))
}
"""The parts of squares, out of sums of whole ones."""


# SQLite

Columns = Mapping[str, list[Any]]

_DOUBTFUL = "json_group_array(outcome) FILTER (WHERE ambiguous)"
"""How signals ended whose end rests on a policy."""

_AMOUNTS = {"confidence": "confidence_amount", "pnl": "pnl_amount", "r": "r_amount"}
"""Amounts in millionths by measure, those of results of closed signals only."""

_EPOCH_DAY = date(1970, 1, 1).toordinal()

_FORMAT = "".join(
    "q" if isinstance(Base.metadata.tables[SIGNALS.cells].columns[name].type, BigInteger) else "i"
    for name in SIGNALS.split_measures
)
_NUMBERS = struct.Struct(f"<{_FORMAT}")
"""The fields of measures, as wide as those of cells: 64 bits for amounts, 32 for counts."""

_FIELDS = {name: 8 * struct.calcsize(f"<{_FORMAT[:index]}") for index, name in enumerate(SIGNALS.split_measures)}
"""At which bit the field of a measure begins."""

_ONE = {name: 1 << begin for name, begin in _FIELDS.items()}
_SIGNS = sum(1 << end - 1 for end in (*list(_FIELDS.values())[1:], 8 * _NUMBERS.size))


def _by_fields(connection: Connection, edge: Edge, dimensions: Sequence[str]) -> Sums:
    columns = _columns(connection, edge, tuple(dimensions))
    rows = _packed(columns)
    splits = {name: _split(name, columns[name], rows) for name in dimensions}
    days = {edge.begin // LENGTH[Grain.DAY]: _unpacked(sum(rows))} if rows else {}
    return Sums(days, splits, _others(columns))


def _columns(connection: Connection, edge: Edge, dimensions: tuple[str, ...]) -> Columns:
    statement = f"{_columns_statement(dimensions)} WHERE {_between(edge, 'sqlite')}) AS numbers"
    found = rollup_sql.fetched(connection, statement)[0]
    names = ("doubtful", "outcome", "is_executed", *_AMOUNTS.values(), *dimensions)
    return dict(zip(names, map(orjson.loads, found), strict=True))


@lru_cache(maxsize=64)
def _columns_statement(dimensions: tuple[str, ...]) -> str:
    """Asks for columns, up to the condition on rows. What is soon made of few different texts is made of them later."""
    values = facts_of(SIGNALS, "sqlite").values | {name: name for name in TEXTS} | {"closed_on": "closed_day"}
    asked = ("outcome", "is_executed", *_AMOUNTS.values(), *map(values.__getitem__, dimensions))
    columns = ", ".join(f"json_group_array({sql})" for sql in asked)
    return f"SELECT {_DOUBTFUL}, {columns} FROM ({_numbers('sqlite')}"


def _packed(columns: Columns) -> list[int]:
    """What each row counts for."""
    ends = {outcome: _ONE["total"] + _END.get(outcome, 0) for outcome in set(columns["outcome"])}
    parts = [map(ends.__getitem__, columns["outcome"]), map((0, _ONE["executed"]).__getitem__, columns["is_executed"])]
    found = (_amount_fields(columns[key], _ONE[f"{name}_n"], _FIELDS[name]) for name, key in _AMOUNTS.items())
    return [a + b + c + d + e for a, b, c, d, e in zip(*parts, *found, strict=True)]


_END = {"WIN": _ONE["win"], "LOSS": _ONE["loss"]}


def _amount_fields(found: list[int | None], one: int, begin: int) -> list[int]:
    return [0 if amount is None else one + (amount << begin) for amount in found]


def _split(dimension: str, values: list[str | None], rows: list[int]) -> dict[str, Told]:
    """The figures of rows by value; rows without one are left out."""
    sums: defaultdict[str | None, int] = defaultdict(int)
    for value, row in zip(values, rows, strict=True):
        sums[value] += row
    named: defaultdict[str | None, int] = defaultdict(int)
    for value, row in sums.items():
        named[_value(dimension, value)] += row
    return {value: _unpacked(row) for value, row in named.items() if value is not None}


def _value(dimension: str, found: str | None) -> str | None:
    """The value of a dimension, out of what was asked for."""
    if dimension in TEXTS:
        return label(found)
    if dimension == "closed_on" and found is not None:
        return str(date.fromisoformat(found).toordinal() - _EPOCH_DAY)
    return found


def _unpacked(row: int) -> Told:
    """The figures in the fields of a sum. A negative one borrows from the next field, which it is given back."""
    return _NUMBERS.unpack((row + _SIGNS ^ _SIGNS).to_bytes(_NUMBERS.size, "little"))


def _others(columns: Columns) -> Told:
    """What only the whole is asked for."""
    found = {outcome.lower(): n for outcome, n in Counter(columns["outcome"]).items()}
    found |= {f"ambiguous_{outcome.lower()}": n for outcome, n in Counter(columns["doubtful"]).items()}
    for name in ("pnl", "r"):
        found |= _gains(name, Counter(columns[_AMOUNTS[name]]))
    return tuple(found.get(name, 0) for name in SIGNALS.other_measures)


def _gains(name: str, known: Counter[int | None]) -> dict[str, int]:
    """Gains and squares of results."""
    numbers = [(amount, n) for amount, n in known.items() if amount]
    squares = [(*amounts.square(amount), n) for amount, n in numbers]
    return {
        f"{name}_gain": sum(amount * n for amount, n in numbers if amount > 0),
        f"{name}_square_high": sum(high * n for high, _, n in squares),
        f"{name}_square_low": sum(low * n for _, low, n in squares),
    }
