"""What the data of an experiment allow to be said: one of eight states, with its reason, numbers and what is missing.

A pure function that recommends; only `declare` changes what is served. Rules are tried in this order: INVALID (the
numbers cannot be trusted), STOP_GUARDRAIL (B does harm; judged as soon as the guardrail itself has enough clusters,
because an owner must not wait three days for bad news), COLLECTING, EQUIVALENT, KEEP_A, SHIP_B, INCONCLUSIVE (the
planned size is reached), CONTINUE.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from stateful_engine.domain.effects import Difference, Effect, Interval, paired, welch
from stateful_engine.domain.experiment_metrics import metric_spec
from stateful_engine.domain.maturity import MaturityCounts
from stateful_engine.domain.moments import Summary
from stateful_engine.domain.sequential import confidence_sequence, paired_sequence, tuning_for
from stateful_engine.domain.trial_health import CrossedUnits, holm, srm_p_value
from stateful_engine.domain.vocabulary import Word
from stateful_engine.errors import InvalidInputError


class VerdictState(Word):
    """What to do."""

    INVALID = "INVALID"
    COLLECTING = "COLLECTING"
    STOP_GUARDRAIL = "STOP_GUARDRAIL"
    SHIP_B = "SHIP_B"
    KEEP_A = "KEEP_A"
    EQUIVALENT = "EQUIVALENT"
    INCONCLUSIVE = "INCONCLUSIVE"
    CONTINUE = "CONTINUE"


class Looks(Word):
    """How often the data are looked at: any number of times, or once at the planned size."""

    SEQUENTIAL = "sequential"
    FIXED = "fixed"


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From when on, and how surely, a verdict is given. Outcomes are counted per arm and of either kind."""

    alpha: float = 0.05
    min_clusters: int = 50
    min_outcomes: int = 20
    min_days: float = 3.0
    srm_alpha: float = 0.001
    crossed_share: float = 0.01
    unmarked_share: float = 0.05
    looks: Looks = Looks.SEQUENTIAL


@dataclass(frozen=True, slots=True)
class Arm:
    """One arm as exposed: units, their planned share, and matured outcomes of either kind (R above 0, or not)."""

    units: int = 0
    weight: float = 0.5
    positives: int = 0
    negatives: int = 0


