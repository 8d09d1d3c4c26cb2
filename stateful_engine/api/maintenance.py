"""Operations for whoever runs the app: delete what is old."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from stateful_engine.api import fields
from stateful_engine.api.contract import Answer, Call, Nothing, Operation
from stateful_engine.api.schemas import Body, Envelope
from stateful_engine.domain.vocabulary import Scope

if TYPE_CHECKING:
    from stateful_engine.extension import Runtime


class CleanupBody(Body):
    """What to delete."""

    days_to_keep: fields.DaysToKeep = Field(default=90, description="Delete what is older than so many days.")
    dry_run: fields.Flag = Field(default=False, description="Only count what would be deleted.")
    client_ref: fields.Name | None = Field(default=None, description=fields.CLIENT_REF)


class CleanupReply(Envelope):
    """What was deleted, or would be."""

    deleted_signals: int
    deleted_queries: int
    deleted_interactions: int
    cutoff_date: str
    dry_run: bool


def cleanup(runtime: Runtime, call: Call[Nothing, CleanupBody]) -> Answer:
    """Delete old records, children first, in batches."""
    body = call.body
    report = runtime.state_manager.cleanup_old_data(body.days_to_keep, dry_run=body.dry_run)
    return {**report, "dry_run": body.dry_run}


OPERATIONS = (
    Operation(
        name="cleanup",
        method="POST",
        path="/maintenance/cleanup",
        summary="Delete old records",
        description="Deletes records that are older than days_to_keep, or counts them with dry_run.",
        scope=Scope.ADMIN,
        handler=cleanup,
        body_model=CleanupBody,
        response_model=CleanupReply,
        consequential=True,
        in_actions=False,
        tag="maintenance",
    ),
)
