"""Operations on interactions: find what people did with signals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from stateful_engine.api import fields
from stateful_engine.api.contract import Answer, Call, Nothing, Operation
from stateful_engine.api.pages import page_reply
from stateful_engine.api.schemas import CURSOR, Interaction, PageEnvelope, PageQuery
from stateful_engine.domain.vocabulary import Scope
from stateful_engine.services import inputs
from stateful_engine.storage.interactions import InteractionFilters

if TYPE_CHECKING:
    from stateful_engine.extension import Runtime


class InteractionsQuery(PageQuery):
    """Which interactions to list."""

    cursor: fields.InteractionCursor | None = Field(default=None, description=CURSOR)
    signal_id: fields.FilterText | None = Field(default=None, description="Only those with this signal.")
    user_id: fields.FilterText | None = Field(default=None, description="Only those of this person.")
    interaction_type: fields.InteractionTypeWord | None = Field(default=None, description="Only this type.")
    source: fields.InteractionSourceWord | None = Field(default=None, description="Only through this door.")


class InteractionsReply(PageEnvelope):
    """A page of interactions, newest first."""

    interactions: list[Interaction]


def interactions(runtime: Runtime, call: Call[InteractionsQuery, Nothing]) -> Answer:
    """One page of interactions, newest first."""
    wanted = call.query
    filters = InteractionFilters(
        signal_id=wanted.signal_id,
        user_id=wanted.user_id,
        interaction_type=wanted.interaction_type,
        interaction_source=wanted.source,
        since=inputs.window_start(wanted.days),
    )
    page = runtime.state_manager.interaction_page(filters, wanted.cursor, wanted.limit)
    return page_reply("interactions", page, wanted)


OPERATIONS = (
    Operation(
        name="getInteractions",
        method="GET",
        path="/interactions",
        summary="List interactions with signals",
        description="Lists what people did with signals, newest first, with filters.",
        scope=Scope.INTERACTIONS_READ,
        handler=interactions,
        query_model=InteractionsQuery,
        response_model=InteractionsReply,
        tag="interactions",
    ),
)
