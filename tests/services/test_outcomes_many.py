"""`resolve_many`: signals and candles in, resolutions out, without a database; and the truth on real candles."""

from __future__ import annotations

import csv
import gzip
from datetime import datetime, timezone
from typing import Any

import pandas
import pytest

from stateful_engine.domain.barriers import Resolution
from stateful_engine.errors import InvalidInputError
from stateful_engine.services.outcomes import resolve_many
from tests.factories import shared_folder

HOUR = 3_600_000
LONG = {"symbol": "BTCUSDT", "side": "BUY", "entry_price": 100.0, "stop_loss": 98.0, "take_profit": 104.0}
CANDLES = [(0, 100.0, 101.0, 99.0, 100.0), (HOUR, 100.0, 105.0, 99.5, 104.0), (2 * HOUR, 104.0, 104.5, 97.0, 98.0)]


def reasons(found: list[Resolution]) -> list[str | None]:
    return [None if one.exit_reason is None else str(one.exit_reason) for one in found]


def test_signals_are_resolved_in_their_order() -> None:
    signals = [
        LONG | {"signal_time": 0},
        LONG | {"signal_time": 2 * HOUR},
        LONG | {"side": "SELL", "stop_loss": 104.9, "take_profit": 90.0, "signal_time": 0},
        LONG | {"side": "HOLD"},
    ]
    assert reasons(resolve_many(signals, {"BTCUSDT": CANDLES})) == ["TP", "TP", "SL", None]


def test_signals_may_be_named_as_they_are_stored() -> None:
    stored = {
        "symbol": "BTC/USDT",
        "timeframe": "1h",
        "action": "long",
        "entry_price": 100.0,
        "initial_stop_loss": 98.0,
        "stop_loss": 99.9,
        "take_profit": 104.0,
        "created_at": datetime(1970, 1, 1, tzinfo=timezone.utc).isoformat(),
        "take_profits": None,
    }
    (found,) = resolve_many([stored], {("BTCUSDT", "1H"): CANDLES})
    assert (found.exit_reason, found.exit_time) == ("TP", HOUR)


def test_a_frame_gives_a_frame_with_the_same_index() -> None:
    signals = pandas.DataFrame([LONG | {"signal_time": 0.0}, LONG | {"side": "short"}], index=["a", "b"])
    found = resolve_many(signals, pandas.DataFrame(CANDLES, columns=["ts", "open", "high", "low", "close"]))
    assert list(found.index) == ["a", "b"]
    assert found.loc["a", "exit_reason"] == "TP"
    assert found.loc["a", "r_multiple"] == pytest.approx(2.0)
    assert found.loc["b", "reason"] == "the stop loss is on the wrong side of the entry"


def test_options_reach_the_engine() -> None:
    signal = LONG | {"signal_time": 0, "stop_moves": [(1, 99.9)]}
    assert reasons(resolve_many([signal], CANDLES)) == ["SL"]
    assert reasons(resolve_many([LONG | {"signal_time": 0}], CANDLES, expiry="1h")) == ["EXPIRED"]
    assert reasons(resolve_many([LONG | {"signal_time": 0, "expiry": HOUR}], CANDLES)) == ["EXPIRED"]
    limit = LONG | {"signal_time": 0, "limit_price": 99.6}
    (filled,) = resolve_many([limit], CANDLES, entry_mode="limit")
    assert filled.entry_price == 99.6
    with pytest.raises(InvalidInputError, match="policy"):
        resolve_many([signal], CANDLES, policy="hopeful")


def test_without_candles_of_its_symbol_a_signal_stays_open() -> None:
    (found,) = resolve_many([LONG | {"symbol": "ETHUSDT"}], {"BTCUSDT": CANDLES})
    assert (found.exit_reason, found.outcome) == (None, "PENDING")


def test_candles_of_nobody_serve_only_signals_of_one_symbol() -> None:
    with pytest.raises(InvalidInputError, match="which symbol"):
        resolve_many([LONG, LONG | {"symbol": "ETHUSDT"}], CANDLES)


def test_nothing_in_gives_nothing_out() -> None:
    assert resolve_many([], []) == []


def traded() -> list[dict[str, Any]]:
    folder = shared_folder("truth")
    if folder is None:
        return []
    with gzip.open(folder / "signal_outcomes.csv.gz", "rt") as stream:
        return list(csv.DictReader(stream))


def truth_markets() -> list[str]:
    return sorted({row["symbol"] for row in traded()})


@pytest.mark.parametrize("symbol", truth_markets())
def test_from_a_folder_of_real_candles_the_labels_are_those_of_the_truth(symbol: str) -> None:
    rows = [row for row in traded() if row["symbol"] == symbol]
    signals = [
        {
            "symbol": row["symbol"],
            "timeframe": row["timeframe"],
            "side": row["side"],
            "entry_price": float(row["entry_price"]),
            "stop_loss": float(row["stop_price"]),
            "take_profit": float(row["take_profit_price"]),
            "signal_time": int(row["entry_ts"]),
            "expiry": int(row["entry_ts"]) + int(row["horizon_min"]) * 60_000 if int(row["horizon_min"]) else None,
        }
        for row in rows
    ]
    found = resolve_many(signals, shared_folder("candles"))
    for row, one in zip(rows, found, strict=True):
        assert (str(one.exit_reason) if one.exit_reason else "NONE") == row["rec_exit"], row["id"]
        if row["rec_exit"] != "NONE":
            assert one.exit_time == int(float(row["rec_exit_ts"])), row["id"]
            assert one.exit_price == pytest.approx(float(row["rec_exit_price"]), rel=1e-9), row["id"]
