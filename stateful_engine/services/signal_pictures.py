"""What a picture of a trade shows: the candles around a signal, and the prices that mattered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

from stateful_engine.domain import clock
from stateful_engine.domain.timeframes import candle_milliseconds
from stateful_engine.services import inputs
from stateful_engine.services.candle_series import CandleSeries
from stateful_engine.services.candles import CandleFolder, CandleSource, Market, candle_source

BEFORE, AFTER = 30, 15
"""Candles that are shown before the signal and after its end."""

OPEN_FOR = 60
"""Candles that are shown after a signal that has not ended."""

MOST_CANDLES = 150

UNKNOWN_STEP_MS = 3_600_000
"""How long a candle is taken to be where the signal does not say."""

Row = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class PriceLevel:
    """A price of the trade: `kind` is entry, tp, sl or exit; `at_ms` is when it was reached, in ms since the epoch."""

    kind: str
    price: float
    at_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Picture:
    """Rows `(ts_ms, open, high, low, close)`, oldest first; each holds `merged` candles of the market."""

    rows: Sequence[Row]
    levels: Sequence[PriceLevel]
    title: str
    merged: int = 1


def picture_of(candles: Any, signal: Mapping[str, Any]) -> Picture:
    """The candles of the signal's market around it, from whatever the resolver takes; no rows where there are none.

    A trade of many candles is shown in fewer, each of several that lie side by side.
    """
    levels = tuple(_levels(signal))
    market = Market(signal.get("symbol"), signal.get("timeframe"))
    begin, end = _span(signal)
    step = timedelta(milliseconds=candle_milliseconds(market.timeframe) or UNKNOWN_STEP_MS)
    series = _source(candles).series(market, _window(begin, end, step)) if market.symbol else None
    title = f"Candles of {signal.get('symbol')}"
    if series is None or not series.candle_ms:
        return Picture((), levels, title)
    rows = _around(series, begin, end)
    merged = max(1, -(-len(rows) // MOST_CANDLES))
    more = f", {merged} candles of {series.timeframe or 'the file'} in one" if merged > 1 else ""
    return Picture(tuple(_merged(rows, merged)), levels, f"{title} {series.timeframe or ''}{more}".strip(), merged)


def _source(candles: Any) -> CandleSource:
    """What gives the candles; a folder is kept with the market it read last, until one of its files changes."""
    if not isinstance(candles, Path):
        return candle_source(candles)
    if not candles.is_dir():
        return CandleFolder(candles)
    return _folder(candles, tuple(sorted((file.name, file.stat().st_mtime_ns) for file in candles.iterdir())))


@lru_cache(maxsize=1)
def _folder(path: Path, _state: tuple[tuple[str, int], ...]) -> CandleFolder:
    return CandleFolder(path)


def _levels(signal: Mapping[str, Any]) -> Iterator[PriceLevel]:
    """The prices that are known, in the order in which they are named."""
    moments = {"entry": signal.get("executed_at") or signal.get("created_at"), "exit": signal.get("closed_at")}
    for kind, name in (("entry", "entry_price"), ("tp", "take_profit"), ("sl", "stop_loss"), ("exit", "exit_price")):
        price = signal.get(name)
        if price is not None:
            moment = inputs.moment(moments.get(kind), kind)
            yield PriceLevel(kind, float(price), None if moment is None else _ms(moment))


def _ms(moment: datetime) -> float:
    return moment.timestamp() * 1000


def _span(signal: Mapping[str, Any]) -> tuple[datetime, datetime | None]:
    begin = inputs.moment(signal["created_at"], "created_at") or clock.now()
    end = inputs.moment(signal.get("closed_at"), "closed_at")
    return begin, None if end is None else max(begin, end)


def _window(begin: datetime, end: datetime | None, step: timedelta) -> tuple[datetime, datetime]:
    """From a while before the signal to a while after its end, its `end` exclusive."""
    last = end + AFTER * step if end is not None else begin + OPEN_FOR * step
    return begin - BEFORE * step, last + step


def _around(series: CandleSeries, begin: datetime, end: datetime | None) -> list[Row]:
    """The candles of the window; none where they do not reach the signal."""
    first, last = _window(begin, end, timedelta(milliseconds=series.candle_ms))
    start, stop = len(series.until(int(_ms(first)))), len(series.until(int(_ms(last))))
    shown = list(series[start:stop])
    reaches = bool(shown) and shown[-1][0] >= _ms(begin) - series.candle_ms
    return shown if reaches else []


def _merged(rows: Sequence[Row], count: int) -> Iterator[Row]:
    """Neighbours as one candle: first open, highest high, lowest low, last close."""
    for start in range(0, len(rows), count):
        part = rows[start : start + count]
        yield (part[0][0], part[0][1], max(row[2] for row in part), min(row[3] for row in part), part[-1][4])
