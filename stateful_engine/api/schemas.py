"""The models that operations share: what a query string, a body, an answer and an error look like."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from stateful_engine.api import fields
from stateful_engine.domain.vocabulary import Action, InteractionSource, InteractionType, Outcome

API_VERSION = "1.0.0"

CURSOR = "The next_cursor of the page before this one."
Timestamp = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
Json = Annotated[Any, WithJsonSchema({})]
"""Any JSON value as it was recorded."""


class Model(BaseModel):
    """What all shapes of this API are made of: each is built when it is used first, and most hosts use few."""

    model_config = ConfigDict(defer_build=True)


class Query(Model):
    """A query string; a name that is not known is refused, because a filter that is ignored answers wrongly."""

    model_config = ConfigDict(extra="forbid")


class Body(Model):
    """A request body; a name that is not known is refused, because what it says would be lost."""

    model_config = ConfigDict(extra="forbid")


class PageQuery(Query):
    """The part of a query string that turns pages."""

    limit: fields.Limit = Field(default=50, description="How many records to return, 1 to 100.")
    days: fields.Days = Field(default=7, description="How many days to look back; 0 means without limit.")
    cursor: str | None = Field(default=None, description=CURSOR)


class Envelope(Model):
    """What every successful answer carries."""

    success: Literal[True]
    api_version: str = Field(description="Version of this API.")
    server_time: Timestamp = Field(description="When the answer was made, UTC.")
    processing_time_ms: float = Field(ge=0, description="How long the server worked on it, in milliseconds.")
    request_id: str = Field(description="Names this call in the server's log; also in the header X-Request-ID.")
    truncated: bool | None = Field(default=None, description="True when the answer was cut to fit the caller.")


class PageEnvelope(Envelope):
    """What every page carries."""

    total_returned: int = Field(ge=0, description="How many records are on this page.")
    filters: dict[str, Any] = Field(description="The filters as they were understood.")
    next_cursor: str | None = Field(description="Pass it as cursor to get the next page; null on the last one.")
    has_more: bool = Field(description="Whether there is a next page.")


class ErrorItem(Model):
    """One thing that is wrong with a request."""

    pointer: str = Field(description="JSON pointer into the body; /query/… and /path/… for the URL.")
    detail: str = Field(description="What is wrong with it.")
    code: str = Field(description="The same as a stable code.")


class ErrorReply(Model):
    """What every error carries: this API's members and those of RFC 9457."""

    success: Literal[False]
    error: str = Field(description="Stable code of the error, for programs.")
    message: str = Field(description="What is wrong and what to do about it, for people.")
    errors: list[ErrorItem] = Field(description="Everything that is wrong with the request, at once.")
    type: str
    title: str
    status: int = Field(ge=400, le=599)
    detail: str
    instance: str
    api_version: str
    server_time: Timestamp
    processing_time_ms: float = Field(ge=0)
    request_id: str


class Signal(Model):
    """A recorded signal."""

    signal_id: str
    query_id: str | None = None
    symbol: str | None = None
    symbol_raw: str | None = None
    timeframe: str | None = None
    action: Action
    confidence: float | None = Field(default=None, description="0 to 100.")
    entry_price: float | None = None
    take_profit: float | None = None
    stop_loss: float | None = None
    risk_reward_ratio: float | None = None
    ai_reasoning: str | None = None
    smc_analysis: Json = None
    technical_indicators: Json = None
    market_conditions: str | None = None
    source: str | None = None
    source_engine: str | None = None
    ai_model: str | None = None
    is_executed: bool
    executed_at: Timestamp | None = None
    execution_price: float | None = None
    execution_source: str | None = None
    outcome: Outcome
    pnl_percentage: float | None = None
    exit_price: float | None = None
    exit_reason: str | None = None
    r_multiple: float | None = None
    closed_at: Timestamp | None = None
    created_at: Timestamp
    extra: Json = None


class LoggedQuery(Model):
    """A recorded query and its answer."""

    query_id: str
    endpoint: str | None = None
    method: str | None = None
    user_query: str | None = None
    response_status: int | None = None
    processing_time_ms: float | None = None
    is_successful: bool | None = None
    created_at: Timestamp
    request_params: Json = None
    response_data: Json = None


class Interaction(Model):
    """A recorded interaction."""

    interaction_id: str
    signal_id: str | None = None
    interaction_type: InteractionType
    interaction_source: InteractionSource
    interaction_data: Json = None
    user_id: str | None = None
    created_at: Timestamp
