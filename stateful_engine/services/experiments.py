"""`Experiments`: which model, prompt or engine gives better signals.

`assign` answers in every situation; only `declare` changes what is served after an experiment.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from stateful_engine.domain import clock
from stateful_engine.domain.experiment_design import (
    Design,
    ExperimentDesign,
    ExperimentStatus,
    Variant,
    check_coverage_growth,
    check_design,
    design_of,
    layer_conflicts,
    serve,
    unit_of,
)
from stateful_engine.domain.experiment_metrics import metric_spec
from stateful_engine.domain.planning import AATest, Plan, aa_test, plan
from stateful_engine.errors import (
    ConfigurationError,
    ConflictError,
    Fault,
    InvalidInputError,
    NotFoundError,
    StatefulEngineError,
    StorageUnavailableError,
)
from stateful_engine.guard import Guard
from stateful_engine.logging import logger
from stateful_engine.recording import stamping
from stateful_engine.services import inputs
from stateful_engine.services.binding import Bound
from stateful_engine.services.trial_marks import CandleMarks, Mark, OpenTrade, Valuation, marked_by, unknown
from stateful_engine.services.trial_reports import gather, report
from stateful_engine.storage import experiments, outcomes, signals
from stateful_engine.storage.experiments import Experiment, Snapshot

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from stateful_engine.extension import StatefulEngine
    from stateful_engine.storage.database import Database

BATCH = 500
CONTROL = "A"
PRIMARY = "expectancy_r"
DEFAULT_HORIZON = timedelta(days=1)
PRESENT = timedelta(weeks=4)
DEFAULT_BLOCK = timedelta(hours=4)
KNOWN_SETTINGS = frozenset(
    {
        *("coverage", "layer", "design", "primary_metric", "primaries", "guardrails", "margins", "horizon_seconds"),
        *("block_seconds", "planned_n", "targeting", "forced", "cheaper", "alpha"),
    }
)

_guard = Guard()


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


@dataclass(frozen=True, slots=True)
class _Running:
    """An experiment as assignment needs it."""

    id: int
    design: ExperimentDesign
    status: ExperimentStatus
    winner: str | None
    configs: Mapping[str, Any] = field(default_factory=dict)


class Experiments(Bound):
    """Creates, serves and judges experiments.

    >>> experiments = Experiments()
    >>> experiments.create("prompt-v2", {"prompt": "v1"}, {"prompt": "v2"})
    >>> experiments.start("prompt-v2")
    >>> assignment = experiments.assign("prompt-v2", user_id)
    >>> with experiments.exposed(assignment):
    ...     answer_with(assignment.config)
    """

    def __init__(
        self,
        source: StatefulEngine | Database | str | os.PathLike[str] | None = None,
        *,
        db_path: str | os.PathLike[str] | None = None,
        database_url: str | None = None,
        candles: Any = None,
    ) -> None:
        """As the other services; `candles` is what signals that are open at their horizon are marked to market by.

        A folder or anything else that `resolve_outcomes` takes; inside an app it is `STATEFUL_CANDLES` when left out.
        """
        super().__init__(source, db_path=db_path, database_url=database_url)
        self._candles = candles

    # Their life

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
        values = _row_of(name, variant_a, variant_b, weight_a, design) | {"description": inputs.text(description)}
        with self._database.transaction() as session:
            if not experiments.insert(session, values):
                raise ConflictError(f"an experiment is called {name!r} already; choose another name")
            return _shown(_required(experiments.find(session, name), name))

    def start(self, name: str) -> dict[str, Any]:
        """Begin to serve both variants, or go on after a pause; the design is frozen from here on."""
        with self._changing(name) as (session, row):
            if row.ended_at is not None:
                raise ConflictError(f"{name!r} has ended; start a new version with `change`")
            _refuse_overlap(session, row)
            row.active, row.paused = True, False
            row.started_at = row.started_at or clock.now()
            return _shown(row)

    def pause(self, name: str) -> dict[str, Any]:
        """Serve control to everybody until `start` is called again."""
        with self._changing(name) as (_, row):
            if not row.active:
                raise ConflictError(f"{name!r} is not running; start it first")
            row.paused = True
            return _shown(row)

    def stop(self, name: str) -> dict[str, Any]:
        """End the experiment: control is served until a winner is declared. A snapshot of the results is kept."""
        results = self.results(name)
        with self._changing(name) as (session, row):
            if row.active or row.ended_at is None:
                row.active, row.paused, row.ended_at = False, False, clock.now()
                _keep_snapshot(session, row, results)
            return _shown(row)

    def declare(self, name: str, variant: str | None) -> dict[str, Any]:
        """Serve `variant` to everybody from now on; None takes the declaration back.

        A running experiment ends by it, and a snapshot of its results is kept.
        """
        if variant not in (None, "A", "B"):
            raise InvalidInputError(f"{inputs.text(variant, most=40)!r} is no variant; declare A or B")
        runs = self.get(name)["status"] in (ExperimentStatus.RUNNING.value, ExperimentStatus.PAUSED.value)
        kept = self.results(name) if runs and variant is not None else None
        with self._changing(name) as (session, row):
            row.winner = variant
            if variant is not None and row.active:
                row.active, row.paused, row.ended_at = False, False, clock.now()
                _keep_snapshot(session, row, kept or self._results_of(session, row, unknown))
            return _shown(row)

    def change(self, name: str, **design: Any) -> dict[str, Any]:
        """Change the design. A draft is changed in place; once started, coverage may grow, anything else starts a new
        version whose units are dealt anew.
        """
        only_coverage = set(design) == {"coverage"}
        kept = None if only_coverage or self.get(name)["started_at"] is None else self.results(name)
        with self._changing(name) as (session, row):
            if row.started_at is not None and only_coverage:
                row.coverage = check_coverage_growth(row.coverage, _number(design["coverage"], "coverage"))
                return _shown(row)
            values = _row_of(
                row.name,
                design.pop("variant_a", row.variant_a),
                design.pop("variant_b", row.variant_b),
                design.pop("weight_a", row.weight_a),
                {**_settings_of(row), **design},
            )
            for column in set(values) - {"name", "created_at", "version"}:
                setattr(row, column, values[column])
            if row.started_at is not None:
                _keep_snapshot(session, row, kept or self._results_of(session, row, unknown))
                row.version += 1
                row.started_at, row.ended_at, row.winner = clock.now(), None, None
                row.active, row.paused = True, False
            return _shown(row)

    def get(self, name: str) -> dict[str, Any]:
        """The experiment as a dict; raises `NotFoundError`."""
        with self._database.reading() as session:
            return _shown(_required(experiments.find(session, name), name))

    def recent(self, limit: int = 100) -> list[dict[str, Any]]:
        """The newest experiments first."""
        with self._database.reading() as session:
            return [_shown(row) for row in experiments.all_of(session, limit=inputs.limit(limit, most=100))]

    # Serving

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
        with _guard("assign_a_variant"):
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
            running = self._named(_running(row))
            person = self._database.people.of(user) or None
            unit = unit_of(running.design, user_id=person, episode=inputs.text(episode), at=at or clock.now())
            stored = None if unit is None else experiments.stored_variant(session, running.id, unit, row.version)
        if unit is None:
            return Assignment(name, CONTROL, running.configs.get(CONTROL), "unit_missing", user)
        served = serve(
            running.design,
            unit,
            status=running.status,
            winner=running.winner,
            stored=stored,
            attributes={**attributes, "user_id": user},
        )
        variant = served.variant
        if served.in_experiment and stored is None:
            variant = self._kept(running, unit, variant)
        return Assignment(
            name, variant, running.configs.get(variant), str(served.reason), unit, in_experiment=served.in_experiment
        )

    def _named(self, running: _Running) -> _Running:
        """With people named as they are stored, where the design forces variants on some."""
        people, design = self._database.people, running.design
        if not people.hidden or design.design is not Design.USER or not design.forced:
            return running
        forced = {people.of(unit): variant for unit, variant in design.forced.items()}
        return replace(running, design=replace(design, forced=forced))

    def _kept(self, running: _Running, unit: str, variant: str) -> str:
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
        with _guard("find_the_shadow"), self._database.reading() as session:
            row = experiments.find(session, assignment.experiment) if assignment.in_experiment else None
            if row is not None and row.design == Design.PAIRED.value:
                other = "A" if assignment.variant == "B" else "B"
                return replace(assignment, variant=other, config=_running(row).configs.get(other), reason="shadow")
        return replace(assignment, reason="no_shadow", in_experiment=False)

    def note_exposure(self, assignment: Assignment) -> bool:
        """Note that a unit was shown its variant; True for its first exposure. Raises `NotFoundError`."""
        with self._database.transaction() as session:
            row = _required(experiments.find(session, assignment.experiment), assignment.experiment)
            is_person = row.design == Design.USER.value
            unit = self._database.people.of(assignment.unit) if is_person else assignment.unit
            return experiments.expose(session, row.id, unit, clock.now())

    def _noted(self, assignment: Assignment) -> None:
        with _guard("note_an_exposure"):
            self.note_exposure(assignment)

    # Judging

    def results(self, name: str, *, mark: Mark | None = None) -> dict[str, Any]:
        """The verdict so far with every figure behind it.

        Signals that are still open at their horizon are marked to market by the candles, or by `mark(symbol, at)`,
        which gives the last price at or before a moment; without either they are reported as unmarked.
        """
        self._catch_up()
        with self._database.reading() as session:
            return self._results_of(session, _required(experiments.find(session, name), name), self._valuation(mark))

    def aa_test(
        self, name: str, metric: str | None = None, *, runs: int = 1000, seed: int = 1, mark: Mark | None = None
    ) -> AATest:
        """How often chance looks like a winner: the results so far, split at random `runs` times.

        `metric` is one of `domain.experiment_metrics.METRICS`, the first primary one when left out.
        """
        self._catch_up()
        with self._database.reading() as session:
            row = _required(experiments.find(session, name), name)
            wanted = metric_spec(inputs.text(metric) or row.primary_metric).name
            rows = experiments.exposed_signals(session, row.name, row.started_at or row.created_at)
            arms, _ = gather(_running(row).design, rows, now=clock.now(), value=self._valuation(mark))
        pairs = [pair for arm in arms.values() for pair in arm.pairs(wanted)]
        return aa_test([value for _, value in pairs], [cluster for cluster, _ in pairs], runs=runs, seed=seed)

    def snapshot(self, name: str, *, mark: Mark | None = None) -> dict[str, Any]:
        """Keep the results as they are now, unchangeably, and return them."""
        results = self.results(name, mark=mark)
        with self._changing(name) as (session, row):
            return _snapshot_dict(_keep_snapshot(session, row, results))

    def snapshots(self, name: str, limit: int = 50) -> list[dict[str, Any]]:
        """The kept results, newest first."""
        with self._database.reading() as session:
            row = _required(experiments.find(session, name), name)
            found = experiments.snapshots(session, row.id, limit=inputs.limit(limit, most=100))
            return [_snapshot_dict(one) for one in found]

    def get_snapshot(self, name: str, snapshot_id: int) -> dict[str, Any]:
        """The results as they were when this snapshot was kept; raises `NotFoundError`."""
        with self._database.reading() as session:
            row = _required(experiments.find(session, name), name)
            found = experiments.snapshot(session, row.id, inputs.whole(snapshot_id, "snapshot_id"))
            if found is None:
                raise NotFoundError(
                    f"{name!r} has no snapshot {str(snapshot_id)[:40]}; list them with "
                    "GET /experiments/<name>/snapshots or `flask stateful ab snapshots`",
                    code="SNAPSHOT_NOT_FOUND",
                )
            return _snapshot_dict(found)

    def plan(self, metric: str, mde: float, sd: float | None = None, **details: Any) -> Plan:
        """How many signals and weeks it takes to find a true difference of `mde`; see `domain.planning.plan`.

        Without `signals_per_week` the weeks are those at the present volume, that of the last 28 days.
        """
        words: dict[str, Any] = {key: details[key] for key in ("design", "sequential") if key in details}
        numbers: dict[str, Any] = {
            key: inputs.finite(value, key) for key, value in details.items() if key not in words and value is not None
        }
        deviation = inputs.optional_finite(sd, "sd")
        numbers.setdefault("signals_per_week", self._present_volume())
        return plan(inputs.text(metric) or "", inputs.finite(mde, "mde"), deviation, **words, **numbers)

    def _present_volume(self) -> float:
        """Signals per week; 0, which plans no weeks, also while the database is away."""
        try:
            self._catch_up()
            with self._database.reading() as session:
                return signals.count_since(session, clock.now() - PRESENT) / (PRESENT / timedelta(weeks=1))
        except StorageUnavailableError:
            return 0.0

    def _results_of(self, session: Session, row: Experiment, value: Valuation) -> dict[str, Any]:
        now = clock.now()
        design = _running(row).design
        since = row.started_at or row.created_at
        days = ((row.ended_at or now) - since).total_seconds() / 86_400 if row.started_at else 0.0
        units = experiments.exposed_units(session, row.id, row.version)
        answered = experiments.answered_queries(session, row.name, since)
        found = experiments.exposed_signals(session, row.name, since)
        shown = {"status": _status(row).value, "winner": row.winner}
        return shown | report(design, found, now=now, days=days, units=units, answered=answered, value=value)

    def _valuation(self, mark: Mark | None = None) -> Valuation:
        """What open signals are worth, by whoever knows prices here.

        A configured folder that is not there knows none, nor does a configured function that fails.
        """
        if mark is not None:
            return marked_by(mark)
        if self._candles is not None:
            return CandleMarks(self._candles, self._stop_moves)
        candles = self._runtime.settings.candles if self._own is None else None
        try:
            return unknown if candles is None else self._guarded(CandleMarks(candles, self._stop_moves))
        except ConfigurationError as error:
            logger.warning("open signals are not marked to market: %s", error.message)
            return unknown

    def _guarded(self, value: Valuation) -> Valuation:
        def valued(trades: Sequence[OpenTrade]) -> Sequence[float | None]:
            with self._runtime.guard("value_open_signals"):
                return value(trades)
            return unknown(trades)

        return valued

    def _stop_moves(self, signal_ids: Sequence[str]) -> dict[str, list[tuple[datetime, float]]]:
        found: dict[str, list[tuple[datetime, float]]] = {}
        with self._database.reading() as session:
            for first in range(0, len(signal_ids), BATCH):
                found |= outcomes.stop_moves(session, signal_ids[first : first + BATCH])
        return found

    @contextmanager
    def _changing(self, name: str) -> Iterator[tuple[Session, Experiment]]:
        with self._database.transaction() as session:
            yield session, _required(experiments.lock(session, name), name)


def _required(row: Experiment | None, name: str) -> Experiment:
    if row is None:
        raise NotFoundError(
            f"no experiment is called {str(name)[:64]!r}; list them with GET /experiments or `flask stateful ab list`",
            code="EXPERIMENT_NOT_FOUND",
        )
    return row


def _row_of(name: str, variant_a: Any, variant_b: Any, weight_a: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of a checked design."""
    unknown = set(given) - KNOWN_SETTINGS
    if unknown:
        faults = tuple(Fault(f"/{key}", f"there is no setting {key!r}", "UNKNOWN") for key in sorted(unknown))
        named = ", ".join(repr(str(key)[:64]) for key in sorted(unknown)[:3])
        raise InvalidInputError(f"unknown settings {named}; use {', '.join(sorted(KNOWN_SETTINGS))}", errors=faults)
    primaries = inputs.names(given.get("primaries"), "primaries") or [
        inputs.text(given.get("primary_metric")) or PRIMARY
    ]
    margins = inputs.mapping(given.get("margins"), "margins")
    block, horizon = given.get("block_seconds"), given.get("horizon_seconds") or DEFAULT_HORIZON.total_seconds()
    settings = {
        "primaries": primaries,
        "guardrails": inputs.names(given.get("guardrails"), "guardrails"),
        "margins": {metric: _number(margin, f"margins/{metric}") for metric, margin in margins.items()},
        "block_seconds": None if block is None else inputs.duration(block, "block_seconds").total_seconds(),
        "targeting": None if given.get("targeting") is None else inputs.mapping(given["targeting"], "targeting"),
        "forced": inputs.mapping(given.get("forced"), "forced"),
        "cheaper": inputs.text(given.get("cheaper")),
        "alpha": _number(given.get("alpha", 0.05), "alpha"),
    }
    values = {
        "name": inputs.text(name) or "",
        "variant_a": inputs.without_secrets(variant_a, "variant_a"),
        "variant_b": inputs.without_secrets(variant_b, "variant_b"),
        "weight_a": _number(weight_a, "weight_a"),
        "coverage": _number(given.get("coverage", 1.0), "coverage"),
        "version": 1,
        "layer": _layer(given.get("layer")),
        "design": design_of(inputs.text(given.get("design")) or Design.USER.value).value,
        "primary_metric": primaries[0],
        "settings": settings,
        "horizon_seconds": int(inputs.duration(horizon, "horizon_seconds").total_seconds()),
        "planned_n": None if given.get("planned_n") is None else inputs.whole(given["planned_n"], "planned_n"),
        "created_at": clock.now(),
    }
    check_design(_design_of_values(values))
    return values


