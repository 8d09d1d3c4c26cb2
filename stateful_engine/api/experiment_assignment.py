"""Operations on experiments: which variant a unit is served, and that it was shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from stateful_engine.api import fields
from stateful_engine.api.contract import Answer, Call, Nothing
from stateful_engine.api.experiment_operations import ONE, EmptyBody, name_in, write
from stateful_engine.api.memory import Object
from stateful_engine.api.schemas import Envelope
from stateful_engine.services.experiment_assignment import Assignment
from stateful_engine.services.experiments import Experiments

if TYPE_CHECKING:
    from stateful_engine.extension import Runtime


class AssignBody(EmptyBody):
    """For whom."""

    user_id: fields.PersonId | None = Field(default=None, description="The person.")
    episode: fields.Name | None = Field(default=None, description="The market episode: symbol|timeframe|bar.")
    attributes: Object | None = Field(default=None, description="What targeting looks at.")


class ExposureBody(EmptyBody):
    """What was shown to whom."""

    unit: fields.Name = Field(description="The unit that was assigned.")
    variant: fields.Name = Field(description="A or B.")


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


def assign(runtime: Runtime, call: Call[Nothing, AssignBody]) -> Answer:
    """Which variant to serve."""
    body = call.body
    made = Experiments(runtime).assign(name_in(call), body.user_id, attributes=body.attributes, episode=body.episode)
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
    shown_to = Assignment(name_in(call), body.variant, None, "reported", body.unit, in_experiment=True)
    return {"first": Experiments(runtime).note_exposure(shown_to)}


OPERATIONS = (
    write(
        "assignVariant",
        f"{ONE}/assign",
        summary="Assign a variant",
        description="Which variant to serve to a unit, and why; never fails for an unknown experiment.",
        handler=assign,
        body=AssignBody,
        response=AssignmentReply,
    ),
    write(
        "reportExposure",
        f"{ONE}/exposures",
        summary="Report an exposure",
        description="Notes that a unit was shown its variant.",
        handler=expose,
        body=ExposureBody,
        response=ExposureReply,
    ),
)
