"""What charts are drawn from: results by day, the spread of R, and when in the week signals do well.

Only closed signals whose R is known count towards R. The three are read at one moment, so that they fit together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stateful_engine.domain import amounts
from stateful_engine.domain.periods import LENGTH, Grain
from stateful_engine.services.report_figures import (
    THIN,
    WEEKDAYS,
    Figures,
    average,
    day_text,
    interval,
    percent,
    rounded,
)
from stateful_engine.storage.rollup_reading import Answer, Split, View, Window
from stateful_engine.storage.rollup_sql import Where

DAYS_OF = {"all": "closed_on", "executed": "executed_on"}
"""The dimension that holds the results by closing day: of all signals, and of those that were acted on."""


DIMENSIONS = (*DAYS_OF.values(), "r_bin")


def report(view: View, window: Window, only: Where | None, *, days: int) -> dict[str, Any]:
    """All of it over a window; `only` restricts it to some signals.

    `r_by_day`: for `all` and for `executed` signals, by closing day, `closed`, `r` and `cumulative_r` (from 0 on);
    days without an end are left out. `r_histogram`: bins of 0.25 R from -5 to +5, a bin includes its lower end; the
    outer two are open (null). `by_weekday_hour`: the hours of the week (UTC) that had signals, in order.
    """
    answer = view.read(window, DIMENSIONS, only)
    return {
        "period_days": days,
        "total_signals": answer.total["total"],
        "r_n": answer.total["r_n"],
        "r_by_day": {name: _curve(answer, dimension, window) for name, dimension in DAYS_OF.items()},
        "r_histogram": _histogram(answer.split("r_bin")),
        "by_weekday_hour": [_hour(number, found) for number, found in view.hours_of_week(window, only).items()],
    }


def _curve(answer: Answer, dimension: str, window: Window) -> list[dict[str, Any]]:
    """The days on which signals ended; those that ended in the future, by a clock that is wrong, on the last."""
    last = (window.end - 1) // LENGTH[Grain.DAY]
    sums: dict[int, list[int]] = {}
    for value, found in answer.split(dimension).items():
        if found["r_n"]:
            day = sums.setdefault(min(int(value), last), [0, 0])
            day[0] += found["r_n"]
            day[1] += found["r"]
    curve, total = [], 0
    for number, (closed, amount) in sorted(sums.items()):
        total += amount
        curve.append({"day": day_text(number), "closed": closed, "r": _in_r(amount), "cumulative_r": _in_r(total)})
    return curve


def _in_r(amount: int) -> float | None:
    return rounded(amount / amounts.MICRO, 4)


def _histogram(split: Split) -> list[dict[str, Any]]:
    """Every bin, empty ones too."""
    first, last = amounts.R_BINS[0], amounts.R_BINS[-1]
    width = amounts.R_BIN / amounts.MICRO
    return [
        {
            "low": None if number == first else number * width,
            "high": None if number == last else (number + 1) * width,
            "count": split.get(str(number), _NOTHING)["total"],
        }
        for number in amounts.R_BINS
    ]


_NOTHING: Mapping[str, int] = {"total": 0}


def _hour(number: int, found: Figures) -> dict[str, Any]:
    n = found["win"] + found["loss"]
    return {
        "weekday": WEEKDAYS[number // 24],
        "hour": number % 24,
        "count": found["total"],
        "winning": found["win"],
        "losing": found["loss"],
        "win_rate": percent(found["win"], n),
        "win_rate_ci": interval(found["win"], n),
        "n": n,
        "thin": n < THIN,
        "r": _in_r(found["r"]),
        "avg_r": average(found["r"], found["r_n"]),
        "avg_r_n": found["r_n"],
    }
