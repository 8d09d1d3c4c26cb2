"""API keys `se_<id>_<secret>`: made, rotated, revoked and recognised.

A secret has 256 random bits and is shown once; the database holds its SHA-256 (a slow hash guards weak secrets, these
are not). A key that was recognised lately is trusted while the database is away, so that records can still be taken.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from stateful_engine.domain import clock
from stateful_engine.domain.identifiers import API_KEY_PREFIX
from stateful_engine.domain.vocabulary import Scope
from stateful_engine.errors import Fault, InvalidInputError, NotFoundError, StorageUnavailableError
from stateful_engine.storage import api_keys
from stateful_engine.storage.api_keys import ApiKey

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from stateful_engine.storage.database import Database

ID_BYTES = 6
SECRET_BYTES = 32
MAX_KEY_LENGTH = 200
MAX_NAME_LENGTH = 100
TRUSTED_SECONDS = 3600.0
TRUSTED_KEYS = 256
NO_HASH = "0" * 64

DEFAULT_SCOPES = (
    Scope.SIGNALS_READ,
    Scope.SIGNALS_WRITE,
    Scope.QUERIES_READ,
    Scope.QUERIES_WRITE,
    Scope.INTERACTIONS_READ,
    Scope.INTERACTIONS_WRITE,
    Scope.ANALYTICS_READ,
)
"""What a custom GPT needs: everything about signals, nothing about running the app."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made; `text` is shown now and never again."""

    key_id: str
    text: str
    scopes: tuple[Scope, ...]
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Holder:
    """Whoever called with a key."""

    key_id: str
    name: str
    scopes: frozenset[Scope]


