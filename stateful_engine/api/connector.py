"""The two tools by which ChatGPT's connectors read: `search` and `fetch`, in the shape that they ask for.

They are tools of MCP only. Their answers stand without envelope: a connector takes exactly
`{results: [{id, title, url}]}` and `{id, title, text, url, metadata}`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from flask import request
from pydantic import Field, Strict

from stateful_engine.api.contract import Answer, Call, Nothing, Operation, PathParameter, Reply
from stateful_engine.api.schemas import Model, Query
from stateful_engine.api.signals import known_id
from stateful_engine.domain.vocabulary import Scope
from stateful_engine.services import search as finding

if TYPE_CHECKING:
    from stateful_engine.extension import Runtime

MOST_TEXT = 30_000


class SearchQuery(Query):
    """What to look for."""

    query: Annotated[str, Strict(), Field(min_length=1, max_length=1000)] = Field(
        description="Words: a symbol, BUY or SELL, WIN or LOSS, a timeframe, an engine, or words of the reasoning."
    )


class SearchResult(Model):
    """A signal that was found."""

    id: str
    title: str
    url: str


class SearchReply(Model):
    """The signals that fit, best first."""

    results: list[SearchResult]


class FetchReply(Model):
    """One signal as text."""

    id: str
    title: str
    text: str
    url: str
    metadata: dict[str, str]


def search(runtime: Runtime, call: Call[SearchQuery, Nothing]) -> Answer:
    """The signals that fit the words."""
    found = finding.search(runtime.state_manager, call.query.query)
    results = [
        {"id": one["signal_id"], "title": finding.title(one), "url": _url(runtime, one["signal_id"])} for one in found
    ]
    return Reply({"results": results}, enveloped=False)


def fetch(runtime: Runtime, call: Call[Nothing, Nothing]) -> Answer:
    """One signal with its timeline, as text."""
    signal = runtime.state_manager.timeline(known_id(call, name="id"))
    text = finding.told(signal, signal.pop("timeline"))
    names = ("symbol", "timeframe", "action", "outcome", "source_engine", "created_at")
    body = {
        "id": signal["signal_id"],
        "title": finding.title(signal),
        "text": text if len(text) <= MOST_TEXT else text[: MOST_TEXT - 1] + "…",
        "url": _url(runtime, signal["signal_id"]),
        "metadata": {name: str(signal[name]) for name in names if signal.get(name) is not None},
    }
    return Reply(body, enveloped=False)


def _url(runtime: Runtime, signal_id: str) -> str:
    settings = runtime.settings
    root = settings.public_url or request.url_root.rstrip("/")
    return f"{root}{settings.url_prefix}/signal/{signal_id}"


OPERATIONS = (
    Operation(
        name="search",
        method="GET",
        path="/search",
        summary="Search recorded signals",
        description="Finds recorded trading signals by words; fetch tells one of the results in full.",
        scope=Scope.SIGNALS_READ,
        handler=search,
        query_model=SearchQuery,
        response_model=SearchReply,
    ),
    Operation(
        name="fetch",
        method="GET",
        path="/fetch/<id>",
        summary="Fetch one signal",
        description="Tells one signal as text, by an id that search returned: what it advised and how it ended.",
        scope=Scope.SIGNALS_READ,
        handler=fetch,
        path_parameters=(PathParameter("id", "The id of a search result."),),
        response_model=FetchReply,
        statuses=(404,),
    ),
)
