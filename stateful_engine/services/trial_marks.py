"""What the signals of an experiment that were still open at their horizon were worth then.

From candles: the price of the first barrier that was touched before the horizon, else the last price known at the
horizon. Nobody has to resolve outcomes first. A price is known when the candles reach the horizon; after the end of a
series nothing is made up.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import isfinite
from typing import Any

from stateful_engine.domain import clock
from stateful_engine.domain.vocabulary import ExitReason
from stateful_engine.errors import StatefulEngineError
from stateful_engine.logging import logger
from stateful_engine.services.candle_series import CandleSeries
from stateful_engine.services.candles import CandleSource, GivenCandles, Market, candle_source
from stateful_engine.services.outcomes import resolve_many

LONGEST_PAUSE = timedelta(days=5)
"""How long a market may be closed between two candles for the price before to be the price: weekends and holidays."""

BARRIERS = frozenset({ExitReason.TP, ExitReason.SL})


@dataclass(frozen=True, slots=True)
class OpenTrade:
    """A signal that had not ended at the moment when its result counts, `due`."""

    signal_id: str
    symbol: str | None
    timeframe: str | None
    side: str
    entry_price: float | None
    stop_loss: float | None
    take_profit: float | None
    created_at: datetime
    due: datetime

    @property
    def market(self) -> Market:
        """Whose candles tell."""
        return Market(self.symbol, self.timeframe)


Valuation = Callable[[Sequence[OpenTrade]], Sequence["float | None"]]
"""The price at which each trade stood when it was due, None where that is not known."""

Mark = Callable[[str, datetime], "float | None"]
"""The last price of a symbol at or before a moment, or None when it is not known."""

StopMoves = Callable[[Sequence[str]], Mapping[str, Sequence[tuple[datetime, float]]]]
"""The stops that were moved, by signal id."""


def unknown(trades: Sequence[OpenTrade]) -> list[float | None]:
    """The valuation of whoever has no prices."""
    return [None] * len(trades)


def marked_by(mark: Mark) -> Valuation:
    """The valuation by a function that knows prices."""
    return lambda trades: [None if trade.symbol is None else mark(trade.symbol, trade.due) for trade in trades]


class CandleMarks:
    """The valuation by candles, as `candles.candle_source` takes them; raises `ConfigurationError` for no folder.

    A market whose candles cannot be read is logged and left unknown: results must not fail for a broken file.
    """

    def __init__(self, candles: Any, stop_moves: StopMoves) -> None:
        self._source: CandleSource = candle_source(candles)
        self._stop_moves = stop_moves

    def __call__(self, trades: Sequence[OpenTrade]) -> list[float | None]:
        places: dict[Market, list[int]] = {}
        for place, trade in enumerate(trades):
            places.setdefault(trade.market, []).append(place)
        found: list[float | None] = [None] * len(trades)
        for market in sorted(places, key=lambda market: (market.symbol or "", market.timeframe or "")):
            prices = self._of_market(market, [trades[place] for place in places[market]])
            for place, price in zip(places[market], prices, strict=True):
                found[place] = price
        return found

    def _of_market(self, market: Market, trades: Sequence[OpenTrade]) -> Sequence[float | None]:
        try:
            series = self._series(market, trades)
            if series is None:
                return unknown(trades)
            touched = self._touched(trades, series)
        except StatefulEngineError as error:
            logger.warning("open signals of %s cannot be valued: %s", market.symbol, error.message)
            return unknown(trades)
        closes = _Closes(series)
        return [
            (touched.get(trade.signal_id) or closes.at(trade.due)) if closes.know_the_start_of(trade) else None
            for trade in trades
        ]

    def _series(self, market: Market, trades: Sequence[OpenTrade]) -> CandleSeries | None:
        """The shortest candles of the market, which tell the most."""
        if market.symbol is None:
            return None
        window = min(trade.created_at for trade in trades), max(trade.due for trade in trades)
        return self._source.series(Market(market.symbol, None), window) or self._source.series(market, window)

    def _touched(self, trades: Sequence[OpenTrade], series: CandleSeries) -> dict[str, float]:
        """The exit prices of the trades whose stop loss or take profit was touched before they were due."""
        moves = self._stop_moves([trade.signal_id for trade in trades])
        rows = [_row(trade, moves.get(trade.signal_id, ())) for trade in trades]
        found: dict[str, float] = {}
        for trade, ended in zip(trades, resolve_many(rows, GivenCandles({Market(None, None): series})), strict=True):
            if ended.exit_reason in BARRIERS and ended.exit_price is not None:
                complete_us = (ended.exit_time + series.candle_ms) * 1000
                if complete_us <= clock.to_epoch_us(trade.due):
                    found[trade.signal_id] = ended.exit_price
        return found


class _Closes:
    """The closing prices of a series by the moment they were known."""

    def __init__(self, series: CandleSeries) -> None:
        rows = [row for row in series if isfinite(row[4])]
        self._length_ms = series.candle_ms
        self._times = array("q", (int(row[0]) for row in rows))
        self._closes = array("d", (row[4] for row in rows))

    def know_the_start_of(self, trade: OpenTrade) -> bool:
        """Whether the series was there when the trade began: a stop may have been touched before its first candle."""
        begun = trade.created_at + 2 * timedelta(milliseconds=self._length_ms)
        return self.at(min(begun, trade.due)) is not None

    def at(self, moment: datetime) -> float | None:
        """The last close at or before a moment; None before the first candle and after the end of the series."""
        now_ms = clock.to_epoch_us(moment) // 1000
        place = bisect_right(self._times, now_ms - self._length_ms) - 1
        if place < 0:
            return None
        age_ms = now_ms - self._times[place] - self._length_ms
        is_last = place == len(self._times) - 1
        pause_ms = 0 if is_last else LONGEST_PAUSE // timedelta(milliseconds=1)
        return self._closes[place] if age_ms <= max(self._length_ms, pause_ms) else None


def _row(trade: OpenTrade, moves: Sequence[tuple[datetime, float]]) -> dict[str, Any]:
    return {
        "side": trade.side,
        "entry_price": trade.entry_price,
        "stop_loss": trade.stop_loss,
        "take_profit": trade.take_profit,
        "signal_time": trade.created_at,
        "expiry": trade.due,
        "stop_moves": moves,
    }