class ApiKeys:
    """The keys of one app."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._trusted: OrderedDict[str, tuple[float, Holder]] = OrderedDict()

    def create(self, name: str, scopes: Iterable[str] = (), *, expires_in: timedelta | None = None) -> NewKey:
        """Make a key; without `scopes` it gets `DEFAULT_SCOPES`. Raises `InvalidInputError` for unknown scopes."""
        chosen = _scopes(scopes)
        if not 0 < len(name.strip()) <= MAX_NAME_LENGTH:
            raise InvalidInputError(
                f"a key needs a name by which you know it again; give 1 to {MAX_NAME_LENGTH} characters"
            )
        expires_at = None if expires_in is None else clock.now() + expires_in
        with self._database.transaction() as session:
            return _insert(session, name, chosen, expires_at=expires_at)

    def rotate(self, key_id: str, *, overlap: timedelta = timedelta(days=1)) -> NewKey:
        """Make a successor with the same name and scopes; the old key works for `overlap` more."""
        now = clock.now()
        with self._database.transaction() as session:
            old = _usable(session, key_id, now)
            lifetime = None if old.expires_at is None else old.expires_at - old.created_at
            until = now + overlap
            made = _insert(
                session,
                old.name,
                _scopes(old.scopes),
                expires_at=None if lifetime is None else now + lifetime,
                rotated_from=key_id,
            )
            old.expires_at = until if old.expires_at is None else min(old.expires_at, until)
        return made

    def revoke(self, key_id: str) -> None:
        """Let a key work no longer, from now on."""
        with self._database.transaction() as session:
            _find(session, key_id).revoked_at = clock.now()
        self._trusted.clear()

    def every(self) -> list[dict[str, Any]]:
        """All keys, oldest first, with everything but their secrets."""
        with self._database.reading() as session:
            return api_keys.every(session)

    def recognise(self, text: str) -> Holder | None:
        """Who holds this key; None when it is unknown, expired or revoked."""
        key_id, secret = _parts(text)
        offered = _hash(secret)
        try:
            holder = self._look_up(key_id, offered)
        except StorageUnavailableError:
            return self._trust(offered)
        if holder is None:
            self._trusted.pop(offered, None)
        else:
            self._remember(offered, holder)
        return holder

    def holder_of(self, key_id: str) -> Holder | None:
        """Who holds the key with this id; None when it is unknown, expired or revoked by now."""
        with self._database.reading() as session:
            row = api_keys.find(session, key_id)
        if row is None or not _is_usable(row, clock.now()):
            return None
        return _holder(row)

    def _look_up(self, key_id: str, offered: str) -> Holder | None:
        now = clock.now()
        with self._database.reading() as session:
            row = api_keys.find(session, key_id)
        # The comparison takes as long for a key that does not exist.
        is_right = hmac.compare_digest(row.secret_hash if row is not None else NO_HASH, offered)
        if row is None or not is_right or not _is_usable(row, now):
            return None
        if row.last_used_at is None or row.last_used_at < now - api_keys.SEEN_EVERY:
            with self._database.transaction() as session:
                api_keys.seen(session, key_id, at=now)
        return _holder(row)

    def _remember(self, offered: str, holder: Holder) -> None:
        self._trusted[offered] = (time.monotonic(), holder)
        self._trusted.move_to_end(offered)
        while len(self._trusted) > TRUSTED_KEYS:
            self._trusted.popitem(last=False)

    def _trust(self, offered: str) -> Holder:
        """The holder of a key that was recognised lately; nobody else can be told apart while the database is away."""
        known = self._trusted.get(offered)
        if known is None or time.monotonic() - known[0] > TRUSTED_SECONDS:
            raise StorageUnavailableError("keys cannot be checked while the database is away; send it again later")
        return known[1]


def _insert(
    session: Session,
    name: str,
    scopes: tuple[Scope, ...],
    *,
    expires_at: datetime | None,
    rotated_from: str | None = None,
) -> NewKey:
    key_id, secret = secrets.token_hex(ID_BYTES), secrets.token_urlsafe(SECRET_BYTES)
    session.add(
        ApiKey(
            key_id=key_id,
            name=name,
            secret_hash=_hash(secret),
            scopes=[scope.value for scope in scopes],
            created_at=clock.now(),
            expires_at=expires_at,
            rotated_from=rotated_from,
        )
    )
    return NewKey(key_id, f"{API_KEY_PREFIX}_{key_id}_{secret}", scopes, expires_at)


def _find(session: Session, key_id: str) -> ApiKey:
    row = api_keys.find(session, key_id)
    if row is None:
        raise NotFoundError(f"no key has the id {key_id[:64]!r}; list them with `flask stateful keys list`")
    return row


def _usable(session: Session, key_id: str, now: datetime) -> ApiKey:
    row = _find(session, key_id)
    if not _is_usable(row, now):
        raise NotFoundError(f"the key {key_id!r} is expired or revoked; create a new one instead")
    return row


def _is_usable(row: ApiKey, now: datetime) -> bool:
    return row.revoked_at is None and (row.expires_at is None or now < row.expires_at)


def _holder(row: ApiKey) -> Holder:
    return Holder(row.key_id, row.name, frozenset(_scopes(row.scopes)))


def _scopes(names: Iterable[str]) -> tuple[Scope, ...]:
    known = {scope.value: scope for scope in Scope}
    given = list(dict.fromkeys(str(name) for name in names))
    unknown = [name for name in given if name not in known]
    if unknown:
        detail = f"{unknown[0]!r} is no scope; use {', '.join(known)}"
        raise InvalidInputError(detail, errors=(Fault("/scopes", detail, "NOT_ALLOWED"),))
    return tuple(known[name] for name in given) or DEFAULT_SCOPES


def _parts(text: str) -> tuple[str, str]:
    """Id and secret of a key; of anything else an id that no key has."""
    prefix, _, rest = text[:MAX_KEY_LENGTH].partition("_")
    key_id, _, secret = rest.partition("_")
    return (key_id, secret) if prefix == API_KEY_PREFIX and key_id and secret else ("", text)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()
