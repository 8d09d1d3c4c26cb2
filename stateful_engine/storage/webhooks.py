"""Tables `webhook_endpoints` and `webhook_deliveries`: who wants to be told, and what is still to be told to whom.

A message is written in the transaction of the change that it tells of (a transactional outbox), so that none is told
that did not happen and none that happened is forgotten. Where nobody listens a writer learns that once in a while, and
pays nothing else. A secret is never stored: it follows from the installation's key and the id of the endpoint.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from weakref import WeakKeyDictionary

import orjson
from sqlalchemy import BigInteger, Connection, Engine, ForeignKey, Index, delete, func, insert, select, text, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from stateful_engine.domain import clock, identifiers
from stateful_engine.domain.redaction import clean_json
from stateful_engine.domain.vocabulary import InteractionType, Outcome, WebhookEvent
from stateful_engine.storage.base import Base, JsonStored, ShortText, big_id, plain, to_dict, utc
from stateful_engine.storage.rollup_sql import schema_prefix

ENDPOINTS = "webhook_endpoints"
DELIVERIES = "webhook_deliveries"

KNOWN_SECONDS = 5.0
"""How long a process goes by what it knows of the endpoints: that late it learns of one that another process added."""

PENDING, DELIVERED, FAILED = "pending", "delivered", "failed"

_PENDING = text("state = 'pending'")

_SIGNAL = (
    "signal_id query_id symbol timeframe action confidence entry_price take_profit stop_loss risk_reward_ratio "
    "source source_engine experiment variant created_at"
).split()
_EXECUTED = "signal_id symbol timeframe action entry_price executed_at execution_price execution_source".split()
_CLOSED = (
    "signal_id symbol timeframe action entry_price outcome pnl_percentage r_multiple exit_price exit_reason closed_at "
    "resolved_by"
).split()
_INTERACTION = "interaction_id signal_id interaction_type interaction_source user_id created_at".split()
_MOMENTS = frozenset({"created_at", "executed_at", "closed_at"})


class WebhookEndpoint(Base):
    """One address that wants to be told of events; none named means all."""

    __tablename__ = ENDPOINTS

    id: Mapped[int] = mapped_column(big_id(), primary_key=True)
    endpoint_id: Mapped[str] = mapped_column(ShortText, unique=True)
    url: Mapped[str]
    events: Mapped[Any] = mapped_column(JsonStored)
    secret_check: Mapped[str]
    created_at: Mapped[datetime]
    failures: Mapped[int] = mapped_column(default=0, server_default="0")
    retry_at: Mapped[datetime | None]
    disabled_at: Mapped[datetime | None]
    last_success_at: Mapped[datetime | None]
    last_error: Mapped[str | None]


class WebhookDelivery(Base):
    """One message to one endpoint; `payload` is sent as it stands, at every attempt."""

    __tablename__ = DELIVERIES

    id: Mapped[int] = mapped_column(big_id(), primary_key=True)
    endpoint: Mapped[int] = mapped_column(BigInteger, ForeignKey(f"{ENDPOINTS}.id", ondelete="CASCADE"))
    message_id: Mapped[str] = mapped_column(ShortText)
    event: Mapped[str] = mapped_column(ShortText)
    user_id: Mapped[str | None] = mapped_column(ShortText)
    payload: Mapped[str]
    state: Mapped[str] = mapped_column(ShortText, default=PENDING, server_default=PENDING)
    attempts: Mapped[int] = mapped_column(default=0, server_default="0")
    next_attempt_at: Mapped[datetime]
    created_at: Mapped[datetime]
    delivered_at: Mapped[datetime | None]
    last_status: Mapped[int | None]
    last_error: Mapped[str | None]

    __table_args__ = (
        Index(
            "ix_webhook_deliveries_pending",
            "next_attempt_at",
            "id",
            postgresql_where=_PENDING,
            sqlite_where=_PENDING,
        ),
        Index(None, "endpoint", "state"),
        Index(None, "created_at", "id"),
    )


# What writers call


@dataclass(frozen=True, slots=True)
class _Listener:
    id: int
    events: frozenset[str]

    def wants(self, event: str) -> bool:
        return not self.events or event in self.events


_Known = tuple[float, tuple[_Listener, ...]]
_known: WeakKeyDictionary[Engine, dict[str, _Known]] = WeakKeyDictionary()


def announce(connection: Connection, new_rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Write down what is to be told of new rows, in the transaction that inserts them."""
    listeners = _listening(connection)
    if not listeners:
        return
    told = [_told(WebhookEvent.SIGNAL_CREATED, row, _SIGNAL) for row in new_rows.get("signal_history", ())]
    told += [
        _told(WebhookEvent.INTERACTION_CREATED, row, _INTERACTION)
        for row in new_rows.get("user_interaction", ())
        if row.get("interaction_type") != InteractionType.SIGNAL_GENERATED.value
    ]
    _write(connection, listeners, told)


