"""What a record was made under: the field `assignment` of bodies, for bots that reach experiments over HTTP only."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from stateful_engine.api import fields
from stateful_engine.api.schemas import Body
from stateful_engine.domain.vocabulary import Arm
from stateful_engine.recording import stamping

if TYPE_CHECKING:
    from stateful_engine.extension import Runtime

ArmWord = Annotated[str, fields.OneOf(Arm, str.upper)]


class AssignmentOf(Body):
    """The variant of an experiment under which something was made, as assignVariant answered."""

    experiment: fields.Name = Field(description="The experiment's name.")
    variant: ArmWord = Field(description="A or B.")
    unit: fields.Name | None = Field(default=None, description="The unit that was assigned.")


class Assigned(Body):
    """A body that may say what it was made under."""

    assignment: AssignmentOf | None = Field(default=None, description="The variant of an experiment it was made under.")


def made_under(runtime: Runtime, assignment: AssignmentOf | None) -> AbstractContextManager[None]:
    """Everything recorded inside carries the variant."""
    if assignment is None:
        return nullcontext()
    unit = runtime.database.people.of(assignment.unit) or ""
    return stamping.stamped(stamping.Stamp(assignment.experiment, assignment.variant, unit))
