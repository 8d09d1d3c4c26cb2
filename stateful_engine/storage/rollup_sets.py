"""Who was there: exact sets of people and conversations by period, a bit for each, that are counted together.

Members are numbered from 0 within their kind. Sets are written by the finest grain and joined into coarser ones when
those are over, or at once when they are over already. PostgreSQL joins bit strings itself; SQLite keeps bytes, which
are joined here, while nobody else writes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, text

from stateful_engine.domain.periods import LENGTH, Cover, Grain, Span, begin_of, floor_to, period_of
from stateful_engine.domain.redaction import clean_text
from stateful_engine.storage.base import SHORT_TEXT
from stateful_engine.storage.rollup_cells import coarser, within
from stateful_engine.storage.rollup_measures import Family, Row, moment_of
from stateful_engine.storage.rollup_sql import Where, created_between, moment_sql, run, schema_prefix
from stateful_engine.storage.rollup_tables import SET_SIZE

Members = dict[tuple[str, int], set[str]]
"""Names of members by kind and slot."""

Bits = dict[int, int]
"""Bits by chunk, as whole numbers whose highest bit is the first member."""

COARSE = tuple(grain for grain in Grain if grain > Grain.SLOT)

_LOOK_UP = 500


@dataclass(frozen=True, slots=True, order=True)
class _Key:
    kind: str
    period: int
    chunk: int


def members_of(family: Family, rows: Sequence[Row]) -> Members:
    """Who appears in `rows`, by kind and slot."""
    found: Members = {}
    for column, kind in family.sets.items():
        for row in rows:
            value = row.get(column)
            if value is not None:
                slot = period_of(Grain.SLOT, moment_of(row["created_at"]))
                found.setdefault((kind, slot), set()).add(stored_text(value))
    return found


def add(connection: Connection, members: Members, sealed: int) -> None:
    """Put members into the sets of their slots, and of the coarser periods that are over already."""
    wanted: dict[_Key, int] = {}
    for kind in sorted({kind for kind, _ in members}):
        slots = {slot: names for (other, slot), names in members.items() if other == kind}
        numbers = _numbered(connection, kind, set().union(*slots.values()))
        for slot, names in slots.items():
            for period in (slot, *_sealed_periods(begin_of(slot), sealed)):
                _mark(wanted, kind, period, [numbers[name] for name in names])
    _write(connection, wanted)


def _sealed_periods(moment: int, sealed: int) -> list[int]:
    """The coarse periods that a moment lies in and that are over."""
    return [period_of(grain, moment) for grain in COARSE if moment < floor_to(grain, sealed)]


def _mark(wanted: dict[_Key, int], kind: str, period: int, numbers: Iterable[int]) -> None:
    for number in numbers:
        key = _Key(kind, period, number // SET_SIZE)
        wanted[key] = wanted.get(key, 0) | _bit(number)


def _bit(number: int) -> int:
    return 1 << (SET_SIZE - 1 - number % SET_SIZE)


def _numbered(connection: Connection, kind: str, names: set[str]) -> dict[str, int]:
    """The numbers of members; new ones get the next, as nobody else numbers them meanwhile."""
    numbers = _known(connection, kind, names)
    fresh = sorted(names - numbers.keys())
    if fresh:
        highest = run(
            connection, "SELECT max(number) FROM {schema}rollup_members WHERE kind = :kind", {"kind": kind}
        ).scalar()
        begin = 0 if highest is None else highest + 1
        given = {name: begin + index for index, name in enumerate(fresh)}
        statement = "INSERT INTO {schema}rollup_members (kind, value, number) VALUES (:kind, :value, :number)"
        connection.execute(
            text(statement.replace("{schema}", schema_prefix(connection))),
            [{"kind": kind, "value": name, "number": number} for name, number in given.items()],
        )
        numbers |= given
    return numbers


def _known(connection: Connection, kind: str, names: set[str]) -> dict[str, int]:
    wanted = sorted(names)
    select = "SELECT value, number FROM {schema}rollup_members WHERE kind = :kind AND value "
    if connection.dialect.name != "sqlite":
        found = run(connection, select + "= ANY(CAST(:names AS text[]))", {"kind": kind, "names": wanted})
        return {row[0]: row[1] for row in found}
    clause = text(select.replace("{schema}", "") + "IN :names").bindparams(bindparam("names", expanding=True))
    numbers: dict[str, int] = {}
    for start in range(0, len(wanted), _LOOK_UP):
        some = connection.execute(clause, {"kind": kind, "names": wanted[start : start + _LOOK_UP]})
        numbers.update((row[0], row[1]) for row in some)
    return numbers


def _write(connection: Connection, wanted: Mapping[_Key, int]) -> None:
    if not wanted:
        return
    keys = sorted(wanted)
    if connection.dialect.name == "sqlite":
        _write_bytes(connection, [(key, wanted[key] | _stored(connection, key)) for key in keys])
        return
    statement = (
        "INSERT INTO {schema}rollup_sets AS s (kind, period, chunk, bits) "
        f"SELECT kind, period, chunk, CAST(bits AS bit({SET_SIZE})) FROM unnest(CAST(:kinds AS text[]), "
        "CAST(:periods AS integer[]), CAST(:chunks AS integer[]), CAST(:bits AS text[])) AS "
        "given(kind, period, chunk, bits) ON CONFLICT (kind, period, chunk) DO UPDATE "
        "SET bits = s.bits | excluded.bits WHERE s.bits & excluded.bits <> excluded.bits"
    )
    parameters = {
        "kinds": [key.kind for key in keys],
        "periods": [key.period for key in keys],
        "chunks": [key.chunk for key in keys],
        "bits": [f"x{wanted[key]:0{SET_SIZE // 4}x}" for key in keys],
    }
    run(connection, statement, parameters)


def _stored(connection: Connection, key: _Key) -> int:
    statement = "SELECT bits FROM {schema}rollup_sets WHERE kind = :kind AND period = :period AND chunk = :chunk"
    parameters = {"kind": key.kind, "period": key.period, "chunk": key.chunk}
    found = run(connection, statement, parameters).scalar()
    return 0 if found is None else int.from_bytes(found, "big")


def _write_bytes(connection: Connection, sets: Sequence[tuple[_Key, int]]) -> None:
    if sets:
        run(
            connection,
            "INSERT INTO {schema}rollup_sets (kind, period, chunk, bits) VALUES (:kind, :period, :chunk, :bits) "
            "ON CONFLICT (kind, period, chunk) DO UPDATE SET bits = excluded.bits",
            [{**asdict(key), "bits": bits.to_bytes(SET_SIZE // 8, "big")} for key, bits in sets],
        )


def seal(connection: Connection, kinds: Iterable[str], grain: Grain, parts: Span) -> None:
    """Make the sets of coarse periods out of those of the next finer grain, `parts`."""
    for kind in sorted(kinds):
        if connection.dialect.name == "sqlite":
            _seal_bytes(connection, kind, grain, parts)
            continue
        run(
            connection,
            "INSERT INTO {schema}rollup_sets (kind, period, chunk, bits) "
            f"SELECT kind, {coarser(grain, Grain(grain - 1))}, chunk, bit_or(bits) FROM {{schema}}rollup_sets "
            "WHERE kind = :kind AND period BETWEEN :first AND :last GROUP BY 1, 2, 3",
            {"kind": kind, "first": parts[0], "last": parts[1]},
        )


def _seal_bytes(connection: Connection, kind: str, grain: Grain, parts: Span) -> None:
    joined: dict[_Key, int] = {}
    for period, chunk, bits in _read(connection, kind, [parts]):
        key = _Key(kind, period_of(grain, begin_of(period)), chunk)
        joined[key] = joined.get(key, 0) | int.from_bytes(bits, "big")
    _write_bytes(connection, sorted(joined.items()))


def _read(connection: Connection, kind: str, spans: Sequence[Span]) -> list[tuple[int, int, Any]]:
    """Sets as they are kept: bytes on SQLite, text of bits on PostgreSQL."""
    if not spans:
        return []
    statement = f"SELECT period, chunk, bits FROM {{schema}}rollup_sets WHERE kind = :kind AND {within(spans)}"
    return [(row[0], row[1], row[2]) for row in run(connection, statement, {"kind": kind})]


def of_kinds(family: Family) -> str:
    """The condition that a set belongs to a table."""
    kinds = ", ".join(f"'{kind}'" for kind in family.sets.values())
    return f"kind IN ({kinds})" if kinds else "1 = 0"


def kept(connection: Connection, kind: str, spans: Sequence[Span]) -> dict[int, set[int]]:
    """The numbers of members by period, as they are kept."""
    found: dict[int, set[int]] = {}
    for period, chunk, bits in _read(connection, kind, spans):
        number = int.from_bytes(bits, "big") if isinstance(bits, bytes) else int(bits, 2)
        found.setdefault(period, set()).update(chunk * SET_SIZE + place for place in _places(number))
    return found


def _places(bits: int) -> Iterator[int]:
    """Which bits are set, counted from the highest."""
    while bits:
        length = bits.bit_length()
        yield SET_SIZE - length
        bits ^= 1 << (length - 1)


def in_rows(connection: Connection, family: Family, column: str, where: Where) -> dict[int, set[int]]:
    """The numbers of members by slot, as the rows name them; -1 for those without a number."""
    slot = f"{moment_sql(connection, 'created_at')} / {LENGTH[Grain.SLOT]}"
    statement = (
        f"SELECT DISTINCT {slot}, coalesce(m.number, -1) FROM {{schema}}{family.source} AS r "
        f"LEFT JOIN {{schema}}rollup_members AS m ON m.kind = :kind AND m.value = r.{column} "
        f"WHERE {where[0]} AND r.{column} IS NOT NULL"
    )
    found: dict[int, set[int]] = {}
    for period, number in run(connection, statement, {"kind": family.sets[column], **where[1]}):
        found.setdefault(period, set()).add(number)
    return found


def fill(connection: Connection, family: Family, where: Where) -> None:
    """Make the sets of stored rows by slot; there are none yet for these slots."""
    slot = f"{moment_sql(connection, 'created_at')} / {LENGTH[Grain.SLOT]}"
    for column, kind in family.sets.items():
        _number_all(connection, family, column, where)
        rows = (
            f"SELECT DISTINCT {slot} AS slot, m.number FROM {{schema}}{family.source} AS r "
            f"JOIN {{schema}}rollup_members AS m ON m.kind = :kind AND m.value = r.{column} WHERE {where[0]}"
        )
        _fill(connection, kind, rows, {"kind": kind, **where[1]})


def _number_all(connection: Connection, family: Family, column: str, where: Where) -> None:
    """Number the members that rows name and that have no number yet."""
    run(
        connection,
        "INSERT INTO {schema}rollup_members (kind, value, number) SELECT :kind, name, "
        "(SELECT coalesce(max(number), -1) FROM {schema}rollup_members WHERE kind = :kind) "
        "+ row_number() OVER (ORDER BY name) FROM "
        f"(SELECT DISTINCT {column} AS name FROM {{schema}}{family.source} WHERE {where[0]} AND {column} IS NOT NULL) "
        "AS named WHERE NOT EXISTS "
        "(SELECT 1 FROM {schema}rollup_members AS m WHERE m.kind = :kind AND m.value = named.name)",
        {"kind": family.sets[column], **where[1]},
    )


def _fill(connection: Connection, kind: str, rows: str, parameters: Mapping[str, Any]) -> None:
    if connection.dialect.name != "sqlite":
        run(
            connection,
            "INSERT INTO {schema}rollup_sets (kind, period, chunk, bits) SELECT :kind, CAST(slot AS integer), "
            f"number / {SET_SIZE}, bit_or(set_bit(CAST(B'0' AS bit({SET_SIZE})), number % {SET_SIZE}, 1)) "
            f"FROM ({rows}) AS present GROUP BY slot, number / {SET_SIZE}",
            parameters,
        )
        return
    wanted: dict[_Key, int] = {}
    for slot, number in run(connection, rows, parameters):
        _mark(wanted, kind, slot, [number])
    _write_bytes(connection, sorted(wanted.items()))


def count_distinct(connection: Connection, family: Family, column: str, cover: Cover) -> int:
    """How many different members the rows of a window name in `column`."""
    kind = family.sets[column]
    bits = _joined(connection, kind, cover.spans)
    for edge in cover.edges:
        for number in _numbers_in_rows(connection, family, column, created_between(edge.begin, edge.end)):
            chunk = number // SET_SIZE
            bits[chunk] = bits.get(chunk, 0) | _bit(number)
    return sum(found.bit_count() for found in bits.values())


def count_distinct_in_rows(connection: Connection, family: Family, column: str, where: Where) -> int:
    """The same, of the rows that meet a condition."""
    statement = f"SELECT count(DISTINCT {column}) FROM {{schema}}{family.source} WHERE {where[0]}"
    return int(run(connection, statement, where[1]).scalar())


def _joined(connection: Connection, kind: str, spans: Sequence[Span]) -> Bits:
    if connection.dialect.name == "sqlite":
        bits: Bits = {}
        for _, chunk, found in _read(connection, kind, spans):
            bits[chunk] = bits.get(chunk, 0) | int.from_bytes(found, "big")
        return bits
    if not spans:
        return {}
    statement = (
        "SELECT chunk, CAST(bit_or(bits) AS text) FROM {schema}rollup_sets "
        f"WHERE kind = :kind AND {within(spans)} GROUP BY chunk"
    )
    return {row[0]: int(row[1], 2) for row in run(connection, statement, {"kind": kind})}


def _numbers_in_rows(connection: Connection, family: Family, column: str, where: Where) -> list[int]:
    statement = (
        f"SELECT m.number FROM {{schema}}rollup_members AS m WHERE m.kind = :kind AND m.value IN "
        f"(SELECT {column} FROM {{schema}}{family.source} WHERE {where[0]} AND {column} IS NOT NULL)"
    )
    return list(run(connection, statement, {"kind": family.sets[column], **where[1]}).scalars())


def stored_text(value: Any) -> str:
    """A name as the column keeps it."""
    return clean_text(str(value))[0][:SHORT_TEXT]
