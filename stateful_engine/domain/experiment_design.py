"""What an experiment is, frozen at its start: variants, unit of randomisation, metrics, layer; and who is served what.

A design is checked once, when it is created, and every fault is named. Assignment afterwards cannot fail: `serve`
answers with a variant and the reason in every state of the experiment.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from stateful_engine.domain.assignment import Decision, Rule, decide
from stateful_engine.domain.bucketing import Namespace
from stateful_engine.domain.clock import to_epoch_us
from stateful_engine.domain.experiment_metrics import METRICS
from stateful_engine.domain.targeting import check_condition
from stateful_engine.domain.vocabulary import Word
from stateful_engine.errors import Fault, InvalidInputError

WEIGHT_STEP = 1e-4
"""The share of units in one bucket: weights are kept to this precision."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


class Design(Word):
    """What is randomised: a person, a signal's market episode, a block of time, or which of two answers is served."""

    USER = "user"
    SIGNAL = "signal"
    SWITCHBACK = "switchback"
    PAIRED = "paired"


def design_of(text: str) -> Design:
    """The design that `text` names ("user", "signal", "switchback", "paired")."""
    try:
        return Design(text)
    except ValueError:
        raise InvalidInputError(f"unknown design {text!r}; use one of {', '.join(Design)}") from None


class ExperimentStatus(Word):
    """Where an experiment is in its life."""

    DRAFT = "draft"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"


class ServedReason(Word):
    """Why a variant was served; assignment's own reasons come on top."""

    NOT_STARTED = "not_started"
    PAUSED = "paused"
    STOPPED = "stopped"
    WINNER = "winner"
    STORED = "stored"
    FORCED = "forced"


@dataclass(frozen=True, slots=True)
class Variant:
    """One arm: its name ("A" is control), its share of the units in 0..1, and what it means to the bot."""

    name: str
    weight: float = 0.5
    config: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ExperimentDesign:
    """Everything that is fixed when an experiment starts; a change starts a new `version`.

    `layer` is (name, low, high): experiments in slices of one layer that do not overlap share no unit. `coverage` is
    the share of units taken in; it may grow. `forced` maps units to variants. `horizon` is the age at which a result
    counts, `block` the length of a switchback block. `margins` gives per metric the difference that does not matter,
    `planned_n` the number of clusters (both arms), `cheaper` the variant to take when they are equivalent.
    """

    name: str
    variants: tuple[Variant, ...] = (Variant("A"), Variant("B"))
    design: Design = Design.USER
    version: int = 1
    primaries: tuple[str, ...] = ("expectancy_r",)
    guardrails: tuple[str, ...] = ()
    coverage: float = 1.0
    layer: Namespace | None = None
    targeting: Mapping[str, Any] | None = None
    forced: Mapping[str, str] = field(default_factory=dict)
    horizon: timedelta = timedelta(days=1)
    block: timedelta = timedelta(hours=4)
    margins: Mapping[str, float] = field(default_factory=dict)
    planned_n: int | None = None
    cheaper: str | None = None
    alpha: float = 0.05
    starts_at: datetime | None = None
    ends_at: datetime | None = None

    @property
    def seed(self) -> str:
        """What is hashed with the unit: the immutable name and the version, so that versions deal anew."""
        return f"{self.name}:{self.version}"

    @property
    def names(self) -> tuple[str, ...]:
        """The variants' names, control first."""
        return tuple(variant.name for variant in self.variants)

    def rule(self) -> Rule:
        """How this design assigns a unit given as attribute `id`."""
        return Rule(
            key=self.name,
            variations=len(self.variants),
            seed=self.seed,
            coverage=self.coverage,
            weights=tuple(variant.weight for variant in self.variants),
            namespace=self.layer,
            condition=self.targeting,
            bucket_version=self.version,
            variation_keys=self.names,
        )


@dataclass(frozen=True, slots=True)
class Served:
    """Which variant a unit is served, why, and whether it counts as exposed."""

    variant: str
    in_experiment: bool
    reason: str
    bucket: float | None = None


