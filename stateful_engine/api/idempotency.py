"""Makes a POST act once: by the header `Idempotency-Key`, or by `client_ref` in the body for who cannot set headers."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from flask import request

from stateful_engine.api import fields
from stateful_engine.api.contract import Call, Operation, Reply
from stateful_engine.domain.redaction import REDACTED, redact_text
from stateful_engine.errors import Fault, InvalidInputError, StatefulEngineError, StorageUnavailableError
from stateful_engine.services.idempotency import Idempotency, fingerprint
from stateful_engine.storage.idempotency import Name

HEADER = "Idempotency-Key"
REPLAYED = {"Idempotency-Replayed": "true"}
ACCEPTED = 202
_PRINTABLE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")


def once(memory: Idempotency, operation: Operation, call: Call[Any, Any], act: Callable[[], Reply]) -> Reply:
    """What `act` answers, or what it answered when the same caller made this call before.

    A call that fails has not acted: its name is given up, so that it can be made again. While the database is away a
    call that would be kept in the spool acts without being remembered, because losing it would be worse.
    """
    name = _name(operation, call)
    if name is None:
        return act()
    try:
        kept = memory.begin(name, fingerprint({**call.path, **call.raw_body, "client_ref": None}))
    except StorageUnavailableError:
        if ACCEPTED not in operation.success_statuses:
            raise
        return act()
    return _replay(kept.status, kept.body) if kept is not None else _first(memory, name, operation, act)


def _first(memory: Idempotency, name: Name, operation: Operation, act: Callable[[], Reply]) -> Reply:
    try:
        reply = act()
    except StatefulEngineError:
        with suppress(StorageUnavailableError):
            memory.abandon(name)
        raise
    with suppress(StorageUnavailableError):
        memory.finish(name, reply.status, {"body": _kept(operation, reply.body), "headers": dict(reply.headers)})
    return reply


def _kept(operation: Operation, body: Mapping[str, Any] | str) -> Mapping[str, Any] | str:
    """The answer as it may be stored: a secret that is shown once is not given a second time."""
    if isinstance(body, str) or not operation.shown_once:
        return body
    return {name: REDACTED if name in operation.shown_once else value for name, value in body.items()}


def _replay(status: int, kept: dict[str, Any]) -> Reply:
    return Reply(kept.get("body", {}), status, headers={**kept.get("headers", {}), **REPLAYED})


def _name(operation: Operation, call: Call[Any, Any]) -> Name | None:
    """The name of this call, or None when it has none; a header wins over the body."""
    if operation.read_only:
        return None
    header = request.headers.get(HEADER)
    if header is not None and (len(header) > fields.MAX_NAME or not _PRINTABLE.fullmatch(header)):
        detail = f"must be 1 to {fields.MAX_NAME} printable ASCII characters; send for example a UUID"
        raise InvalidInputError(f"{HEADER} {detail}", errors=(Fault(f"/headers/{HEADER}", detail),))
    given = header or call.body.client_ref
    if given is None:
        return None
    where = "/".join([operation.name, *call.path.values()])
    return Name(call.principal.name, where, _stored(given))


def _stored(given: str) -> str:
    """The name as it is stored: a digest of one that looks like a secret."""
    return given if redact_text(given) == given else f"sha256:{hashlib.sha256(given.encode()).hexdigest()}"
