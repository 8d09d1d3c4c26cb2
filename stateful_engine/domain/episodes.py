"""Market episodes: signals that live and die by the same candle belong together and count once."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

from stateful_engine.domain.clock import EPOCH
from stateful_engine.domain.symbols import canonical_symbol
from stateful_engine.domain.timeframes import canonical_timeframe
from stateful_engine.errors import InvalidInputError

_CANONICAL = re.compile(r"([0-9]+)([mHDWM])")
_UNITS = {"m": timedelta(minutes=1), "H": timedelta(hours=1), "D": timedelta(days=1), "W": timedelta(weeks=1)}
_FIRST_MONDAY = EPOCH - timedelta(days=3)


def episode_key(symbol: str, timeframe: str, at: datetime) -> str:
    """`symbol|timeframe|bar` of a signal made at `at`: equal for all signals of one candle.

    Symbol and timeframe are folded to their canonical forms; without a known timeframe the hour is the candle.
    A naive time is refused.
    """
    folded = canonical_timeframe(timeframe) or "1H"
    start = bar_start(at, folded)
    return f"{canonical_symbol(symbol) or symbol}|{folded}|{start.strftime('%Y-%m-%dT%H:%MZ')}"


def bar_start(at: datetime, timeframe: str) -> datetime:
    """When the candle that contains `at` opened, in UTC; weeks open on Monday, months on their first day."""
    if at.tzinfo is None:
        raise InvalidInputError("a naive time has no place on the time line; attach a timezone, for example UTC")
    match = _CANONICAL.fullmatch(timeframe)
    if match is None or int(match.group(1)) < 1:
        raise InvalidInputError(f"{timeframe!r} is no canonical timeframe; use one such as 15m, 1H, 1D")
    count, unit = int(match.group(1)), match.group(2)
    if unit == "M":
        return _month_start(at.astimezone(timezone.utc), count)
    origin = _FIRST_MONDAY if unit == "W" else EPOCH
    return at.astimezone(timezone.utc) - (at - origin) % (_UNITS[unit] * count)


def _month_start(at: datetime, months: int) -> datetime:
    index = (at.year * 12 + at.month - 1) // months * months
    return datetime(index // 12, index % 12 + 1, 1, tzinfo=timezone.utc)
