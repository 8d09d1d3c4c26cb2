"""One instrument has one stored form, however an exchange, a chart or a broker spells it."""

from __future__ import annotations

import pytest

from stateful_engine.domain.symbols import canonical_symbol, is_instrument


@pytest.mark.parametrize(
    "raw",
    [
        "BTCUSDT",
        "BTC/USDT",
        "BTC-USDT",
        "BTC_USDT",
        "BTC USDT",
        "btcusdt",
        "Btc/Usdt",
        " BTCUSDT ",
        "BINANCE:BTCUSDT",
        "BTC/USDT:USDT",
        "BTC-USDT-SWAP",
        "BTCUSDT.P",
        "BTCUSDT_PERP",
    ],
)
def test_every_spelling_of_bitcoin_in_tether_is_one_symbol(raw: str) -> None:
    assert canonical_symbol(raw) == "BTCUSDT"


@pytest.mark.parametrize(
    ("raw", "symbol"),
    [
        ("XAUUSDc", "XAUUSD"),
        ("XAUUSDm", "XAUUSD"),
        ("EURUSD.pro", "EURUSD"),
        ("EURUSD.r", "EURUSD"),
        ("EURUSD-ECN", "EURUSD"),
        ("GBPJPYecn", "GBPJPY"),
        ("US30.cash", "US30"),
        ("XAUUSD#", "XAUUSD"),
        ("XAUUSD+", "XAUUSD"),
        ("XAUUSD.", "XAUUSD"),
        ("GOLDm", "GOLD"),
        ("AAPLm", "AAPL"),
        ("OANDA:XAUUSD", "XAUUSD"),
    ],
)
def test_a_broker_suffix_is_dropped_and_not_upper_cased(raw: str, symbol: str) -> None:
    assert canonical_symbol(raw) == symbol


@pytest.mark.parametrize(
    ("raw", "symbol"),
    [
        ("BTC", "BTC"),
        ("A", "A"),
        ("BBCA.JK", "BBCA.JK"),
        ("BRK-B", "BRK-B"),
        ("R_75", "R_75"),
        ("1000SHIB/USDT", "1000SHIBUSDT"),
        ("EURUSDC", "EURUSDC"),
        ("BTCusd", "BTCUSD"),
        ("USDe", "USDE"),
        ("ETH/BTC", "ETHBTC"),
        ("ES1!", "ES1!"),
        ("btc-idr", "BTCIDR"),
    ],
)
def test_what_is_no_suffix_stays(raw: str, symbol: str) -> None:
    assert canonical_symbol(raw) == symbol


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "  ",
        "unknown",
        "N/A",
        "none",
        "ALL",
        "-",
        "***",
        "{{ticker}}",
        "A\nB",
        "B\x00TC",
        "X" * 65,
        None,
        5,
        ["BTC"],
        True,
    ],
)
def test_what_names_no_instrument_is_none(raw: object) -> None:
    assert canonical_symbol(raw) is None


def test_folding_twice_changes_nothing() -> None:
    for raw in ("XAUUSDc", "BTC/USDT:USDT", "BBCA.JK", "US30.cash", "gold", "BTC-USDT-SWAP"):
        once = canonical_symbol(raw)
        assert canonical_symbol(once) == once


@pytest.mark.parametrize("name", ["BTCUSDT", "btc/usdt", "XAUUSD", "BTC", "NAS100", "EURUSDm"])
def test_pairs_metals_and_indices_are_known_as_keys(name: str) -> None:
    assert is_instrument(canonical_symbol(name) or name)


@pytest.mark.parametrize("name", ["RSI", "MACD", "signal", "statistics", "USD", "data", "USDT"])
def test_other_keys_are_no_instruments(name: str) -> None:
    assert not is_instrument(name)
