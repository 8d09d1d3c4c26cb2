"""Charts of counts and shares: reliability, histogram, mix of outcomes, funnel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from stateful_engine.dashboard import formats
from stateful_engine.dashboard.svg_canvas import (
    Scale,
    box,
    chart,
    element,
    hatching,
    join,
    line,
    nothing,
    path,
    sign_class,
    text,
    ticks,
)

THIN = 20
"""Shares of fewer cases are drawn hollow or said to be thin."""


@dataclass(frozen=True, slots=True)
class Bin:
    """How many values lie from `low` up to `high`; None leaves an end open."""

    low: float | None
    high: float | None
    count: int


@dataclass(frozen=True, slots=True)
class Share:
    """How many signals ended so; `ambiguous` of them only by a policy."""

    name: str
    count: int
    ambiguous: int = 0


WIDTH, HEIGHT = 460, 330
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 28, 52


def reliability(
    bins: Sequence[Mapping[str, Any]],
    *,
    title: str = "Stated confidence against observed wins",
    empty: str = "No signal with a confidence was decided in this period.",
) -> Markup:
    """The reliability curve of a calibration report: its rows as they are, in percent, with n and Wilson intervals.

    Rows without signals are left out; points of fewer than 20 signals are hollow. On the diagonal, confidence is true.
    """
    rows = [row for row in bins if row["n"]]
    if not rows:
        return nothing(empty)
    across, up = Scale(0, 100, LEFT, WIDTH - RIGHT), Scale(0, 100, HEIGHT - BOTTOM, TOP)
    parts = [
        *_percent_grid(across, up),
        line((across(0), up(0)), (across(100), up(100)), "ideal"),
        *(_judged(row, across, up, number) for number, row in enumerate(rows)),
        text("stated confidence, %", (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, "middle quiet"),
        text("won, %", 8, 13, "quiet"),
    ]
    told = "; ".join(
        f"confidence {row['low']} to {row['high']}: won {formats.number(row['win_rate'])} % of {row['n']}"
        for row in rows
    )
    return chart(WIDTH, HEIGHT, parts, kind="reliability", title=title, desc=f"{told}.")


def _percent_grid(across: Scale, up: Scale) -> list[Markup]:
    found = []
    for mark in range(0, 101, 20):
        found.append(line((across.start, up(mark)), (across.end, up(mark)), "grid"))
        found.append(text(str(mark), LEFT - 8, up(mark) + 4, "end"))
        found.append(text(str(mark), across(mark), HEIGHT - BOTTOM + 18, "middle"))
    return found


def _judged(row: Mapping[str, Any], across: Scale, up: Scale, number: int) -> Markup:
    """One point with its interval as an error bar, and its n in turn above and below, so that none covers the next."""
    x, y = across(row["mean_confidence"]), up(row["win_rate"])
    low, high = (up(bound) for bound in row["win_rate_ci"])
    told = (
        f"confidence {row['low']}–{row['high']}: {row['wins']} of {row['n']} won = {formats.percent(row['win_rate'])}, "
        f"95 % interval {formats.interval(row['win_rate_ci'], ' %')}"
    )
    thin = " thin" if row["n"] < THIN else ""
    bar = f"M{x:.1f} {low:.1f}V{high:.1f}M{x - 4:.1f} {low:.1f}h8M{x - 4:.1f} {high:.1f}h8"
    return element(
        "g",
        element("title", told)
        + element("path", d=bar, class_="error")
        + element("circle", cx=x, cy=y, r=5, class_=f"point{thin}")
        + text(f"n={row['n']:,}", x, low + 14 if number % 2 else high - 5, "middle small"),
    )


def histogram(
    bins: Sequence[Bin],
    *,
    unit: str = "R",
    title: str = "How results are spread",
    empty: str = "No signal was closed in this period.",
) -> Markup:
    """How often results of each size occurred; bins right of 0 are gains, left of it hatched losses.

    Empty bins at both ends are left out, but for one.
    """
    total = sum(one.count for one in bins)
    if not total:
        return nothing(empty)
    bins = _filled(bins)
    most = max(one.count for one in bins)
    marks = ticks(0, most, 4)
    up = Scale(0, marks[-1], HEIGHT - BOTTOM, TOP)
    wide = (WIDTH - RIGHT - LEFT) / len(bins)
    parts = [
        *(_count_line(mark, up) for mark in marks if mark == int(mark)),
        *(_bar(one, LEFT + number * wide, wide, up, unit) for number, one in enumerate(bins)),
        *_edges(bins, wide),
        text(f"result, {unit}", (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, "middle quiet"),
    ]
    fullest = max(bins, key=lambda one: one.count)
    told = f"{total} results; most often {_span(fullest, unit)} with {fullest.count}."
    return chart(WIDTH, HEIGHT, parts, kind="histogram", title=title, desc=told)


def _filled(bins: Sequence[Bin]) -> Sequence[Bin]:
    """The bins from before the first filled one to after the last."""
    places = [place for place, one in enumerate(bins) if one.count]
    return bins[max(places[0] - 1, 0) : places[-1] + 2]


def _count_line(mark: float, up: Scale) -> Markup:
    y = up(mark)
    drawn = line((LEFT, y), (WIDTH - RIGHT, y), "zero" if mark == 0 else "grid")
    return drawn + text(formats.number(mark), LEFT - 8, y + 4, "end")


def _bar(one: Bin, x: float, wide: float, up: Scale, unit: str) -> Markup:
    if not one.count:
        return Markup("")
    y, bottom = up(one.count), up(0)
    class_ = sign_class(_middle(one))
    drawn = box(x + 1, y, wide - 2, bottom - y, class_=class_, title=f"{_span(one, unit)}: {one.count}")
    return drawn + hatching(x + 1, y, wide - 2, bottom - y) if class_ == "loss" else drawn


def _middle(one: Bin) -> float:
    """Where a bin lies; open ends count by the end that is known, bins around 0 as neither."""
    if one.low is None or one.high is None:
        return one.high if one.low is None and one.high is not None else one.low or 0.0
    return 0.0 if one.low < 0 < one.high else one.low + one.high


def _span(one: Bin, unit: str) -> str:
    if one.low is None:
        return f"below {formats.number(one.high)} {unit}"
    if one.high is None:
        return f"from {formats.number(one.low)} {unit} on"
    return f"{formats.number(one.low)} to {formats.number(one.high)} {unit}"


def _edges(bins: Sequence[Bin], wide: float) -> list[Markup]:
    """The lower ends under the bars, as many as there is room for."""
    every = max(1, -(-len(bins) // 8))
    return [
        text(formats.signed(one.low), LEFT + number * wide, HEIGHT - BOTTOM + 18, "middle")
        for number, one in enumerate(bins)
        if one.low is not None and number % every == 0
    ]


OUTCOME_CLASSES = {"WIN": "gain", "LOSS": "loss", "BREAKEVEN": "flat", "UNFILLED": "unfilled", "PENDING": "pending"}


def outcome_mix(
    shares: Sequence[Share],
    *,
    title: str = "How signals ended",
    empty: str = "No signal was recorded in this period.",
) -> Markup:
    """One bar per outcome with count and share of all; the part that rests on a policy is hatched."""
    total = sum(share.count for share in shares)
    if not total:
        return nothing(empty)
    row = 44
    height = row * len(shares) + 30
    across = Scale(0, max(share.count for share in shares), 0, WIDTH - 116 - 104)
    parts = [_ended(share, total, 6 + number * row, across) for number, share in enumerate(shares)]
    note = hatching(116, height - 18, 22, 13) + text(
        "hatched: decided by the ambiguity policy", 144, height - 7, "quiet"
    )
    told = "; ".join(f"{share.name}: {share.count}, {share.ambiguous} of them ambiguous" for share in shares)
    return chart(WIDTH, height, [*parts, note], kind="mix", title=title, desc=f"{told}.")


def _ended(share: Share, total: int, y: float, across: Scale) -> Markup:
    wide, doubtful = across(share.count), across(share.ambiguous)
    percent = formats.number(share.count / total * 100, 1)
    told = f"{share.name}: {share.count} of {total}, {share.ambiguous} of them ambiguous"
    return join(
        [
            text(share.name, 108, y + 21, "end"),
            box(116, y, max(wide, 1), 30, class_=OUTCOME_CLASSES.get(share.name, "flat"), title=told),
            hatching(116 + wide - doubtful, y, doubtful, 30),
            text(f"{share.count:,} ({percent} %)", 116 + wide + 6, y + 21),
        ]
    )


def funnel(
    stages: Sequence[Mapping[str, Any]],
    *,
    title: str = "From signal to result",
    empty: str = "No signal was recorded in this period.",
) -> Markup:
    """The stages of a funnel report as they are: a bar each, with count and conversion from the stage before."""
    if not stages or not stages[0]["count"]:
        return nothing(empty)
    row = 44
    across = Scale(0, stages[0]["count"], 0, WIDTH - 100 - 150)
    parts = [_stage(stage, 6 + number * row, across, number) for number, stage in enumerate(stages)]
    told = "; ".join(f"{stage['stage']}: {stage['count']}" for stage in stages)
    return chart(WIDTH, row * len(stages) + 6, parts, kind="funnel", title=title, desc=f"{told}.")


def _stage(stage: Mapping[str, Any], y: float, across: Scale, number: int) -> Markup:
    wide = max(across(stage["count"]), 1)
    share = (
        f" ({formats.number(stage['step_conversion'])} %)" if number and stage["step_conversion"] is not None else ""
    )
    told = f"{stage['stage']}: {stage['count']} of {stage['n']}" if number else f"{stage['stage']}: {stage['count']}"
    drawn = box(100, y, wide, 30, class_=f"stage t{number % 4}", title=told)
    step = path([(100, y + 30), (100 + wide, y + 30)], "grid")
    return join(
        [
            text(str(stage["stage"]), 92, y + 21, "end"),
            drawn,
            step,
            text(f"{stage['count']:,}{share}", 106 + wide, y + 21),
        ]
    )