def serve(
    design: ExperimentDesign,
    unit: str,
    *,
    status: ExperimentStatus = ExperimentStatus.RUNNING,
    winner: str | None = None,
    stored: str | None = None,
    attributes: Mapping[str, Any] | None = None,
) -> Served:
    """Which variant `unit` gets. Never raises and never answers with nothing.

    `winner`: what `declare` named; it is served to all once it is set. `stored`: the unit's sticky variant, which
    holds while the experiment runs. Control goes to everybody outside, before the start, in a pause, and after a stop
    without a winner.
    """
    control = design.names[0]
    if winner in design.names:
        return Served(str(winner), False, ServedReason.WINNER)
    if status is not ExperimentStatus.RUNNING:
        return Served(control, False, _IDLE_REASONS[status])
    if design.forced.get(unit) in design.names:
        return Served(design.forced[unit], False, ServedReason.FORCED)
    if stored in design.names:
        return Served(str(stored), True, ServedReason.STORED)
    return _hashed(design, decide(design.rule(), {**(attributes or {}), "id": unit}))


_IDLE_REASONS = {
    ExperimentStatus.DRAFT: ServedReason.NOT_STARTED,
    ExperimentStatus.PAUSED: ServedReason.PAUSED,
    ExperimentStatus.STOPPED: ServedReason.STOPPED,
}


def _hashed(design: ExperimentDesign, decision: Decision) -> Served:
    return Served(design.names[decision.variation], decision.in_experiment, str(decision.reason), decision.bucket)


def unit_of(
    design: ExperimentDesign, *, user_id: str | None = None, episode: str | None = None, at: datetime | None = None
) -> str | None:
    """What is randomised for one request: the user, the episode, or the number of the time block; None if not given."""
    if design.design is Design.USER:
        return user_id
    if design.design is Design.SWITCHBACK:
        return None if at is None else f"block:{_block_number(at, design.block)}"
    return episode


def _block_number(at: datetime, block: timedelta) -> int:
    if at.tzinfo is None:
        raise InvalidInputError("a naive time has no place on the time line; attach a timezone, for example UTC")
    return to_epoch_us(at) // (block // timedelta(microseconds=1))


def check_design(design: ExperimentDesign) -> ExperimentDesign:
    """The design itself when it can be run; otherwise InvalidInputError with every fault."""
    faults = (
        *_variant_faults(design.variants),
        *_metric_faults(design),
        *_layer_faults(design.layer),
        *_number_faults(design),
        *_time_faults(design),
        *(() if design.targeting is None else check_condition(design.targeting)),
        *_name_faults(design),
    )
    if faults:
        raise InvalidInputError(
            f"experiment {design.name!r} cannot run: {'; '.join(fault.detail for fault in faults)}", errors=faults
        )
    return design


def _variant_faults(variants: Sequence[Variant]) -> list[Fault]:
    names = [variant.name for variant in variants]
    weights = [variant.weight for variant in variants]
    faults = []
    if len(variants) < 2:
        faults.append(Fault("/variants", "an experiment needs at least two variants"))
    if len(set(names)) < len(names):
        faults.append(Fault("/variants", "two variants have the same name; give each its own"))
    if not all(name and isinstance(name, str) for name in names):
        faults.append(Fault("/variants", "a variant has no name; call the first one A"))
    if not all(_is_weight(weight) for weight in weights):
        faults.append(Fault("/variants", f"a weight is not within 0..1 or below {WEIGHT_STEP}; use steps of it"))
    elif abs(math.fsum(weights) - 1.0) > 1.5 * WEIGHT_STEP:
        faults.append(Fault("/variants", f"the weights sum to {math.fsum(weights):g}; make them sum to 1"))
    return faults


def _is_weight(weight: object) -> bool:
    if isinstance(weight, bool) or not isinstance(weight, int | float):
        return False
    return weight == 0 or WEIGHT_STEP <= weight <= 1.0


def _metric_faults(design: ExperimentDesign) -> list[Fault]:
    faults = [] if design.primaries else [Fault("/primaries", "declare at least one primary metric")]
    for place, metrics in (("primaries", design.primaries), ("guardrails", design.guardrails)):
        if len(set(metrics)) < len(metrics):
            faults.append(Fault(f"/{place}", f"a metric stands twice in {place}; name it once"))
        faults += [_unknown_metric(f"/{place}/{index}", name) for index, name in enumerate(metrics) if _unknown(name)]
    faults += [_unknown_metric(f"/margins/{name}", name) for name in design.margins if _unknown(name)]
    return faults