@dataclass(frozen=True, slots=True)
class Measured:
    """One metric: the moments of both arms, or those of paired differences B - A.

    `margin`: for a primary the difference that does not matter, for a guardrail how much worse B may be.
    """

    metric: str
    a: Summary
    b: Summary
    differences: Summary | None = None
    margin: float | None = None
    difference: Difference = Difference.ABSOLUTE

    @property
    def clusters(self) -> tuple[int, int]:
        """Independent units behind arm A and arm B; pairs count for both."""
        if self.differences is not None:
            return self.differences.n, self.differences.n
        return self.a.n, self.b.n

    @property
    def total_clusters(self) -> int:
        """Independent units in all, as `planned_n` counts them."""
        return self.differences.n if self.differences is not None else self.a.n + self.b.n


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a verdict looks at. `planned_n` counts clusters of both arms; `maturity` None: results come at once."""

    primaries: tuple[Measured, ...]
    guardrails: tuple[Measured, ...] = ()
    arm_a: Arm = field(default_factory=Arm)
    arm_b: Arm = field(default_factory=Arm)
    days: float = 0.0
    crossed: CrossedUnits = field(default_factory=CrossedUnits)
    maturity: MaturityCounts | None = None
    planned_n: int | None = None
    cheaper: str | None = None


@dataclass(frozen=True, slots=True)
class MetricNumbers:
    """One metric in a verdict: the means, the effect B - A, its adjusted p-value, and whether B is `better`.

    `better` is True or False when the difference is established, None when it is not.
    """

    metric: str
    role: str
    mean_a: float
    mean_b: float
    clusters: tuple[int, int]
    effect: Effect
    p_adjusted: float
    improvement: Interval
    margin: float | None
    better: bool | None = None

    @property
    def within_margin(self) -> bool:
        """Whether the whole interval lies inside the margin, so that the difference does not matter."""
        low, high = self.effect.ci
        if self.margin is None or low is None or high is None:
            return False
        return -self.margin < low and high < self.margin

    def as_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            **asdict(self),
            "clusters": list(self.clusters),
            "effect": self.effect.as_dict(),
            "improvement": list(self.improvement),
            "within_margin": self.within_margin,
        }


@dataclass(frozen=True, slots=True)
class Needed:
    """What is still missing: clusters and outcomes per arm, days, prices at the horizon, clusters to the planned n."""

    clusters_a: int = 0
    clusters_b: int = 0
    positives_a: int = 0
    negatives_a: int = 0
    positives_b: int = 0
    negatives_b: int = 0
    days: float = 0.0
    marks: int = 0
    clusters_to_plan: int | None = None

    @property
    def nothing(self) -> bool:
        """Whether every minimum is met."""
        return self == Needed(clusters_to_plan=self.clusters_to_plan)

    @property
    def text(self) -> str:
        """In words, for a person."""
        words = {
            "clusters in A": self.clusters_a,
            "clusters in B": self.clusters_b,
            "positive outcomes in A": self.positives_a,
            "negative outcomes in A": self.negatives_a,
            "positive outcomes in B": self.positives_b,
            "negative outcomes in B": self.negatives_b,
            "days": round(self.days, 1),
            "prices at the horizon (give candles)": self.marks,
        }
        return ", ".join(f"{amount:g} {name}" for name, amount in words.items() if amount)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The recommendation: what, why, on which numbers, by which method, how mature, and what is still needed.

    `maturity` is the share of exposed signals whose result is known, None when results come at once.
    """

    state: VerdictState
    reason: str
    numbers: tuple[MetricNumbers, ...]
    method: str
    maturity: float | None
    needed: Needed
    srm_p_value: float = 1.0
    crossed_share: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """As JSON: only finite numbers, None, text, lists and objects."""
        return {
            **asdict(self),
            "state": self.state.value,
            "numbers": [number.as_dict() for number in self.numbers],
            "needed": asdict(self.needed),
        }


@dataclass(frozen=True, slots=True)
class _Case:
    """The evidence with everything that the rules ask of it worked out once."""

    evidence: Evidence
    rules: Thresholds
    primaries: tuple[MetricNumbers, ...]
    guardrails: tuple[MetricNumbers, ...]
    needed: Needed
    srm: float

    @property
    def clusters(self) -> int:
        return min(one.total_clusters for one in self.evidence.primaries)

    @property
    def plan_reached(self) -> bool:
        return self.evidence.planned_n is not None and self.clusters >= self.evidence.planned_n


_Finding = tuple[VerdictState, str] | None


def judge(evidence: Evidence, rules: Thresholds | None = None) -> Verdict:
    """The verdict on the evidence so far. Bad data give a state that says so; only a senseless call raises.

    With sequential looks (the default) it may be asked every day: the chance of ever naming a difference that is not
    there stays below alpha over all primaries together, and below alpha over all guardrails together.
    """
    case = _case(evidence, Thresholds() if rules is None else rules)
    findings = (rule(case) for rule in _RULES)
    state, reason = next(finding for finding in findings if finding is not None)
    return Verdict(
        state,
        reason,
        (*case.primaries, *case.guardrails),
        _method(case.rules),
        None if evidence.maturity is None else evidence.maturity.share,
        case.needed,
        srm_p_value=case.srm,
        crossed_share=evidence.crossed.share,
    )


def _case(evidence: Evidence, rules: Thresholds) -> _Case:
    if not evidence.primaries:
        raise InvalidInputError("a verdict needs a primary metric; declare at least one")
    if rules.looks is Looks.FIXED and evidence.planned_n is None:
        raise InvalidInputError("a single look needs planned_n; ask plan() for it or look sequentially")
    guard_alpha = rules.alpha / max(len(evidence.guardrails), 1)
    arms = evidence.arm_a, evidence.arm_b
    return _Case(
        evidence,
        rules,
        _adjusted([_numbers(one, evidence, alpha=rules.alpha, looks=rules.looks) for one in evidence.primaries], rules),
        tuple(_guardrail(one, evidence, alpha=guard_alpha) for one in evidence.guardrails),
        _needed(evidence, rules),
        srm_p_value([arm.units for arm in arms], [arm.weight for arm in arms]),
    )


