"""Where the demo's candles come from: files that are named for their market, or a made-up market that says so."""

from __future__ import annotations

import gzip
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path

import pytest

from stateful_engine.demo.candles import CandleStore, UnknownMarketError, synthetic_series
from tests.factories import FakeClock, shared_folder

HEAD = "ts,open,high,low,close,volume\n"
ROWS = "1735689600000,1,2,0.5,1.5,10\n1735693200000,1.5,3,1,2,20\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "ETH_BTC-1h.csv.gz").write_bytes(gzip.compress((HEAD + ROWS).encode()))
    (tmp_path / "ETH_BTC-15m.csv").write_text(HEAD + ROWS)
    (tmp_path / "notes.txt").write_text("not a market")
    (tmp_path / "BTCUSDT-someday.csv").write_text(HEAD)
    return tmp_path


def test_files_are_found_by_the_usual_spellings_of_their_market(folder: Path) -> None:
    store = CandleStore(folder)
    assert store.markets == {"ETHBTC": ("15m", "1H")}
    for symbol, timeframe in (("ETH/BTC", "1H"), ("ethbtc", "H1"), ("ETH_BTC", "60")):
        series = store.series(symbol, timeframe)
        assert (series.symbol, series.timeframe, series.origin) == ("ETHBTC", "1H", "ETH_BTC-1h.csv.gz")


def test_a_file_gives_its_last_closed_candles(folder: Path) -> None:
    series = CandleStore(folder).series("ETHBTC", "1H", count=1)
    (candle,) = series.candles
    assert (candle.open, candle.high, candle.low, candle.close, candle.volume) == (1.5, 3.0, 1.0, 2.0, 20.0)
    assert series.closed_at == datetime(2025, 1, 1, 2, tzinfo=timezone.utc)


def test_the_next_longer_timeframe_is_found_where_there_is_one(folder: Path) -> None:
    store = CandleStore(folder)
    assert store.higher("ETHBTC", "15m") == "1H"
    assert store.higher("ETHBTC", "1H") is None


@pytest.mark.parametrize(("symbol", "timeframe"), [("DOGE", "1H"), ("ETHBTC", "4H"), ("", ""), ("ETHBTC", "soon")])
def test_an_unknown_market_is_answered_with_those_there_are(folder: Path, symbol: str, timeframe: str) -> None:
    with pytest.raises(UnknownMarketError, match=r"there are: ETHBTC \(15m, 1H\)"):
        CandleStore(folder).series(symbol, timeframe)


def test_a_folder_without_candles_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"named like BTCUSDT-1H\.csv\.gz"):
        CandleStore(tmp_path)


@pytest.mark.parametrize("row", ["1735689600000,1,2\n", "soon,1,2,1,1,1\n", "1735689600000,1,nan,1,1,1\n"])
def test_a_bad_line_is_named(tmp_path: Path, row: str) -> None:
    (tmp_path / "BTCUSDT-1H.csv").write_text(HEAD + ROWS + row)
    with pytest.raises(ValueError, match=r"line 4 of BTCUSDT-1H\.csv is not a candle"):
        CandleStore(tmp_path).series("BTCUSDT", "1H")


def test_a_file_without_the_columns_is_named(tmp_path: Path) -> None:
    (tmp_path / "BTCUSDT-1H.csv").write_text("time,price\n1,2\n")
    with pytest.raises(ValueError, match=r"BTCUSDT-1H\.csv lacks columns"):
        CandleStore(tmp_path).series("BTCUSDT", "1H")


def test_a_changed_file_is_read_again(folder: Path) -> None:
    store = CandleStore(folder)
    assert len(store.series("ETHBTC", "15m").candles) == 2
    (folder / "ETH_BTC-15m.csv").write_text(HEAD + ROWS + "1735696800000,2,2,2,2,5\n")
    assert len(store.series("ETHBTC", "15m").candles) == 3


def test_without_a_folder_the_market_is_made_up_and_says_so(clock: FakeClock) -> None:
    series = CandleStore().series("BTC-USDT", "1h", count=100)
    assert series.origin == "synthetic"
    assert len(series.candles) == 100
    assert series.closed_at == datetime(2026, 3, 14, 9, tzinfo=timezone.utc)


def test_the_made_up_market_is_the_same_for_every_caller_and_goes_on_with_time(clock: FakeClock) -> None:
    before = synthetic_series("ETHUSDT", "1H", count=50)
    assert synthetic_series("ETHUSDT", "1H", count=50) == before
    clock.advance(hours=3)
    assert synthetic_series("ETHUSDT", "1H", count=50).candles[:-3] == before.candles[3:]
    assert synthetic_series("ETHUSDT", "1H", count=50, seed=1).candles != before.candles


@pytest.mark.parametrize("symbol", list(CandleStore().markets))
def test_made_up_candles_are_candles_and_move_like_a_market(symbol: str, clock: FakeClock) -> None:
    series = synthetic_series(symbol, "1H", count=24 * 60)
    for before, candle in pairwise(series.candles):
        assert candle.low <= min(candle.open, candle.close) <= max(candle.open, candle.close) <= candle.high
        assert candle.low > 0
        assert candle.open == before.close
        assert candle.opened_ms - before.opened_ms == timedelta(hours=1) // timedelta(milliseconds=1)
    days = [candle.close for candle in series.candles[::24]]
    changes = [abs(later / earlier - 1) for earlier, later in pairwise(days)]
    assert 0.002 < sum(changes) / len(changes) < 0.08


def test_all_timeframes_show_the_same_made_up_market(clock: FakeClock) -> None:
    hours = synthetic_series("SOLUSDT", "1H", count=9).candles
    (day,) = synthetic_series("SOLUSDT", "1D", count=1, end=datetime(2026, 3, 14, tzinfo=timezone.utc)).candles
    assert hours[0].open == day.close


def test_every_shared_file_can_be_served() -> None:
    folder = shared_folder("candles")
    store = CandleStore(folder)
    for symbol, timeframes in store.markets.items():
        for timeframe in timeframes:
            assert store.series(symbol, timeframe, count=5).candles


def test_the_engine_is_given_the_closed_candles_of_a_window(clock: FakeClock) -> None:
    store, now = CandleStore(), clock.now()
    rows = store.fetch("BTCUSDT", "1H", now - timedelta(hours=10), now + timedelta(hours=10))
    assert rows is not None and len(rows) == 9
    assert rows[-1][0] < now.timestamp() * 1000
    first = store.series("BTCUSDT", "1H", count=9).candles[0]
    assert rows[0] == (first.opened_ms, first.open, first.high, first.low, first.close)
    assert store.fetch("DOGEUSDT", "1H", now, now) is None
    assert store.fetch("BTCUSDT", "1H", now + timedelta(days=1), now + timedelta(days=2)) == []
