"""The results of an experiment: from exposed signals to the evidence that a verdict is given on.

Every exposed signal counts, executed or not, at a fixed age; those of one market episode, person or block of time are
one cluster. Nothing is joined by person afterwards: what a record was made under is stamped on the record.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from stateful_engine.domain.experiment_design import Design, ExperimentDesign, unit_of
from stateful_engine.domain.experiment_metrics import METRICS
from stateful_engine.domain.maturity import ExposedSignal, Matured, MaturityCounts, Ripeness, matured_value
from stateful_engine.domain.moments import RatioMoments, Summary, cluster_moments, moments
from stateful_engine.domain.trial_health import CrossedUnits, crossed_units
from stateful_engine.domain.verdict import Arm, Evidence, Measured, Thresholds, Verdict, judge
from stateful_engine.domain.vocabulary import Outcome
from stateful_engine.services.trial_marks import OpenTrade, Valuation, unknown
from stateful_engine.storage.experiments import Answered, ExposedRow

ARMS = ("A", "B")


@dataclass(slots=True)
class ArmData:
    """What one variant came to: its matured signals, and the values of every metric by cluster."""

    matured: list[tuple[str, float]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=lambda: {ripeness.value: 0 for ripeness in Ripeness})
    values: dict[str, list[tuple[str, float]]] = field(default_factory=lambda: {name: [] for name in METRICS})
    signals: int = 0

    def add(self, metric: str, cluster: str, value: float | None) -> None:
        """Count a value of a metric; None is no value."""
        if value is not None:
            self.values[metric].append((cluster, float(value)))

    @property
    def maturity(self) -> Matured:
        """The matured values and the count of what is not known yet."""
        return Matured(tuple(self.matured), MaturityCounts(**self.counts))

    def summary(self, metric: str) -> Summary:
        """The moments of a metric, clustered."""
        pairs = self.pairs(metric)
        return moments([value for _, value in pairs]) if metric == "worst_r" else cluster_moments(pairs)

    def pairs(self, metric: str) -> list[tuple[str, float]]:
        """The values of a metric as (cluster, value); of the worst R there is one per cluster."""
        if metric != "worst_r":
            return self.values[metric]
        worst: dict[str, float] = {}
        for cluster, r in self.matured:
            worst[cluster] = min(r, worst.get(cluster, r))
        return list(worst.items())


@dataclass(frozen=True, slots=True)
class _Result:
    """What there is to know about the result of one signal, for the arm that it belongs to."""

    arm: ArmData
    signal: ExposedSignal
    confidence: float | None
    trade: OpenTrade

    def count(self, price: float | None, *, now: datetime, horizon: timedelta) -> None:
        """Add it to its arm, worth `price` if it was still open at its horizon."""
        arm, cluster = self.arm, self.signal.cluster
        known = matured_value(replace(self.signal, mark_price=price), now=now, horizon=horizon)
        arm.counts[known.ripeness.value] += 1
        if known.r is not None:
            won = 1.0 if known.r > 0 else 0.0
            arm.matured.append((cluster, known.r))
            arm.add("expectancy_r", cluster, known.r)
            arm.add("win_rate", cluster, won)
            if self.confidence is not None:
                arm.add("brier", cluster, (self.confidence / 100 - won) ** 2)


def gather(
    design: ExperimentDesign, rows: Iterable[ExposedRow], *, now: datetime, value: Valuation = unknown
) -> tuple[dict[str, ArmData], CrossedUnits]:
    """Both arms from the exposed signals, and how many units saw more than one variant."""
    arms = {name: ArmData() for name in ARMS}
    seen: set[tuple[str, str]] = set()
    still_open: list[_Result] = []
    for row in rows:
        arm = arms.get(row.signal.variant or "")
        if arm is None:
            continue
        cluster = cluster_of(design, row)
        unit = unit_on(row) or (None if design.design is Design.USER else cluster)
        if unit is not None:
            seen.add((unit, str(row.signal.variant)))
        _count_acts(arm, row, cluster)
        result = _result(arm, row, cluster, design.horizon)
        if matured_value(result.signal, now=now, horizon=design.horizon).ripeness is Ripeness.UNMARKED:
            still_open.append(result)
        else:
            result.count(None, now=now, horizon=design.horizon)
    prices = value([result.trade for result in still_open])
    for result, price in zip(still_open, prices, strict=True):
        result.count(price, now=now, horizon=design.horizon)
    crossing = CrossedUnits() if design.design is Design.PAIRED else crossed_units(seen)
    return arms, crossing


def cluster_of(design: ExperimentDesign, row: ExposedRow) -> str:
    """What is one independent observation: the person, the block of time, or the market episode."""
    signal = row.signal
    if design.design is Design.USER:
        return unit_on(row) or signal.episode_key or signal.signal_id
    if design.design is Design.SWITCHBACK:
        return unit_of(design, at=signal.created_at) or signal.signal_id
    return signal.episode_key or signal.signal_id


def unit_on(row: ExposedRow) -> str | None:
    """The unit that was stamped on a signal."""
    extra = row.signal.extra
    unit = extra.get("experiment_unit") if isinstance(extra, Mapping) else None
    return unit if isinstance(unit, str) else None


def _count_acts(arm: ArmData, row: ExposedRow, cluster: str) -> None:
    """What is known of a signal whatever becomes of it: what people did with it, and its query."""
    signal, query = row.signal, row.query
    arm.signals += 1
    arm.add("execution_rate", cluster, float(signal.is_executed))
    arm.add("click_rate", cluster, float(row.clicks > 0))
    arm.add("feedback", cluster, row.rating)
    if query is not None:
        arm.add("latency_ms", cluster, query.processing_time_ms)
        arm.add("tokens", cluster, query.tokens_used)
        arm.add("cost_usd", cluster, query.cost_usd)
        arm.add("error_rate", cluster, 0.0 if query.is_successful else 1.0)


def _result(arm: ArmData, row: ExposedRow, cluster: str, horizon: timedelta) -> _Result:
    signal = row.signal
    stop = signal.initial_stop_loss if signal.initial_stop_loss is not None else signal.stop_loss
    exposed = ExposedSignal(
        cluster,
        signal.created_at,
        signal.action,
        entry_price=signal.entry_price,
        stop_loss=stop,
        exit_price=signal.exit_price,
        closed_at=signal.closed_at,
        r=signal.r_multiple,
        filled=signal.outcome != Outcome.UNFILLED.value,
    )
    trade = OpenTrade(
        signal.signal_id,
        signal.symbol,
        signal.timeframe,
        side=signal.action,
        entry_price=signal.entry_price,
        stop_loss=stop,
        take_profit=signal.take_profit,
        created_at=signal.created_at,
        due=signal.created_at + horizon,
    )
    return _Result(arm, exposed, signal.confidence, trade)


def evidence_of(
    design: ExperimentDesign,
    arms: Mapping[str, ArmData],
    *,
    units: Mapping[str, int],
    crossing: CrossedUnits,
    days: float,
) -> Evidence:
    """What a verdict looks at."""
    weights = {variant.name: variant.weight for variant in design.variants}
    a, b = arms["A"], arms["B"]
    return Evidence(
        primaries=tuple(_measured(design, name, a, b) for name in design.primaries),
        guardrails=tuple(_measured(design, name, a, b) for name in design.guardrails),
        arm_a=_arm(a, units.get("A", 0), weights["A"]),
        arm_b=_arm(b, units.get("B", 0), weights["B"]),
        days=days,
        crossed=crossing,
        maturity=a.maturity.counts + b.maturity.counts,
        planned_n=design.planned_n,
        cheaper=design.cheaper,
    )


def _measured(design: ExperimentDesign, metric: str, a: ArmData, b: ArmData) -> Measured:
    differences = _paired_differences(a, b, metric) if design.design is Design.PAIRED else None
    return Measured(metric, a.summary(metric), b.summary(metric), differences, design.margins.get(metric))


def _paired_differences(a: ArmData, b: ArmData, metric: str) -> Summary:
    """B − A of the episodes in which both arms have a value."""
    means = [_cluster_means(arm.matured if metric == "worst_r" else arm.values[metric]) for arm in (a, b)]
    return moments([means[1][cluster] - mean for cluster, mean in means[0].items() if cluster in means[1]])


def _cluster_means(pairs: Iterable[tuple[str, float]]) -> dict[str, float]:
    grouped: dict[str, list[float]] = {}
    for cluster, value in pairs:
        grouped.setdefault(cluster, []).append(value)
    return {cluster: sum(values) / len(values) for cluster, values in grouped.items()}


def _arm(data: ArmData, units: int, weight: float) -> Arm:
    wins = sum(1 for _, r in data.matured if r > 0)
    return Arm(units=units, weight=weight, positives=wins, negatives=len(data.matured) - wins)


def report(
    design: ExperimentDesign,
    rows: Iterable[ExposedRow],
    *,
    now: datetime,
    days: float,
    units: Mapping[str, int],
    answered: Sequence[Answered],
    value: Valuation = unknown,
) -> dict[str, Any]:
    """The results as JSON: the verdict, both arms with every metric, maturity and health."""
    arms, crossing = gather(design, rows, now=now, value=value)
    for name in {one.variant for one in answered} & set(arms):
        arms[name].values["error_rate"] = list(_errors([one for one in answered if one.variant == name]))
    counted = dict(units) or {name: _clusters(arms[name]) for name in ARMS}
    evidence = evidence_of(design, arms, units=counted, crossing=crossing, days=days)
    verdict = judge(evidence, Thresholds(alpha=design.alpha))
    return {
        "experiment": design.name,
        "version": design.version,
        "design": design.design.value,
        "as_of": now.isoformat(),
        "days": round(days, 3),
        "verdict": verdict.as_dict(),
        "arms": {name: _arm_report(arms[name], counted.get(name, 0)) for name in ARMS},
        "maturity": _maturity(verdict, arms),
        "health": {"srm_p_value": verdict.srm_p_value, "crossed_share": verdict.crossed_share},
    }


def _errors(answered: Iterable[Answered]) -> Iterator[tuple[str, float]]:
    """1 for a failed query and 0 for another; those of one caller are one cluster, for they fail together."""
    for caller in answered:
        for number in range(caller.total):
            cluster = f"query:{number}" if caller.caller is None else f"caller:{caller.caller}"
            yield cluster, float(number < caller.failed)


def _clusters(arm: ArmData) -> int:
    return len({cluster for cluster, _ in arm.values["execution_rate"]})


def _arm_report(arm: ArmData, units: int) -> dict[str, Any]:
    return {
        "exposed_units": units,
        "signals": arm.signals,
        "metrics": {name: _figure(arm, name) for name in METRICS},
    }


def _figure(arm: ArmData, metric: str) -> dict[str, Any]:
    summary = arm.summary(metric)
    values = len(arm.matured) if metric == "worst_r" else len(arm.values[metric])
    clusters = summary.n
    known = clusters > 0
    deviation = (summary.variance / clusters) ** 0.5 if clusters > 1 and isinstance(summary, RatioMoments) else None
    return {
        "mean": round(summary.mean, 6) if known else None,
        "standard_error": None if deviation is None else round(deviation, 6),
        "clusters": clusters,
        "n": values,
    }


def _maturity(verdict: Verdict, arms: Mapping[str, ArmData]) -> dict[str, Any]:
    return {"share": verdict.maturity, "arms": {name: dict(arms[name].counts) for name in ARMS}}
