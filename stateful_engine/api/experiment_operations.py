"""What the operations on experiments share: kinds of fields, the path to an experiment, how they are written down."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, Strict

from stateful_engine.api import fields
from stateful_engine.api.contract import Call, Nothing, Operation, PathParameter
from stateful_engine.api.memory import Record, row_id
from stateful_engine.api.schemas import Body, Envelope, Query
from stateful_engine.domain.vocabulary import Scope
from stateful_engine.errors import NotFoundError

ONE = "/experiments/<name>"
NAME = PathParameter("name", "The experiment's name.", "prompt-v2")
SNAPSHOT = row_id("snapshot_id", "snapshot")
Share = Annotated[float, Strict(), Field(ge=0, le=1, allow_inf_nan=False)]


class EmptyBody(Body):
    """Nothing more is needed."""

    client_ref: fields.Name | None = Field(default=None, description=fields.CLIENT_REF)


class ListQuery(Query):
    """How many to list."""

    limit: fields.Limit = Field(default=50, description="How many to return, 1 to 100.")


class ExperimentReply(Envelope):
    """The experiment."""

    experiment: Record


def name_in(call: Call[Any, Any]) -> str:
    """The name in the path; a longer one than any experiment can have is known to nobody."""
    name = call.path["name"]
    if len(name) > NAME.max_length:
        raise NotFoundError(
            "no experiment has a name as long as this; list them with GET /experiments", code="EXPERIMENT_NOT_FOUND"
        )
    return name


def _parameters(path: str) -> tuple[PathParameter, ...]:
    return tuple(parameter for parameter in (NAME, SNAPSHOT) if f"<{parameter.name}>" in path)


def write(name: str, path: str, *, summary: str, description: str, handler: Any, body: Any, **more: Any) -> Operation:
    """An operation that changes something; `method` and `response` where they are not the usual ones."""
    return Operation(
        name=name,
        method=more.pop("method", "POST"),
        path=path,
        summary=summary,
        description=description,
        scope=Scope.EXPERIMENTS_WRITE,
        handler=handler,
        body_model=body,
        response_model=more.pop("response", ExperimentReply),
        path_parameters=_parameters(path),
        statuses=(404, 409),
        in_actions=False,
        tag="experiments",
    )


def read(
    name: str, path: str, *, summary: str, description: str, handler: Any, response: Any, **more: Any
) -> Operation:
    """An operation that looks at something; `query` and `scope` where they are not the usual ones."""
    return Operation(
        name=name,
        method="GET",
        path=path,
        summary=summary,
        description=description,
        scope=more.pop("scope", Scope.EXPERIMENTS_READ),
        handler=handler,
        query_model=more.pop("query", Nothing),
        response_model=response,
        path_parameters=_parameters(path),
        statuses=(404,) if "<name>" in path else (),
        in_actions=False,
        tag="experiments",
    )
