"""The report on the way of signals: generated, seen (viewed or clicked), executed, closed.

The signals of the window are followed to where they came until now. Whoever executes a signal has seen it, and only an
executed signal counts as closed here, so that each step is part of the one before. Times are medians in seconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from stateful_engine.services.report_figures import interval, percent, rounded, shown
from stateful_engine.storage import funnel
from stateful_engine.storage.funnel import Stage
from stateful_engine.storage.rollup_reading import View, Window
from stateful_engine.storage.rollup_sql import Where

STEPS = ("generated", "seen", "executed", "closed")


def report(view: View, window: Window, only: Where | None, *, days: int) -> dict[str, Any]:
    """The whole report over a window; `only` restricts it to some signals.

    `by_source` follows the signals by where they came from; `by_door` counts users, each once per signal, by the door
    through which they first came to it.
    """
    where = window.where(*([only] if only else []))
    sources = _by_source(funnel.stages(view.connection, where, by_source=True))
    return {
        "period_days": days,
        "stages": _steps(funnel.stages(view.connection, where, by_source=False)),
        "by_source": {shown(source): _steps(found) for source, found in sources.items()},
        "by_door": {
            shown(door): _visits(found) for door, found in _by_source(funnel.visits(view.connection, where)).items()
        },
    }


def _by_source(stages: Iterable[Stage]) -> dict[str, list[Stage]]:
    found: dict[str, list[Stage]] = {}
    for stage in stages:
        found.setdefault(stage.source, []).append(stage)
    return found


def _steps(stages: Iterable[Stage]) -> list[dict[str, Any]]:
    found = {stage.step: stage for stage in stages}
    counts = [found[step].count if step in found else 0 for step in STEPS]
    return [
        {
            "stage": step,
            "count": count,
            "conversion": percent(count, counts[0]),
            "conversion_ci": interval(count, counts[0]),
            "step_conversion": percent(count, counts[max(index - 1, 0)]),
            "n": counts[max(index - 1, 0)],
            "median_seconds": rounded(found[step].median_seconds, 3) if step in found else None,
        }
        for index, (step, count) in enumerate(zip(STEPS, counts, strict=True))
    ]


def _visits(stages: Iterable[Stage]) -> dict[str, Any]:
    found = {stage.step: stage for stage in stages}
    seen, executed = found.get("seen"), found.get("executed")
    users, acted = seen.count if seen else 0, executed.count if executed else 0
    return {
        "users": users,
        "executed": acted,
        "conversion": percent(acted, users),
        "conversion_ci": interval(acted, users),
        "n": users,
        "median_seconds_to_see": rounded(seen.median_seconds, 3) if seen else None,
        "median_seconds_to_execute": rounded(executed.median_seconds, 3) if executed else None,
    }