def _layer(value: Any) -> list[Any] | None:
    """A slice of a layer: its name and two numbers."""
    if value is None:
        return None
    if not isinstance(value, (list, tuple)) or len(value) != 3:
        raise InvalidInputError("a layer is a name and two numbers, for example ('models', 0, 0.5)")
    return [inputs.text(value[0]), _number(value[1], "layer"), _number(value[2], "layer")]


def _design_of_values(values: Mapping[str, Any]) -> ExperimentDesign:
    settings = values["settings"] or {}
    layer = values["layer"]
    block = settings.get("block_seconds")
    return ExperimentDesign(
        name=values["name"],
        variants=(Variant("A", values["weight_a"]), Variant("B", round(1.0 - values["weight_a"], 10))),
        design=Design(values["design"]),
        version=values["version"],
        primaries=tuple(settings.get("primaries") or (values["primary_metric"],)),
        guardrails=tuple(settings.get("guardrails") or ()),
        coverage=values["coverage"],
        layer=None if layer is None else (str(layer[0]), float(layer[1]), float(layer[2])),
        targeting=settings.get("targeting"),
        forced=settings.get("forced") or {},
        horizon=timedelta(seconds=values["horizon_seconds"]),
        margins=settings.get("margins") or {},
        planned_n=values["planned_n"],
        cheaper=settings.get("cheaper"),
        alpha=settings.get("alpha") or 0.05,
        block=DEFAULT_BLOCK if block is None else timedelta(seconds=block),
    )


