"""Operations on the journal: what happened to orders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from stateful_engine.api import fields
from stateful_engine.api.contract import Answer, Call, Nothing, Operation
from stateful_engine.api.memory import Amount, Level, Object, OpenPageQuery, Ratio, Record
from stateful_engine.api.pages import page_reply
from stateful_engine.api.schemas import Body, Envelope, PageEnvelope
from stateful_engine.domain.vocabulary import Scope
from stateful_engine.services.journal import JournalRepo

if TYPE_CHECKING:
    from stateful_engine.extension import Runtime


class EventBody(Body):
    """One event in the life of an order."""

    event: fields.FilterText = Field(description="What happened, for example oco_triggered or trailing_stop_adjusted.")
    ticket: fields.PersonId | None = Field(default=None, description="The order's ticket.")
    signal_id: fields.FilterText | None = Field(default=None, description="The signal behind the order.")
    symbol: fields.FilterText | None = Field(default=None, description="What is traded.")
    side: fields.Name | None = Field(default=None, description="BUY or SELL.")
    price: Level | None = Field(default=None, description="The price at the event.")
    sl: Level | None = Field(default=None, description="The stop now.")
    tp: Level | None = Field(default=None, description="The target now.")
    old_sl: Level | None = Field(default=None, description="The stop before.")
    volume: Amount | None = Field(default=None, description="The size.")
    pnl: Amount | None = Field(default=None, description="Profit in the account's currency.")
    r_multiple: Ratio | None = Field(default=None, description="Profit in units of the risk taken.")
    method: fields.Name | None = Field(default=None, description="How the stop was chosen.")
    momentum: fields.Name | None = Field(default=None, description="The momentum at the event.")
    distance_atr: Amount | None = Field(default=None, description="Distance of the stop in ATR.")
    oco_group: fields.Name | None = Field(default=None, description="The pair of orders.")
    notes: fields.Text | None = Field(default=None, description="Anything in words.")
    extra: Object | None = Field(default=None, description="Anything else.")
    timestamp: fields.Moment | None = Field(default=None, description="When; now if it is left out.")
    client_ref: fields.Name | None = Field(default=None, description=fields.CLIENT_REF)


class EventsQuery(OpenPageQuery):
    """Which events to list."""

    event: fields.FilterText | None = Field(default=None, description="Only this kind.")
    ticket: fields.FilterText | None = Field(default=None, description="Only this ticket.")
    signal_id: fields.FilterText | None = Field(default=None, description="Only this signal.")


class EventReply(Envelope):
    """The event."""

    event_id: int


class EventsReply(PageEnvelope):
    """A page of events, newest first."""

    events: list[Record]


def create(runtime: Runtime, call: Call[Nothing, EventBody]) -> Answer:
    """Record an event."""
    given = call.body.model_dump(exclude={"client_ref"}, exclude_none=True)
    return {"event_id": JournalRepo(runtime.database).log_event(given)}


def listed(runtime: Runtime, call: Call[EventsQuery, Nothing]) -> Answer:
    """One page of events."""
    wanted = call.query
    page = JournalRepo(runtime.database).page(
        wanted.limit,
        wanted.cursor,
        days=wanted.days,
        event=wanted.event,
        ticket=wanted.ticket,
        signal_id=wanted.signal_id,
    )
    return page_reply("events", page, wanted)


OPERATIONS = (
    Operation(
        name="createJournalEvent",
        method="POST",
        path="/journal",
        summary="Record an order event",
        description="Records an event in the life of an order: executions, closings, OCO results, moved stops.",
        scope=Scope.SIGNALS_WRITE,
        handler=create,
        body_model=EventBody,
        response_model=EventReply,
        in_actions=False,
        tag="journal",
    ),
    Operation(
        name="getJournal",
        method="GET",
        path="/journal",
        summary="List order events",
        description="Lists order events, newest first.",
        scope=Scope.SIGNALS_READ,
        handler=listed,
        query_model=EventsQuery,
        response_model=EventsReply,
        in_actions=False,
        tag="journal",
    ),
)
