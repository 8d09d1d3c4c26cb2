"""Operations on conversations: what was said between people and the bot."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from stateful_engine.api import fields
from stateful_engine.api.assignments import Assigned, made_under
from stateful_engine.api.contract import Answer, Call, Nothing, Operation
from stateful_engine.api.memory import Object, OpenPageQuery, Record, known_row, row_id
from stateful_engine.api.pages import page_reply
from stateful_engine.api.schemas import Body, Envelope, PageEnvelope, Query
from stateful_engine.domain.vocabulary import MessageRole, Scope
from stateful_engine.services.conversations import ChatGPTLogger, role_of

if TYPE_CHECKING:
    from stateful_engine.extension import Runtime

CONVERSATION_ID = row_id("conversation_id", "conversation")
Role = Annotated[str, fields.OneOf(MessageRole, role_of)]
TIMES = ("timestamp", "started_at", "ended_at")


class ConversationBody(Body):
    """With whom a conversation begins."""

    user_id: fields.PersonId = Field(description="The person.")
    chat_id: fields.PersonId | None = Field(default=None, description="The chat.")
    model: fields.Name | None = Field(default=None, description="The model that answers.")
    channel: fields.Name | None = Field(default=None, description="The messenger or page.")
    client_ref: fields.Name | None = Field(default=None, description=fields.CLIENT_REF)


class MessageBody(Assigned):
    """One message."""

    role: Role = Field(description="Who speaks.")
    content: fields.Text | None = Field(default=None, description="What was said.")
    tokens_used: fields.Tokens | None = Field(default=None, description="Tokens in all.")
    usage: Object | None = Field(default=None, description="The usage object of OpenAI's answer.")
    model: fields.Name | None = Field(default=None, description="The model that answered.")
    latency_ms: fields.Milliseconds | None = Field(default=None, description="How long the answer took.")
    client_ref: fields.Name | None = Field(default=None, description=fields.CLIENT_REF)


class EndBody(Body):
    """Nothing more is needed."""

    client_ref: fields.Name | None = Field(default=None, description=fields.CLIENT_REF)


class ConversationsQuery(OpenPageQuery):
    """Which conversations to list."""

    user_id: fields.FilterText | None = Field(default=None, description="Only those of this person.")


class MessagesQuery(Query):
    """How many messages to return."""

    limit: fields.Limit = Field(default=100, description="How many messages to return, 1 to 100.")


class ConversationReply(Envelope):
    """The conversation."""

    conversation_id: int


class MessageReply(Envelope):
    """The message."""

    conversation_id: int
    message_id: int


class ConversationsReply(PageEnvelope):
    """A page of conversations, newest first."""

    conversations: list[Record]


class MessagesReply(Envelope):
    """The messages of a conversation, oldest first."""

    conversation_id: int
    messages: list[Record]


def start(runtime: Runtime, call: Call[Nothing, ConversationBody]) -> Answer:
    """Begin a conversation."""
    body = call.body
    logger = ChatGPTLogger(runtime.database)
    made = logger.start_conversation(body.user_id, body.chat_id, model=body.model, channel=body.channel)
    return {"conversation_id": made}


def add(runtime: Runtime, call: Call[Nothing, MessageBody]) -> Answer:
    """Add a message."""
    conversation_id, body = known_row(call, "conversation_id"), call.body
    logger = ChatGPTLogger(runtime.database, prices=runtime.settings.prices)
    with made_under(runtime, body.assignment):
        message_id = logger.log_message(
            conversation_id,
            body.role.lower(),
            body.content,
            body.tokens_used,
            model=body.model,
            usage=body.usage,
            latency_ms=body.latency_ms,
        )
    return {"conversation_id": conversation_id, "message_id": message_id}


def end(runtime: Runtime, call: Call[Nothing, EndBody]) -> Answer:
    """End a conversation."""
    conversation_id = known_row(call, "conversation_id")
    ChatGPTLogger(runtime.database).end_conversation(conversation_id)
    return {"conversation_id": conversation_id}


def listed(runtime: Runtime, call: Call[ConversationsQuery, Nothing]) -> Answer:
    """One page of conversations."""
    wanted = call.query
    logger = ChatGPTLogger(runtime.database)
    page = logger.page(wanted.limit, wanted.cursor, days=wanted.days, user_id=wanted.user_id)
    return page_reply("conversations", page, wanted)


def messages(runtime: Runtime, call: Call[MessagesQuery, Nothing]) -> Answer:
    """The messages of a conversation; times are ISO 8601 over HTTP."""
    conversation_id = known_row(call, "conversation_id")
    found = ChatGPTLogger(runtime.database).get_conversation_history(conversation_id, call.query.limit)
    return {"conversation_id": conversation_id, "messages": [_with_iso_times(one) for one in found]}


def _with_iso_times(record: dict[str, Any]) -> dict[str, Any]:
    shown = dict(record)
    for name in TIMES:
        if isinstance(shown.get(name), float):
            shown[name] = datetime.fromtimestamp(shown[name], timezone.utc).isoformat()
    return shown


OPERATIONS = (
    Operation(
        name="startConversation",
        method="POST",
        path="/conversations",
        summary="Begin a conversation",
        description="Begins a conversation with a person and returns its id.",
        scope=Scope.CONVERSATIONS_WRITE,
        handler=start,
        body_model=ConversationBody,
        response_model=ConversationReply,
        in_actions=False,
        tag="conversations",
    ),
    Operation(
        name="getConversations",
        method="GET",
        path="/conversations",
        summary="List conversations",
        description="Lists conversations, newest first.",
        scope=Scope.CONVERSATIONS_READ,
        handler=listed,
        query_model=ConversationsQuery,
        response_model=ConversationsReply,
        in_actions=False,
        tag="conversations",
    ),
    Operation(
        name="addMessage",
        method="POST",
        path="/conversations/<conversation_id>/messages",
        summary="Add a message",
        description="Adds a message to a conversation, with its tokens where they are known.",
        scope=Scope.CONVERSATIONS_WRITE,
        handler=add,
        body_model=MessageBody,
        response_model=MessageReply,
        path_parameters=(CONVERSATION_ID,),
        statuses=(404,),
        in_actions=False,
        tag="conversations",
    ),
    Operation(
        name="getMessages",
        method="GET",
        path="/conversations/<conversation_id>/messages",
        summary="Read a conversation",
        description="Lists the messages of a conversation in their order.",
        scope=Scope.CONVERSATIONS_READ,
        handler=messages,
        query_model=MessagesQuery,
        response_model=MessagesReply,
        path_parameters=(CONVERSATION_ID,),
        statuses=(404,),
        in_actions=False,
        tag="conversations",
    ),
    Operation(
        name="endConversation",
        method="POST",
        path="/conversations/<conversation_id>/end",
        summary="End a conversation",
        description="Marks a conversation as ended; ending it again changes nothing.",
        scope=Scope.CONVERSATIONS_WRITE,
        handler=end,
        body_model=EndBody,
        response_model=ConversationReply,
        path_parameters=(CONVERSATION_ID,),
        statuses=(404,),
        in_actions=False,
        tag="conversations",
    ),
)
