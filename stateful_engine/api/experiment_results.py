"""Operations on experiments: what they came to, what was kept of it, and how much it takes to find out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field, Strict

from stateful_engine.api import fields
from stateful_engine.api.analytics import Report
from stateful_engine.api.contract import Answer, Call, Nothing
from stateful_engine.api.experiment_operations import ONE, EmptyBody, ListQuery, Share, name_in, read, write
from stateful_engine.api.memory import Record, known_row
from stateful_engine.api.schemas import Envelope
from stateful_engine.domain.vocabulary import Scope
from stateful_engine.services.experiments import Experiments

if TYPE_CHECKING:
    from stateful_engine.extension import Runtime

Positive = Annotated[float, Strict(), Field(gt=0, le=1e9, allow_inf_nan=False)]


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


def results(runtime: Runtime, call: Call[Nothing, Nothing]) -> Answer:
    """The verdict so far."""
    return {"results": Experiments(runtime).results(name_in(call))}


def keep(runtime: Runtime, call: Call[Nothing, EmptyBody]) -> Answer:
    """Keep the results as they are now."""
    return {"snapshot": Experiments(runtime).snapshot(name_in(call))}


def kept(runtime: Runtime, call: Call[ListQuery, Nothing]) -> Answer:
    """The kept results."""
    return {"snapshots": Experiments(runtime).snapshots(name_in(call), call.query.limit)}


def one_kept(runtime: Runtime, call: Call[Nothing, Nothing]) -> Answer:
    """Results as they were."""
    return {"snapshot": Experiments(runtime).get_snapshot(name_in(call), known_row(call, "snapshot_id"))}


def self_test(runtime: Runtime, call: Call[Nothing, SelfTestBody]) -> Answer:
    """How often chance looks like a winner."""
    body = call.body
    return {
        "aa_test": Experiments(runtime).aa_test(name_in(call), body.metric, runs=body.runs, seed=body.seed).as_dict()
    }


def health(runtime: Runtime, call: Call[Nothing, Nothing]) -> Answer:
    """Whether the numbers can be trusted."""
    found = Experiments(runtime).results(name_in(call))
    return {"health": {**found["health"], "maturity": found["maturity"], "state": found["verdict"]["state"]}}


def plan(runtime: Runtime, call: Call[Nothing, PlanBody]) -> Answer:
    """How much it takes."""
    given = call.body.model_dump(exclude={"client_ref"})
    return {
        "plan": Experiments(runtime).plan(given.pop("metric"), given.pop("mde"), given.pop("sd"), **given).as_dict()
    }


OPERATIONS = (
    write(
        "planExperiment",
        "/experiments/plan",
        summary="Plan an experiment",
        description="How many signals and weeks it takes to find a difference.",
        handler=plan,
        body=PlanBody,
        response=PlanReply,
    ),
    read(
        "getExperimentResults",
        f"{ONE}/results",
        summary="Judge an experiment",
        description="The verdict so far with its reason and every figure behind it.",
        handler=results,
        response=ResultsReply,
    ),
    write(
        "keepExperimentResults",
        f"{ONE}/snapshots",
        summary="Keep the results",
        description="Keeps the results as they are now, unchangeably.",
        handler=keep,
        body=EmptyBody,
        response=SnapshotReply,
    ),
    read(
        "getExperimentSnapshots",
        f"{ONE}/snapshots",
        summary="List kept results",
        description="The results that were kept, newest first; ending an experiment keeps them too.",
        handler=kept,
        response=SnapshotsReply,
        query=ListQuery,
    ),
    read(
        "getExperimentSnapshot",
        f"{ONE}/snapshots/<snapshot_id>",
        summary="Show kept results",
        description="The results as they were when they were kept.",
        handler=one_kept,
        response=SnapshotReply,
    ),
    write(
        "runExperimentSelfTest",
        f"{ONE}/aa-test",
        summary="Test a metric on itself",
        description="Splits the results at random again and again: how often does chance look like a winner?",
        handler=self_test,
        body=SelfTestBody,
        response=SelfTestReply,
    ),
    read(
        "getExperimentHealth",
        f"{ONE}/health",
        summary="Check an experiment",
        description="Whether the numbers can be trusted: sample ratio, crossed units, maturity.",
        handler=health,
        response=ExperimentHealthReply,
    ),
    read(
        "getExperimentAnalytics",
        "/analytics/experiments/<name>",
        summary="Report on an experiment",
        description="The same results among the analytics.",
        handler=results,
        response=ResultsReply,
        scope=Scope.ANALYTICS_READ,
    ),
)
