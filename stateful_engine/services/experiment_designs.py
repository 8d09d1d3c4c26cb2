"""An experiment as it is stored, and the design that it stands for: checked, read back, shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from stateful_engine.domain import clock
from stateful_engine.domain.experiment_design import (
    Design,
    ExperimentDesign,
    ExperimentStatus,
    Variant,
    check_design,
    design_of,
    layer_conflicts,
)
from stateful_engine.errors import ConflictError, Fault, InvalidInputError, NotFoundError
from stateful_engine.services import inputs
from stateful_engine.storage import experiments
from stateful_engine.storage.experiments import Experiment

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from stateful_engine.storage.database import Database

PRIMARY = "expectancy_r"
DEFAULT_HORIZON = timedelta(days=1)
DEFAULT_BLOCK = timedelta(hours=4)
KNOWN_SETTINGS = frozenset(
    {
        *("coverage", "layer", "design", "primary_metric", "primaries", "guardrails", "margins", "horizon_seconds"),
        *("block_seconds", "planned_n", "targeting", "forced", "cheaper", "alpha"),
    }
)


@dataclass(frozen=True, slots=True)
class Running:
    """An experiment as it is served."""

    id: int
    design: ExperimentDesign
    status: ExperimentStatus
    winner: str | None
    configs: Mapping[str, Any] = field(default_factory=dict)


def required(row: Experiment | None, name: str) -> Experiment:
    """The row; raises `NotFoundError` when there is none."""
    if row is None:
        raise NotFoundError(
            f"no experiment is called {str(name)[:64]!r}; list them with GET /experiments or `flask stateful ab list`",
            code="EXPERIMENT_NOT_FOUND",
        )
    return row


@contextmanager
def changing(database: Database, name: str) -> Iterator[tuple[Session, Experiment]]:
    """A transaction in which nobody else changes the experiment; raises `NotFoundError`."""
    with database.transaction() as session:
        yield session, required(experiments.lock(session, name), name)


def columns_of(name: str, variant_a: Any, variant_b: Any, weight_a: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of a checked design; raises `InvalidInputError`."""
    _refuse_unknown(given)
    settings = _settings(given)
    horizon = given.get("horizon_seconds") or DEFAULT_HORIZON.total_seconds()
    values = {
        "name": inputs.text(name) or "",
        "variant_a": inputs.without_secrets(variant_a, "variant_a"),
        "variant_b": inputs.without_secrets(variant_b, "variant_b"),
        "weight_a": inputs.finite(weight_a, "weight_a"),
        "coverage": inputs.finite(given.get("coverage", 1.0), "coverage"),
        "version": 1,
        "layer": _layer(given.get("layer")),
        "design": design_of(inputs.text(given.get("design")) or Design.USER.value).value,
        "primary_metric": settings["primaries"][0],
        "settings": settings,
        "horizon_seconds": int(inputs.duration(horizon, "horizon_seconds").total_seconds()),
        "planned_n": None if given.get("planned_n") is None else inputs.whole(given["planned_n"], "planned_n"),
        "created_at": clock.now(),
    }
    check_design(_design_of_values(values))
    return values


def _refuse_unknown(given: Mapping[str, Any]) -> None:
    unknown = sorted(set(given) - KNOWN_SETTINGS)
    if unknown:
        faults = tuple(Fault(f"/{key}", f"there is no setting {key!r}", "UNKNOWN") for key in unknown)
        named = ", ".join(repr(str(key)[:64]) for key in unknown[:3])
        raise InvalidInputError(f"unknown settings {named}; use {', '.join(sorted(KNOWN_SETTINGS))}", errors=faults)


def _settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of a design in one column."""
    margins = inputs.mapping(given.get("margins"), "margins")
    block, targeting = given.get("block_seconds"), given.get("targeting")
    one = inputs.text(given.get("primary_metric")) or PRIMARY
    return {
        "primaries": inputs.names(given.get("primaries"), "primaries") or [one],
        "guardrails": inputs.names(given.get("guardrails"), "guardrails"),
        "margins": {metric: inputs.finite(margin, f"margins/{metric}") for metric, margin in margins.items()},
        "block_seconds": None if block is None else inputs.duration(block, "block_seconds").total_seconds(),
        "targeting": None if targeting is None else inputs.mapping(targeting, "targeting"),
        "forced": inputs.mapping(given.get("forced"), "forced"),
        "cheaper": inputs.text(given.get("cheaper")),
        "alpha": inputs.finite(given.get("alpha", 0.05), "alpha"),
    }


def _layer(value: Any) -> list[Any] | None:
    """A slice of a layer: its name and two numbers."""
    if value is None:
        return None
    if not isinstance(value, (list, tuple)) or len(value) != 3:
        raise InvalidInputError("a layer is a name and two numbers, for example ('models', 0, 0.5)")
    return [inputs.text(value[0]), inputs.finite(value[1], "layer"), inputs.finite(value[2], "layer")]


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


def running_of(row: Experiment) -> Running:
    """A stored experiment as it is served."""
    values = {column.name: getattr(row, column.name) for column in Experiment.__table__.columns}
    configs = {"A": row.variant_a, "B": row.variant_b}
    return Running(row.id, _design_of_values(values), status_of(row), row.winner, configs)


def status_of(row: Experiment) -> ExperimentStatus:
    """Where a stored experiment is in its life."""
    if row.ended_at is not None:
        return ExperimentStatus.STOPPED
    if row.started_at is None:
        return ExperimentStatus.DRAFT
    return ExperimentStatus.PAUSED if row.paused else ExperimentStatus.RUNNING


def settings_of(row: Experiment) -> dict[str, Any]:
    """The design of a stored experiment as `create` takes it."""
    settings = {name: value for name, value in (row.settings or {}).items() if value is not None}
    return settings | {
        "coverage": row.coverage,
        "layer": row.layer,
        "design": row.design,
        "horizon_seconds": row.horizon_seconds,
        "planned_n": row.planned_n,
    }


def refuse_overlap(session: Session, row: Experiment) -> None:
    """Experiments of one layer share no unit: their slices must not overlap."""
    wanted = running_of(row).design.layer
    if wanted is None:
        return
    taken = {}
    for other in experiments.all_of(session):
        layer = running_of(other).design.layer
        if other.active and other.id != row.id and layer is not None:
            taken[other.name] = layer
    conflicts = layer_conflicts(wanted, taken)
    if conflicts:
        raise ConflictError(f"the slice of layer {wanted[0]!r} overlaps {', '.join(conflicts)}; choose a free slice")


def shown(row: Experiment) -> dict[str, Any]:
    """An experiment as JSON."""
    return {
        "name": row.name,
        "description": row.description,
        "variant_a": row.variant_a,
        "variant_b": row.variant_b,
        "weight_a": row.weight_a,
        "version": row.version,
        "status": status_of(row).value,
        "winner": row.winner,
        "created_at": row.created_at.isoformat(),
        "started_at": None if row.started_at is None else row.started_at.isoformat(),
        "ended_at": None if row.ended_at is None else row.ended_at.isoformat(),
        **settings_of(row),
    }
