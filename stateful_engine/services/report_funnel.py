"""The report on the way of signals: generated, seen (viewed or clicked), executed, closed.

The signals of the window are followed to where they came until now. Whoever executes a signal has seen it, and only an
executed signal counts as closed here, so that each step is part of the one before. Times are medians in seconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from stateful_engine.domain import amounts
from stateful_engine.services.report_figures import interval, nearest_rank, percent, rounded, shown
from stateful_engine.storage import funnel, funnel_days
from stateful_engine.storage.funnel import Bins, Cells, Stage
from stateful_engine.storage.rollup_reading import View, Window
from stateful_engine.storage.rollup_sql import Where

STEPS = ("generated", "seen", "executed", "closed")

MOST_FOLLOWED = 200_000
"""Of more signals that meet a condition nobody waits for a count of those that were only seen."""

FEW_SIGNALS = 2000
"""Up to so many signals medians are exact, beyond they come from bins of at most 2.5 %."""

Stages = dict[str, list[Stage]]
"""Stages by source."""


def report(view: View, window: Window, only: Where | None, *, days: int) -> dict[str, Any]:
    """The whole report over a window; `only` restricts it to some signals.

    `by_source` follows the signals by where they came from; `by_door` counts users, each once per signal, by the door
    through which they first came to it.
    """
    where = window.where(*([only] if only else []))
    found = funnel_days.read(view.connection, window) if only is None else funnel.cells(view.connection, where)
    sources, doors = (_binned(found, kind) for kind in (funnel.SIGNAL, funnel.VISIT))
    together = _binned(_together(found), funnel.SIGNAL)
    if _count(together) <= FEW_SIGNALS:
        exact = _by_source(funnel.stages(view.connection, where, by_source=False))
        if _count(exact) == _count(together):
            sources = _by_source(funnel.stages(view.connection, where, by_source=True))
            together, doors = exact, _by_source(funnel.visits(view.connection, where))
    return {
        "period_days": days,
        "stages": _steps(together.get("", [])),
        "by_source": {shown(source): _steps(stages) for source, stages in sorted(sources.items())},
        "by_door": {shown(door): _visits(stages) for door, stages in sorted(doors.items())},
    }


def counts(view: View, window: Window, only: Where | None, *, days: int) -> dict[str, Any]:
    """The stages of the report without their times; of very many signals that meet a condition `seen` is not told."""
    if only is None:
        known = funnel_days.reached(view.connection, window)
        reached: dict[str, int | None] = {step: known.get(step, 0) for step in STEPS}
    else:
        reached = _reached(view, window, only)
    told = [(stage, count) for stage, count in reached.items() if count is not None]
    before = [told[0][1], *(count for _, count in told)]
    return {
        "period_days": days,
        "stages": [_counted(stage, count, told[0][1], before[place]) for place, (stage, count) in enumerate(told)],
    }


def _reached(view: View, window: Window, only: Where) -> dict[str, int | None]:
    """How many signals that meet a condition came so far; who has only seen them is looked up one by one."""
    answer = view.read(window, ("executed_on",), only)
    generated, executed = answer.total["total"], answer.total["executed"]
    closed = sum(found["total"] for found in answer.split("executed_on").values())
    seen = executed + funnel.only_seen(view.connection, window.where(only)) if generated <= MOST_FOLLOWED else None
    return {"generated": generated, "seen": seen, "executed": executed, "closed": closed}


def _counted(stage: str, count: int, generated: int, before: int) -> dict[str, Any]:
    return {
        "stage": stage,
        "count": count,
        "conversion": percent(count, generated),
        "conversion_ci": interval(count, generated),
        "step_conversion": percent(count, before),
        "n": before,
    }


def _count(together: Stages) -> int:
    return sum(stage.count for stage in together.get("", []) if stage.step == STEPS[0])


def _together(cells: Cells) -> Cells:
    """The cells of signals from all sources as one."""
    found: Cells = {}
    for (kind, _, step), bins in cells.items():
        if kind == funnel.SIGNAL:
            funnel.add_cells(found, ((kind, "", step, label, *figures) for label, figures in bins.items()))
    return found


def _binned(cells: Cells, kind: str) -> Stages:
    found: Stages = {}
    for (each, source, step), bins in cells.items():
        if each == kind:
            stage = Stage(source, step, sum(count for count, _ in bins.values()), _median(bins))
            found.setdefault(source, []).append(stage)
    return found


def _median(bins: Bins) -> float | None:
    """The mean of the bin that the middle is in, in seconds; None for steps without a time."""
    timed = sorted((amounts.bin_begin(label), label) for label in bins if label)
    ascending = [(bins[label][1] / bins[label][0], bins[label][0]) for _, label in timed]
    middle = nearest_rank(ascending, 50)
    return None if middle is None else middle / 1e6


def _by_source(stages: Iterable[Stage]) -> Stages:
    found: Stages = {}
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
