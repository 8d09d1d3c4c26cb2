"""Which variant a unit is served, and under which variant a record was made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from stateful_engine.domain import clock
from stateful_engine.domain.experiment_design import Design, serve, unit_of
from stateful_engine.errors import StatefulEngineError
from stateful_engine.guard import Guard
from stateful_engine.logging import logger
from stateful_engine.recording import stamping
from stateful_engine.services import inputs
from stateful_engine.services.binding import Bound
from stateful_engine.services.experiment_designs import Running, required, running_of
from stateful_engine.storage import experiments

CONTROL = "A"

_alone = Guard()
"""Counts what fails in services that stand alone."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a unit is served: `variant` ("A" or "B"), its `config`, and why.

    `in_experiment` says whether the unit counts once it is exposed.
    """

    experiment: str
    variant: str
    config: Any
    reason: str
    unit: str
    in_experiment: bool = False


class ExperimentAssignment(Bound):
    """Serves variants; whatever happens, somebody is served."""

    @property
    def _guard(self) -> Guard:
        """That of the app where there is one, so that its health shows what failed; never raises."""
        if self._own is None:
            with suppress(StatefulEngineError):
                return self._runtime.guard
        return _alone

    def assign(
        self,
        name: str,
        user_id: Any = None,
        *,
        attributes: Mapping[str, Any] | None = None,
        episode: str | None = None,
        at: datetime | None = None,
    ) -> Assignment:
        """Which variant to serve; never raises and never answers with nothing.

        Unknown or paused experiments and a database that is away give control, or what the hash says, with a reason.
        """
        with self._guard("assign_a_variant"):
            try:
                return self._assign(
                    name, inputs.text(user_id) or "", inputs.mapping(attributes, "attributes"), episode, at
                )
            except StatefulEngineError as error:
                logger.warning("experiment %.64r serves control (%s)", name, error.code)
                return Assignment(str(name), CONTROL, None, error.code.lower(), "")
        return Assignment("", CONTROL, None, "failed", "")

    def _assign(
        self, name: str, user: str, attributes: Mapping[str, Any], episode: str | None, at: datetime | None
    ) -> Assignment:
        with self._database.reading() as session:
            row = experiments.find(session, name)
            if row is None:
                return Assignment(str(name), CONTROL, None, "unknown_experiment", user)
            running = self._named(running_of(row))
            person = self._database.people.of(user) or None
            unit = unit_of(running.design, user_id=person, episode=inputs.text(episode), at=at or clock.now())
            stored = None if unit is None else experiments.stored_variant(session, running.id, unit, row.version)
        if unit is None:
            return Assignment(name, CONTROL, running.configs.get(CONTROL), "unit_missing", user)
        return self._served(name, running, unit, stored, {**attributes, "user_id": user})

    def _served(
        self, name: str, running: Running, unit: str, stored: str | None, attributes: Mapping[str, Any]
    ) -> Assignment:
        """What a unit gets, which it keeps when it takes part."""
        served = serve(
            running.design,
            unit,
            status=running.status,
            winner=running.winner,
            stored=stored,
            attributes=attributes,
        )
        variant = served.variant
        if served.in_experiment and stored is None:
            variant = self._kept(running, unit, variant)
        return Assignment(
            name, variant, running.configs.get(variant), str(served.reason), unit, in_experiment=served.in_experiment
        )

    def _named(self, running: Running) -> Running:
        """With people named as they are stored, where the design forces variants on some."""
        people, design = self._database.people, running.design
        if not people.hidden or design.design is not Design.USER or not design.forced:
            return running
        forced = {people.of(unit): variant for unit, variant in design.forced.items()}
        return replace(running, design=replace(design, forced=forced))

    def _kept(self, running: Running, unit: str, variant: str) -> str:
        """The variant that is stored for a unit: this one, or the one that another process stored first."""
        values = {
            "experiment_id": running.id,
            "user_id": unit,
            "variant": variant,
            "version": running.design.version,
            "assigned_at": clock.now(),
        }
        with self._database.transaction() as session:
            experiments.keep(session, values)
            return experiments.stored_variant(session, running.id, unit, running.design.version) or variant

    @contextmanager
    def exposed(self, assignment: Assignment) -> Iterator[Assignment]:
        """Note that the variant is shown, and stamp it on everything recorded inside the block."""
        if not assignment.in_experiment:
            yield assignment
            return
        self._noted(assignment)
        with stamping.stamped(stamping.Stamp(assignment.experiment, assignment.variant, assignment.unit)):
            yield assignment

    def shadow(self, assignment: Assignment) -> Assignment:
        """The variant that is not served, for the `paired` design: both engines answer, one is shown.

        >>> with experiments.exposed(experiments.shadow(assignment)) as other:
        ...     keep_for_later(other.config)

        Never raises; outside of a running paired experiment what is made under it does not count.
        """
        with self._guard("find_the_shadow"), self._database.reading() as session:
            row = experiments.find(session, assignment.experiment) if assignment.in_experiment else None
            if row is not None and row.design == Design.PAIRED.value:
                other = "A" if assignment.variant == "B" else "B"
                return replace(assignment, variant=other, config=running_of(row).configs.get(other), reason="shadow")
        return replace(assignment, reason="no_shadow", in_experiment=False)

    def note_exposure(self, assignment: Assignment) -> bool:
        """Note that a unit was shown its variant; True for its first exposure. Raises `NotFoundError`."""
        with self._database.transaction() as session:
            row = required(experiments.find(session, assignment.experiment), assignment.experiment)
            is_person = row.design == Design.USER.value
            unit = self._database.people.of(assignment.unit) if is_person else assignment.unit
            return experiments.expose(session, row.id, unit, clock.now())

    def _noted(self, assignment: Assignment) -> None:
        with self._guard("note_an_exposure"):
            self.note_exposure(assignment)