def _number(value: Any, name: str) -> float:
    return inputs.finite(value, name)


def _running(row: Experiment) -> _Running:
    values = {column.name: getattr(row, column.name) for column in Experiment.__table__.columns}
    configs = {"A": row.variant_a, "B": row.variant_b}
    return _Running(row.id, _design_of_values(values), _status(row), row.winner, configs)


def _status(row: Experiment) -> ExperimentStatus:
    if row.ended_at is not None:
        return ExperimentStatus.STOPPED
    if row.started_at is None:
        return ExperimentStatus.DRAFT
    return ExperimentStatus.PAUSED if row.paused else ExperimentStatus.RUNNING


def _settings_of(row: Experiment) -> dict[str, Any]:
    """The design of a stored experiment as `create` takes it."""
    settings = {name: value for name, value in (row.settings or {}).items() if value is not None}
    return settings | {
        "coverage": row.coverage,
        "layer": row.layer,
        "design": row.design,
        "horizon_seconds": row.horizon_seconds,
        "planned_n": row.planned_n,
    }


def _refuse_overlap(session: Session, row: Experiment) -> None:
    """Experiments of one layer share no unit: their slices must not overlap."""
    wanted = _running(row).design.layer
    if wanted is None:
        return
    taken = {}
    for other in experiments.all_of(session):
        layer = _running(other).design.layer
        if other.active and other.id != row.id and layer is not None:
            taken[other.name] = layer
    conflicts = layer_conflicts(wanted, taken)
    if conflicts:
        raise ConflictError(f"the slice of layer {wanted[0]!r} overlaps {', '.join(conflicts)}; choose a free slice")


def _keep_snapshot(session: Session, row: Experiment, results: Mapping[str, Any]) -> Snapshot:
    values = {"experiment_id": row.id, "version": row.version, "taken_at": clock.now(), "results": dict(results)}
    return experiments.add_snapshot(session, values)


def _snapshot_dict(row: Snapshot) -> dict[str, Any]:
    return {
        "snapshot_id": row.id,
        "version": row.version,
        "taken_at": row.taken_at.isoformat(),
        "results": row.results,
    }


def _shown(row: Experiment) -> dict[str, Any]:
    """An experiment as JSON."""
    return {
        "name": row.name,
        "description": row.description,
        "variant_a": row.variant_a,
        "variant_b": row.variant_b,
        "weight_a": row.weight_a,
        "version": row.version,
        "status": _status(row).value,
        "winner": row.winner,
        "created_at": row.created_at.isoformat(),
        "started_at": None if row.started_at is None else row.started_at.isoformat(),
        "ended_at": None if row.ended_at is None else row.ended_at.isoformat(),
        **_settings_of(row),
    }