def _unknown(metric: str) -> bool:
    return metric not in METRICS


def _unknown_metric(pointer: str, name: str) -> Fault:
    return Fault(pointer, f"unknown metric {name!r}; use one of {', '.join(METRICS)}")


def _layer_faults(layer: Namespace | None) -> list[Fault]:
    if layer is None:
        return []
    if len(layer) != 3 or not layer[0] or not 0.0 <= layer[1] < layer[2] <= 1.0:
        return [Fault("/layer", "a layer is (name, low, high) with 0 <= low < high <= 1")]
    return []


def _number_faults(design: ExperimentDesign) -> list[Fault]:
    faults = []
    if not 0.0 <= design.coverage <= 1.0:
        faults.append(Fault("/coverage", "coverage is a share within 0..1"))
    if not 0.0 < design.alpha < 1.0:
        faults.append(Fault("/alpha", "alpha lies between 0 and 1; 0.05 is usual"))
    if design.version < 1:
        faults.append(Fault("/version", "versions count from 1"))
    if design.planned_n is not None and design.planned_n < 2:
        faults.append(Fault("/planned_n", "planned_n counts clusters of both arms; ask plan() for it"))
    faults += [
        Fault(f"/margins/{name}", "a margin is a difference of at least 0")
        for name, margin in design.margins.items()
        if not 0.0 <= margin < math.inf
    ]
    return faults


def _time_faults(design: ExperimentDesign) -> list[Fault]:
    faults = [
        Fault(f"/{name}", f"{name} is a naive time; attach a timezone, for example UTC")
        for name, moment in (("starts_at", design.starts_at), ("ends_at", design.ends_at))
        if moment is not None and moment.tzinfo is None
    ]
    faults += [
        Fault(f"/{name}", f"{name} must be longer than 0")
        for name, length in (("horizon", design.horizon), ("block", design.block))
        if length <= timedelta(0)
    ]
    if not faults and design.starts_at and design.ends_at and design.ends_at <= design.starts_at:
        faults.append(Fault("/ends_at", "ends_at must come after starts_at"))
    return faults


def _name_faults(design: ExperimentDesign) -> list[Fault]:
    faults = []
    if not isinstance(design.name, str) or not _NAME.fullmatch(design.name):
        faults.append(Fault("/name", "a name is 1 to 64 letters, digits, '_', '.' or '-', and starts with no sign"))
    faults += [
        Fault(f"/forced/{unit}", f"{unit!r} is forced into {variant!r}, which is no variant")
        for unit, variant in design.forced.items()
        if variant not in design.names
    ]
    if design.cheaper is not None and design.cheaper not in design.names:
        faults.append(Fault("/cheaper", f"{design.cheaper!r} is no variant"))
    return faults


def check_coverage_growth(old: float, new: float) -> float:
    """The new coverage when it may follow the old one: it only grows, because shrinking would throw units out."""
    if not old <= new <= 1.0:
        raise InvalidInputError(
            f"coverage {new:g} does not follow {old:g}: it only grows, up to 1; start a new version"
        )
    return new


def layer_conflicts(wanted: Namespace, taken: Mapping[str, Namespace]) -> tuple[str, ...]:
    """The experiments in `taken` whose slice of the same layer overlaps `wanted`."""
    name, low, high = wanted
    return tuple(other for other, (layer, start, end) in taken.items() if layer == name and low < end and start < high)


def free_slice(layer: str, size: float, taken: Sequence[Namespace]) -> Namespace | None:
    """The first free slice of `layer` that is `size` long, None when there is none; buckets are 1/1000 wide."""
    start = 0.0
    for low, high in sorted((low, high) for name, low, high in taken if name == layer):
        if low - start >= size - 1e-9:
            break
        start = max(start, high)
    return (layer, start, round(start + size, 10)) if start + size <= 1.0 + 1e-9 else None
