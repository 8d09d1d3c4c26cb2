"""What all charts share: elements with escaped text, scales, ticks, and the frame that tells what a chart shows.

A chart is plain SVG without styles and without scripts: `static/charts.css` gives it colours for light and dark, and
sizes its text to the room it has. Marks are told apart by sign, shape or hatching as well as by colour.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from markupsafe import Markup, escape

Number = float | int
Steps = tuple[Number, ...]

DAY = 86_400
LABELS_OF_TIME = ((2 * DAY, "%H:%M"), (400 * DAY, "%-d %b"), (math.inf, "%b %Y"))
"""Up to which span in seconds an axis of time is labelled how."""


def element(name: str, content: str = "", /, **attributes: str | Number | None) -> Markup:
    """One SVG element; its text must be Markup or is escaped, attributes that are None are left out.

    Underscores of attribute names stand for dashes, one at the end is dropped (`class_`).
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value) if isinstance(value, str) else short(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    inner = escape(content)
    return Markup(f"<{name}{given}>{inner}</{name}>" if inner else f"<{name}{given}/>")


def join(parts: Iterable[str]) -> Markup:
    """Elements one after the other."""
    return Markup("").join(parts)


def text(content: str, x: Number, y: Number, class_: str | None = None) -> Markup:
    """A line of text; `class_` aligns and colours it (`middle`, `end`, `quiet`)."""
    return element("text", content, x=x, y=y, class_=class_)


def line(start: tuple[Number, Number], end: tuple[Number, Number], class_: str) -> Markup:
    """A straight line, as a path: it is half as long to write as `<line>`."""
    return path([start, end], class_)


def path(points: Iterable[tuple[Number, Number]], class_: str, *, closed: bool = False) -> Markup:
    """A line through points, closed to an area when it says so."""
    drawn = "L".join(f"{short(x)} {short(y)}" for x, y in points)
    return element("path", d=f"M{drawn}{'z' if closed else ''}", class_=class_)


def box(x: Number, y: Number, width: Number, height: Number, *, class_: str, title: str = "") -> Markup:
    """A rectangle; `title` is what a pointer that rests on it is told."""
    told = element("title", title) if title else Markup("")
    return element("rect", told, x=x, y=y, width=max(width, 0), height=max(height, 0), class_=class_)


def hatching(x: float, y: float, width: float, height: float, *, gap: float = 7) -> Markup:
    """Diagonal lines over a rectangle, clipped by arithmetic: a pattern would need an id that no other chart has."""
    strokes = []
    if width <= 0:
        return Markup("")
    for number in range(1, math.ceil((width + height) / gap)):
        reach = number * gap
        low = (x + max(0.0, reach - height), y + min(height, reach))
        high = (x + min(width, reach), y + max(0.0, reach - width))
        strokes.append(f"M{short(low[0])} {short(low[1])}L{short(high[0])} {short(high[1])}")
    return element("path", d="".join(strokes), class_="hatch") if strokes else Markup("")


def chart(
    width: int, height: int, content: Iterable[str], *, kind: str, title: str, desc: str, scrolls: bool = False
) -> Markup:
    """The picture with its title and its description in words, for those who do not see it.

    One that `scrolls` keeps its size, and is moved in a box of its own where the screen is narrow.
    """
    kept = width if scrolls else None
    drawn = framed(kind, picture(width, height, content, title=title, desc=desc, kept=kept))
    if not scrolls:
        return drawn
    return element("div", drawn, class_="chart-scroll", tabindex=0, role="group", aria_label=title)


def picture(
    width: int,
    height: int,
    content: Iterable[str],
    *,
    title: str,
    desc: str,
    kept: int | None = None,
    class_: str | None = None,
) -> Markup:
    """The SVG alone; `kept` is a width in pixels that it never gives up."""
    inner = join([element("title", title), element("desc", desc), *content])
    box_ = f"0 0 {width} {height}"
    return element("svg", inner, viewBox=box_, width=kept, role="img", aria_label=title, class_=class_)


def framed(kind: str, *pictures: Markup, data: str | None = None) -> Markup:
    """The box of a chart: it tells `charts.css` how much room there is, and so which of several pictures is shown.

    `data` is JSON from which `charts.js` makes a picture that can be read off.
    """
    return element("div", join(pictures), class_=f"chart chart-{kind}", data_series=data)


def nothing(message: str) -> Markup:
    """What stands in the place of a chart without data."""
    return element("p", message, class_="chart-empty")


def short(value: Number) -> str:
    """A coordinate with at most one decimal: a tenth of a pixel is not seen, but would be sent."""
    rounded = round(float(value), 1)
    return str(int(rounded)) if rounded == int(rounded) else str(rounded)


def sign_class(value: float | None) -> str:
    """The class of a gain, a loss, or neither."""
    if not value:
        return "flat"
    return "gain" if value > 0 else "loss"


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps values from `low` to `high` onto pixels from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        span = self.high - self.low
        share = (value - self.low) / span if span else 0.5
        return self.start + share * (self.end - self.start)


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers from at or below `low` to at or above `high`: steps of 1, 2 or 5 (Heckbert 1990)."""
    if low == high:
        low, high = low - 1, high + 1
    rough = (high - low) / most
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * magnitude for factor in (1, 2, 5, 10) if factor * magnitude >= rough * 0.999999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 10) for number in range(first, last + 1)]


def time_labels(low: float, high: float, most: int = 5) -> list[tuple[float, str]]:
    """Moments (epoch seconds) spread over a span of time, and how each is written (UTC)."""
    span = high - low
    form = next(form for longest, form in LABELS_OF_TIME if span <= longest)
    count = 1 if span <= 0 else most
    moments = [low + span * number / max(count - 1, 1) for number in range(count)]
    labels = [(moment, _moment(moment, form)) for moment in moments]
    return [pair for number, pair in enumerate(labels) if number == 0 or pair[1] != labels[number - 1][1]]


def day_of(moment: float) -> str:
    """The date of a moment, ISO 8601, UTC."""
    return _moment(moment, "%Y-%m-%d")


def thinned(points: Sequence[tuple[float, float]], most: int) -> list[tuple[float, float]]:
    """At most about `most` points that keep every height and depth: the least and the greatest of each stretch."""
    if len(points) <= most:
        return list(points)
    stretch = math.ceil(len(points) * 2 / most)
    kept = [points[0]]
    for start in range(0, len(points), stretch):
        part = points[start : start + stretch]
        kept += sorted({min(part, key=_height), max(part, key=_height)})
    return [*kept, points[-1]]


def _height(point: tuple[float, float]) -> float:
    return point[1]


def _moment(moment: float, form: str) -> str:
    at = datetime.fromtimestamp(moment, tz=timezone.utc)
    return at.strftime(form.replace("%-d", str(at.day)))
