"""Calls that act once however often they are made: the first answer is kept and given again.

A call is known by its caller, what it does, and the name it was given (`Idempotency-Key`, or `client_ref` in the body
for callers that cannot set headers). The unique constraint of the table decides who was first. A call whose process
died before it was answered may be made again after `ABANDONED_AFTER`; names are forgotten after `KEPT_FOR`.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import orjson

from stateful_engine.domain import clock
from stateful_engine.domain.redaction import clean_json
from stateful_engine.errors import ConflictError
from stateful_engine.storage import idempotency
from stateful_engine.storage.idempotency import IdempotencyKey, Name

if TYPE_CHECKING:
    from stateful_engine.storage.database import Database

KEPT_FOR = timedelta(days=1)
ABANDONED_AFTER = timedelta(minutes=1)
PRUNE_EVERY = 3600.0
WAIT_SECONDS = 5.0
PAUSE = 0.05


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer that was given before."""

    status: int
    body: dict[str, Any]


class Idempotency:
    """Remembers the calls of one app."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._pruned_at = time.monotonic()

    def begin(self, name: Name, fingerprint: str) -> Kept | None:
        """Take the name, or return what the first call was answered; waits a moment for one that is under way.

        Raises `ConflictError` when the first call said something else, or is not answered in time.
        """
        self._prune()
        deadline = time.monotonic() + WAIT_SECONDS
        while (first := self._claim(name, fingerprint)) is not None:
            if first.fingerprint != fingerprint:
                raise _mismatch()
            if first.status is not None:
                return Kept(first.status, dict(first.answer or {}))
            if self._take_over(name):
                return None
            if time.monotonic() >= deadline:
                raise _in_progress()
            time.sleep(PAUSE)
        return None

    def finish(self, name: Name, status: int, body: Mapping[str, Any]) -> None:
        """Keep the answer of the call that took the name."""
        with self._database.transaction() as session:
            idempotency.answer(session, name, status=status, body=dict(body))

    def abandon(self, name: Name) -> None:
        """Give the name up, because the call did not act."""
        with self._database.transaction() as session:
            idempotency.release(session, name)

    def _claim(self, name: Name, fingerprint: str) -> IdempotencyKey | None:
        """None when the name is ours now, else the call that has it."""
        while True:
            with self._database.transaction() as session:
                if idempotency.claim(session, name, fingerprint=fingerprint, at=clock.now()):
                    return None
                first = idempotency.find(session, name)
            if first is not None:
                return first

    def _take_over(self, name: Name) -> bool:
        now = clock.now()
        with self._database.transaction() as session:
            return idempotency.take_over(session, name, older_than=now - ABANDONED_AFTER, at=now)

    def _prune(self) -> None:
        if time.monotonic() - self._pruned_at < PRUNE_EVERY:
            return
        self._pruned_at = time.monotonic()
        with self._database.transaction() as session:
            idempotency.prune(session, older_than=clock.now() - KEPT_FOR)


def _mismatch() -> ConflictError:
    return ConflictError(
        "this name was given to another call before; give every new call a name of its own", code="IDEMPOTENCY_MISMATCH"
    )


def _in_progress() -> ConflictError:
    return ConflictError(
        "the first call of this name is still under way; send it again in a moment",
        code="IDEMPOTENCY_IN_PROGRESS",
        retry_after=1,
    )


def fingerprint(body: Mapping[str, Any]) -> str:
    """What a call says, as a hash that does not depend on the order of its fields."""
    cleaned = clean_json(dict(body))[0]
    return hashlib.sha256(orjson.dumps(cleaned, option=orjson.OPT_SORT_KEYS)).hexdigest()
