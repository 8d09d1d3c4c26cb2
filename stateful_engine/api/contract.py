"""What an operation of the API is: the shape that every feature file fills in.

One `Operation` yields a Flask route, its part of the OpenAPI documents, an MCP tool and a line of
`available_endpoints`; nothing about a route is written down a second time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import BaseModel

from stateful_engine.domain.vocabulary import Scope

if TYPE_CHECKING:
    from stateful_engine.access import Principal
    from stateful_engine.errors import Fault
    from stateful_engine.extension import Runtime
    from stateful_engine.request_info import RequestInfo

DOOR_KEY = "stateful_engine_api"
"""Where an app keeps its `Door`: `app.extensions["stateful_engine_api"]`."""

QueryT = TypeVar("QueryT", bound=BaseModel)
BodyT = TypeVar("BodyT", bound=BaseModel)


class Nothing(BaseModel):
    """The model of a query string or body that an operation does not take."""


@dataclass(frozen=True, slots=True)
class Call(Generic[QueryT, BodyT]):
    """One checked request as a handler sees it; `raw_body` is the JSON object as it was sent."""

    path: Mapping[str, str]
    query: QueryT
    body: BodyT
    raw_body: Mapping[str, Any]
    info: RequestInfo
    principal: Principal


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that needs more than its fields: another status, headers, or a body that is not in the envelope."""

    body: Mapping[str, Any] | str
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    enveloped: bool = True
    content_type: str = "application/json"


Answer = Mapping[str, Any] | Reply
Handler = Callable[["Runtime", Call[Any, Any]], Answer]


@dataclass(frozen=True, slots=True)
class PathParameter:
    """A variable part of a path."""

    name: str
    description: str
    example: str = ""
    max_length: int = 64


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing the API does.

    `path` is written as Flask writes it, below the prefix. `scope=None` means that nobody has to be known to call it.
    `consequential` is what ChatGPT asks its user about before calling; what is `repeatable` does nothing more when it
    is called again with the same input. `missing_code` names the 400 that says that a required field is not there;
    `check_body` says what a model cannot, `forms` are schemas of which a body meets one. `shown_once` are fields of the
    answer that are not given again to a call that is repeated.
    A body that may be sent nested or flat lists its containers in `nested` and what the flat form cannot do without
    in `flat_required`; ChatGPT and MCP are offered the flat form. `response_model=None` is an answer that is no JSON.
    """

    name: str
    method: str
    path: str
    summary: str
    description: str
    scope: Scope | None
    handler: Handler
    response_model: type[BaseModel] | None
    query_model: type[BaseModel] = Nothing
    body_model: type[BaseModel] | None = None
    path_parameters: tuple[PathParameter, ...] = ()
    success_statuses: tuple[int, ...] = (200,)
    statuses: tuple[int, ...] = ()
    missing_code: str = "MISSING_DATA"
    check_body: Callable[[Mapping[str, Any]], Iterable[Fault]] | None = None
    forms: tuple[dict[str, Any], ...] = field(default=(), hash=False)
    nested: tuple[str, ...] = ()
    flat_required: tuple[str, ...] = ()
    shown_once: tuple[str, ...] = ()
    consequential: bool = False
    repeatable: bool = False
    in_actions: bool = True
    in_mcp: bool = True
    content_type: str = "application/json"
    tag: str = "signals"

    @property
    def read_only(self) -> bool:
        """Whether calling it changes nothing."""
        return self.method == "GET"
