"""The one registry of what the API does: routes, documents, tools and `available_endpoints` are all made from it."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from flask import current_app, request
from pydantic import ConfigDict, Field

from stateful_engine.api import (
    actions,
    analytics,
    bot_reports,
    conversations,
    experiment_assignment,
    experiment_results,
    experiments,
    fields,
    health,
    interactions,
    journal,
    maintenance,
    outcomes,
    privacy,
    queries,
    recommendations,
    scanner,
    signals,
    webhooks,
)
from stateful_engine.api.contract import DOOR_KEY, Answer, Call, Nothing, Operation, Reply
from stateful_engine.api.door import Door
from stateful_engine.api.schemas import Model, Query
from stateful_engine.domain.vocabulary import Scope

if TYPE_CHECKING:
    from stateful_engine.extension import Runtime


class DocumentQuery(Query):
    """Which document."""

    profile: fields.Profile = Field(default="full", description="full, or actions for a custom GPT.")
    include_views: fields.QueryFlag = Field(default=False, description="Whether to add the tracked views of the app.")


class OpenApiDocument(Model):
    """An OpenAPI document."""

    model_config = ConfigDict(extra="allow")

    openapi: str


def document(_: Runtime, call: Call[DocumentQuery, Nothing]) -> Answer:
    """The OpenAPI document of this API."""
    root = request.script_root
    server = f"https://{request.host}{root}" if call.query.profile == "actions" else root or "/"
    door: Door = current_app.extensions[DOOR_KEY]
    found = door.openapi(call.query.profile, server=server, include_views=call.query.include_views)
    return Reply(found, enveloped=False)


OPERATIONS: tuple[Operation, ...] = (
    *signals.OPERATIONS,
    *queries.OPERATIONS,
    *interactions.OPERATIONS,
    *outcomes.OPERATIONS,
    *analytics.OPERATIONS,
    *bot_reports.OPERATIONS,
    *conversations.OPERATIONS,
    *recommendations.OPERATIONS,
    *scanner.OPERATIONS,
    *actions.OPERATIONS,
    *journal.OPERATIONS,
    *experiments.OPERATIONS,
    *experiment_assignment.OPERATIONS,
    *experiment_results.OPERATIONS,
    *maintenance.OPERATIONS,
    *webhooks.OPERATIONS,
    *health.OPERATIONS,
    *privacy.OPERATIONS,
    Operation(
        name="getOpenApi",
        method="GET",
        path="/openapi.json",
        summary="Describe this API",
        description="The OpenAPI document of this API; profile=actions is the one that a custom GPT imports.",
        scope=Scope.ANALYTICS_READ,
        handler=document,
        query_model=DocumentQuery,
        response_model=OpenApiDocument,
        in_actions=False,
        in_mcp=False,
        tag="operation",
    ),
)

_VARIABLE = re.compile(r"<(?:[^:>]*:)?([^>]*)>")


def braced(path: str) -> str:
    """A path as documents write it: `/signal/{signal_id}`."""
    return _VARIABLE.sub(r"{\1}", path)


def available_endpoints(prefix: str) -> list[str]:
    """Every operation as `METHOD path`."""
    return [f"{operation.method} {prefix}{braced(operation.path)}" for operation in OPERATIONS]


def methods_at(path: str) -> list[str]:
    """The methods that a path below the prefix answers to; none for a path that does not exist."""
    methods = {operation.method for operation in OPERATIONS if _pattern(operation.path).fullmatch(path)}
    return sorted(methods | {"HEAD"} if "GET" in methods else methods)


@cache
def _pattern(path: str) -> re.Pattern[str]:
    literal = [re.escape(part) for part in re.split(r"<[^>]*>", path)]
    return re.compile("[^/]+".join(literal))
