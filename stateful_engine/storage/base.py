"""What every table shares: one metadata of our own, and column types that mean the same on both databases.

The metadata names no schema. On PostgreSQL our connections carry a `schema_translate_map`, so that the same models live
in whichever schema the host chose, and a host's autogenerate never meets them.
"""

from __future__ import annotations

import math
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any, ClassVar

import orjson
from sqlalchemy import JSON, BigInteger, Boolean, ColumnElement, DateTime, Double, Integer, MetaData, Table, Text, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, InstrumentedAttribute, Session
from sqlalchemy.types import TypeDecorator, TypeEngine

from stateful_engine.domain.clock import from_epoch_us
from stateful_engine.domain.redaction import clean_json, clean_text

INT64 = 2**63

NAMING = {
    "pk": "pk_%(table_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
}

SHORT_TEXT = 255
"""Characters that an indexed text may have: PostgreSQL refuses index entries of more than 2704 bytes."""


class UtcDateTime(TypeDecorator[datetime]):
    """A moment: aware in, aware UTC out, on both databases; microseconds since the epoch are taken too.

    SQLite keeps it as fixed-width text in UTC, which sorts like time. A naive datetime raises `ValueError`.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | int | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        moment = utc(value)
        return moment if dialect.name != "sqlite" else moment.replace(tzinfo=None)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        moment: datetime = value
        return moment.replace(tzinfo=timezone.utc) if moment.tzinfo is None else moment.astimezone(timezone.utc)


def utc(value: datetime | int) -> datetime:
    """The aware UTC datetime for an aware datetime or for microseconds since the epoch."""
    if not isinstance(value, datetime):
        return from_epoch_us(int(value))
    if value.tzinfo is None:
        raise ValueError("a naive datetime has no place on the time line; attach a timezone, for example timezone.utc")
    return value.astimezone(timezone.utc)


class CleanText(TypeDecorator[str]):
    """Text of any length, without what PostgreSQL refuses: NUL and lone surrogates become U+FFFD.

    Values to compare with are treated alike, so that a filter with such a character finds nothing instead of failing.
    """

    impl = Text
    cache_ok = True
    limit: int | None = None

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:  # noqa: ARG002
        if value is None:
            return None
        return clean_text(str(value))[0][: self.limit]


class ShortText(CleanText):
    """Text that is looked up by an index, cut at 255 characters."""

    cache_ok = True
    limit = SHORT_TEXT


class _CleanJson(TypeDecorator[Any]):
    """JSON that both databases take: finite numbers, no NUL, no lone surrogates; None is SQL NULL."""

    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:  # noqa: ARG002
        return None if value is None else clean_json(orjson.loads(value) if type(value) is bytes else value)[0]

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        """A host's engine may carry a JSON decoder of the host's own: what it made is put back into plain JSON."""
        if value is None or getattr(dialect, "_json_deserializer", None) in (None, loads):
            return value
        return plain(value)


class JsonStored(_CleanJson):
    """JSON that is kept and given back: type `json` on PostgreSQL, which is the fastest to write."""

    impl = JSON(none_as_null=True)
    cache_ok = True


class JsonFiltered(_CleanJson):
    """JSON that queries look into: `jsonb` on PostgreSQL."""

    impl = JSON(none_as_null=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(JSONB(none_as_null=True))
        return dialect.type_descriptor(JSON(none_as_null=True))


def big_id() -> TypeEngine[int]:
    """The type of primary keys: 64 bits; SQLite counts up by itself only in a column that is called INTEGER."""
    return BigInteger().with_variant(Integer, "sqlite")


class Number(TypeDecorator[float]):
    """A price, ratio or percentage in double precision; NaN and infinities are kept as NULL."""

    impl = Double
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> float | None:  # noqa: ARG002
        return finite(value)


class Whole(TypeDecorator[int]):
    """A count of 64 bits; what is larger cannot be meant and is kept as NULL."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> int | None:  # noqa: ARG002
        return whole(value)


class Base(DeclarativeBase):
    """The declarative base of all our tables; its metadata is never shared with a host."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        str: CleanText,
        float: Number,
        int: Whole,
        bool: Boolean,
        datetime: UtcDateTime,
    }


def utc_day(session: Session, column: InstrumentedAttribute[datetime]) -> ColumnElement[str]:
    """The day of a moment in UTC as text; on SQLite, which keeps times as text, its beginning."""
    if session.get_bind().dialect.name == "sqlite":
        return func.substr(column, 1, 10, type_=Text)
    return func.to_char(func.timezone("UTC", column), "YYYY-MM-DD", type_=Text)


def time_name(table: Table) -> str:
    """The column that says when what a row of `table` is about was."""
    return str(table.info.get("time", "created_at"))


def loads(value: Any) -> Any:
    """JSON as it comes out of a column; SQLite keeps the text of a bare number as that number."""
    return value if isinstance(value, (int, float)) else orjson.loads(value)


def finite(value: Any) -> float | None:
    """The number as a float, or None when there is none or it is not finite."""
    if value is None:
        return None
    try:
        number = float(value)
    except (OverflowError, ValueError):
        return None
    return number if math.isfinite(number) else None


def whole(value: Any) -> int | None:
    """The number as an integer (fractions are rounded), or None when there is none or it exceeds 64 bits."""
    if not isinstance(value, int):
        number = finite(value)
        value = None if number is None else round(number)
    return int(value) if value is not None and -INT64 <= value < INT64 else None


def plain(value: Any) -> Any:
    """A column's value as JSON can say it: times as ISO 8601, decimals as floats."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Decimal):
        return finite(value)
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def to_dict(row: Base, *, omit: frozenset[str] = frozenset({"id"})) -> dict[str, Any]:
    """The columns of a row as plain JSON values, times as ISO 8601 in UTC; without its internal id."""
    names = (column.name for column in row.__table__.columns)
    return {name: plain(getattr(row, name)) for name in names if name not in omit}
