"""The report on queries: how many there were, how well and how fast they were answered, and what they cost.

Percentiles are by the nearest-rank method: exact for windows of up to 2000 queries, beyond that from bins at most 2.5 %
wide, of which the mean is given.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stateful_engine.domain import amounts
from stateful_engine.services.report_figures import Figures, average, day_text, nearest_rank, percent, rate, shown
from stateful_engine.storage import figures
from stateful_engine.storage.rollup_reading import Answer, Split, View, Window
from stateful_engine.storage.rollup_sql import Where

TOP = 10
MOST_CELLS = 100
FEW_QUERIES = 2000
RANKS = (50, 95, 99)
DIMENSIONS = ("endpoint", "status", "model", "latency")


def report(view: View, window: Window, only: Where | None = None, *, days: int) -> dict[str, Any]:
    """The whole report over a window; `only` restricts it to some queries."""
    answer = view.read(window, DIMENSIONS, only)
    total = answer.total
    return {
        "period_days": days,
        "total_queries": total["total"],
        "successful_queries": total["successful"],
        **rate("success_rate", total["successful"], total["total"]),
        "avg_processing_time_ms": average(total["latency"], total["latency_n"], 1000),
        **_percentiles(view, window, only, answer),
        **_usage(total),
        "top_endpoints": _endpoints(answer.split("endpoint")),
        "by_status": _counts(answer.split("status")),
        "by_model": {shown(value): _model(found) for value, found in _most(answer.split("model"))},
        "by_day": [_day(day, found) for day, found in answer.days.items()],
        "unique_conversations": view.count_distinct(window, "conversation_ref", only),
        "unique_users": view.count_distinct(window, "user_ref", only),
    }


def _percentiles(view: View, window: Window, only: Where | None, answer: Answer) -> dict[str, float | None]:
    ascending = _exact(view, window.where(*([only] if only else [])), answer.total["latency_n"])
    if ascending is None:
        ascending = _binned(answer.split("latency"))
    values = {rank: nearest_rank(ascending, rank) for rank in RANKS}
    return {
        f"p{rank}_processing_time_ms": None if value is None else round(value / 1000, 2)
        for rank, value in values.items()
    }


def _exact(view: View, where: Where, n: int) -> list[tuple[float, int]] | None:
    """Every duration; None when there are many, or when they are no longer all there."""
    if n > FEW_QUERIES:
        return None
    found = figures.latencies(view.connection, where)
    return [(float(amount), 1) for amount in found] if len(found) == n else None


def _binned(split: Split) -> list[tuple[float, int]]:
    ascending = sorted(split.items(), key=lambda item: amounts.bin_begin(item[0]))
    return [(found["latency"] / found["latency_n"], found["latency_n"]) for _, found in ascending]


def _usage(total: Figures) -> dict[str, Any]:
    """Tokens and cost, each None when nobody said any."""
    return {
        "tokens": total["tokens"] if total["tokens_n"] else None,
        "tokens_n": total["tokens_n"],
        "prompt_tokens": total["prompt_tokens"] if total["tokens_n"] else None,
        "completion_tokens": total["completion_tokens"] if total["tokens_n"] else None,
        "cost_usd": _cost(total),
        "cost_n": total["cost_n"],
    }


def _cost(found: Figures) -> float | None:
    return round(found["cost"] / amounts.NANO, 6) if found["cost_n"] else None


def _most(split: Split) -> Sequence[tuple[str, Figures]]:
    return sorted(split.items(), key=lambda item: (-item[1]["total"], item[0]))[:MOST_CELLS]


def _endpoints(split: Split) -> list[dict[str, Any]]:
    return [
        {
            "endpoint": value or None,
            "count": found["total"],
            "success_rate": percent(found["successful"], found["total"]),
            "avg_processing_time_ms": average(found["latency"], found["latency_n"], 1000),
        }
        for value, found in _most(split)[:TOP]
    ]


def _counts(split: Split) -> dict[str, int]:
    return {shown(value): found["total"] for value, found in _most(split)}


def _model(found: Figures) -> dict[str, Any]:
    return {
        "count": found["total"],
        "success_rate": percent(found["successful"], found["total"]),
        "tokens": found["tokens"] if found["tokens_n"] else None,
        "cost_usd": _cost(found),
    }


def _day(day: int, found: Figures) -> dict[str, Any]:
    return {
        "day": day_text(day),
        "count": found["total"],
        "successful": found["successful"],
        "avg_processing_time_ms": average(found["latency"], found["latency_n"], 1000),
    }
