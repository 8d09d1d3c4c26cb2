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


class ForgetBody(Body):
    """Whom to forget."""

    user_id: fields.PersonId = Field(description="The id of the person, as callers send it, or its pseudonym.")
    dry_run: fields.Flag = Field(default=False, description="Only count what would change.")
    client_ref: fields.Name | None = Field(default=None, description=fields.CLIENT_REF)


class ForgetReply(Envelope):
    """What was forgotten, or would be, in rows by table."""

    deleted: dict[str, int]
    anonymised: dict[str, int]
    dry_run: bool


def forget_user(runtime: Runtime, call: Call[Nothing, ForgetBody]) -> Answer:
    """Delete what names a person, and take the person out of what stays."""
    body = call.body
    done = runtime.state_manager.forget_user(str(body.user_id), dry_run=body.dry_run)
    return {"deleted": done.deleted, "anonymised": done.anonymised, "dry_run": body.dry_run}


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
        repeatable=True,
    ),
    Operation(
        name="forgetUser",
        method="POST",
        path="/maintenance/forget-user",
        summary="Forget a person",
        description="Deletes the records that name a person, and takes the person out of those that stay.",
        scope=Scope.ADMIN,
        handler=forget_user,
        body_model=ForgetBody,
        response_model=ForgetReply,
        consequential=True,
        in_actions=False,
        tag="maintenance",
    ),
)
