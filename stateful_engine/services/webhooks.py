"""Webhooks: who wants to be told of events, and bringing the messages to them.

Messages arrive at least once: one whose sender dies between sending and noting it is sent again with the same
`webhook-id`. A failing endpoint is left alone for longer and longer, so that it holds up no other, and is no longer
called after `MOST_FAILURES` in a row.
"""

from __future__ import annotations

import hashlib
import random
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from stateful_engine.domain import clock
from stateful_engine.domain.redaction import redact_text
from stateful_engine.domain.vocabulary import WebhookEvent
from stateful_engine.domain.webhooks import MOST_ATTEMPTS, MOST_FAILURES, pause, secret_text, signature
from stateful_engine.errors import Fault, InvalidInputError, NotFoundError
from stateful_engine.installation import key_for
from stateful_engine.logging import logger
from stateful_engine.services.webhook_sending import NotSentError, checked_url, send
from stateful_engine.storage import webhooks
from stateful_engine.storage.webhooks import FAILED, Claimed, WebhookEndpoint

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from stateful_engine.config import Settings
    from stateful_engine.storage.database import Database

CLAIMED_FOR = timedelta(seconds=60)
"""How long a message belongs to whoever is sending it; longer than an attempt may take."""

KEPT_FOR = timedelta(days=30)
PRUNED_AT_ONCE = 1000
GONE = 410
USER_AGENT = "stateful_engine webhooks"


@dataclass(frozen=True, slots=True)
class NewEndpoint:
    """An endpoint that was just added; `secret` is shown this once."""

    endpoint_id: str
    url: str
    events: tuple[str, ...]
    secret: str


@dataclass(slots=True)
class Deliveries:
    """What came of one round: messages that arrived, and attempts that failed."""

    delivered: int = 0
    failed: int = 0


class Webhooks:
    """The webhooks of one app."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings

    def add(self, url: Any, events: Iterable[Any] = ()) -> NewEndpoint:
        """Add an endpoint for some events, or for all; raises `InvalidInputError` for an address that may not be."""
        address = checked_url(str(url), allow_private=self._settings.webhook_allow_private)
        wanted = _events(events)
        endpoint_id = f"whe_{secrets.token_hex(8)}"
        secret = self._secret(endpoint_id)
        values = {
            "endpoint_id": endpoint_id,
            "url": address,
            "events": list(wanted),
            "secret_check": _check(secret),
            "created_at": clock.now(),
        }
        with self._database.transaction() as session:
            webhooks.add(session, values)
        webhooks.forget_listeners()
        return NewEndpoint(endpoint_id, address, wanted, secret)

    def every(self) -> list[dict[str, Any]]:
        """All endpoints, oldest first, with how they are doing and without their secrets."""
        with self._database.reading() as session:
            return [{**row, "url": redact_text(row["url"])} for row in webhooks.every(session)]

    def remove(self, endpoint_id: str) -> None:
        """Forget an endpoint and what was still to be told to it."""
        with self._database.transaction() as session:
            webhooks.remove(session, _known(session, endpoint_id))
        webhooks.forget_listeners()

    def enable(self, endpoint_id: str) -> None:
        """Call an endpoint again, at once, that had failed too often."""
        with self._database.transaction() as session:
            row = _known(session, endpoint_id)
            row.disabled_at, row.retry_at, row.failures = None, None, 0
        webhooks.forget_listeners()

    def deliver(self, *, stopped: Callable[[], bool] = lambda: False) -> Deliveries:
        """Send everything that is due, and return when nothing is, or `stopped` says so."""
        done = Deliveries()
        while not stopped():
            with self._database.transaction() as session:
                now = clock.now()
                claimed = webhooks.claim(session, now=now, until=now + CLAIMED_FOR)
            if claimed is None:
                break
            if self._attempt(claimed):
                done.delivered += 1
            else:
                done.failed += 1
        self._prune()
        return done

    def _attempt(self, claimed: Claimed) -> bool:
        try:
            status = self._send(claimed)
        except NotSentError as error:
            return self._failed(claimed, None, str(error))
        if not 200 <= status < 300:
            return self._failed(claimed, status, f"answered with status {status}")
        with self._database.transaction() as session:
            webhooks.delivered(session, claimed, status=status, at=clock.now())
        return True

    def _send(self, claimed: Claimed) -> int:
        secret = self._secret(claimed.endpoint_id)
        if _check(secret) != claimed.secret_check:
            raise NotSentError("the key of this installation is not the one of before; remove and add the endpoint")
        body, at = claimed.payload.encode(), clock.epoch_seconds()
        headers = {
            "Content-Type": "application/json",
            "User-Agent": USER_AGENT,
            "webhook-id": claimed.message_id,
            "webhook-timestamp": str(at),
            "webhook-signature": signature(secret, claimed.message_id, at, body),
        }
        return send(claimed.url, body, headers, allow_private=self._settings.webhook_allow_private)

    def _failed(self, claimed: Claimed, status: int | None, reason: str) -> bool:
        now = clock.now()
        values = {
            "last_status": status,
            "last_error": reason,
            "next_attempt_at": now + pause(claimed.attempt, random.random()),
            **({"state": FAILED} if claimed.attempt >= MOST_ATTEMPTS else {}),
        }
        with self._database.transaction() as session:
            failures = webhooks.failed(session, claimed, values=values)
            if failures is None:
                return False
            is_over = failures >= MOST_FAILURES or status == GONE
            until = now + pause(failures, random.random())
            webhooks.rest(session, claimed.endpoint, until=until, disabled_at=now if is_over else None)
        if is_over:
            webhooks.forget_listeners()
            logger.warning("the webhook %s is no longer called: %s", claimed.endpoint_id, reason)
        return False

    def _prune(self) -> None:
        with self._database.transaction() as session:
            webhooks.prune(session, older_than=clock.now() - KEPT_FOR, limit=PRUNED_AT_ONCE)

    def _secret(self, endpoint_id: str) -> str:
        """The signing secret of an endpoint, which is nowhere stored: it follows from the installation's key."""
        return secret_text(key_for(self._settings, f"webhook {endpoint_id}"))


def _events(given: Iterable[Any]) -> tuple[str, ...]:
    known = [event.value for event in WebhookEvent]
    named = tuple(dict.fromkeys(str(event).strip() for event in given))
    unknown = [event for event in named if event not in known]
    if unknown:
        detail = f"{unknown[0][:40]!r} is no event; use {', '.join(known)}"
        raise InvalidInputError(detail, errors=(Fault("/events", detail, "NOT_ALLOWED"),))
    return named


def _known(session: Session, endpoint_id: str) -> WebhookEndpoint:
    row = webhooks.find(session, endpoint_id)
    if row is None:
        raise NotFoundError(f"no webhook has the id {endpoint_id[:64]!r}; see `flask stateful webhooks list`")
    return row


def _check(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()[:16]
