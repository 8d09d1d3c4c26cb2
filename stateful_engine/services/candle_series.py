"""The candles of one market in memory, in columns, and how they are read from what callers hold.

A row is `(ts_ms, open, high, low, close)`, stamped with its open time in milliseconds since the epoch, UTC. Numbers are
taken as milliseconds; datetimes, pandas timestamps and ISO 8601 texts are understood too. A price that is missing or
not finite makes a row count as a missing candle. Descending series are turned round; a time that occurs twice is an
error, because nobody can tell which row is true.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timezone
from itertools import pairwise
from typing import TYPE_CHECKING, Any, overload

from stateful_engine.domain.timeframes import candle_milliseconds
from stateful_engine.errors import InvalidInputError

if TYPE_CHECKING:
    from stateful_engine.domain.barrier_frames import CandleFrame

Row = tuple[float, ...]
Columns = tuple["array[int]", "array[float]", "array[float]", "array[float]", "array[float]"]

TIME_NAMES = ("ts", "timestamp", "open_time", "time", "datetime", "date")
PRICE_NAMES = ("open", "high", "low", "close")


class CandleSeries(Sequence[Row]):
    """Candles of one market, oldest first; a slice is a view on the same columns."""

    __slots__ = ("_columns", "_first", "_frame", "_last", "candle_ms", "name", "timeframe")

    def __init__(
        self,
        columns: Columns,
        *,
        name: str,
        timeframe: str | None = None,
        candle_ms: int | None = None,
        span: tuple[int, int] | None = None,
    ) -> None:
        self._columns = columns
        self._first, self._last = span or (0, len(columns[0]))
        self._frame: CandleFrame | None = None
        self.name = name
        self.timeframe = timeframe
        self.candle_ms = candle_ms or candle_milliseconds(timeframe) or smallest_spacing(columns[0])
        """The length of one candle in ms: what the timeframe says, else the smallest spacing; 0 when neither tells."""

    def __len__(self) -> int:
        return self._last - self._first

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> CandleSeries: ...
    def __getitem__(self, index: int | slice) -> Row | CandleSeries:
        if isinstance(index, slice):
            first, last, _ = index.indices(len(self))
            return self._view(first, max(first, last))
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        at = self._first + index % len(self)
        return tuple(column[at] for column in self._columns)

    def until(self, moment_ms: int) -> CandleSeries:
        """The candles that were complete at this moment."""
        times = self._columns[0]
        last = bisect_left(times, moment_ms - self.candle_ms + 1, self._first, self._last)
        return self._view(0, last - self._first)

    def frame(self) -> CandleFrame:
        """The candles made ready for thousands of signals; needs numpy."""
        if self._frame is None:
            import numpy as np

            from stateful_engine.domain.barrier_frames import prepare_candles

            times, opens, highs, lows, closes = (np.asarray(c)[self._first : self._last] for c in self._columns)
            length = self.candle_ms or None
            self._frame = prepare_candles(times, opens, highs=highs, lows=lows, closes=closes, candle_ms=length)
        return self._frame

    def _view(self, first: int, last: int) -> CandleSeries:
        span = (self._first + first, self._first + last)
        return CandleSeries(
            self._columns, name=self.name, timeframe=self.timeframe, candle_ms=self.candle_ms, span=span
        )


def smallest_spacing(times: Sequence[int]) -> int:
    """The candle length in ms as the series shows it, 0 for fewer than two candles."""
    return min((later - earlier for earlier, later in pairwise(times)), default=0)


def series_of(table: Any, *, name: str, timeframe: str | None = None) -> CandleSeries:
    """Candles from a DataFrame, a mapping of columns, or a sequence of rows that are sequences or mappings.

    Raises `InvalidInputError` for missing columns, for what is no number or time, and for times that occur twice.
    """
    if isinstance(table, CandleSeries):
        return table
    if is_frame(table):
        return _series(_frame_columns(table, name), name, timeframe)
    if isinstance(table, Mapping):
        return _series(_named(table, name), name, timeframe)
    return series_of_rows(table, name=name, timeframe=timeframe)


def series_of_rows(rows: Iterable[Any], *, name: str, timeframe: str | None = None) -> CandleSeries:
    """Candles from rows `(ts, open, high, low, close, …)` or `{"ts": …, "open": …}`."""
    columns = _empty_columns()
    for number, row in enumerate(rows, start=1):
        try:
            add_row(columns, _cells(row))
        except (KeyError, IndexError, TypeError, ValueError, OverflowError):
            raise InvalidInputError(
                f"row {number} of the candles {name!r} is no candle; give (ts_ms, open, high, low, close)"
            ) from None
    return in_order(columns, name=name, timeframe=timeframe)


def in_order(columns: Columns, *, name: str, timeframe: str | None = None) -> CandleSeries:
    """A series of these columns, sorted by time; a time that occurs twice raises `InvalidInputError`."""
    times = columns[0]
    if smallest_spacing(times) < 0:
        order = sorted(range(len(times)), key=times.__getitem__)
        columns = _reordered(columns, order)
    if len(times) > 1 and smallest_spacing(columns[0]) == 0:
        raise InvalidInputError(f"a time occurs twice in the candles {name!r}; drop the repeated rows")
    return CandleSeries(columns, name=name, timeframe=timeframe)


def add_row(columns: Columns, cells: Sequence[Any]) -> None:
    """Append one candle given as `(ts, open, high, low, close)`, all of it or nothing."""
    moment, *prices = epoch_ms(cells[0]), *map(_price, cells[1:5])
    if len(prices) != len(PRICE_NAMES):
        raise IndexError(len(prices))
    columns[0].append(moment)
    for column, price in zip(columns[1:], prices, strict=True):
        column.append(price)


def epoch_ms(value: Any) -> int:
    """A time in ms since the epoch: numbers are ms already, datetimes without a zone and texts are UTC."""
    if isinstance(value, datetime):
        moment = value if value.tzinfo is not None else value.replace(tzinfo=timezone.utc)
        return round(moment.timestamp() * 1000)
    if isinstance(value, str) and not value.strip().lstrip("-").replace(".", "", 1).isdigit():
        return epoch_ms(datetime.fromisoformat(value.strip().replace("Z", "+00:00")))
    if isinstance(value, bool):
        raise TypeError("no time")
    return int(value) if not isinstance(value, str) else int(float(value)) if "." in value else int(value)


def is_frame(table: Any) -> bool:
    """Whether this is a DataFrame, told without importing pandas."""
    return hasattr(table, "columns") and hasattr(table, "itertuples")


def find_column(names: Iterable[Any], wanted: Iterable[str]) -> Any | None:
    """The first of the wanted column names that is there, in any case."""
    known = {str(name).lower(): name for name in names}
    return next((known[name] for name in wanted if name in known), None)


def _empty_columns() -> Columns:
    return (array("q"), array("d"), array("d"), array("d"), array("d"))


def _cells(row: Any) -> Sequence[Any]:
    if not isinstance(row, Mapping):
        return list(row)
    moment = find_column(row, TIME_NAMES)
    return [row[moment], *(row[find_column(row, (name,))] for name in PRICE_NAMES)]


def _price(value: Any) -> float:
    if value is None or value == "":
        return math.nan
    if isinstance(value, bool):
        raise TypeError("no price")
    return float(value)


def _frame_columns(frame: Any, name: str) -> dict[str, Iterable[Any]]:
    """The columns of a DataFrame as plain lists; a DatetimeIndex serves where there is no column of times."""
    moment = find_column(frame.columns, TIME_NAMES)
    if moment is None and not hasattr(frame.index, "tz_localize"):
        raise _no_column(TIME_NAMES[0], name)
    times = frame.index if moment is None else frame[moment]
    found: dict[str, Iterable[Any]] = {TIME_NAMES[0]: times.tolist()}
    for price in PRICE_NAMES:
        column = find_column(frame.columns, (price,))
        if column is None:
            raise _no_column(price, name)
        found[price] = frame[column].tolist()
    return found


def _named(table: Mapping[Any, Any], name: str) -> dict[str, Iterable[Any]]:
    moment = find_column(table, TIME_NAMES)
    found = {TIME_NAMES[0]: moment, **{price: find_column(table, (price,)) for price in PRICE_NAMES}}
    for wanted, column in found.items():
        if column is None:
            raise _no_column(wanted, name)
    return {wanted: table[column] for wanted, column in found.items()}


def _series(columns: Mapping[str, Iterable[Any]], name: str, timeframe: str | None) -> CandleSeries:
    rows = zip(*(columns[wanted] for wanted in (TIME_NAMES[0], *PRICE_NAMES)), strict=True)
    try:
        return series_of_rows(rows, name=name, timeframe=timeframe)
    except ValueError:
        raise InvalidInputError(f"the columns of the candles {name!r} differ in length; give one cell each") from None


def _reordered(columns: Columns, order: Sequence[int]) -> Columns:
    moved: Callable[[Any], Any] = lambda column: array(column.typecode, [column[at] for at in order])  # noqa: E731
    return (moved(columns[0]), moved(columns[1]), moved(columns[2]), moved(columns[3]), moved(columns[4]))


def _no_column(wanted: str, name: str) -> InvalidInputError:
    return InvalidInputError(
        f"the candles {name!r} have no column {wanted!r}; give ts (ms since the epoch, UTC), open, high, low, close"
    )
