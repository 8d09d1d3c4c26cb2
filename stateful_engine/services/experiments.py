"""`Experiments`: which model, prompt or engine gives better signals.

`assign` answers in every situation; only `declare` changes what is served after an experiment. Here is their life;
`experiment_assignment` serves them, `experiment_results` judges them.
"""

from __future__ import annotations

from typing import Any

from stateful_engine.domain import clock
from stateful_engine.domain.experiment_design import ExperimentStatus, check_coverage_growth
from stateful_engine.errors import ConflictError, InvalidInputError
from stateful_engine.services import inputs
from stateful_engine.services.experiment_assignment import ExperimentAssignment
from stateful_engine.services.experiment_designs import (
    changing,
    columns_of,
    refuse_overlap,
    required,
    settings_of,
    shown,
)
from stateful_engine.services.experiment_results import ExperimentResults, keep_snapshot
from stateful_engine.services.trial_marks import unknown
from stateful_engine.storage import experiments


class Experiments(ExperimentAssignment, ExperimentResults):
    """Creates, serves and judges experiments.

    >>> experiments = Experiments()
    >>> experiments.create("prompt-v2", {"prompt": "v1"}, {"prompt": "v2"})
    >>> experiments.start("prompt-v2")
    >>> assignment = experiments.assign("prompt-v2", user_id)
    >>> with experiments.exposed(assignment):
    ...     answer_with(assignment.config)
    """

    def create(
        self,
        name: str,
        variant_a: Any,
        variant_b: Any,
        description: str = "",
        weight_a: float = 0.5,
        **design: Any,
    ) -> dict[str, Any]:
        """Write an experiment down; raises `InvalidInputError` with every fault, `ConflictError` for a taken name.

        `design` may hold `design` ("user", "signal", "switchback", "paired"), `coverage`, `layer` (name, low, high),
        `primary_metric` or `primaries`, `guardrails`, `margins`, `horizon_seconds`, `block_seconds`, `planned_n`,
        `targeting`, `forced`, `cheaper` and `alpha`.
        """
        values = columns_of(name, variant_a, variant_b, weight_a, design) | {"description": inputs.text(description)}
        with self._database.transaction() as session:
            if not experiments.insert(session, values):
                raise ConflictError(f"an experiment is called {name!r} already; choose another name")
            return shown(required(experiments.find(session, name), name))

    def start(self, name: str) -> dict[str, Any]:
        """Begin to serve both variants, or go on after a pause; the design is frozen from here on."""
        with changing(self._database, name) as (session, row):
            if row.ended_at is not None:
                raise ConflictError(f"{name!r} has ended; start a new version with `change`")
            refuse_overlap(session, row)
            row.active, row.paused = True, False
            row.started_at = row.started_at or clock.now()
            return shown(row)

    def pause(self, name: str) -> dict[str, Any]:
        """Serve control to everybody until `start` is called again."""
        with changing(self._database, name) as (_, row):
            if not row.active:
                raise ConflictError(f"{name!r} is not running; start it first")
            row.paused = True
            return shown(row)

    def stop(self, name: str) -> dict[str, Any]:
        """End the experiment: control is served until a winner is declared. A snapshot of the results is kept."""
        results = self.results(name)
        with changing(self._database, name) as (session, row):
            if row.active or row.ended_at is None:
                row.active, row.paused, row.ended_at = False, False, clock.now()
                keep_snapshot(session, row, results)
            return shown(row)

    def declare(self, name: str, variant: str | None) -> dict[str, Any]:
        """Serve `variant` to everybody from now on; None takes the declaration back.

        A running experiment ends by it, and a snapshot of its results is kept.
        """
        if variant not in (None, "A", "B"):
            raise InvalidInputError(f"{inputs.text(variant, most=40)!r} is no variant; declare A or B")
        runs = self.get(name)["status"] in (ExperimentStatus.RUNNING.value, ExperimentStatus.PAUSED.value)
        kept = self.results(name) if runs and variant is not None else None
        with changing(self._database, name) as (session, row):
            row.winner = variant
            if variant is not None and row.active:
                row.active, row.paused, row.ended_at = False, False, clock.now()
                keep_snapshot(session, row, kept or self._results_of(session, row, unknown))
            return shown(row)

    def change(self, name: str, **design: Any) -> dict[str, Any]:
        """Change the design. A draft is changed in place; once started, coverage may grow, anything else starts a new
        version whose units are dealt anew.
        """
        only_coverage = set(design) == {"coverage"}
        kept = None if only_coverage or self.get(name)["started_at"] is None else self.results(name)
        with changing(self._database, name) as (session, row):
            if row.started_at is not None and only_coverage:
                row.coverage = check_coverage_growth(row.coverage, inputs.finite(design["coverage"], "coverage"))
                return shown(row)
            values = columns_of(
                row.name,
                design.pop("variant_a", row.variant_a),
                design.pop("variant_b", row.variant_b),
                design.pop("weight_a", row.weight_a),
                {**settings_of(row), **design},
            )
            for column in set(values) - {"name", "created_at", "version"}:
                setattr(row, column, values[column])
            if row.started_at is not None:
                keep_snapshot(session, row, kept or self._results_of(session, row, unknown))
                row.version += 1
                row.started_at, row.ended_at, row.winner = clock.now(), None, None
                row.active, row.paused = True, False
            return shown(row)

    def get(self, name: str) -> dict[str, Any]:
        """The experiment as a dict; raises `NotFoundError`."""
        with self._database.reading() as session:
            return shown(required(experiments.find(session, name), name))

    def recent(self, limit: int = 100) -> list[dict[str, Any]]:
        """The newest experiments first."""
        with self._database.reading() as session:
            return [shown(row) for row in experiments.all_of(session, limit=inputs.limit(limit, most=100))]
