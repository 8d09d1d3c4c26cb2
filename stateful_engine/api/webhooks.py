"""Operations on webhooks: who is told of events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field, StringConstraints

from stateful_engine.api import fields
from stateful_engine.api.contract import Answer, Call, Handler, Nothing, Operation, PathParameter
from stateful_engine.api.memory import Record
from stateful_engine.api.schemas import Body, Envelope
from stateful_engine.domain.vocabulary import Scope, WebhookEvent
from stateful_engine.services.webhooks import Webhooks

if TYPE_CHECKING:
    from stateful_engine.extension import Runtime

ENDPOINT_ID = PathParameter("endpoint_id", "The id of the webhook.", "whe_0123456789abcdef")
ONE = "/webhooks/<endpoint_id>"

Address = Annotated[
    str, StringConstraints(min_length=9, max_length=2048, pattern=r"^https?://[A-Za-z0-9.:\[\]-]+(/[!-~]*)?$")
]


class WebhookBody(Body):
    """Who is told of what."""

    url: Address = Field(description="The https address that messages are sent to.")
    events: list[WebhookEvent] = Field(default_factory=list, max_length=20, description="Which events; none means all.")
    client_ref: fields.Name | None = Field(default=None, description=fields.CLIENT_REF)


class ChangeBody(Body):
    """Nothing more to say."""

    client_ref: fields.Name | None = Field(default=None, description=fields.CLIENT_REF)


class NewWebhookReply(Envelope):
    """The webhook, with the secret of its signatures, which is shown this once."""

    endpoint_id: str
    url: str
    events: list[str]
    secret: str


class WebhooksReply(Envelope):
    """All webhooks, oldest first."""

    webhooks: list[Record]


class WebhookReply(Envelope):
    """The webhook that was changed."""

    endpoint_id: str


def create(runtime: Runtime, call: Call[Nothing, WebhookBody]) -> Answer:
    """Add a webhook."""
    made = _of(runtime).add(call.body.url, call.body.events)
    return {"endpoint_id": made.endpoint_id, "url": made.url, "events": list(made.events), "secret": made.secret}


def listed(runtime: Runtime, _: Call[Nothing, Nothing]) -> Answer:
    """All webhooks without their secrets."""
    return {"webhooks": _of(runtime).every()}


def remove(runtime: Runtime, call: Call[Nothing, ChangeBody]) -> Answer:
    """Forget a webhook."""
    _of(runtime).remove(call.path["endpoint_id"])
    return {"endpoint_id": call.path["endpoint_id"]}


def enable(runtime: Runtime, call: Call[Nothing, ChangeBody]) -> Answer:
    """Call a webhook again."""
    _of(runtime).enable(call.path["endpoint_id"])
    return {"endpoint_id": call.path["endpoint_id"]}


def _of(runtime: Runtime) -> Webhooks:
    return Webhooks(runtime.database, runtime.settings)


def _change(verb: str, handler: Handler, *, summary: str, description: str) -> Operation:
    """An operation that does something to one webhook."""
    return Operation(
        name=f"{verb}Webhook",
        method="POST",
        path=f"{ONE}/{verb}",
        summary=summary,
        description=description,
        scope=Scope.ADMIN,
        handler=handler,
        body_model=ChangeBody,
        response_model=WebhookReply,
        path_parameters=(ENDPOINT_ID,),
        statuses=(404,),
        consequential=True,
        in_actions=False,
        tag="webhooks",
    )


OPERATIONS = (
    Operation(
        name="createWebhook",
        method="POST",
        path="/webhooks",
        summary="Add a webhook",
        description="Sends signed messages about events to an address; the secret of the signatures is answered once.",
        scope=Scope.ADMIN,
        handler=create,
        body_model=WebhookBody,
        response_model=NewWebhookReply,
        shown_once=("secret",),
        consequential=True,
        in_actions=False,
        tag="webhooks",
    ),
    Operation(
        name="getWebhooks",
        method="GET",
        path="/webhooks",
        summary="List webhooks",
        description="Lists the webhooks, how they are doing, and how many messages wait for them.",
        scope=Scope.ADMIN,
        handler=listed,
        response_model=WebhooksReply,
        in_actions=False,
        tag="webhooks",
    ),
    _change(
        "enable",
        enable,
        summary="Call a webhook again",
        description="Calls a webhook again that had failed too often.",
    ),
    _change(
        "remove",
        remove,
        summary="Remove a webhook",
        description="Forgets a webhook and the messages that were still to be sent to it.",
    ),
)
