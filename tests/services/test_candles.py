"""Candles from wherever they are: files, frames, rows, callables, exchanges; and what is wrong with some of them."""

from __future__ import annotations

import csv
import gzip
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pandas
import pyarrow
import pyarrow.parquet
import pytest

from stateful_engine.errors import ConfigurationError, InvalidInputError, MissingExtraError
from stateful_engine.services.candle_series import CandleSeries, epoch_ms, series_of
from stateful_engine.services.candles import (
    CandleFolder,
    CandleSource,
    CcxtCandles,
    FetchedCandles,
    Market,
    candle_source,
    choose_timeframe,
    read_candles,
)

MINUTE = 60_000
START = datetime(2026, 1, 1, tzinfo=timezone.utc)
START_MS = 1_767_225_600_000
WINDOW = (START, datetime(2026, 2, 1, tzinfo=timezone.utc))
ROWS = [(START_MS + number * MINUTE, 1.0 + number, 2.0 + number, 0.5 + number, 1.5 + number) for number in range(4)]
HEADER = ("ts", "open", "high", "low", "close", "volume")


def write_csv(file: Path, rows: Any = ROWS, header: tuple[str, ...] = HEADER) -> None:
    opener = gzip.open if file.suffix == ".gz" else open
    with opener(file, "wt", newline="") as stream:
        csv.writer(stream).writerows([header, *([*row, 7.0] for row in rows)])


def asked(source: CandleSource, symbol: str | None, timeframe: str | None = None) -> CandleSeries:
    found = source.series(Market(symbol, timeframe), WINDOW)
    assert found is not None
    return found


@pytest.mark.parametrize("name", ["BTC_USDT-1m.csv", "BTC_USDT-1m.csv.gz", "BTC_USDT-1m.parquet"])
def test_a_folder_gives_the_candles_of_a_file_by_its_name(tmp_path: Path, name: str) -> None:
    if name.endswith("parquet"):
        columns = dict(zip(HEADER, [list(column) for column in zip(*ROWS, strict=True)], strict=False))
        pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / name)
    else:
        write_csv(tmp_path / name)
    source = candle_source(tmp_path)
    found = asked(source, "BTCUSDT", "1m")
    assert list(found) == ROWS
    assert (found.name, found.timeframe, found.candle_ms) == (name, "1m", MINUTE)
    assert source.symbols == {"BTCUSDT"}
    assert source.series(Market("ETHUSDT", "1m"), WINDOW) is None


def test_without_the_own_timeframe_the_longest_shorter_one_serves() -> None:
    assert choose_timeframe(["1m", "5m", "1D"], "1H") == ("5m",)
    assert choose_timeframe(["1m", "1H"], "1H") == ("1H",)
    assert choose_timeframe(["1D"], "1H") is None
    assert choose_timeframe(["1D", "4H"], None) == ("4H",)
    assert choose_timeframe([None], "1H") == (None,)
    assert choose_timeframe([], "1H") is None


def test_the_shortest_series_tells_what_happened_inside_a_candle(tmp_path: Path) -> None:
    for timeframe in ("1m", "5m", "1h"):
        write_csv(tmp_path / f"BTCUSDT-{timeframe}.csv", [(START_MS, 1, 2, 0.5, 1)])
    source = CandleFolder(tmp_path)
    hours, minutes = asked(source, "BTCUSDT", "1H"), asked(source, "BTCUSDT", "1m")
    finer = source.finer(Market("BTCUSDT", "1H"), hours, WINDOW)
    assert finer is not None
    assert finer.timeframe == "1m"
    assert source.finer(Market("BTCUSDT", "1m"), minutes, WINDOW) is None


