"""Where candles come from: a folder of files, a DataFrame or rows in memory, a callable, or an exchange.

`candle_source(candles)` accepts all of them:

- a folder (path) with files `SYMBOL-TF.csv`, `.csv.gz` or `.parquet`: ts (ms), open, high, low, close, volume;
- a DataFrame, a mapping of columns or rows, for one market, or for several with the columns `symbol` and `timeframe`;
- a mapping `{"BTCUSDT": table}` or `{("BTCUSDT", "1H"): table}`;
- a callable `fetch(symbol, timeframe, start, end)` that returns such a table or None, `start` and `end` in UTC;
- a ccxt exchange (`CcxtCandles`, extra `ccxt`).

A signal is resolved on candles of its own timeframe, else on the longest shorter ones there are; longer ones would hide
what happened before their next open. The shortest series of a symbol tells what came first inside a longer candle.
"""

from __future__ import annotations

import csv
import gzip
import io
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from stateful_engine.domain.symbols import canonical_symbol
from stateful_engine.domain.timeframes import candle_milliseconds, canonical_timeframe
from stateful_engine.errors import ConfigurationError, InvalidInputError, MissingExtraError
from stateful_engine.services.candle_series import (
    PRICE_NAMES,
    TIME_NAMES,
    CandleSeries,
    find_column,
    is_frame,
    series_of,
    series_of_rows,
)

Window = tuple[datetime, datetime]
Fetch = Callable[[str, str, datetime, datetime], Any]

FILE_NAME = re.compile(r"(?P<symbol>.+)-(?P<timeframe>[^-]+?)\.(csv|csv\.gz|parquet)")


class Market(NamedTuple):
    """What candles are of; a symbol or a timeframe that nobody named is None."""

    symbol: str | None
    timeframe: str | None


class CandleSource(ABC):
    """Gives the candles of a market; `None` where it has none."""

    keeps_history = True
    """Whether asking again later gives the earlier candles again; else the resolver notes how far it came."""

    @abstractmethod
    def series(self, market: Market, window: Window) -> CandleSeries | None:
        """The candles on which a signal of this symbol and timeframe is resolved, at least those of the window."""

    def finer(self, market: Market, than: CandleSeries, window: Window) -> CandleSeries | None:  # noqa: ARG002
        """Candles that tell what happened inside those of `than`."""
        return None

    @property
    def symbols(self) -> frozenset[str] | None:
        """The symbols there are candles for; None when that is only known by asking."""
        return None


class GivenCandles(CandleSource):
    """Candles in memory by market; a market without a symbol serves every signal."""

    keeps_history = False

    def __init__(self, markets: Mapping[Market, CandleSeries]) -> None:
        self._markets = dict(markets)

    @property
    def symbols(self) -> frozenset[str] | None:
        return frozenset(symbol for symbol, _ in self._markets if symbol is not None)

    @property
    def is_anonymous(self) -> bool:
        """Whether some candles do not say which symbol they are of."""
        return any(symbol is None for symbol, _ in self._markets)

    def series(self, market: Market, window: Window) -> CandleSeries | None:  # noqa: ARG002
        known = self._of(market.symbol)
        chosen = choose_timeframe(known, market.timeframe)
        return known[chosen[0]] if chosen else None

    def finer(self, market: Market, than: CandleSeries, window: Window) -> CandleSeries | None:  # noqa: ARG002
        return min(
            (series for series in self._of(market.symbol).values() if 0 < series.candle_ms < than.candle_ms),
            key=lambda series: series.candle_ms,
            default=None,
        )

    def _of(self, symbol: str | None) -> dict[str | None, CandleSeries]:
        own = {timeframe: series for (name, timeframe), series in self._markets.items() if name == symbol}
        return own or {timeframe: series for (name, timeframe), series in self._markets.items() if name is None}


