"""Pages of a table, newest first, that cost the same at any depth.

A cursor is the place of the last row of a page in the order (`created_at`, `id`), both descending; the next page is
what comes after it. Cursors are opaque texts made here; one of another list, or one that was tampered with, is refused.
"""

from __future__ import annotations

import base64
import binascii
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, Subquery, literal, select, tuple_, union
from sqlalchemy.orm import InstrumentedAttribute, Session

from stateful_engine.domain.clock import from_epoch_us, to_epoch_us
from stateful_engine.errors import Fault, InvalidInputError
from stateful_engine.storage.base import Base, time_name, to_dict

_PLACE = struct.Struct(">qq")
_CHECK = struct.Struct(">I")


@dataclass(frozen=True, slots=True)
class Page:
    """Rows as plain dicts, newest first; `next_cursor` is None on the last page."""

    items: list[dict[str, Any]]
    next_cursor: str | None
    has_more: bool


@dataclass(frozen=True, slots=True)
class Place:
    """Where a row stands in its list."""

    created_at: datetime
    id: int


def encode_cursor(table: str, place: Place) -> str:
    """The opaque text for a place in the list of `table`."""
    packed = _PLACE.pack(to_epoch_us(place.created_at), place.id)
    return base64.urlsafe_b64encode(packed + _check(table, packed)).rstrip(b"=").decode()


def decode_cursor(table: str, cursor: str) -> Place:
    """The place that a cursor stands for; raises `InvalidInputError` with the code INVALID_CURSOR for anything else."""
    try:
        text = str(cursor)
        raw = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
        packed, check = raw[: _PLACE.size], raw[_PLACE.size :]
        if check != _check(table, packed):
            raise ValueError("another list")
        created_us, row_id = _PLACE.unpack(packed)
        return Place(from_epoch_us(created_us), row_id)
    except (ValueError, OverflowError, RecursionError, binascii.Error, struct.error):
        detail = "this is no cursor of this list; send a next_cursor as it was given, or none for the first page"
        raise InvalidInputError(
            detail, code="INVALID_CURSOR", errors=(Fault("/cursor", detail, "INVALID_CURSOR"),)
        ) from None


def page(
    session: Session,
    model: type[Base],
    alternatives: Sequence[Sequence[ColumnElement[bool]]],
    cursor: str | None,
    limit: int,
    *,
    omit: frozenset[str] = frozenset({"id"}),
) -> Page:
    """The page after `cursor` of the rows that meet every condition of at least one of the `alternatives`.

    Each alternative is looked up by an index of its own, so that an OR does not lose the order.
    """
    place = decode_cursor(_name(model), cursor) if cursor is not None else None
    found = list(session.scalars(_statement(model, alternatives, place, limit + 1)))
    rows = found[:limit]
    has_more = len(found) > limit
    next_cursor = encode_cursor(_name(model), _place_of(rows[-1])) if has_more else None
    return Page([to_dict(row, omit=omit) for row in rows], next_cursor, has_more)


def newest(
    session: Session, model: type[Base], cursor: str | None, limit: int, *, since: datetime | None = None, **values: Any
) -> Page:
    """As `page`, of the rows from `since` on that hold these `values`, by column; None leaves a column out.

    Rows keep their `id`, by which the bot's memory names them.
    """
    conditions = window(getattr(model, time_column(model)), since, None)
    conditions += [getattr(model, name) == value for name, value in values.items() if value is not None]
    return page(session, model, [conditions], cursor, limit, omit=frozenset())


def _statement(
    model: type[Base], alternatives: Sequence[Sequence[ColumnElement[bool]]], place: Place | None, count: int
) -> Select[Any]:
    created_at, row_id = _order(model)
    statement = select(model)
    if len(alternatives) == 1:
        statement = statement.where(*alternatives[0], *_after(model, place)).limit(count)
    else:
        ids = union(*(_ids(model, conditions, place, count) for conditions in alternatives)).subquery()
        statement = statement.join(ids, ids.c.id == row_id).limit(count)
    return statement.order_by(created_at.desc(), row_id.desc())


def _ids(
    model: type[Base], conditions: Sequence[ColumnElement[bool]], place: Place | None, count: int
) -> Select[tuple[int]]:
    """The newest ids of one alternative; SQLite takes a LIMIT inside a UNION only in a subquery."""
    created_at, row_id = _order(model)
    chosen: Subquery = (
        select(row_id.label("id"))
        .where(*conditions, *_after(model, place))
        .order_by(created_at.desc(), row_id.desc())
        .limit(count)
        .subquery()
    )
    return select(chosen.c.id)


def _after(model: type[Base], place: Place | None) -> list[ColumnElement[bool]]:
    """Rows after a place: a comparison of rows, which both databases look up in the index."""
    if place is None:
        return []
    created_at, row_id = _order(model)
    moment = literal(place.created_at, created_at.type)
    return [tuple_(created_at, row_id) < tuple_(moment, literal(place.id, row_id.type))]


def window(column: InstrumentedAttribute[datetime], start: datetime | None, end: datetime | None) -> list[Any]:
    """The conditions of a window of time, its end exclusive."""
    conditions = []
    if start is not None:
        conditions.append(column >= start)
    if end is not None:
        conditions.append(column < end)
    return conditions


def _order(model: type[Base]) -> tuple[Any, Any]:
    columns = model.__table__.c
    return columns[time_column(model)], columns["id"]


def time_column(model: type[Base]) -> str:
    """The column by which a table is ordered in time."""
    return time_name(model.metadata.tables[_name(model)])


def _place_of(row: Any) -> Place:
    return Place(getattr(row, time_column(type(row))), row.id)


def _name(model: type[Base]) -> str:
    return str(model.__tablename__)


def _check(table: str, packed: bytes) -> bytes:
    return _CHECK.pack(zlib.crc32(table.encode() + packed))
