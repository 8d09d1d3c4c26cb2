"""Operations on recommendations: what the bot advised, whether it was followed, and what that brought."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from stateful_engine.api import fields
from stateful_engine.api.assignments import Assigned, made_under
from stateful_engine.api.contract import Answer, Call, Nothing, Operation
from stateful_engine.api.memory import (
    Amount,
    Direction,
    Level,
    OpenPageQuery,
    Ratio,
    Record,
    RowId,
    known_row,
    row_id,
)
from stateful_engine.api.pages import page_reply
from stateful_engine.api.schemas import Body, Envelope, PageEnvelope
from stateful_engine.domain.vocabulary import Scope
from stateful_engine.services.recommendations import RecommendationLogger

if TYPE_CHECKING:
    from stateful_engine.extension import Runtime

REC_ID = row_id("rec_id", "recommendation")


class RecommendationBody(Assigned):
    """One recommendation."""

    user_id: fields.PersonId = Field(description="To whom.")
    symbol: fields.FilterText = Field(description="What is traded.")
    direction: Direction = Field(description="BUY, SELL or HOLD.")
    entry_price: Level | None = Field(default=None, description="Where to enter.")
    stop_loss: Level | None = Field(default=None, description="Where to give up.")
    take_profit: Level | None = Field(default=None, description="Where to take the profit.")
    reasoning: fields.Text = Field(default="", description="Why.")
    confidence: fields.Confidence | None = Field(default=None, description="How sure, 0 to 100.")
    market_regime: fields.Name | None = Field(default=None, description="The state of the market.")
    timeframe: fields.Timeframe | None = Field(default=None, description="Candle length.")
    conversation_id: RowId | None = Field(default=None, description="The conversation it was made in.")
    signal_id: fields.FilterText | None = Field(default=None, description="The signal it rests on.")
    model: fields.Name | None = Field(default=None, description="The model that made it.")
    generation_time: fields.Milliseconds = Field(default=0, description="Seconds that it took to make.")
    client_ref: fields.Name | None = Field(default=None, description=fields.CLIENT_REF)


class ExecutedBody(Body):
    """How it was followed."""

    ticket: fields.PersonId | None = Field(default=None, description="The order's ticket.")
    client_ref: fields.Name | None = Field(default=None, description=fields.CLIENT_REF)


class ResultBody(Body):
    """What it brought."""

    pnl: Amount = Field(description="Profit in the account's currency.")
    r_multiple: Ratio | None = Field(default=None, description="Profit in units of the risk taken.")
    client_ref: fields.Name | None = Field(default=None, description=fields.CLIENT_REF)


class RecommendationsQuery(OpenPageQuery):
    """Which recommendations to list."""

    user_id: fields.FilterText | None = Field(default=None, description="Only those to this person.")
    symbol: fields.FilterText | None = Field(default=None, description="Only this symbol.")


class RecommendationReply(Envelope):
    """The recommendation."""

    recommendation_id: int


class RecommendationsReply(PageEnvelope):
    """A page of recommendations, newest first."""

    recommendations: list[Record]


def create(runtime: Runtime, call: Call[Nothing, RecommendationBody]) -> Answer:
    """Record a recommendation."""
    given = call.body.model_dump(exclude={"assignment", "client_ref"}, exclude_none=True)
    with made_under(runtime, call.body.assignment):
        return {"recommendation_id": RecommendationLogger(runtime.database).log_recommendation(**given)}


def executed(runtime: Runtime, call: Call[Nothing, ExecutedBody]) -> Answer:
    """Record that a recommendation was followed."""
    rec_id = known_row(call, "rec_id")
    RecommendationLogger(runtime.database).mark_executed(rec_id, call.body.ticket)
    return {"recommendation_id": rec_id}


def result(runtime: Runtime, call: Call[Nothing, ResultBody]) -> Answer:
    """Record what a recommendation brought."""
    rec_id = known_row(call, "rec_id")
    RecommendationLogger(runtime.database).update_result(rec_id, call.body.pnl, call.body.r_multiple)
    return {"recommendation_id": rec_id}


def listed(runtime: Runtime, call: Call[RecommendationsQuery, Nothing]) -> Answer:
    """One page of recommendations."""
    wanted = call.query
    page = RecommendationLogger(runtime.database).page(
        wanted.limit, wanted.cursor, days=wanted.days, user_id=wanted.user_id, symbol=wanted.symbol
    )
    return page_reply("recommendations", page, wanted)


OPERATIONS = (
    Operation(
        name="createRecommendation",
        method="POST",
        path="/recommendations",
        summary="Record a recommendation",
        description="Records what the bot advised a person; the ratio of reward to risk follows from the prices.",
        scope=Scope.CONVERSATIONS_WRITE,
        handler=create,
        body_model=RecommendationBody,
        response_model=RecommendationReply,
        statuses=(404,),
        in_actions=False,
        tag="recommendations",
    ),
    Operation(
        name="getRecommendations",
        method="GET",
        path="/recommendations",
        summary="List recommendations",
        description="Lists recommendations, newest first.",
        scope=Scope.CONVERSATIONS_READ,
        handler=listed,
        query_model=RecommendationsQuery,
        response_model=RecommendationsReply,
        in_actions=False,
        tag="recommendations",
    ),
    Operation(
        name="markRecommendationExecuted",
        method="POST",
        path="/recommendations/<rec_id>/executed",
        summary="Mark a recommendation as followed",
        description="Records that a recommendation was followed; repeating it with the same ticket changes nothing.",
        scope=Scope.CONVERSATIONS_WRITE,
        handler=executed,
        body_model=ExecutedBody,
        response_model=RecommendationReply,
        path_parameters=(REC_ID,),
        statuses=(404, 409),
        in_actions=False,
        tag="recommendations",
    ),
    Operation(
        name="setRecommendationResult",
        method="POST",
        path="/recommendations/<rec_id>/result",
        summary="Record what a recommendation brought",
        description="Records profit and R of a recommendation; the last call stands.",
        scope=Scope.CONVERSATIONS_WRITE,
        handler=result,
        body_model=ResultBody,
        response_model=RecommendationReply,
        path_parameters=(REC_ID,),
        statuses=(404,),
        in_actions=False,
        tag="recommendations",
    ),
)