class CandleFolder(CandleSource):
    """A folder with files such as `BTCUSDT-1H.csv.gz`; the last market that was asked for stays in memory."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._files = _files_in(Path(folder))
        self._held: dict[Path, CandleSeries] = {}

    @property
    def symbols(self) -> frozenset[str] | None:
        return frozenset(symbol for symbol, _ in self._files)

    def series(self, market: Market, window: Window) -> CandleSeries | None:  # noqa: ARG002
        chosen = choose_timeframe(self._timeframes(market.symbol), market.timeframe)
        return self._read(market.symbol, chosen[0]) if chosen else None

    def finer(self, market: Market, than: CandleSeries, window: Window) -> CandleSeries | None:  # noqa: ARG002
        shorter = [own for own in self._timeframes(market.symbol) if _length(own) < than.candle_ms]
        return self._read(market.symbol, min(shorter, key=_length)) if shorter else None

    def _timeframes(self, symbol: str | None) -> list[str]:
        return [timeframe for name, timeframe in self._files if name == symbol]

    def _read(self, symbol: str | None, timeframe: str | None) -> CandleSeries:
        own = {file for (name, _), file in self._files.items() if name == symbol}
        file = self._files[symbol or "", timeframe or ""]
        self._held = {held: series for held, series in self._held.items() if held in own}
        if file not in self._held:
            self._held[file] = read_candles(file, timeframe=timeframe)
        return self._held[file]


class FetchedCandles(CandleSource):
    """Candles from a callable `fetch(symbol, timeframe, start, end)`; `finer` names the timeframe to drill down to."""

    def __init__(self, fetch: Fetch, *, name: str | None = None, finer: str | None = None) -> None:
        self._fetch = fetch
        self._name = name or str(getattr(fetch, "__name__", type(fetch).__name__))
        self._finer = canonical_timeframe(finer)

    def series(self, market: Market, window: Window) -> CandleSeries | None:
        wanted = market.timeframe or self._finer
        if market.symbol is None or wanted is None:
            return None
        table = self._fetch(market.symbol, wanted, *window)
        if table is None:
            return None
        found = series_of(table, name=self._name, timeframe=wanted)
        return found if len(found) else None

    def finer(self, market: Market, than: CandleSeries, window: Window) -> CandleSeries | None:
        if self._finer is None or _length(self._finer) >= than.candle_ms:
            return None
        return self.series(Market(market.symbol, self._finer), window)


class CcxtCandles(FetchedCandles):
    """Candles of an exchange through ccxt: `CcxtCandles("binance")`, or with an exchange object of your own."""

    PAGE = 1000

    def __init__(self, exchange: Any, *, finer: str | None = None) -> None:
        self._exchange = _exchange(exchange) if isinstance(exchange, str) else exchange
        self._markets: dict[str, str] = {}
        super().__init__(self._ohlcv, name=f"ccxt:{getattr(self._exchange, 'id', 'exchange')}", finer=finer)

    def _ohlcv(self, symbol: str, timeframe: str, start: datetime, end: datetime) -> list[list[float]] | None:
        market = self._market(symbol)
        if market is None:
            return None
        unit = timeframe[-1] if timeframe.endswith("M") else timeframe[-1].lower()
        since, last = round(start.timestamp() * 1000), round(end.timestamp() * 1000)
        rows: list[list[float]] = []
        while since < last:
            page = self._exchange.fetch_ohlcv(market, timeframe[:-1] + unit, since, self.PAGE)
            new = [row for row in page if row[0] >= since]
            if not new:
                break
            rows.extend(row for row in new if row[0] < last)
            since = int(new[-1][0]) + 1
        return rows

    def _market(self, symbol: str) -> str | None:
        """The name that the exchange gives to a canonical symbol; spot comes before derivatives."""
        if not self._markets:
            listed = self._exchange.load_markets()
            for name in sorted(listed, key=lambda name: ":" in name, reverse=True):
                self._markets[canonical_symbol(name) or name] = name
        return self._markets.get(symbol)


def candle_source(candles: Any) -> CandleSource:
    """The source for whatever holds candles; see the module for what is understood."""
    if isinstance(candles, CandleSource):
        return candles
    if isinstance(candles, (str, os.PathLike)):
        return CandleFolder(candles)
    if hasattr(candles, "fetch_ohlcv"):
        return CcxtCandles(candles)
    if callable(candles):
        return FetchedCandles(candles)
    return GivenCandles(dict(_markets_in(candles)))


def choose_timeframe(available: Iterable[str | None], wanted: str | None) -> tuple[str | None] | None:
    """Which of the available timeframes serves a signal, in a 1-tuple; None when none does.

    Its own, else candles that do not say how long they are, else the longest shorter ones; a signal without a
    timeframe takes the shortest.
    """
    known = list(available)
    for exact in (wanted, None):
        if exact in known:
            return (exact,)
    limit = candle_milliseconds(wanted)
    named = [own for own in known if limit is None or _length(own) < limit]
    if not named:
        return None
    return (min(named, key=_length),) if limit is None else (max(named, key=_length),)


def read_candles(file: Path, *, timeframe: str | None = None) -> CandleSeries:
    """The candles of one CSV, gzipped CSV or Parquet file; raises `InvalidInputError` naming the file."""
    if file.suffix == ".parquet":
        return series_of(_parquet(file), name=file.name, timeframe=timeframe)
    opener = gzip.open if file.suffix == ".gz" else open
    try:
        with opener(file, "rb") as stream, io.TextIOWrapper(stream, encoding="utf-8-sig", newline="") as lines:
            return series_of_rows(_csv_rows(lines, file.name), name=file.name, timeframe=timeframe)
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidInputError(f"{file.name} cannot be read ({error}); write it anew") from error


def _csv_rows(lines: Iterable[str], name: str) -> Iterable[list[str]]:
    reader = csv.reader(lines)
    header = next(reader, [])
    wanted = [find_column(header, names) for names in (TIME_NAMES, *((price,) for price in PRICE_NAMES))]
    places = [header.index(column) for column in wanted if column is not None]
    if len(places) < len(wanted):
        raise InvalidInputError(f"{name} lacks columns; its first line must be ts,open,high,low,close,volume")
    return ([row[place] if place < len(row) else "" for place in places] for row in reader if row)


def _parquet(file: Path) -> dict[str, list[Any]]:
    try:
        parquet: Any = import_module("pyarrow.parquet")
    except ImportError as error:
        raise MissingExtraError(
            f"{file.name} needs pyarrow; install the extra: pip install 'stateful_engine[parquet]'"
        ) from error
    columns: dict[str, list[Any]] = parquet.read_table(file).to_pydict()
    return columns


def _files_in(folder: Path) -> dict[tuple[str, str], Path]:
    if not folder.is_dir():
        raise ConfigurationError(f"{folder} is no folder; name one with files such as BTCUSDT-1H.csv.gz")
    found: dict[tuple[str, str], Path] = {}
    for file in sorted(folder.iterdir()):
        match = FILE_NAME.fullmatch(file.name)
        symbol = canonical_symbol(match["symbol"]) if match else None
        timeframe = canonical_timeframe(match["timeframe"]) if match else None
        if symbol is None or timeframe is None:
            continue
        if (symbol, timeframe) in found:
            other = found[symbol, timeframe].name
            raise ConfigurationError(f"{file.name} and {other} are of one market; remove one of them")
        found[symbol, timeframe] = file
    if not found:
        raise ConfigurationError(f"there are no candles in {folder}; put files such as BTCUSDT-1H.csv.gz there")
    return found


def _markets_in(candles: Any) -> Iterable[tuple[Market, CandleSeries]]:
    """The markets of what is held in memory."""
    if is_frame(candles):
        yield from _split(candles, candles.columns, _frame_parts)
    elif isinstance(candles, Mapping) and find_column(candles, ("open",)) is None:
        for key, table in candles.items():
            symbol, timeframe = key if isinstance(key, tuple) else (key, None)
            yield from _market(symbol, timeframe, table)
    elif isinstance(candles, Mapping):
        yield from _market(None, None, candles)
    else:
        rows = list(candles)
        names = rows[0] if rows and isinstance(rows[0], Mapping) else ()
        yield from _split(rows, names, _row_parts)


def _split(
    table: Any, names: Iterable[Any], parts: Callable[[Any, list[Any]], Iterable[tuple[tuple[Any, ...], Any]]]
) -> Iterable[tuple[Market, CandleSeries]]:
    names = list(names)
    symbol, timeframe = find_column(names, ("symbol",)), find_column(names, ("timeframe",))
    keys = [column for column in (symbol, timeframe) if column is not None]
    if not keys:
        yield from _market(None, None, table)
        return
    for values, part in parts(table, keys):
        named = dict(zip(keys, values, strict=True))
        yield from _market(named.get(symbol), named.get(timeframe), part)


def _frame_parts(frame: Any, keys: list[Any]) -> Iterable[tuple[tuple[Any, ...], Any]]:
    for values, part in frame.groupby(keys, sort=False, dropna=False):
        yield values if isinstance(values, tuple) else (values,), part


def _row_parts(rows: list[Mapping[str, Any]], keys: list[str]) -> Iterable[tuple[tuple[Any, ...], Any]]:
    parts: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        parts.setdefault(tuple(row.get(key) for key in keys), []).append(row)
    yield from parts.items()


def _market(symbol: Any, timeframe: Any, table: Any) -> Iterable[tuple[Market, CandleSeries]]:
    name = canonical_symbol(symbol) if symbol is not None else None
    length = canonical_timeframe(timeframe) if timeframe is not None else None
    if (symbol is not None and name is None) or (timeframe is not None and length is None):
        raise InvalidInputError(f"candles are keyed by {symbol!r}, {timeframe!r}; name a symbol and a timeframe as 1H")
    shown = "given" if name is None else f"given:{name}" + (f"-{length}" if length else "")
    yield Market(name, length), series_of(table, name=shown, timeframe=length)


def _exchange(name: str) -> Any:
    try:
        ccxt: Any = import_module("ccxt")
    except ImportError as error:
        raise MissingExtraError(
            "Candles of an exchange need ccxt; install the extra: pip install 'stateful_engine[ccxt]'"
        ) from error
    if name not in ccxt.exchanges:
        raise ConfigurationError(f"ccxt knows no exchange {name!r}; see ccxt.exchanges for their names")
    return getattr(ccxt, name)({"enableRateLimit": True})


def _length(timeframe: str | None) -> int:
    return candle_milliseconds(timeframe) or 0
