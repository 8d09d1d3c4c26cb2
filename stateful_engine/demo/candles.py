"""Candles for the demo host: from a folder of CSV files, or a made-up market that says so."""

from __future__ import annotations

import csv
import gzip
import io
import math
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path

from stateful_engine.domain import clock
from stateful_engine.domain.symbols import canonical_symbol
from stateful_engine.domain.timeframes import canonical_timeframe

SYNTHETIC = "synthetic"
DEFAULT_COUNT = 300
MOST_FETCHED = 10_000
COLUMNS = ("ts", "open", "high", "low", "close", "volume")
UNIT_SECONDS = {"m": 60, "H": 3600, "D": 86_400, "W": 604_800}


class UnknownMarketError(LookupError):
    """There are no candles for this symbol and timeframe; the message lists what there is."""


@dataclass(frozen=True, slots=True)
class Candle:
    """One candle; `opened_ms` is when it opened, in milliseconds since the epoch (UTC)."""

    opened_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float


@dataclass(frozen=True, slots=True)
class Series:
    """Closed candles of one market, oldest first; `origin` is a file name or `synthetic`."""

    symbol: str
    timeframe: str
    candles: tuple[Candle, ...]
    origin: str

    @property
    def seconds(self) -> int:
        """The length of one candle."""
        return seconds_of(self.timeframe)

    @property
    def closed_at(self) -> datetime:
        """When the last candle closed."""
        return clock.from_epoch_us(self.candles[-1].opened_ms * 1000) + timedelta(seconds=self.seconds)

    def until(self, end: int, *, count: int = DEFAULT_COUNT) -> Series:
        """The `count` candles before index `end`: what was known at that time."""
        return Series(self.symbol, self.timeframe, self.candles[max(0, end - count) : end], self.origin)


def seconds_of(timeframe: str) -> int:
    """The length of a canonical timeframe up to a week (`15m`, `1H`, `1D`); raises `UnknownMarketError` for others."""
    count, unit = timeframe[:-1], timeframe[-1:]
    if unit not in UNIT_SECONDS or not count.isdigit():
        raise UnknownMarketError(f"no candles are drawn for {timeframe!r}; ask for one of {', '.join(_TIMEFRAMES)}")
    return int(count) * UNIT_SECONDS[unit]


# Where candles come from


