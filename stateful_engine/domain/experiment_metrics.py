"""The metrics that an experiment may be judged by: which way is better, and what may be said about them."""

from __future__ import annotations

from dataclasses import dataclass

from stateful_engine.errors import InvalidInputError


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """One metric: whether more is better, whether it is a share of 0/1 values, whether it is above 0 by nature."""

    name: str
    meaning: str
    higher_is_better: bool = True
    is_share: bool = False
    strictly_positive: bool = False

    @property
    def sign(self) -> float:
        """+1 when more is better, -1 when less is."""
        return 1.0 if self.higher_is_better else -1.0


METRICS: dict[str, MetricSpec] = {
    spec.name: spec
    for spec in (
        MetricSpec("expectancy_r", "R per exposed signal, open ones marked to market at the horizon"),
        MetricSpec("win_rate", "share of matured signals with R above 0", is_share=True),
        MetricSpec("brier", "squared error of the stated confidence", higher_is_better=False),
        MetricSpec("execution_rate", "share of exposed signals that were executed", is_share=True),
        MetricSpec("click_rate", "share of exposed signals that were clicked", is_share=True),
        MetricSpec("feedback", "rating from 1 to 5", strictly_positive=True),
        MetricSpec("latency_ms", "time to the answer", higher_is_better=False, strictly_positive=True),
        MetricSpec("tokens", "tokens per answer", higher_is_better=False, strictly_positive=True),
        MetricSpec("cost_usd", "cost per answer", higher_is_better=False, strictly_positive=True),
        MetricSpec("error_rate", "share of failed answers", higher_is_better=False, is_share=True),
        MetricSpec("worst_r", "worst R within an episode"),
    )
}


def metric_spec(name: str) -> MetricSpec:
    """The metric called `name`; an unknown one is refused with the list of known ones."""
    try:
        return METRICS[name]
    except (KeyError, TypeError):
        raise InvalidInputError(f"unknown metric {name!r}; use one of {', '.join(METRICS)}") from None
