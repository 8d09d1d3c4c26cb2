"""Candle lengths: many spellings, one canonical form (`1m 5m 15m 30m 1H 4H 1D 1W 1M`), minutes and months apart."""

from __future__ import annotations

import re
from functools import lru_cache

_MAX_TEXT = 24
_MINUTES = frozenset({"m", "min", "mins", "minute", "minutes", "menit", "t"})
_HOURS = frozenset({"h", "hr", "hrs", "hour", "hours", "jam"})
_DAYS = frozenset({"d", "day", "days", "daily", "hari"})
_WEEKS = frozenset({"w", "wk", "week", "weeks", "weekly", "minggu"})
_MONTHS = frozenset({"mn", "mo", "mon", "mth", "month", "months", "monthly", "bulan"})
_WORDS = {"hourly": "1H", "daily": "1D", "weekly": "1W", "monthly": "1M", "harian": "1D", "mingguan": "1W"}
_WHOLE_MONTHS = frozenset({1, 2, 3, 6, 12})
_UNIT_MS = {"m": 60_000, "H": 3_600_000, "D": 86_400_000, "W": 604_800_000, "M": 28 * 86_400_000}
_PREFIXES = ("PERIOD_", "TIMEFRAME_")
_NUMBER_FIRST = re.compile(r"([0-9]{1,5})\s*[-_]?\s*([A-Za-z]*?)(?:utc)?")
_UNIT_FIRST = re.compile(r"([A-Za-z]+)\s*[-_]?\s*([0-9]{0,5})")


def canonical_timeframe(raw: object) -> str | None:
    """Fold a candle length to its canonical form; None for what is not one (`unknown`, `ALL`, `swing`).

    `M15`, `15min` and `"15"` are `15m`; `60`, `1h` and `H1` are `1H`; `1m` is a minute, while `1M`, `1mo` and `MN1`
    are a month. `15M` can only mean minutes, because nobody draws candles of fifteen months.
    """
    if isinstance(raw, str):
        return _from_text(raw) if len(raw) <= _MAX_TEXT else None
    if type(raw) is int and 0 < raw <= 99_999:
        return _in_minutes(raw)
    return None


def candle_milliseconds(timeframe: str | None) -> int | None:
    """How long a candle of a canonical timeframe is, in ms; a month has its least length. None for anything else."""
    count, unit = (timeframe or "")[:-1], (timeframe or "")[-1:]
    if unit not in _UNIT_MS or not count.isdigit():
        return None
    return int(count) * _UNIT_MS[unit]


@lru_cache(maxsize=1024)
def _from_text(raw: str) -> str | None:
    text = raw.strip()
    for prefix in _PREFIXES:
        text = text.removeprefix(prefix)
    if (word := _WORDS.get(text.lower())) is not None:
        return word
    if (match := _NUMBER_FIRST.fullmatch(text)) is not None:
        return _from_parts(int(match.group(1)), match.group(2), unit_first=False)
    if (match := _UNIT_FIRST.fullmatch(text)) is not None:
        return _from_parts(int(match.group(2) or 1), match.group(1), unit_first=True)
    return None


def _from_parts(count: int, unit: str, *, unit_first: bool) -> str | None:
    """Put a count and a unit together; a capital M is minutes before its number (`M15`) and months after (`1M`)."""
    if count <= 0:
        return None
    lower = unit.lower()
    if lower in _MONTHS or (unit == "M" and not unit_first and count in _WHOLE_MONTHS):
        return f"{count}M"
    if lower in _MINUTES or not unit:
        return _in_minutes(count)
    if lower in _HOURS:
        return _in_minutes(count * 60)
    if lower in _DAYS:
        return _in_minutes(count * 1440)
    return f"{count}W" if lower in _WEEKS else None


def _in_minutes(minutes: int) -> str:
    if minutes % 10_080 == 0:
        return f"{minutes // 10_080}W"
    if minutes % 1440 == 0:
        return f"{minutes // 1440}D"
    if minutes % 60 == 0:
        return f"{minutes // 60}H"
    return f"{minutes}m"
