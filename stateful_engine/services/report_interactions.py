"""The report on interactions: what people did, through which doors, and how many different people."""

from __future__ import annotations

from typing import Any

from stateful_engine.services.report_figures import day_text, shown
from stateful_engine.storage.rollup_reading import Split, View, Window
from stateful_engine.storage.rollup_sql import Where


def report(view: View, window: Window, only: Where | None = None, *, days: int) -> dict[str, Any]:
    """The whole report over a window; `only` restricts it to some interactions. Who was not named is nobody."""
    answer = view.read(window, ("type", "source"), only)
    return {
        "period_days": days,
        "total_interactions": answer.total["total"],
        "by_type": _counts(answer.split("type")),
        "by_source": _counts(answer.split("source")),
        "unique_users": view.count_distinct(window, "user_id", only),
        "by_day": [{"day": day_text(day), "count": found["total"]} for day, found in answer.days.items()],
    }


def _counts(split: Split) -> dict[str, int]:
    ordered = sorted(split.items(), key=lambda item: (-item[1]["total"], item[0]))
    return {shown(value): found["total"] for value, found in ordered}