class CandleStore:
    """All markets of the demo: those of a folder with files like `BTCUSDT-1H.csv.gz`, else a synthetic set.

    A file has the columns `ts` (milliseconds since the epoch, when the candle opened), open, high, low, close and
    volume. A folder without such a file raises `FileNotFoundError`.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        self._files = _files_in(Path(folder)) if folder else {}

    @property
    def markets(self) -> dict[str, tuple[str, ...]]:
        """The timeframes there are, by symbol."""
        if not self._files:
            return dict.fromkeys(_BASE_PRICES, _TIMEFRAMES)
        return {
            symbol: tuple(sorted({own for name, own in self._files if name == symbol}, key=seconds_of))
            for symbol, _ in self._files
        }

    def series(self, symbol: str, timeframe: str, *, count: int = DEFAULT_COUNT) -> Series:
        """The last `count` closed candles of a market; raises `UnknownMarketError` where there are none."""
        market = self.find(symbol, timeframe)
        if not self._files:
            return synthetic_series(*market, count=count)
        file = self._files[market]
        return Series(*market, _read(file, file.stat().st_mtime_ns)[-count:], file.name)

    def fetch(self, symbol: str, timeframe: str, start: datetime, end: datetime) -> list[tuple[float, ...]] | None:
        """The closed candles of a market from `start` to before `end`, as `STATEFUL_CANDLES` takes a function."""
        if timeframe not in self.markets.get(symbol, ()):
            return None
        seconds = seconds_of(timeframe)
        count = min(max(math.ceil((clock.now() - start).total_seconds() / seconds), 1), MOST_FETCHED)
        rows = self.series(symbol, timeframe, count=count).candles
        span = start.timestamp() * 1000, end.timestamp() * 1000
        return [(c.opened_ms, c.open, c.high, c.low, c.close) for c in rows if span[0] <= c.opened_ms < span[1]]

    def find(self, symbol: str, timeframe: str) -> tuple[str, str]:
        """The canonical names of a market that exists; any usual spelling will do (`BTC/USDT`, `1h`, `H1`)."""
        found = (canonical_symbol(symbol) or "", canonical_timeframe(timeframe) or "")
        if found[1] in self.markets.get(found[0], ()):
            return found
        known = "; ".join(f"{name} ({', '.join(frames)})" for name, frames in self.markets.items())
        raise UnknownMarketError(f"no candles for symbol {symbol!r} at timeframe {timeframe!r}; there are: {known}")

    def higher(self, symbol: str, timeframe: str) -> str | None:
        """The next longer timeframe of a market, None when there is none."""
        longer = [own for own in self.markets[symbol] if seconds_of(own) > seconds_of(timeframe)]
        return longer[0] if longer else None


def _files_in(folder: Path) -> dict[tuple[str, str], Path]:
    found: dict[tuple[str, str], Path] = {}
    for file in sorted([*folder.glob("*-*.csv"), *folder.glob("*-*.csv.gz")]):
        symbol, _, timeframe = re.sub(r"\.csv(\.gz)?$", "", file.name).rpartition("-")
        market = (canonical_symbol(symbol), canonical_timeframe(timeframe))
        if market[0] and market[1] and market[1][-1] in UNIT_SECONDS:
            found[market[0], market[1]] = file
    if not found:
        raise FileNotFoundError(f"no candles in {folder}; put files named like BTCUSDT-1H.csv.gz there")
    return found


@lru_cache(maxsize=32)
def _read(file: Path, _changed: int) -> tuple[Candle, ...]:
    """All candles of a file, read again when it changes."""
    content = file.read_bytes()
    text = (gzip.decompress(content) if file.suffix == ".gz" else content).decode("utf-8")
    return tuple(_candles(file.name, io.StringIO(text, newline="")))


def _candles(name: str, lines: io.StringIO) -> Iterator[Candle]:
    reader = csv.DictReader(lines)
    if not set(COLUMNS) <= set(reader.fieldnames or ()):
        raise ValueError(f"{name} lacks columns; its first line must be {','.join(COLUMNS)}")
    for row in reader:
        try:
            yield Candle(int(row["ts"]), *(_finite(row[column]) for column in COLUMNS[1:]))
        except (TypeError, ValueError):
            raise ValueError(f"line {reader.line_num} of {name} is not a candle; correct or remove it") from None


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


# A made-up market

_TIMEFRAMES = ("15m", "1H", "4H", "1D")
_BASE_PRICES = {"BTCUSDT": 45_000.0, "ETHUSDT": 2_500.0, "SOLUSDT": 140.0, "XAUUSD": 2_350.0}
_DAILY_MOVE = 0.02
_LONGEST_WAVE = 48 * 86_400.0
_WAVES = 12
_SAMPLES = 4
SEED = 20


def synthetic_series(
    symbol: str, timeframe: str, *, count: int = DEFAULT_COUNT, seed: int = SEED, end: datetime | None = None
) -> Series:
    """The last `count` candles before `end` (default: now) of a made-up market; the same for every caller.

    The price is a sum of waves whose height grows with the root of their length, as the moves of a random walk do,
    so it can be computed for any moment and all timeframes show the same market.
    """
    seconds = seconds_of(timeframe)
    last = int((end or clock.now()).timestamp()) // seconds
    candles = tuple(_synthetic_candle(symbol, seed, index * seconds, seconds) for index in range(last - count, last))
    return Series(symbol, timeframe, candles, SYNTHETIC)


@lru_cache(maxsize=20_000)
def _synthetic_candle(symbol: str, seed: int, opened: int, seconds: int) -> Candle:
    prices = [_synthetic_price(symbol, seed, opened + seconds * step / _SAMPLES) for step in range(_SAMPLES + 1)]
    move = (max(prices) - min(prices)) / prices[0]
    volume = round(seconds / 36 * (1 + 100 * move), 3)
    return Candle(opened * 1000, prices[0], max(prices), min(prices), prices[-1], volume)


def _synthetic_price(symbol: str, seed: int, moment: float) -> float:
    rise = 0.0
    for height, pace, shift in _waves(symbol, seed):
        rise += height * math.sin(moment * pace + shift)
    return rounded(_BASE_PRICES[symbol] * math.exp(rise))


@lru_cache(maxsize=16)
def _waves(symbol: str, seed: int) -> tuple[tuple[float, float, float], ...]:
    """Height, pace and shift of each wave; every next one is about half as long."""
    dice = random.Random(f"{seed} {symbol}")
    lengths = [_LONGEST_WAVE / 1.93**step for step in range(_WAVES)]
    return tuple(
        (_DAILY_MOVE / 2 * math.sqrt(length / 86_400), math.tau / length, dice.uniform(0, math.tau))
        for length in lengths
    )


def rounded(price: float) -> float:
    """A price with seven significant digits, as exchanges quote."""
    return float(f"{price:.7g}")