def announce_change(connection: Connection, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Write down what is to be told of a signal that was executed or closed."""
    listeners = _listening(connection)
    if not listeners:
        return
    told = []
    if after["is_executed"] and not before["is_executed"]:
        told.append(_told(WebhookEvent.SIGNAL_EXECUTED, after, _EXECUTED))
    if after["outcome"] != Outcome.PENDING.value and any(before[name] != after[name] for name in _CLOSED):
        told.append(_told(WebhookEvent.SIGNAL_CLOSED, after, _CLOSED))
    _write(connection, listeners, told)


def forget_listeners() -> None:
    """Look at the endpoints again before the next write of this process."""
    _known.clear()


def _listening(connection: Connection) -> tuple[_Listener, ...]:
    """Who wants to be told; asked of the database once in a while."""
    known, schema = _known.setdefault(connection.engine, {}), schema_prefix(connection)
    found = known.get(schema)
    if found is None or time.monotonic() - found[0] > KNOWN_SECONDS:
        found = known[schema] = (time.monotonic(), tuple(_listeners(connection)))
    return found[1]


def _listeners(connection: Connection) -> Iterable[_Listener]:
    wanted = select(WebhookEndpoint.id, WebhookEndpoint.events).where(WebhookEndpoint.disabled_at.is_(None))
    return [_Listener(row.id, frozenset(row.events or ())) for row in connection.execute(wanted)]


_Told = tuple[WebhookEvent, dict[str, Any]]


def _told(event: WebhookEvent, row: Mapping[str, Any], names: Iterable[str]) -> _Told:
    return event, {name: _said(name, row.get(name)) for name in names}


def _said(name: str, value: Any) -> Any:
    return utc(value).isoformat() if name in _MOMENTS and value is not None else plain(value)


def _write(connection: Connection, listeners: Sequence[_Listener], told: Sequence[_Told]) -> None:
    now = clock.now()
    rows = [row for event, data in told for row in _messages(listeners, event, data, now)]
    if rows:
        connection.execute(insert(WebhookDelivery), rows)


def _messages(
    listeners: Sequence[_Listener], event: WebhookEvent, data: dict[str, Any], now: datetime
) -> list[dict[str, Any]]:
    wanting = [listener for listener in listeners if listener.wants(event.value)]
    if not wanting:
        return []
    said = {"type": event.value, "timestamp": now.isoformat(), "data": clean_json(data)[0]}
    message = {
        "message_id": identifiers.message_id(),
        "event": event.value,
        "user_id": data.get("user_id"),
        "payload": orjson.dumps(said).decode(),
        "next_attempt_at": now,
        "created_at": now,
    }
    return [{**message, "endpoint": listener.id} for listener in wanting]


# What operators call


def add(session: Session, values: Mapping[str, Any]) -> None:
    """Add an endpoint."""
    session.add(WebhookEndpoint(**values))


def find(session: Session, endpoint_id: str) -> WebhookEndpoint | None:
    """The endpoint with this public id, or None."""
    return session.scalar(select(WebhookEndpoint).where(WebhookEndpoint.endpoint_id == endpoint_id))


def every(session: Session) -> list[dict[str, Any]]:
    """All endpoints, oldest first, with how many messages wait for them or were given up."""
    counts = {
        (row.endpoint, row.state): row.count
        for row in session.execute(
            select(WebhookDelivery.endpoint, WebhookDelivery.state, func.count().label("count")).group_by(
                WebhookDelivery.endpoint, WebhookDelivery.state
            )
        )
    }
    return [
        {
            **to_dict(row, omit=frozenset({"id", "secret_check"})),
            "pending": counts.get((row.id, PENDING), 0),
            "failed": counts.get((row.id, FAILED), 0),
        }
        for row in session.scalars(select(WebhookEndpoint).order_by(WebhookEndpoint.id))
    ]


def remove(session: Session, endpoint: WebhookEndpoint) -> None:
    """Delete an endpoint and its messages, also where the database minds no foreign keys."""
    session.execute(delete(WebhookDelivery).where(WebhookDelivery.endpoint == endpoint.id))
    session.delete(endpoint)


# What the deliverer calls


@dataclass(frozen=True, slots=True)
class Claimed:
    """A message that is to be sent now, by nobody else before its claim ends; `attempt` counts from 1."""

    id: int
    attempt: int
    endpoint_id: str
    endpoint: int
    url: str
    secret_check: str
    message_id: str
    payload: str


def claim(session: Session, *, now: datetime, until: datetime) -> Claimed | None:
    """Take the message that is due for longest; None when none is. It comes again at `until` unless it is settled."""
    statement = (
        select(WebhookDelivery, WebhookEndpoint)
        .join(WebhookEndpoint, WebhookEndpoint.id == WebhookDelivery.endpoint)
        .where(
            WebhookDelivery.state == PENDING,
            WebhookDelivery.next_attempt_at <= now,
            WebhookEndpoint.disabled_at.is_(None),
            WebhookEndpoint.retry_at.is_(None) | (WebhookEndpoint.retry_at <= now),
        )
        .order_by(WebhookDelivery.next_attempt_at, WebhookDelivery.id)
        .limit(1)
        .with_for_update(of=WebhookDelivery, skip_locked=True)
    )
    found = session.execute(statement).first()
    if found is None:
        return None
    due, to = found
    due.attempts += 1
    due.next_attempt_at = until
    return Claimed(due.id, due.attempts, to.endpoint_id, to.id, to.url, to.secret_check, due.message_id, due.payload)


def delivered(session: Session, claimed: Claimed, *, status: int, at: datetime) -> bool:
    """Note that a message arrived; False when somebody else has claimed it meanwhile."""
    values = {"state": DELIVERED, "delivered_at": at, "last_status": status, "last_error": None}
    if not _settle(session, claimed, values):
        return False
    well = {"failures": 0, "retry_at": None, "last_success_at": at, "last_error": None}
    session.execute(update(WebhookEndpoint).where(WebhookEndpoint.id == claimed.endpoint).values(well))
    return True


def failed(session: Session, claimed: Claimed, *, values: Mapping[str, Any]) -> int | None:
    """Note that a message did not arrive; how often its endpoint failed in a row, None when somebody else has it."""
    if not _settle(session, claimed, values):
        return None
    more = {"failures": WebhookEndpoint.failures + 1, "last_error": values["last_error"]}
    session.execute(update(WebhookEndpoint).where(WebhookEndpoint.id == claimed.endpoint).values(more))
    return session.scalar(select(WebhookEndpoint.failures).where(WebhookEndpoint.id == claimed.endpoint))


def rest(session: Session, endpoint: int, *, until: datetime, disabled_at: datetime | None) -> None:
    """Send nothing to an endpoint until then, or, with `disabled_at`, until somebody enables it."""
    values = {"retry_at": until, "disabled_at": disabled_at}
    session.execute(update(WebhookEndpoint).where(WebhookEndpoint.id == endpoint).values(values))


def prune(session: Session, *, older_than: datetime, limit: int) -> int:
    """Delete at most `limit` messages that were settled and made before a moment; how many went."""
    old = (
        select(WebhookDelivery.id)
        .where(WebhookDelivery.created_at < older_than, WebhookDelivery.state != PENDING)
        .order_by(WebhookDelivery.created_at, WebhookDelivery.id)
        .limit(limit)
    )
    done: Any = session.execute(
        delete(WebhookDelivery).where(WebhookDelivery.id.in_(old)), execution_options={"synchronize_session": False}
    )
    return int(done.rowcount)


def _settle(session: Session, claimed: Claimed, values: Mapping[str, Any]) -> bool:
    done: Any = session.execute(
        update(WebhookDelivery)
        .where(
            WebhookDelivery.id == claimed.id,
            WebhookDelivery.attempts == claimed.attempt,
            WebhookDelivery.state == PENDING,
        )
        .values(**values),
        execution_options={"synchronize_session": False},
    )
    return bool(done.rowcount)
