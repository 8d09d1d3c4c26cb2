"""Operations on actions: what people did with the bot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from stateful_engine.api import fields
from stateful_engine.api.contract import Answer, Call, Nothing, Operation
from stateful_engine.api.memory import Object, OpenPageQuery, Record
from stateful_engine.api.pages import page_reply
from stateful_engine.api.saved import PENDING, saved_reply
from stateful_engine.api.schemas import Body, Envelope, PageEnvelope
from stateful_engine.domain.vocabulary import Scope
from stateful_engine.services.actions import AnalyticsLogger

if TYPE_CHECKING:
    from stateful_engine.extension import Runtime


class ActionBody(Body):
    """One action."""

    user_id: fields.PersonId = Field(description="Who.")
    chat_id: fields.PersonId | None = Field(default=None, description="In which chat.")
    action_type: fields.FilterText = Field(description="What, for example button_click.")
    action_data: Object | None = Field(default=None, description="Anything worth keeping about it.")
    client_ref: fields.Name | None = Field(default=None, description=fields.CLIENT_REF)


class ActionsQuery(OpenPageQuery):
    """Which actions to list."""

    user_id: fields.FilterText | None = Field(default=None, description="Only those of this person.")
    action_type: fields.FilterText | None = Field(default=None, description="Only this kind.")


class ActionReply(Envelope):
    """The action."""

    action_id: str
    pending: bool | None = Field(default=None, description=PENDING)


class ActionsReply(PageEnvelope):
    """A page of actions, newest first."""

    actions: list[Record]


def create(runtime: Runtime, call: Call[Nothing, ActionBody]) -> Answer:
    """Record an action."""
    body = call.body
    saved = AnalyticsLogger(runtime).save_action(body.user_id, body.chat_id, body.action_type, body.action_data)
    return saved_reply(saved, {"action_id": saved.id})


def listed(runtime: Runtime, call: Call[ActionsQuery, Nothing]) -> Answer:
    """One page of actions."""
    wanted = call.query
    page = AnalyticsLogger(runtime).page(
        wanted.limit, wanted.cursor, days=wanted.days, user_id=wanted.user_id, action_type=wanted.action_type
    )
    return page_reply("actions", page, wanted)


OPERATIONS = (
    Operation(
        name="createAction",
        method="POST",
        path="/actions",
        summary="Record an action",
        description="Records what a person did with the bot.",
        scope=Scope.INTERACTIONS_WRITE,
        handler=create,
        body_model=ActionBody,
        response_model=ActionReply,
        success_statuses=(200, 202),
        in_actions=False,
        tag="actions",
    ),
    Operation(
        name="getActions",
        method="GET",
        path="/actions",
        summary="List actions",
        description="Lists what people did with the bot, newest first.",
        scope=Scope.INTERACTIONS_READ,
        handler=listed,
        query_model=ActionsQuery,
        response_model=ActionsReply,
        in_actions=False,
        tag="actions",
    ),
)
