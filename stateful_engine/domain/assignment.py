"""Who gets which variation: the whole decision, as a pure function of the rule, the unit and what is already stored.

`decide` follows the order of GrowthBook's SDK specification, so that a Python bot and a JavaScript page that share a
rule agree on every user. `run_experiment` and `sticky_bucket` read the SDKs' own JSON and answer in its words.
Nothing here raises for a bad rule: a unit that cannot be assigned gets variation 0 and the reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stateful_engine.domain.bucketing import (
    Namespace,
    Range,
    bucket,
    bucket_ranges,
    choose_variation,
    equal_weights,
    hash_text,
    in_namespace,
)
from stateful_engine.domain.targeting import matches
from stateful_engine.domain.vocabulary import Word

__all__ = [
    "AssignmentReason",
    "Decision",
    "Filter",
    "Rule",
    "bucket",
    "bucket_ranges",
    "choose_variation",
    "decide",
    "equal_weights",
    "in_namespace",
    "rule_from_payload",
    "run_experiment",
    "sticky_bucket",
    "with_sticky",
]

StickyDocs = Mapping[str, Mapping[str, str]]
"""What is stored about units: "attribute||value" -> {"experiment__version": variation key}."""


class AssignmentReason(Word):
    """Why a unit got what it got."""

    ASSIGNED = "assigned"
    STICKY = "sticky"
    FORCED = "forced"
    TOO_FEW_VARIATIONS = "too_few_variations"
    DISABLED = "disabled"
    INACTIVE = "inactive"
    STOPPED = "stopped"
    NO_UNIT = "no_unit"
    OTHER_LAYER = "other_layer"
    NOT_TARGETED = "not_targeted"
    NOT_COVERED = "not_covered"
    BAD_HASH_VERSION = "bad_hash_version"
    BLOCKED_VERSION = "blocked_version"
    QA_MODE = "qa_mode"


@dataclass(frozen=True, slots=True)
class Filter:
    """A slice of units by their own hash: `attribute` hashed with `seed` must fall into one of `ranges`."""

    seed: str
    ranges: tuple[Range, ...]
    attribute: str = "id"
    hash_version: int = 2


@dataclass(frozen=True, slots=True)
class Rule:
    """How one experiment assigns. `seed` "" means the key; `weights` None means equal; `ranges` overrides both."""

    key: str
    variations: int = 2
    seed: str = ""
    hash_version: int = 2
    hash_attribute: str = "id"
    fallback_attribute: str | None = None
    coverage: float | None = 1.0
    weights: tuple[float, ...] | None = None
    ranges: tuple[Range, ...] | None = None
    namespace: Namespace | None = None
    filters: tuple[Filter, ...] | None = None
    condition: Mapping[str, Any] | None = None
    active: bool = True
    stopped: bool = False
    force: int | None = None
    sticky: bool = True
    bucket_version: int = 0
    min_bucket_version: int = 0
    variation_keys: tuple[str, ...] = ()

    def variation_key(self, index: int) -> str:
        """The name under which variation `index` is stored; its number when it has none."""
        named = self.variation_keys[index] if index < len(self.variation_keys) else ""
        return named or str(index)

    def sticky_key(self, version: int | None = None) -> str:
        """The name of an assignment of this experiment: key and bucket version."""
        return f"{self.key}__{self.bucket_version if version is None else version}"


@dataclass(frozen=True, slots=True)
class Decision:
    """What a unit gets: `variation` is 0 (control) whenever `in_experiment` is False; `bucket` only when hashed."""

    variation: int
    in_experiment: bool
    reason: AssignmentReason
    hash_used: bool = False
    sticky_used: bool = False
    bucket: float | None = None
    hash_attribute: str = "id"
    hash_value: Any = ""


@dataclass(frozen=True, slots=True)
class _Unit:
    """The attribute by which a unit is hashed, and its value ("" when there is none)."""

    attribute: str
    value: Any

    @property
    def doc_key(self) -> str:
        return f"{self.attribute}||{hash_text(self.value)}"


def decide(
    rule: Rule,
    attributes: Mapping[str, Any],
    *,
    forced: Mapping[str, int] | None = None,
    sticky: StickyDocs | None = None,
    enabled: bool = True,
    qa_mode: bool = False,
) -> Decision:
    """Which variation the unit described by `attributes` gets.

    `forced` maps experiment keys to a variation for this unit and wins over everything but `enabled`. `sticky` is what
    is stored ({} = nothing yet); None switches sticky buckets off. A stored assignment holds although the unit is no
    longer targeted or covered, unless its version is below the rule's `min_bucket_version`. Never raises.
    """
    use_sticky = sticky is not None and rule.sticky
    unit = _unit(attributes, rule.hash_attribute, rule.fallback_attribute if use_sticky else None)
    if rule.variations < 2:
        return _outside(unit, AssignmentReason.TOO_FEW_VARIATIONS)
    if not enabled:
        return _outside(unit, AssignmentReason.DISABLED)
    if forced is not None and rule.key in forced:
        return _forced(rule, unit, forced[rule.key])
    if not rule.active:
        return _outside(unit, AssignmentReason.INACTIVE)
    if not unit.value:
        return _outside(unit, AssignmentReason.NO_UNIT)
    stored = _stored_assignments(rule, attributes, sticky) if use_sticky and sticky is not None else {}
    decision = _from_stored(rule, unit, stored) or _from_hash(rule, unit, attributes)
    return _after_checks(rule, unit, decision, qa_mode=qa_mode)


def _unit(attributes: Mapping[str, Any], attribute: str, fallback: str | None = None) -> _Unit:
    value = attributes.get(attribute) or ""
    if not value and fallback and attributes.get(fallback):
        return _Unit(fallback, attributes[fallback])
    return _Unit(attribute, value)


def _outside(unit: _Unit, reason: AssignmentReason, *, sticky_used: bool = False) -> Decision:
    return Decision(0, False, reason, sticky_used=sticky_used, hash_attribute=unit.attribute, hash_value=unit.value)


def _forced(rule: Rule, unit: _Unit, variation: int) -> Decision:
    """A forced variation; one that does not exist leaves the unit with control, outside the experiment."""
    valid = 0 <= variation < rule.variations
    return Decision(
        variation if valid else 0,
        valid,
        AssignmentReason.FORCED,
        hash_attribute=unit.attribute,
        hash_value=unit.value,
    )


def _stored_assignments(rule: Rule, attributes: Mapping[str, Any], sticky: StickyDocs) -> dict[str, str]:
    """What is stored for the unit: under the fallback attribute first, so that the main attribute wins."""
    units = (_unit(attributes, rule.fallback_attribute or "id"), _unit(attributes, rule.hash_attribute))
    found: dict[str, str] = {}
    for unit in units:
        found.update(sticky.get(unit.doc_key, {}) if unit.value else {})
    return found


def _from_stored(rule: Rule, unit: _Unit, stored: Mapping[str, str]) -> Decision | None:
    if any(rule.sticky_key(version) in stored for version in range(rule.min_bucket_version)):
        return _outside(unit, AssignmentReason.BLOCKED_VERSION, sticky_used=True)
    keys = [rule.variation_key(index) for index in range(rule.variations)]
    key = stored.get(rule.sticky_key())
    if key is None or key not in keys:
        return None
    return _inside(rule, unit, keys.index(key), AssignmentReason.STICKY)


def _inside(rule: Rule, unit: _Unit, variation: int, reason: AssignmentReason) -> Decision:
    place = bucket(rule.seed or rule.key, unit.value, rule.hash_version)
    if place is None:
        return _outside(unit, AssignmentReason.BAD_HASH_VERSION)
    return Decision(
        variation,
        True,
        reason,
        hash_used=True,
        sticky_used=reason is AssignmentReason.STICKY,
        bucket=place,
        hash_attribute=unit.attribute,
        hash_value=unit.value,
    )


def _from_hash(rule: Rule, unit: _Unit, attributes: Mapping[str, Any]) -> Decision:
    if not _in_layer(rule, unit, attributes):
        return _outside(unit, AssignmentReason.OTHER_LAYER)
    if rule.condition and not matches(attributes, rule.condition):
        return _outside(unit, AssignmentReason.NOT_TARGETED)
    place = bucket(rule.seed or rule.key, unit.value, rule.hash_version)
    if place is None:
        return _outside(unit, AssignmentReason.BAD_HASH_VERSION)
    ranges = bucket_ranges(rule.variations, rule.coverage, rule.weights) if rule.ranges is None else rule.ranges
    variation = choose_variation(place, ranges)
    if not 0 <= variation < rule.variations:
        return _outside(unit, AssignmentReason.NOT_COVERED)
    return _inside(rule, unit, variation, AssignmentReason.ASSIGNED)


def _in_layer(rule: Rule, unit: _Unit, attributes: Mapping[str, Any]) -> bool:
    """Filters, when given, replace the namespace."""
    if rule.filters is not None:
        return all(_passes(one, attributes) for one in rule.filters)
    return rule.namespace is None or in_namespace(unit.value, rule.namespace)


def _passes(one: Filter, attributes: Mapping[str, Any]) -> bool:
    unit = _unit(attributes, one.attribute)
    place = bucket(one.seed, unit.value, one.hash_version) if unit.value else None
    return place is not None and choose_variation(place, one.ranges) >= 0


def _after_checks(rule: Rule, unit: _Unit, decision: Decision, *, qa_mode: bool) -> Decision:
    """What may still keep an assigned unit from its variation; units outside stay outside for their first reason."""
    if not decision.in_experiment:
        return decision
    if rule.force is not None:
        return _forced(rule, unit, rule.force)
    if qa_mode:
        return _outside(unit, AssignmentReason.QA_MODE)
    if rule.stopped:
        return _outside(unit, AssignmentReason.STOPPED)
    return decision


def with_sticky(rule: Rule, decision: Decision, sticky: StickyDocs) -> dict[str, dict[str, str]]:
    """What is stored after a decision: a hashed or sticky assignment is written under the unit it was hashed by."""
    docs = {key: dict(assignments) for key, assignments in sticky.items()}
    if decision.in_experiment and decision.hash_used and rule.sticky:
        key = _Unit(decision.hash_attribute, decision.hash_value).doc_key
        docs.setdefault(key, {})[rule.sticky_key()] = rule.variation_key(decision.variation)
    return docs


def rule_from_payload(payload: Mapping[str, Any], *, default_key: str = "") -> Rule:
    """A rule from the JSON of a GrowthBook SDK (camel case; hash version 1 and the key as seed unless it says so)."""
    status = payload.get("status")
    return Rule(
        key=payload.get("key") or default_key,
        variations=len(payload.get("variations") or ()),
        seed=payload.get("seed") or "",
        hash_version=payload.get("hashVersion") or 1,
        hash_attribute=payload.get("hashAttribute") or "id",
        fallback_attribute=payload.get("fallbackAttribute"),
        coverage=payload.get("coverage"),
        weights=_tuple_or_none(payload.get("weights")),
        ranges=_pairs(payload.get("ranges")),
        namespace=_tuple_or_none(payload.get("namespace")),
        filters=_filters(payload.get("filters")),
        condition=payload.get("condition"),
        active=status != "draft" and payload.get("active") is not False,
        stopped=status == "stopped",
        force=_forced_index(payload),
        sticky=not payload.get("disableStickyBucketing"),
        bucket_version=payload.get("bucketVersion") or 0,
        min_bucket_version=payload.get("minBucketVersion") or 0,
        variation_keys=tuple(str(one.get("key") or "") for one in payload.get("meta") or ()),
    )


def _tuple_or_none(values: Sequence[Any] | None) -> Any:
    return None if values is None else tuple(values)


def _pairs(ranges: Sequence[Sequence[float]] | None) -> tuple[Range, ...] | None:
    return None if ranges is None else tuple((low, high) for low, high in ranges)


def _filters(filters: Sequence[Mapping[str, Any]] | None) -> tuple[Filter, ...] | None:
    if filters is None:
        return None
    return tuple(
        Filter(one["seed"], _pairs(one["ranges"]) or (), one.get("attribute") or "id", one.get("hashVersion") or 2)
        for one in filters
    )


def _forced_index(payload: Mapping[str, Any]) -> int | None:
    """`force` present but empty means "force nobody in", which -1 says."""
    if "force" not in payload:
        return None
    return -1 if payload["force"] is None else int(payload["force"])


def run_experiment(context: Mapping[str, Any], experiment: Mapping[str, Any]) -> dict[str, Any]:
    """Decide as a GrowthBook SDK would for its JSON `context` (attributes, forcedVariations, qaMode, enabled).

    Gives `{value, in_experiment, hash_used, variation, reason}`; `value` is the first variation outside.
    """
    rule = rule_from_payload(experiment)
    decision = decide(
        rule,
        context.get("attributes") or {},
        forced=context.get("forcedVariations"),
        enabled=context.get("enabled") is not False,
        qa_mode=bool(context.get("qaMode")),
    )
    variations = experiment.get("variations") or [None]
    return {
        "value": variations[decision.variation],
        "in_experiment": decision.in_experiment,
        "hash_used": decision.hash_used,
        "variation": decision.variation,
        "reason": str(decision.reason),
    }


def sticky_bucket(
    context: Mapping[str, Any], stored_docs: Sequence[Mapping[str, Any]], feature: str
) -> tuple[dict[str, Any] | None, dict[str, dict[str, Any]]]:
    """Evaluate a feature's experiment rules with stored assignments, as a GrowthBook SDK does.

    Returns the result in the SDK's words (None when no rule takes the unit in) and the documents after, by
    "attribute||value", only those of this unit's attributes.
    """
    attributes = context.get("attributes") or {}
    docs: StickyDocs = {f"{doc['attributeName']}||{doc['attributeValue']}": doc["assignments"] for doc in stored_docs}
    definition = (context.get("features") or {}).get(feature) or {}
    for payload in definition.get("rules") or ():
        rule = rule_from_payload(payload, default_key=feature)
        decision = decide(
            rule,
            attributes,
            forced=context.get("forcedVariations"),
            sticky=docs,
            enabled=context.get("enabled") is not False,
            qa_mode=bool(context.get("qaMode")),
        )
        if decision.in_experiment:
            after = with_sticky(rule, decision, docs)
            return _sdk_result(rule, decision, payload, feature=feature), _own_docs(after, attributes)
    return None, _own_docs(docs, attributes)


def _sdk_result(rule: Rule, decision: Decision, payload: Mapping[str, Any], *, feature: str) -> dict[str, Any]:
    result = {
        "featureId": feature,
        "hashAttribute": decision.hash_attribute,
        "hashUsed": decision.hash_used,
        "hashValue": decision.hash_value,
        "inExperiment": decision.in_experiment,
        "key": rule.variation_key(decision.variation),
        "stickyBucketUsed": decision.sticky_used,
        "value": payload["variations"][decision.variation],
        "variationId": decision.variation,
    }
    return result if decision.bucket is None else {"bucket": decision.bucket, **result}


def _own_docs(docs: StickyDocs, attributes: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    own = {}
    for key, assignments in docs.items():
        name, _, value = key.partition("||")
        if hash_text(attributes.get(name)) == value:
            own[key] = {"assignments": dict(assignments), "attributeName": name, "attributeValue": value}
    return own
