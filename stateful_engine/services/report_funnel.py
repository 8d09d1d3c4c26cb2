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

MOST_FOLLOWED = 200_000
"""Of more signals nobody waits for a count of those that were only seen."""

EVERY: Where = ("1 = 1", {})


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


def counts(view: View, window: Window, only: Where | None, *, days: int) -> dict[str, Any]:
    """The stages of the report without their times, which cost far less; of very many signals `seen` is not told.

    Only who has seen signals without acting on them is looked up signal by signal. Rows that are gone count nowhere, as
    in the report: a window with such rows is read from those that are left.
    """
    if only is None and (window.begin or 0) < view.mark.forgotten:
        only = EVERY
    answer = view.read(window, ("executed_on",), only)
    generated, executed = answer.total["total"], answer.total["executed"]
    closed = sum(found["total"] for found in answer.splits.get("executed_on", {}).values())
    where = window.where(*([only] if only else []))
    seen = executed + funnel.only_seen(view.connection, where) if generated <= MOST_FOLLOWED else None
    reached = {"generated": generated, "seen": seen, "executed": executed, "closed": closed}
    told = [(stage, count) for stage, count in reached.items() if count is not None]
    before = [generated, *(count for _, count in told)]
    return {
        "period_days": days,
        "stages": [_counted(stage, count, generated, before[place]) for place, (stage, count) in enumerate(told)],
    }


def _counted(stage: str, count: int, generated: int, before: int) -> dict[str, Any]:
    return {
        "stage": stage,
        "count": count,
        "conversion": percent(count, generated),
        "conversion_ci": interval(count, generated),
        "step_conversion": percent(count, before),
        "n": before,
    }


def _by_source(stages: Iterable[Stage]) -> dict[str, list[Stage]]:
    found: dict[str, list[Stage]] = {}
    for stage in stages:
        found.setdefault(stage.source, []).append(stage)
    return found


def _steps(stages: Iterable[Stage]) -> list[dict[str, Any]]:
    found = {stage.step: stage for stage in stages}
    counted = [found[step].count if step in found else 0 for step in STEPS]
    return [
        {
            **_counted(step, count, counted[0], counted[max(index - 1, 0)]),
            "median_seconds": rounded(found[step].median_seconds, 3) if step in found else None,
        }
        for index, (step, count) in enumerate(zip(STEPS, counted, strict=True))
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
