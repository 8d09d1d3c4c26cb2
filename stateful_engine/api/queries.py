"""Operations on queries: log one that was answered elsewhere, and find them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field

from stateful_engine.api import fields
from stateful_engine.api.assignments import Assigned, made_under
from stateful_engine.api.contract import Answer, Call, Nothing, Operation
from stateful_engine.api.pages import page_reply
from stateful_engine.api.saved import PENDING, saved_reply
from stateful_engine.api.schemas import CURSOR, Body, Envelope, Json, LoggedQuery, PageEnvelope, PageQuery
from stateful_engine.domain.vocabulary import Scope
from stateful_engine.errors import Fault
from stateful_engine.services import inputs
from stateful_engine.storage.gpt_queries import QueryFilters

if TYPE_CHECKING:
    from stateful_engine.extension import Runtime


class QueryData(Body):
    """What was asked."""

    endpoint: fields.Name | None = Field(default=None, description="Which endpoint was called.")
    method: fields.Name | None = Field(default=None, description="HTTP method.")
    params: dict[str, Any] | None = Field(default=None, description="Parameters of the call.")
    user_query: fields.Text | None = Field(default=None, description="What the user asked, in words.")
    session_id: fields.Name | None = Field(default=None, description="Groups queries of one session.")


class ResponseData(Body):
    """What was answered."""

    status_code: fields.StatusCode | None = Field(default=None, description="HTTP status of the answer.")
    data: Json = Field(default=None, description="Body of the answer.")
    processing_time_ms: fields.Milliseconds | None = Field(default=None, description="How long it took.")
    ai_model: fields.Name | None = Field(default=None, description="Model that answered, when one did.")
    tokens_used: fields.Tokens | None = Field(default=None, description="Tokens that the model used.")
    prompt_tokens: fields.Tokens | None = Field(default=None, description="Tokens of the prompt.")
    completion_tokens: fields.Tokens | None = Field(default=None, description="Tokens of the completion.")
    cost_usd: fields.Cost | None = Field(default=None, description="What it cost, in US dollars.")
    ai_reasoning_time_ms: fields.Milliseconds | None = Field(default=None, description="How long the model reasoned.")
    confidence_score: fields.Confidence | None = Field(default=None, description="How sure the answer was, 0 to 100.")
    feedback_rating: fields.Rating | None = Field(default=None, description="Rating by the user, 1 to 5.")
    is_successful: fields.Flag | None = Field(default=None, description="Whether it worked; else by status_code.")
    error_message: fields.Text | None = Field(default=None, description="What went wrong.")


class LogQueryBody(QueryData, ResponseData, Assigned):
    """A query and its answer, in two objects or flat."""

    query_data: QueryData | None = Field(default=None, description="What was asked, when it is not given flat.")
    response_data: ResponseData | None = Field(default=None, description="What was answered, when not given flat.")
    client_ref: fields.Name | None = Field(default=None, description=fields.CLIENT_REF)


class LogQueryReply(Envelope):
    """The recorded query."""

    query_id: str
    pending: bool | None = Field(default=None, description=PENDING)


class QueryHistoryQuery(PageQuery):
    """Which queries to list."""

    cursor: fields.QueryCursor | None = Field(default=None, description=CURSOR)
    endpoint: fields.FilterText | None = Field(default=None, description="Only this endpoint.")
    session_id: fields.FilterText | None = Field(default=None, description="Only this session.")
    successful: fields.QueryFlag | None = Field(default=None, description="Only those that worked, or did not.")


class QueryHistoryReply(PageEnvelope):
    """A page of queries, newest first."""

    queries: list[LoggedQuery]


def log_query(runtime: Runtime, call: Call[Nothing, LogQueryBody]) -> Answer:
    """Record a query that was answered elsewhere."""
    query = _given(call.body, QueryData) | _given(call.body.query_data, QueryData)
    response = _given(call.body, ResponseData) | _given(call.body.response_data, ResponseData)
    with made_under(runtime, call.body.assignment):
        saved = runtime.state_manager.save_query(query, response, _context(call, query), durable=True)
    return saved_reply(saved, {"query_id": saved.id}, headers={"X-Query-ID": saved.id})


def _faults(body: Mapping[str, Any]) -> Iterator[Fault]:
    """The endpoint is required, in whichever of the two forms the query is given."""
    nested = body.get("query_data")
    if body.get("endpoint") is None and not (isinstance(nested, Mapping) and nested.get("endpoint") is not None):
        root = "/query_data" if nested is not None or set(body) <= {"query_data", "response_data", "client_ref"} else ""
        yield Fault(f"{root}/endpoint", "is missing; say which endpoint was called", "MISSING")


def _given(body: BaseModel | None, part: type[BaseModel]) -> dict[str, Any]:
    """The fields of `part` that `body` has."""
    return {} if body is None else body.model_dump(include=set(part.model_fields), exclude_none=True)


def _context(call: Call[Nothing, LogQueryBody], query: dict[str, Any]) -> dict[str, Any]:
    """What the request says about its caller, where the body does not say it."""
    return {name: value for name, value in call.info.attribution.items() if name not in query}


def query_history(runtime: Runtime, call: Call[QueryHistoryQuery, Nothing]) -> Answer:
    """One page of queries, newest first."""
    wanted = call.query
    filters = QueryFilters(
        endpoint=wanted.endpoint,
        is_successful=wanted.successful,
        session_id=wanted.session_id,
        since=inputs.window_start(wanted.days),
    )
    return page_reply("queries", runtime.state_manager.query_page(filters, wanted.cursor, wanted.limit), wanted)


OPERATIONS = (
    Operation(
        name="logQuery",
        method="POST",
        path="/log-query",
        summary="Log a query and its answer",
        description="Records what was asked of a signal endpoint and what it answered, for later analysis.",
        scope=Scope.QUERIES_WRITE,
        handler=log_query,
        body_model=LogQueryBody,
        response_model=LogQueryReply,
        success_statuses=(200, 202),
        check_body=_faults,
        forms=(
            {"required": ["query_data"], "properties": {"query_data": {"type": "object", **fields.WHOLE_QUERY}}},
            fields.WHOLE_QUERY,
        ),
        nested=("query_data", "response_data"),
        flat_required=("endpoint",),
        tag="queries",
    ),
    Operation(
        name="getQueryHistory",
        method="GET",
        path="/query-history",
        summary="List logged queries",
        description="Lists logged queries, newest first, with filters; next_cursor leads to the next page.",
        scope=Scope.QUERIES_READ,
        handler=query_history,
        query_model=QueryHistoryQuery,
        response_model=QueryHistoryReply,
        tag="queries",
    ),
)
