"""Operations that say how the engine itself is: alive, ready, and what it can do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from flask import current_app
from pydantic import ConfigDict, Field

from stateful_engine.api.contract import DOOR_KEY, Answer, Call, Nothing, Operation, Reply
from stateful_engine.api.metrics import CONTENT_TYPE
from stateful_engine.api.schemas import Envelope
from stateful_engine.domain.vocabulary import Scope

if TYPE_CHECKING:
    from stateful_engine.api.door import Door
    from stateful_engine.extension import Runtime


class HealthReply(Envelope):
    """Whether this process does its work."""

    model_config = ConfigDict(extra="allow")

    status: Literal["ok", "degraded"] = Field(description="degraded when records were dropped, refused or are stuck.")


class ReadyReply(Envelope):
    """Whether this process can answer."""

    status: Literal["ready"]
    database: str = Field(description="Kind of database.")
    cache: Any = Field(default=None, description="State of the cache; without Redis it works in process.")


def health(runtime: Runtime, call: Call[Nothing, Nothing]) -> Answer:
    """Answers without asking a database; the figures are for callers who are let in."""
    status = runtime.recorder.status()
    is_degraded = status.dropped or status.rejected or status.last_error is not None
    answer: dict[str, Any] = {"status": "degraded" if is_degraded else "ok"}
    if call.principal.may(Scope.ANALYTICS_READ):
        answer["enabled"] = runtime.settings.enabled
        answer["recorder"] = {
            "pending_records": status.pending_records,
            "pending_bytes": status.pending_bytes,
            "oldest_age_seconds": status.oldest_age_seconds,
            "dropped": status.dropped,
            "rejected": status.rejected,
            "writer_alive": status.writer_alive,
            "stream_lag": status.stream_lag,
        }
        answer["counters"] = runtime.guard.snapshot()
    return answer


def ready(runtime: Runtime, _: Call[Nothing, Nothing]) -> Answer:
    """Asks the database whether it answers and has our tables; 503 when not."""
    runtime.database.require_ready()
    return {"status": "ready", "database": runtime.database.dialect, "cache": runtime.cache.status()}


def metrics(runtime: Runtime, _: Call[Nothing, Nothing]) -> Answer:
    """What happened so far, as Prometheus reads it."""
    door: Door = current_app.extensions[DOOR_KEY]
    return Reply(door.metrics.text(runtime), enveloped=False, content_type=CONTENT_TYPE)


OPERATIONS = (
    Operation(
        name="getHealth",
        method="GET",
        path="/health",
        summary="Tell whether the engine works",
        description="Says whether the engine records; asks no database. Details are for callers with a key.",
        scope=None,
        handler=health,
        response_model=HealthReply,
        in_actions=False,
        tag="operation",
    ),
    Operation(
        name="getReady",
        method="GET",
        path="/ready",
        summary="Tell whether the engine can answer",
        description="Says whether the database answers and its tables are up to date; 503 when not.",
        scope=Scope.ANALYTICS_READ,
        handler=ready,
        response_model=ReadyReply,
        statuses=(503,),
        in_actions=False,
        tag="operation",
    ),
    Operation(
        name="getMetrics",
        method="GET",
        path="/metrics",
        summary="Count what happened",
        description="What was recorded, dropped and guarded against so far, in the text format of Prometheus.",
        scope=Scope.ANALYTICS_READ,
        handler=metrics,
        response_model=None,
        content_type="text/plain",
        in_actions=False,
        in_mcp=False,
        tag="operation",
    ),
)
