"""Operations on experiments: their life, their assignments, their results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Field, Strict

from stateful_engine.api import fields
from stateful_engine.api.analytics import Report
from stateful_engine.api.contract import Answer, Call, Nothing, Operation, PathParameter
from stateful_engine.api.memory import Object, Record, known_row, row_id
from stateful_engine.api.schemas import Body, Envelope, Query
from stateful_engine.domain.vocabulary import Scope
from stateful_engine.errors import NotFoundError
from stateful_engine.services.experiments import Assignment, Experiments

if TYPE_CHECKING:
    from stateful_engine.extension import Runtime

NAME = PathParameter("name", "The experiment's name.", "prompt-v2")
SNAPSHOT = row_id("snapshot_id", "snapshot")
Share = Annotated[float, Strict(), Field(ge=0, le=1, allow_inf_nan=False)]
Seconds = Annotated[int, fields.WholeNumber(1, 366 * 86_400)]
Clusters = Annotated[int, fields.WholeNumber(2, 10**9)]
Positive = Annotated[float, Strict(), Field(gt=0, le=1e9, allow_inf_nan=False)]
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


class EmptyBody(Body):
    """Nothing more is needed."""

    client_ref: fields.Name | None = Field(default=None, description=fields.CLIENT_REF)


class DeclareBody(EmptyBody):
    """Which variant is served from now on."""

    variant: fields.Name | None = Field(default=None, description="A or B; null takes the declaration back.")


class AssignBody(EmptyBody):
    """For whom."""

    user_id: fields.PersonId | None = Field(default=None, description="The person.")
    episode: fields.Name | None = Field(default=None, description="The market episode: symbol|timeframe|bar.")
    attributes: Object | None = Field(default=None, description="What targeting looks at.")


class ExposureBody(EmptyBody):
    """What was shown to whom."""

    unit: fields.Name = Field(description="The unit that was assigned.")
    variant: fields.Name = Field(description="A or B.")


class PlanBody(EmptyBody):
    """What is to be found."""

    metric: fields.Name = Field(description="The metric.")
    mde: Positive = Field(description="The smallest difference worth finding.")
    sd: Positive | None = Field(default=None, description="The deviation of one value.")
    baseline: Share | None = Field(default=None, description="The share at present, for a share.")
    design: fields.Name = Field(default="signal", description="user, signal, switchback or paired.")
    rho: Share = Field(default=0.0, description="How alike the signals of one cluster are.")
    signals_per_week: Positive | None = Field(default=None, description="The present volume.")
    signals_per_cluster: Positive = Field(default=1.0, description="Signals per cluster.")


class SelfTestBody(EmptyBody):
    """Which metric is tried, and how often."""

    metric: fields.Name | None = Field(default=None, description="The metric; the first primary one if left out.")
    runs: Annotated[int, fields.WholeNumber(100, 1000)] = Field(default=1000, description="How many random splits.")
    seed: Annotated[int, fields.WholeNumber(0, 2**31)] = Field(default=1, description="The same seed, the same splits.")


class ListQuery(Query):
    """How many to list."""

    limit: fields.Limit = Field(default=50, description="How many to return, 1 to 100.")


class ExperimentReply(Envelope):
    """The experiment."""

    experiment: Record


class ExperimentsReply(Envelope):
    """Experiments, newest first."""

    experiments: list[Record]


class AssignmentReply(Envelope):
    """What to serve, and why."""

    variant: str
    config: Any = None
    reason: str
    unit: str
    in_experiment: bool


class ExposureReply(Envelope):
    """Whether this was the unit's first exposure."""

    first: bool


class ResultsReply(Envelope):
    """The verdict and every figure behind it."""

    results: Report


class SnapshotReply(Envelope):
    """Results that were kept, which nothing changes any more."""

    snapshot: Record


class SnapshotsReply(Envelope):
    """Kept results, newest first."""

    snapshots: list[Record]


class SelfTestReply(Envelope):
    """How often chance looked like a winner."""

    aa_test: Report


class ExperimentHealthReply(Envelope):
    """Whether the numbers can be trusted."""

    health: Report


class PlanReply(Envelope):
    """How much it takes."""

    plan: Report


def create(runtime: Runtime, call: Call[Nothing, ExperimentBody]) -> Answer:
    """Write an experiment down."""
    given = call.body.model_dump(exclude={"client_ref"}, exclude_none=True)
    return {"experiment": _of(runtime).create(given.pop("name"), *_variants(given), **given)}