def _numbers(one: Measured, evidence: Evidence, *, alpha: float, looks: Looks, role: str = "primary") -> MetricNumbers:
    effect = _effect(one, evidence, alpha=alpha, looks=looks)
    low, high = effect.ci
    upside_down = metric_spec(one.metric).sign < 0
    improvement = (_minus(high), _minus(low)) if upside_down else (low, high)
    return MetricNumbers(
        one.metric, role, one.a.mean, one.b.mean, one.clusters, effect, effect.p_value, improvement, one.margin
    )


def _minus(bound: float | None) -> float | None:
    return None if bound is None else -bound


def _effect(one: Measured, evidence: Evidence, *, alpha: float, looks: Looks) -> Effect:
    tuning = tuning_for(evidence.planned_n)
    if one.differences is not None:
        if looks is Looks.FIXED:
            return paired(one.differences, alpha=alpha)
        return paired_sequence(one.differences, alpha=alpha, tuning=tuning)
    a, b = _with_borrowed_variance(one.a, one.b), _with_borrowed_variance(one.b, one.a)
    if looks is Looks.FIXED:
        return welch(a, b, alpha=alpha, difference=one.difference)
    return confidence_sequence(a, b, alpha=alpha, difference=one.difference, tuning=tuning)


@dataclass(frozen=True, slots=True)
class _Borrowed:
    """An arm whose outcomes are all equal, with the variance of the other arm."""

    n: int
    mean: float
    variance: float


def _with_borrowed_variance(arm: Summary, other: Summary) -> Summary:
    """One arm without a single failure must not hide that the other one fails: it is given the other's variance.

    Two arms without any variance stay as they are, and nothing is concluded from them.
    """
    if arm.n > 1 and not arm.variance > 0.0 and other.variance > 0.0:
        return _Borrowed(arm.n, arm.mean, other.variance)
    return arm


def _adjusted(numbers: list[MetricNumbers], rules: Thresholds) -> tuple[MetricNumbers, ...]:
    """Primaries with Holm's p-values, and whether each is better, worse or open."""
    adjusted = holm([one.effect.p_value for one in numbers])
    return tuple(
        replace(one, p_adjusted=1.0 if p is None else p, better=_better(one, p is not None and p < rules.alpha))
        for one, p in zip(numbers, adjusted, strict=True)
    )


def _better(one: MetricNumbers, established: bool) -> bool | None:
    return one.effect.estimate * metric_spec(one.metric).sign > 0 if established else None


def _guardrail(one: Measured, evidence: Evidence, *, alpha: float) -> MetricNumbers:
    """Guardrails are watched all the time, so they are always judged sequentially."""
    number = _numbers(one, evidence, alpha=alpha, looks=Looks.SEQUENTIAL, role="guardrail")
    low, high = number.improvement
    if high is not None and high < -(one.margin or 0.0):
        return replace(number, better=False)
    return replace(number, better=True) if low is not None and low > 0.0 else number


def _needed(evidence: Evidence, rules: Thresholds) -> Needed:
    clusters = [one.clusters for one in evidence.primaries]
    total = min(one.total_clusters for one in evidence.primaries)
    return Needed(
        clusters_a=max(rules.min_clusters - min(a for a, _ in clusters), 0),
        clusters_b=max(rules.min_clusters - min(b for _, b in clusters), 0),
        positives_a=max(rules.min_outcomes - evidence.arm_a.positives, 0),
        negatives_a=max(rules.min_outcomes - evidence.arm_a.negatives, 0),
        positives_b=max(rules.min_outcomes - evidence.arm_b.positives, 0),
        negatives_b=max(rules.min_outcomes - evidence.arm_b.negatives, 0),
        days=max(rules.min_days - evidence.days, 0.0),
        marks=_marks(evidence.maturity, rules),
        clusters_to_plan=None if evidence.planned_n is None else max(evidence.planned_n - total, 0),
    )


