"""Charts of two dimensions: heat maps, the calendar of daily results, and the scatter of excursions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise

from markupsafe import Markup, escape

from stateful_engine.dashboard import formats
from stateful_engine.dashboard.svg_canvas import (
    Scale,
    box,
    chart,
    element,
    line,
    nothing,
    sign_class,
    text,
    ticks,
)

LEVELS = 3
"""So many shades on either side of the middle."""

MOST_DAYS = 371
"""The calendar shows 53 weeks, the latest."""

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


@dataclass(frozen=True, slots=True)
class Cell:
    """A figure with the number of cases behind it; thin cells are marked, and never shaded strongly."""

    value: float | None
    n: int
    thin: bool = False


@dataclass(frozen=True, slots=True)
class Dot:
    """One closed signal in the scatter; `kind` is its outcome."""

    x: float
    y: float
    kind: str
    label: str


@dataclass(frozen=True, slots=True)
class Day:
    """What a day brought, in R, and in how many closed signals."""

    day: date
    value: float
    n: int


ROOMY, COMPACT, HEAD = (62, 40), (74, 24), 26


def heat_map(
    rows: Sequence[str],
    columns: Sequence[str],
    cells: Mapping[tuple[str, str], Cell],
    *,
    middle: float = 0.0,
    unit: str = "R",
    compact: bool = False,
    title: str = "Results by two dimensions",
    empty: str = "No signal was closed in this period.",
) -> Markup:
    """A table of shaded cells: each says its figure and its n, and whether it is above or below `middle`.

    Cells that are missing stay empty; thin ones have a dashed edge and the faintest shade. `compact` writes n behind
    the figure instead of under it, for many rows.
    """
    known = [cell for cell in cells.values() if cell.value is not None]
    if not rows or not columns or not known:
        return nothing(empty)
    left, (wide, tall) = 14 + 9 * max(len(row) for row in rows), COMPACT if compact else ROOMY
    furthest = max(abs((cell.value or 0) - middle) for cell in known) or 1.0
    width, height = left + wide * len(columns) + 4, HEAD + tall * len(rows) + 4
    parts = [text(column, left + (at + 0.5) * wide, 18, "middle") for at, column in enumerate(columns)]
    for down, row in enumerate(rows):
        y = HEAD + down * tall
        parts.append(text(row, left - 8, y + tall / 2 + 4, "end"))
        for at, column in enumerate(columns):
            cell = cells.get((row, column))
            if cell is not None and cell.value is not None:
                shade = _shade(cell.value - middle, furthest, thin=cell.thin)
                parts.append(_cell(left + at * wide, y, cell, shade, compact=compact))
    told = f"{len(rows)} by {len(columns)} cells in {unit}, the number of signals beside each figure; dashed: few."
    return chart(width, height, parts, kind="heat", title=title, desc=told, scrolls=True)


def _cell(x: float, y: float, cell: Cell, shade: str, *, compact: bool) -> Markup:
    wide, tall = COMPACT if compact else ROOMY
    middle, figure = x + wide / 2, formats.signed(cell.value, 2 if abs(cell.value or 0) < 100 else 0)
    edge = box(
        x + 1,
        y + 1,
        wide - 2,
        tall - 2,
        class_=f"{shade} thin" if cell.thin else shade,
        title=f"n={cell.n:,}" if cell.n >= 1000 else "",
    )
    if compact:
        count = element("tspan", f" ·{_rounded(cell.n)}", class_="small")
        return edge + element("text", escape(figure) + count, x=middle, y=y + 16, class_="middle")
    return (
        edge
        + text(figure, middle, y + 18, "middle figure")
        + text(f"n={_rounded(cell.n)}", middle, y + 33, "middle small")
    )


def _rounded(n: int) -> str:
    """A count that has to be short, from 1000 on in thousands or millions: 4 855 is 4.9k."""
    if n < 1000:
        return str(n)
    size, unit = (1000, "k") if n < 999_500 else (1_000_000, "M")
    digits = 1 if n < 99.95 * size else 0
    return f"{n / size:.{digits}f}{unit}"


def _shade(distance: float, furthest: float, *, thin: bool = False) -> str:
    """The class of a distance from the middle: `up1` to `up3`, `down1` to `down3`, or `even`."""
    if not distance:
        return "even"
    level = 1 if thin else min(LEVELS, 1 + int(abs(distance) / furthest * LEVELS))
    return f"{'up' if distance > 0 else 'down'}{level}"


DAY_SIZE = 17


def calendar(
    days: Sequence[Day],
    *,
    unit: str = "R",
    title: str = "Result by day",
    empty: str = "No signal was closed in this period.",
) -> Markup:
    """A square per day with a result, a column per week from Monday on; + and - stand in the squares.

    At most the latest 53 weeks are shown.
    """
    if not days:
        return nothing(empty)
    last = max(one.day for one in days)
    shown = [one for one in days if (last - one.day).days < MOST_DAYS - 7]
    first = min(one.day for one in shown)
    monday = first - timedelta(days=first.weekday())
    weeks = (last - monday).days // 7 + 1
    furthest = max(abs(one.value) for one in shown) or 1.0
    width, height = 44 + weeks * DAY_SIZE + 40, 24 + 7 * DAY_SIZE + 4
    parts = [
        *(text(WEEKDAYS[row], 36, 24 + row * DAY_SIZE + 13, "end small") for row in (0, 2, 4, 6)),
        *_months(monday, weeks),
        *(_day(one, monday, furthest, unit) for one in shown),
        _signs(shown, monday),
    ]
    best, worst = max(shown, key=_result), min(shown, key=_result)
    told = (
        f"{len(shown)} days with results. Best {best.day.isoformat()}: {formats.signed(best.value)} {unit}; "
        f"worst {worst.day.isoformat()}: {formats.signed(worst.value)} {unit}."
    )
    return chart(width, height, parts, kind="calendar", title=title, desc=told, scrolls=True)


def _result(one: Day) -> float:
    return one.value


def _corner(one: Day, monday: date) -> tuple[int, int]:
    week, row = divmod((one.day - monday).days, 7)
    return 44 + week * DAY_SIZE, 24 + row * DAY_SIZE


def _day(one: Day, monday: date, furthest: float, unit: str) -> Markup:
    x, y = _corner(one, monday)
    told = f"{one.day.isoformat()}: {formats.signed(one.value)} {unit} in {one.n}"
    return box(x + 1, y + 1, DAY_SIZE - 2, DAY_SIZE - 2, class_=_shade(one.value, furthest), title=told)


def _signs(days: Sequence[Day], monday: date) -> Markup:
    """A plus or a minus in every square that is not even, all in one path."""
    strokes = []
    for one in days:
        x, y = _corner(one, monday)
        if one.value:
            strokes.append(f"M{x + 5} {y + 8.5}h7" + ("m-3.5-3.5v7" if one.value > 0 else ""))
    return element("path", d="".join(strokes), class_="sign")


def _months(monday: date, weeks: int) -> list[Markup]:
    """The months above the weeks in which they begin; one that has no room before the next is not named."""
    sundays = [monday + timedelta(days=7 * week + 6) for week in range(weeks)]
    begins = [week for week in range(weeks) if week == 0 or sundays[week].month != sundays[week - 1].month]
    named = [week for week, after in pairwise([*begins, weeks + 2]) if after - week > 1]
    return [text(sundays[week].strftime("%b"), 44 + week * DAY_SIZE, 15, "small") for week in named]


WIDTH, HEIGHT = 460, 330
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 34, 52
MOST_DOTS = 500
SHAPES = {"WIN": "gain", "LOSS": "loss"}


def scatter(
    points: Sequence[Dot],
    *,
    x_label: str = "against the position (MAE), R",
    y_label: str = "in favour (MFE), R",
    title: str = "How far prices went against and in favour",
    empty: str = "No closed signal with known excursions in this period.",
) -> Markup:
    """A mark per closed signal: wins are circles, losses crosses, others squares. At most 500, the first given."""
    shown = list(points[:MOST_DOTS])
    if not shown:
        return nothing(empty)
    wide = ticks(min(0.0, *(dot.x for dot in shown)), max(0.0, *(dot.x for dot in shown)))
    tall = ticks(min(0.0, *(dot.y for dot in shown)), max(0.0, *(dot.y for dot in shown)))
    across, up = Scale(wide[0], wide[-1], LEFT, WIDTH - RIGHT), Scale(tall[0], tall[-1], HEIGHT - BOTTOM, TOP)
    parts = [
        *(line((across.start, up(mark)), (across.end, up(mark)), _weight(mark)) for mark in tall),
        *(line((across(mark), up.start), (across(mark), up.end), _weight(mark)) for mark in wide),
        *(text(formats.number(mark), LEFT - 8, up(mark) + 4, "end") for mark in tall),
        *(text(formats.number(mark), across(mark), HEIGHT - BOTTOM + 18, "middle") for mark in wide),
        *(_dot(dot, across(dot.x), up(dot.y)) for dot in shown),
        text(x_label, (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, "middle quiet"),
        text(y_label, 8, 16, "quiet"),
        *_key(),
    ]
    wins = sum(dot.kind == "WIN" for dot in shown)
    told = f"{len(shown)} closed signals, {wins} of them wins. Across: {x_label}; up: {y_label}."
    return chart(WIDTH, HEIGHT, parts, kind="scatter", title=title, desc=told)


def _weight(mark: float) -> str:
    return "zero" if mark == 0 else "grid"


def _dot(dot: Dot, x: float, y: float) -> Markup:
    return element("g", element("title", dot.label) + _shape(dot.kind, x, y)) if dot.label else _shape(dot.kind, x, y)


def _shape(kind: str, x: float, y: float) -> Markup:
    class_ = f"point {SHAPES.get(kind, sign_class(0))}"
    if kind == "WIN":
        return element("circle", cx=x, cy=y, r=4, class_=class_)
    if kind == "LOSS":
        return element("path", d=f"M{x - 4:.1f} {y - 4:.1f}l8 8m0-8l-8 8", class_=class_)
    return element("rect", x=x - 3.5, y=y - 3.5, width=7, height=7, class_=class_)


def _key() -> list[Markup]:
    """Which shape means what."""
    found, x = [], WIDTH - 190
    for kind, name in (("WIN", "win"), ("LOSS", "loss"), ("", "other")):
        found += [_shape(kind, x, 12), text(name, x + 9, 16)]
        x += 64
    return found