def _variants(given: dict[str, Any]) -> tuple[Any, Any]:
    return given.pop("variant_a", None), given.pop("variant_b", None)


def listed(runtime: Runtime, call: Call[ListQuery, Nothing]) -> Answer:
    """The newest experiments."""
    return {"experiments": _of(runtime).recent(call.query.limit)}


def shown(runtime: Runtime, call: Call[Nothing, Nothing]) -> Answer:
    """One experiment."""
    return {"experiment": _of(runtime).get(_name(call))}


def change(runtime: Runtime, call: Call[Nothing, ChangeBody]) -> Answer:
    """Change an experiment."""
    given = call.body.model_dump(exclude={"client_ref"}, exclude_none=True)
    return {"experiment": _of(runtime).change(_name(call), **given)}


def start(runtime: Runtime, call: Call[Nothing, EmptyBody]) -> Answer:
    """Begin to serve both variants."""
    return {"experiment": _of(runtime).start(_name(call))}


def pause(runtime: Runtime, call: Call[Nothing, EmptyBody]) -> Answer:
    """Serve control to everybody for a while."""
    return {"experiment": _of(runtime).pause(_name(call))}


def stop(runtime: Runtime, call: Call[Nothing, EmptyBody]) -> Answer:
    """End an experiment."""
    return {"experiment": _of(runtime).stop(_name(call))}


def declare(runtime: Runtime, call: Call[Nothing, DeclareBody]) -> Answer:
    """Serve one variant from now on."""
    return {"experiment": _of(runtime).declare(_name(call), call.body.variant)}


def assign(runtime: Runtime, call: Call[Nothing, AssignBody]) -> Answer:
    """Which variant to serve."""
    body = call.body
    made = _of(runtime).assign(_name(call), body.user_id, attributes=body.attributes, episode=body.episode)
    return {
        "variant": made.variant,
        "config": made.config,
        "reason": made.reason,
        "unit": made.unit,
        "in_experiment": made.in_experiment,
    }


def expose(runtime: Runtime, call: Call[Nothing, ExposureBody]) -> Answer:
    """Note that a variant was shown."""
    body = call.body
    shown_to = Assignment(_name(call), body.variant, None, "reported", body.unit, in_experiment=True)
    return {"first": _of(runtime).note_exposure(shown_to)}


def results(runtime: Runtime, call: Call[Nothing, Nothing]) -> Answer:
    """The verdict so far."""
    return {"results": _of(runtime).results(_name(call))}


def keep(runtime: Runtime, call: Call[Nothing, EmptyBody]) -> Answer:
    """Keep the results as they are now."""
    return {"snapshot": _of(runtime).snapshot(_name(call))}


def kept(runtime: Runtime, call: Call[ListQuery, Nothing]) -> Answer:
    """The kept results."""
    return {"snapshots": _of(runtime).snapshots(_name(call), call.query.limit)}


def one_kept(runtime: Runtime, call: Call[Nothing, Nothing]) -> Answer:
    """Results as they were."""
    return {"snapshot": _of(runtime).get_snapshot(_name(call), known_row(call, "snapshot_id"))}


def self_test(runtime: Runtime, call: Call[Nothing, SelfTestBody]) -> Answer:
    """How often chance looks like a winner."""
    body = call.body
    return {"aa_test": _of(runtime).aa_test(_name(call), body.metric, runs=body.runs, seed=body.seed).as_dict()}


def health(runtime: Runtime, call: Call[Nothing, Nothing]) -> Answer:
    """Whether the numbers can be trusted."""
    found = _of(runtime).results(_name(call))
    return {"health": {**found["health"], "maturity": found["maturity"], "state": found["verdict"]["state"]}}


def plan(runtime: Runtime, call: Call[Nothing, PlanBody]) -> Answer:
    """How much it takes."""
    given = call.body.model_dump(exclude={"client_ref"})
    return {"plan": _of(runtime).plan(given.pop("metric"), given.pop("mde"), given.pop("sd"), **given).as_dict()}


def _name(call: Call[Any, Any]) -> str:
    """The name in the path; a longer one than any experiment can have is known to nobody."""
    name = call.path["name"]
    if len(name) > NAME.max_length:
        raise NotFoundError(
            "no experiment has a name as long as this; list them with GET /experiments", code="EXPERIMENT_NOT_FOUND"
        )
    return name


