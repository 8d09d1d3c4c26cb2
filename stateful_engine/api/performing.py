"""Doing what an operation does, for whichever door its call came through."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import current_app

from stateful_engine.api.contract import DOOR_KEY, Call, Operation, Reply
from stateful_engine.api.failures import DisabledError
from stateful_engine.api.fitting import fitted
from stateful_engine.api.idempotency import once
from stateful_engine.storage.time_limits import reads_within

if TYPE_CHECKING:
    from stateful_engine.api.door import Door
    from stateful_engine.extension import Runtime


def refuse_writes_when_disabled(runtime: Runtime, operation: Operation) -> None:
    """Raise `DisabledError` for an operation that would record something while the engine is switched off."""
    if not runtime.settings.enabled and not operation.read_only:
        raise DisabledError("the engine is switched off in this app and records nothing; set STATEFUL_ENABLED=true")


def perform(runtime: Runtime, operation: Operation, call: Call[Any, Any]) -> Reply:
    """What the operation answers to a checked call: done once however often it is repeated, and made to fit."""
    door: Door = current_app.extensions[DOOR_KEY]

    def act(call: Call[Any, Any]) -> Reply:
        with reads_within(runtime.settings.read_timeout):
            reply = operation.handler(runtime, call)
        return reply if isinstance(reply, Reply) else Reply(reply)

    return once(door.idempotency, operation, call, lambda: fitted(call, act))
