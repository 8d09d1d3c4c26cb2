"""How numbers are written on a page: what is not known is a dash, never 0 and never NaN."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from typing import Any

from markupsafe import Markup, escape

UNKNOWN = "–"
MINUS = "−"
LONGEST_JSON = 300
LONGEST_EXCERPT = 400


def number(value: Any, digits: int = 2) -> str:
    """A number with at most `digits` decimals and no more than it has: `1,234.5`."""
    if not _is_known(value):
        return UNKNOWN
    if isinstance(value, int):
        return _minus(f"{value:,}")
    text = f"{round(value, digits) + 0:,.{digits}f}"
    return _minus(text.rstrip("0").rstrip(".") if "." in text else text)


def signed(value: Any, digits: int = 2) -> str:
    """A number that always has its sign; 0 has none."""
    text = number(value, digits)
    return f"+{text}" if _is_known(value) and value > 0 and text != "0" else text


def percent(value: Any, digits: int = 2) -> str:
    """A number that is in percent already."""
    return f"{number(value, digits)} %" if _is_known(value) else UNKNOWN


def interval(bounds: Any, unit: str = "") -> str:
    """Both ends of an interval."""
    if not bounds:
        return UNKNOWN
    low, high = bounds
    return f"{number(low)} to {number(high)}{unit}"


def r(value: Any) -> str:
    """An amount of R, the risk of a trade, with its sign."""
    return f"{signed(value)} R" if _is_known(value) else UNKNOWN


def price(value: Any) -> str:
    """A price with as many digits as it has, at most ten that count."""
    if not _is_known(value):
        return UNKNOWN
    return number(value, 10) if abs(value) >= 1 else _minus(f"{Decimal(f'{value:.10g}'):f}")


def moment(value: Any) -> Markup | str:
    """A time in UTC to the minute, from ISO 8601 text; the whole of it for machines."""
    if not value:
        return UNKNOWN
    text = str(value)
    return Markup('<time datetime="{}">{}</time>').format(text, text[:16].replace("T", " "))


def duration(seconds: Any) -> str:
    """A span of time in the unit that fits it."""
    if not _is_known(seconds):
        return UNKNOWN
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if abs(seconds) >= size:
            return f"{number(seconds / size, 1)} {unit}"
    return f"{number(float(seconds), 1)} s"


def text(value: Any) -> Markup | str:
    """Any text; nothing is a dash."""
    return UNKNOWN if value is None or value == "" else escape(value)


def yes_no(value: Any) -> str:
    """A flag in words; not known is a dash."""
    return UNKNOWN if value is None else "yes" if value else "no"


def outcome(value: Any) -> Markup | str:
    """How a signal ended: a word that has a colour, too."""
    looks = {"WIN": "good", "LOSS": "bad"}.get(str(value))
    return Markup('<span class="{}">{}</span>').format(looks, value) if looks else text(value)


def cost(value: Any) -> str:
    """US dollars with six decimals at most; single answers of a model cost far less than a cent."""
    return number(float(value), 6) if _is_known(value) else UNKNOWN


def size(value: Any) -> str:
    """Bytes in the unit that fits them."""
    if not _is_known(value):
        return UNKNOWN
    for unit, width in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if value >= width:
            return f"{number(value / width, 1)} {unit}"
    return f"{number(value)} B"


def compact(value: Any) -> Markup | str:
    """Whatever was recorded as JSON, on one line and not without end."""
    if value is None or value == {}:
        return UNKNOWN
    written = json.dumps(value, ensure_ascii=False)
    return escape(written if len(written) <= LONGEST_JSON else f"{written[:LONGEST_JSON]}…")


def excerpt(value: Any, most: int = LONGEST_EXCERPT) -> Markup | str:
    """The beginning of a text that may be of any length; files and the API have the whole of it."""
    whole = "" if value is None else str(value)
    return text(whole if len(whole) <= most else f"{whole[:most]}…")


def _is_known(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _minus(text: str) -> str:
    return text.replace("-", MINUS)