def _of(_: Runtime) -> Experiments:
    """Those of the current app, which knows its candles."""
    return Experiments()


def _parameters(path: str) -> tuple[PathParameter, ...]:
    return tuple(parameter for parameter in (NAME, SNAPSHOT) if f"<{parameter.name}>" in path)


def _write(name: str, path: str, *, summary: str, description: str, handler: Any, body: Any, **more: Any) -> Operation:
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


def _read(
    name: str, path: str, *, summary: str, description: str, handler: Any, response: Any, **more: Any
) -> Operation:
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


ONE = "/experiments/<name>"

OPERATIONS = (
    _write(
        "createExperiment",
        "/experiments",
        summary="Create an experiment",
        description="Writes an experiment down as a draft.",
        handler=create,
        body=ExperimentBody,
    ),
    _read(
        "getExperiments",
        "/experiments",
        summary="List experiments",
        description="Lists experiments, newest first.",
        handler=listed,
        response=ExperimentsReply,
        query=ListQuery,
    ),
    _write(
        "planExperiment",
        "/experiments/plan",
        summary="Plan an experiment",
        description="How many signals and weeks it takes to find a difference.",
        handler=plan,
        body=PlanBody,
        response=PlanReply,
    ),
    _read(
        "getExperiment",
        ONE,
        summary="Show an experiment",
        description="Shows the design of an experiment and where it is in its life.",
        handler=shown,
        response=ExperimentReply,
    ),
    _write(
        "changeExperiment",
        ONE,
        summary="Change an experiment",
        description="Changes a draft, lets coverage grow, or starts a new version.",
        handler=change,
        body=ChangeBody,
        method="PATCH",
    ),
    *(
        _write(
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
    _write(
        "declareWinner",
        f"{ONE}/declare",
        summary="Declare a winner",
        description="Serves one variant to everybody from now on.",
        handler=declare,
        body=DeclareBody,
    ),
    _write(
        "assignVariant",
        f"{ONE}/assign",
        summary="Assign a variant",
        description="Which variant to serve to a unit, and why; never fails for an unknown experiment.",
        handler=assign,
        body=AssignBody,
        response=AssignmentReply,
    ),
    _write(
        "reportExposure",
        f"{ONE}/exposures",
        summary="Report an exposure",
        description="Notes that a unit was shown its variant.",
        handler=expose,
        body=ExposureBody,
        response=ExposureReply,
    ),
    _read(
        "getExperimentResults",
        f"{ONE}/results",
        summary="Judge an experiment",
        description="The verdict so far with its reason and every figure behind it.",
        handler=results,
        response=ResultsReply,
    ),
    _write(
        "keepExperimentResults",
        f"{ONE}/snapshots",
        summary="Keep the results",
        description="Keeps the results as they are now, unchangeably.",
        handler=keep,
        body=EmptyBody,
        response=SnapshotReply,
    ),
    _read(
        "getExperimentSnapshots",
        f"{ONE}/snapshots",
        summary="List kept results",
        description="The results that were kept, newest first; ending an experiment keeps them too.",
        handler=kept,
        response=SnapshotsReply,
        query=ListQuery,
    ),
    _read(
        "getExperimentSnapshot",
        f"{ONE}/snapshots/<snapshot_id>",
        summary="Show kept results",
        description="The results as they were when they were kept.",
        handler=one_kept,
        response=SnapshotReply,
    ),
    _write(
        "runExperimentSelfTest",
        f"{ONE}/aa-test",
        summary="Test a metric on itself",
        description="Splits the results at random again and again: how often does chance look like a winner?",
        handler=self_test,
        body=SelfTestBody,
        response=SelfTestReply,
    ),
    _read(
        "getExperimentHealth",
        f"{ONE}/health",
        summary="Check an experiment",
        description="Whether the numbers can be trusted: sample ratio, crossed units, maturity.",
        handler=health,
        response=ExperimentHealthReply,
    ),
    _read(
        "getExperimentAnalytics",
        "/analytics/experiments/<name>",
        summary="Report on an experiment",
        description="The same results among the analytics.",
        handler=results,
        response=ResultsReply,
        scope=Scope.ANALYTICS_READ,
    ),
)