def _marks(maturity: MaturityCounts | None, rules: Thresholds) -> int:
    """How many prices are missing, once too many are: leaving those signals out would favour what resolves fast."""
    if maturity is None or maturity.unmarked_share <= rules.unmarked_share:
        return 0
    return maturity.unmarked


def _method(rules: Thresholds) -> str:
    how = "asymptotic confidence sequence" if rules.looks is Looks.SEQUENTIAL else "Welch's t at the planned size"
    return f"{how}, alpha {rules.alpha:g}, Holm over primaries"


def _invalid(case: _Case) -> _Finding:
    crossed = case.evidence.crossed
    if case.srm < case.rules.srm_alpha:
        units = f"{case.evidence.arm_a.units} : {case.evidence.arm_b.units}"
        return VerdictState.INVALID, f"the arms' units {units} do not fit their weights (p {case.srm:.2g})"
    if crossed.share > case.rules.crossed_share:
        return VerdictState.INVALID, f"{crossed.crossed} of {crossed.units} units saw more than one variant"
    for one in case.evidence.primaries:
        if one.difference is Difference.RELATIVE and one.a.n > 0 and not one.a.mean > 0.0:
            return VerdictState.INVALID, f"{one.metric} of A is not above 0: a relative difference means nothing"
    return None


def _harmful(case: _Case) -> _Finding:
    for one in case.guardrails:
        if one.better is False and min(one.clusters) >= case.rules.min_clusters:
            return (
                VerdictState.STOP_GUARDRAIL,
                f"B is worse in {one.metric}: {one.mean_a:.4g} in A, {one.mean_b:.4g} in B",
            )
    return None


def _collecting(case: _Case) -> _Finding:
    if not case.needed.nothing:
        return VerdictState.COLLECTING, f"too early to tell; still needed: {case.needed.text}"
    return None


def _without_variance(case: _Case) -> _Finding:
    for one in case.primaries:
        if not one.effect.known:
            state = VerdictState.INCONCLUSIVE if case.plan_reached else VerdictState.COLLECTING
            return state, f"{one.metric} tells nothing: {one.effect.reason}"
    return None


def _too_early(case: _Case) -> _Finding:
    if case.rules.looks is Looks.FIXED and not case.plan_reached:
        return VerdictState.CONTINUE, f"{case.needed.clusters_to_plan} clusters to the one look at the planned size"
    return None


def _equivalent(case: _Case) -> _Finding:
    if not all(one.within_margin for one in case.primaries):
        return None
    cheaper = case.evidence.cheaper
    advice = f"take {cheaper}, the cheaper one" if cheaper else "take the cheaper one"
    return VerdictState.EQUIVALENT, f"the difference lies inside the margin: {advice}"


def _decided(case: _Case) -> _Finding:
    better = [one.metric for one in case.primaries if one.better is True]
    worse = [one.metric for one in case.primaries if one.better is False]
    if better and worse:
        return VerdictState.INCONCLUSIVE, f"B is better in {', '.join(better)} and worse in {', '.join(worse)}"
    if worse:
        return VerdictState.KEEP_A, f"B is worse in {', '.join(worse)}"
    if better:
        return VerdictState.SHIP_B, f"B is better in {', '.join(better)}"
    return None


def _undecided(case: _Case) -> _Finding:
    if case.plan_reached:
        return VerdictState.INCONCLUSIVE, "the planned size is reached and no difference is established"
    if case.needed.clusters_to_plan is None:
        return VerdictState.CONTINUE, "no difference is established yet, and no size is planned"
    return VerdictState.CONTINUE, f"no difference is established yet; {case.needed.clusters_to_plan} clusters to plan"


_RULES: tuple[Callable[[_Case], _Finding], ...] = (
    _invalid,
    _harmful,
    _collecting,
    _without_variance,
    _too_early,
    _equivalent,
    _decided,
    _undecided,
)
