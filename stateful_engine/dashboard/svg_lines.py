"""Charts along time: cumulative results with their drawdown, sparklines, and candles around a trade."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from stateful_engine.dashboard import formats
from stateful_engine.dashboard.svg_canvas import (
    Scale,
    box,
    chart,
    day_of,
    element,
    framed,
    join,
    line,
    nothing,
    path,
    picture,
    text,
    thinned,
    ticks,
    time_labels,
)

MOST_POINTS = 400
MOST_CANDLES = 160

Point = tuple[float, float]
Candle = Sequence[float]


@dataclass(frozen=True, slots=True)
class Series:
    """A line of cumulative results: `(epoch seconds, value)`, oldest first."""

    name: str
    points: Sequence[Point]


@dataclass(frozen=True, slots=True)
class Level:
    """A price of a trade: `kind` is entry, tp, sl or exit; `at_ms` is when it was reached, where that is known."""

    kind: str
    name: str
    price: float
    at_ms: float | None = None


HEIGHT = 330
WIDTHS = {"wide": 720, "narrow": 400}
"""Both are sent, and the stylesheet shows the one that fits: a picture that only shrank could not be read."""

LEFT, RIGHT, TOP, BOTTOM = 74, 14, 34, 30
UNDER = 66
"""How high the drawdown stands under the line."""


def line_with_drawdown(
    series: Sequence[Series],
    *,
    unit: str = "R",
    title: str = "Cumulative result and drawdown",
    empty: str = "No signal was closed in this period.",
) -> Markup:
    """Up to three lines of cumulative results, and under them how far the first lies below its height so far.

    Lines begin at 0, as `domain.metrics.max_drawdown` does. They differ by dashes as well as by colour.
    """
    shown = [Series(one.name, thinned(one.points, MOST_POINTS)) for one in series[:3] if one.points]
    if not shown:
        return nothing(empty)
    told = _told(shown, drawdown(shown[0].points), unit)
    return framed(
        "lines",
        *(
            picture(width, HEIGHT, _lines(shown, width, unit), title=title, desc=told, class_=room)
            for room, width in WIDTHS.items()
        ),
        data=_data(shown, unit),
    )


def _data(series: Sequence[Series], unit: str) -> str:
    """The lines and the drawdown as columns over the moments of all of them: what `charts.js` reads."""
    moments = sorted({moment for one in series for moment, _ in one.points})
    columns = [dict(points) for points in (*(one.points for one in series), drawdown(series[0].points))]
    data = [[round(moment) for moment in moments], *([_short(column.get(at)) for at in moments] for column in columns)]
    return json.dumps({"unit": unit, "names": [one.name for one in series], "data": data}, separators=(",", ":"))


def _short(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _lines(series: Sequence[Series], width: int, unit: str) -> list[Markup]:
    moments = [moment for one in series for moment, _ in one.points]
    across = Scale(min(moments), max(moments), LEFT, width - RIGHT)
    marks = ticks(*_range(series))
    up = Scale(marks[0], marks[-1], HEIGHT - BOTTOM - UNDER - 22, TOP)
    return [
        *(_grid_line(mark, across, up, unit) for mark in marks),
        *(_curve(one, across, up, number) for number, one in enumerate(series)),
        _under(drawdown(series[0].points), across, (HEIGHT - BOTTOM - UNDER, HEIGHT - BOTTOM), unit),
        *_days(across),
        _legend([one.name for one in series], (width - LEFT) / len(WIDTHS)),
    ]


def drawdown(points: Sequence[Point]) -> list[Point]:
    """How far each point lies below the greatest height before it (0 at the start), as a negative number."""
    peak, found = 0.0, []
    for moment, value in points:
        peak = max(peak, value)
        found.append((moment, value - peak))
    return found


def _told(series: Sequence[Series], falls: Sequence[Point], unit: str) -> str:
    ends = "; ".join(f"{one.name}: {formats.signed(one.points[-1][1])} {unit}" for one in series)
    moments = [moment for one in series for moment, _ in one.points]
    deepest = formats.number(-min(value for _, value in falls))
    return f"{day_of(min(moments))} to {day_of(max(moments))} UTC. {ends}. Deepest drawdown {deepest} {unit}."


def _grid_line(mark: float, across: Scale, up: Scale, unit: str) -> Markup:
    """A horizontal line with its value; zero is stronger."""
    drawn = line((across.start, up(mark)), (across.end, up(mark)), "zero" if mark == 0 else "grid")
    return drawn + text(f"{formats.signed(mark)} {unit}", LEFT - 8, up(mark) + 4, "end")


def _range(series: Sequence[Series]) -> tuple[float, float]:
    heights = [0.0, *(value for one in series for _, value in one.points)]
    return min(heights), max(heights)


def _curve(one: Series, across: Scale, up: Scale, number: int) -> Markup:
    return path(((across(moment), up(value)) for moment, value in one.points), f"series s{number}")


def _under(falls: Sequence[Point], across: Scale, span: tuple[float, float], unit: str) -> Markup:
    """The drawdown as an area that hangs from its zero line."""
    deepest = min(value for _, value in falls)
    down = Scale(0, min(deepest, -1e-9), span[0], span[1])
    area = [(across(falls[0][0]), span[0]), *((across(moment), down(value)) for moment, value in falls)]
    parts = [
        path([*area, (across(falls[-1][0]), span[0])], "fall", closed=True),
        line((across.start, span[0]), (across.end, span[0]), "zero"),
        text("drawdown", LEFT - 8, span[0] + 4, "end quiet"),
    ]
    if deepest < 0:
        parts.append(text(f"{formats.number(deepest)} {unit}", LEFT - 8, span[1] + 2, "end"))
    return join(parts)


def _days(across: Scale) -> list[Markup]:
    labels = time_labels(across.low, across.high, 5 if across.end > 500 else 3)
    last = len(labels) - 1
    return [
        text(
            label,
            across(moment),
            HEIGHT - 8,
            "quiet" if number == 0 else "end quiet" if number == last else "middle quiet",
        )
        for number, (moment, label) in enumerate(labels)
    ]


def _legend(names: Sequence[str], room: float) -> Markup:
    """The names of the lines, each behind a piece of its line."""
    parts, x = [], float(LEFT)
    for number, name in enumerate(names):
        parts.append(line((x, 14), (x + 26, 14), f"series s{number}"))
        parts.append(text(name, x + 32, 18))
        x += min(room, 210)
    return join(parts)


def sparkline(values: Sequence[float | None], *, title: str = "Course", unit: str = "") -> Markup:
    """A small line without axes; gaps are left out. A dot marks the last value."""
    known = [(float(number), value) for number, value in enumerate(values) if value is not None]
    if len(known) < 2:
        return Markup("")
    heights = [value for _, value in known]
    across, up = Scale(0, len(values) - 1, 3, 117), Scale(min(heights), max(heights), 29, 3)
    points = [(across(number), up(value)) for number, value in known]
    parts = [
        path(thinned(points, 120), "series s0"),
        element("circle", cx=points[-1][0], cy=points[-1][1], r=2.5, class_="dot"),
    ]
    least, most = formats.number(min(heights)), formats.number(max(heights))
    told = f"From {formats.number(heights[0])} to {formats.number(heights[-1])} {unit}, between {least} and {most}."
    return chart(120, 32, parts, kind="spark", title=title, desc=told)


def candles(
    rows: Sequence[Candle],
    levels: Sequence[Level],
    *,
    title: str = "Candles around the signal",
    empty: str = "No candles of this market cover the signal.",
) -> Markup:
    """Candles `(ts_ms, open, high, low, close)`, oldest first, with the levels of a trade across them.

    Rising candles are hollow, falling ones filled. At most 160 candles are drawn, the latest.
    """
    shown = [row for row in rows if all(map(math.isfinite, row[:5]))][-MOST_CANDLES:]
    if not shown:
        return nothing(empty)
    prices = [price for row in shown for price in (row[2], row[3])] + [level.price for level in levels]
    margin = (max(prices) - min(prices)) * 0.04 or 1.0
    up = Scale(min(prices) - margin, max(prices) + margin, HEIGHT - BOTTOM, 12)
    told = _levels_told(shown, levels)
    return framed(
        "candles",
        *(
            picture(width, HEIGHT, _market(shown, levels, up, width), title=title, desc=told, class_=room)
            for room, width in WIDTHS.items()
        ),
    )


def _market(rows: Sequence[Candle], levels: Sequence[Level], up: Scale, width: int) -> list[Markup]:
    across = Scale(rows[0][0], rows[-1][0], 14, width - 140)
    thick = min(12.0, (across.end - across.start) / len(rows) * 0.66)
    return [
        _candles_drawn(rows, across, up, thick),
        *(_level(level, across, up) for level in levels),
        *_level_names(levels, across.end + 14, up),
        *(text(label, across(at * 1000), HEIGHT - 8, "quiet") for at, label in _hours(rows, 4 if width > 500 else 3)),
    ]


def _hours(rows: Sequence[Candle], most: int) -> list[tuple[float, str]]:
    return time_labels(rows[0][0] / 1000, rows[-1][0] / 1000, most)[:-1]


def _candles_drawn(rows: Sequence[Candle], across: Scale, up: Scale, wide: float) -> Markup:
    """All wicks in one path, then the bodies."""
    wicks = "".join(f"M{across(row[0]):.1f} {up(row[2]):.1f}V{up(row[3]):.1f}" for row in rows)
    bodies = (
        box(
            across(row[0]) - wide / 2,
            up(max(row[1], row[4])),
            wide,
            max(abs(up(row[1]) - up(row[4])), 1),
            class_="rise" if row[4] >= row[1] else "drop",
        )
        for row in rows
    )
    return element("path", d=wicks, class_="wick") + join(bodies)


def _level(level: Level, across: Scale, up: Scale) -> Markup:
    y = up(level.price)
    drawn = line((across.start, y), (across.end + 8, y), f"level {level.kind}")
    if level.at_ms is None:
        return drawn
    x = min(max(across(level.at_ms), across.start), across.end)
    return drawn + element("circle", cx=x, cy=y, r=4.5, class_=f"mark {level.kind}")


def _level_names(levels: Sequence[Level], x: float, up: Scale) -> list[Markup]:
    """The names beside their lines, moved apart where they would cover each other."""
    found, lowest = [], 0.0
    for level in sorted(levels, key=lambda one: -one.price):
        y = max(up(level.price) + 4, lowest + 17)
        lowest = y
        found.append(text(f"{level.name} {formats.number(level.price, 8)}", x, y, level.kind))
    return found


def _levels_told(rows: Sequence[Candle], levels: Sequence[Level]) -> str:
    named = ", ".join(f"{level.name} {formats.number(level.price, 8)}" for level in levels)
    return f"{len(rows)} candles from {day_of(rows[0][0] / 1000)} to {day_of(rows[-1][0] / 1000)} UTC. Levels: {named}."