def test_a_folder_that_cannot_serve_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no folder"):
        candle_source(str(tmp_path / "missing"))
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(ConfigurationError, match="no candles in"):
        candle_source(tmp_path)
    write_csv(tmp_path / "BTC_USDT-1m.csv")
    write_csv(tmp_path / "BTCUSDT-1m.csv.gz")
    with pytest.raises(ConfigurationError, match="of one market"):
        candle_source(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "lacks columns"),
        (b"a,b\n1,2\n", "lacks columns"),
        (b"ts,open,high,low,close\n1,2,3,4\nx,1,1,1,1\n", "row 2"),
        (b"ts,open,high,low,close\n1\nx\n", "row 2"),
        (b"ts,open,high,low,close\n1,one,2,1,1\n", "row 1"),
        (b"ts,open,high,low,close\n1,1,1,1,1\n1,2,2,2,2\n", "twice"),
        (b"\xff\xfe\x00", "cannot be read"),
    ],
)
def test_a_file_that_is_broken_is_named_with_the_place(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "BTCUSDT-1m.csv"
    file.write_bytes(content)
    with pytest.raises(InvalidInputError, match=message) as caught:
        read_candles(file)
    assert "BTCUSDT-1m.csv" in caught.value.message


def test_a_cut_off_archive_is_named(tmp_path: Path) -> None:
    file = tmp_path / "BTCUSDT-1m.csv.gz"
    write_csv(file)
    file.write_bytes(file.read_bytes()[:-12])
    with pytest.raises(InvalidInputError, match="cannot be read"):
        read_candles(file)


def test_parquet_without_its_extra_says_which_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(MissingExtraError, match=r"stateful_engine\[parquet\]"):
        read_candles(tmp_path / "BTCUSDT-1m.parquet")


def test_frames_rows_columns_and_mappings_are_all_understood() -> None:
    frame = pandas.DataFrame(ROWS, columns=list(HEADER[:5]))
    indexed = frame.assign(time=pandas.to_datetime(frame.ts, unit="ms", utc=True)).set_index("time").drop(columns="ts")
    capitals = frame.rename(columns=str.upper).rename(columns={"TS": "Timestamp"})
    texts = [(epoch_iso(row[0]), *row[1:]) for row in ROWS]
    dicts = [dict(zip(HEADER, row, strict=False)) for row in ROWS]
    for held in (frame, indexed, capitals, texts, dicts, ROWS, ROWS[::-1], frame.to_dict("list")):
        assert list(asked(candle_source(held), None)) == ROWS
        assert list(asked(candle_source({"BTC/USDT": held}), "BTCUSDT", "1m")) == ROWS
        assert list(asked(candle_source({("BTC/USDT", "M1"): held}), "BTCUSDT", "5m")) == ROWS


def epoch_iso(ms: float) -> str:
    return datetime.fromtimestamp(ms / 1000, timezone.utc).isoformat().replace("+00:00", "Z")


def test_a_table_of_several_markets_is_taken_apart_by_its_columns() -> None:
    frame = pandas.DataFrame(ROWS, columns=list(HEADER[:5]))
    both = pandas.concat(
        [frame.assign(symbol="BTC-USDT", timeframe="1m"), frame.assign(symbol="ETHUSDT", timeframe="5m")]
    )
    for held in (both, both.to_dict("records")):
        source = candle_source(held)
        assert source.symbols == {"BTCUSDT", "ETHUSDT"}
        assert asked(source, "ETHUSDT", "5m").candle_ms == 5 * MINUTE
        assert source.series(Market("ETHUSDT", "1m"), WINDOW) is None


def test_tables_that_hold_no_candles_are_refused() -> None:
    frame = pandas.DataFrame(ROWS, columns=list(HEADER[:5]))
    for broken in (
        frame.drop(columns="low"),
        frame.drop(columns="ts"),
        [(1, 2, 3)],
        [{"ts": 1}],
        [(True, 1, 1, 1, 1)],
        [(1, True, 1, 1, 1)],
        {"ts": [1, 2], "open": [1], "high": [1], "low": [1], "close": [1]},
        {"ts": [1], "open": [1]},
        {("unknown", "1m"): ROWS},
        {("BTCUSDT", "soon"): ROWS},
        [ROWS[0], ROWS[0]],
    ):
        with pytest.raises(InvalidInputError):
            candle_source(broken)


def test_a_missing_price_is_a_missing_candle_and_not_an_error() -> None:
    series = series_of([(0, None, 1, 1, 1), (1, "", 1, 1, 1)], name="x")
    assert all(row[1] != row[1] for row in series)


def test_times_are_read_in_every_form() -> None:
    for form in (
        START_MS,
        str(START_MS),
        f"{START_MS}.0",
        START,
        START.replace(tzinfo=None),
        "2026-01-01",
        "2026-01-01T00:00:00Z",
    ):
        assert epoch_ms(form) == START_MS


def test_only_candles_that_are_complete_are_kept() -> None:
    series = series_of(ROWS, name="x")
    assert len(series.until(START_MS + 2 * MINUTE)) == 2
    assert len(series.until(START_MS + 2 * MINUTE - 1)) == 1
    assert len(series.until(START_MS)) == 0
    view = series[1:].until(START_MS + 3 * MINUTE)
    assert list(view) == ROWS[1:3]
    assert view.frame().opens.tolist() == [2.0, 3.0]
    assert (view[-1], view.candle_ms) == (ROWS[2], MINUTE)
    with pytest.raises(IndexError):
        view[2]


def test_a_callable_is_asked_and_may_have_nothing() -> None:
    source = FetchedCandles(lambda symbol, *_: ROWS if symbol == "BTCUSDT" else [], finer="1m")
    assert list(asked(source, "BTCUSDT", "5m")) == ROWS
    assert source.series(Market("ETHUSDT", "5m"), WINDOW) is None
    assert source.series(Market(None, "5m"), WINDOW) is None
    hours = asked(source, "BTCUSDT", "1H")
    assert source.finer(Market("BTCUSDT", "1H"), hours, WINDOW) is not None
    assert source.finer(Market("BTCUSDT", "1m"), asked(source, "BTCUSDT", "1m"), WINDOW) is None


class Exchange:
    """Answers as a ccxt exchange does, two candles at a time."""

    id = "exchange"

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, int]] = []

    def load_markets(self) -> dict[str, Any]:
        return {"BTC/USDT:USDT": {}, "BTC/USDT": {}, "ETH/USDT": {}}

    def fetch_ohlcv(self, symbol: str, timeframe: str, since: int, limit: int) -> list[list[float]]:
        self.asked.append((symbol, timeframe, since))
        return [[*row, 7.0] for row in ROWS if row[0] >= since][: min(2, limit)]


def test_an_exchange_is_read_page_by_page_and_by_its_own_names() -> None:
    exchange = Exchange()
    source = candle_source(exchange)
    found = asked(source, "BTCUSDT", "1H")
    assert list(found) == ROWS
    assert found.name == "ccxt:exchange"
    assert [call[:2] for call in exchange.asked] == [("BTC/USDT", "1h")] * 3
    assert source.series(Market("XRPUSDT", "1H"), WINDOW) is None


def test_an_exchange_by_name_needs_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ccxt", None)
    with pytest.raises(MissingExtraError, match=r"stateful_engine\[ccxt\]"):
        CcxtCandles("binance")
