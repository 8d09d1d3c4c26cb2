"""Operations on experiments: their life, from a draft to a declared winner."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Field

from stateful_engine.api import fields
from stateful_engine.api.contract import Answer, Call, Nothing
from stateful_engine.api.experiment_operations import (
    ONE,
    EmptyBody,
    ExperimentReply,
    ListQuery,
    Share,
    name_in,
    read,
    write,
)
from stateful_engine.api.memory import Object, Record
from stateful_engine.api.schemas import Body, Envelope
from stateful_engine.services.experiments import Experiments

if TYPE_CHECKING:
    from stateful_engine.extension import Runtime

Seconds = Annotated[int, fields.WholeNumber(1, 366 * 86_400)]
Clusters = Annotated[int, fields.WholeNumber(2, 10**9)]
Words = Annotated[list[fields.Name], Field(max_length=20)]


def _layer(value: Any) -> Any:
    """A slice is a name and two numbers."""
    name, *numbers = value if isinstance(value, list) and value else [None]
    is_slice = isinstance(name, str) and len(numbers) == 2 and all(type(item) in (int, float) for item in numbers)
    if value is not None and not is_slice:
        raise fields.wrong("WRONG_TYPE", 'must be a name and two numbers, for example ["prompts", 0, 0.5]')
    return value


class DesignBody(Body):
    """What may be chosen about an experiment."""

    design: fields.Name | None = Field(default=None, description="user, signal, switchback or paired.")
    coverage: Share | None = Field(default=None, description="Share of the units that take part.")
    layer: Annotated[list[Any], Field(min_length=3, max_length=3), BeforeValidator(_layer)] | None = Field(
        default=None, description="Name, low and high of a slice that no other experiment shares."
    )
    primaries: Words | None = Field(default=None, description="Metrics that decide.")
    primary_metric: fields.Name | None = Field(default=None, description="The metric that decides.")
    guardrails: Words | None = Field(default=None, description="Metrics that must not get worse.")
    margins: Object | None = Field(default=None, description="Differences that do not matter, by metric.")
    horizon_seconds: Seconds | None = Field(default=None, description="The age at which a result counts.")
    block_seconds: Seconds | None = Field(default=None, description="The length of a switchback block.")
    planned_n: Clusters | None = Field(default=None, description="Clusters of both arms that are planned.")
    targeting: Object | None = Field(default=None, description="Which units may take part.")
    forced: Object | None = Field(default=None, description="Units that are given a variant.")
    cheaper: fields.Name | None = Field(default=None, description="The variant to take when both are equal.")
    alpha: Share | None = Field(default=None, description="The error rate.")
    client_ref: fields.Name | None = Field(default=None, description=fields.CLIENT_REF)


class ExperimentBody(DesignBody):
    """One experiment."""

    name: fields.Name = Field(description="Its name, which never changes.")
    variant_a: Any = Field(default=None, description="What control means to the bot.")
    variant_b: Any = Field(default=None, description="What the challenger means to the bot.")
    description: fields.Text = Field(default="", description="What is tried, and why.")
    weight_a: Share = Field(default=0.5, description="Share of the units that get control.")


class ChangeBody(DesignBody):
    """What to change: a draft in place; later coverage may grow, and anything else starts a new version."""

    variant_a: Any = Field(default=None, description="What control means to the bot.")
    variant_b: Any = Field(default=None, description="What the challenger means to the bot.")
    weight_a: Share | None = Field(default=None, description="Share of the units that get control.")


class DeclareBody(EmptyBody):
    """Which variant is served from now on."""

    variant: fields.Name | None = Field(default=None, description="A or B; null takes the declaration back.")


class ExperimentsReply(Envelope):
    """Experiments, newest first."""

    experiments: list[Record]


def create(runtime: Runtime, call: Call[Nothing, ExperimentBody]) -> Answer:
    """Write an experiment down."""
    given = call.body.model_dump(exclude={"client_ref"}, exclude_none=True)
    return {"experiment": Experiments(runtime).create(given.pop("name"), *_variants(given), **given)}


def _variants(given: dict[str, Any]) -> tuple[Any, Any]:
    return given.pop("variant_a", None), given.pop("variant_b", None)


def listed(runtime: Runtime, call: Call[ListQuery, Nothing]) -> Answer:
    """The newest experiments."""
    return {"experiments": Experiments(runtime).recent(call.query.limit)}


def shown(runtime: Runtime, call: Call[Nothing, Nothing]) -> Answer:
    """One experiment."""
    return {"experiment": Experiments(runtime).get(name_in(call))}


def change(runtime: Runtime, call: Call[Nothing, ChangeBody]) -> Answer:
    """Change an experiment."""
    given = call.body.model_dump(exclude={"client_ref"}, exclude_none=True)
    return {"experiment": Experiments(runtime).change(name_in(call), **given)}


def start(runtime: Runtime, call: Call[Nothing, EmptyBody]) -> Answer:
    """Begin to serve both variants."""
    return {"experiment": Experiments(runtime).start(name_in(call))}


def pause(runtime: Runtime, call: Call[Nothing, EmptyBody]) -> Answer:
    """Serve control to everybody for a while."""
    return {"experiment": Experiments(runtime).pause(name_in(call))}


def stop(runtime: Runtime, call: Call[Nothing, EmptyBody]) -> Answer:
    """End an experiment."""
    return {"experiment": Experiments(runtime).stop(name_in(call))}


def declare(runtime: Runtime, call: Call[Nothing, DeclareBody]) -> Answer:
    """Serve one variant from now on."""
    return {"experiment": Experiments(runtime).declare(name_in(call), call.body.variant)}


OPERATIONS = (
    write(
        "createExperiment",
        "/experiments",
        summary="Create an experiment",
        description="Writes an experiment down as a draft.",
        handler=create,
        body=ExperimentBody,
    ),
    read(
        "getExperiments",
        "/experiments",
        summary="List experiments",
        description="Lists experiments, newest first.",
        handler=listed,
        response=ExperimentsReply,
        query=ListQuery,
    ),
    read(
        "getExperiment",
        ONE,
        summary="Show an experiment",
        description="Shows the design of an experiment and where it is in its life.",
        handler=shown,
        response=ExperimentReply,
    ),
    write(
        "changeExperiment",
        ONE,
        summary="Change an experiment",
        description="Changes a draft, lets coverage grow, or starts a new version.",
        handler=change,
        body=ChangeBody,
        method="PATCH",
    ),
    *(
        write(
            f"{word}Experiment",
            f"{ONE}/{word}",
            summary=f"{word.capitalize()} an experiment",
            description=description,
            handler=handler,
            body=EmptyBody,
        )
        for word, handler, description in (
            ("start", start, "Begins to serve both variants, or goes on after a pause."),
            ("pause", pause, "Serves control to everybody until it is started again."),
            ("stop", stop, "Ends the experiment and keeps a snapshot of its results."),
        )
    ),
    write(
        "declareWinner",
        f"{ONE}/declare",
        summary="Declare a winner",
        description="Serves one variant to everybody from now on.",
        handler=declare,
        body=DeclareBody,
    ),
)
