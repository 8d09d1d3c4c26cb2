"""Instruments: one canonical form for the many spellings of exchanges, charts and brokers."""

from __future__ import annotations

from functools import lru_cache

MAX_SYMBOL = 64
_QUOTES = (
    "USDT",
    "USDC",
    "BUSD",
    "FDUSD",
    "TUSD",
    "USD",
    "EUR",
    "GBP",
    "JPY",
    "CHF",
    "AUD",
    "CAD",
    "NZD",
    "SGD",
    "IDR",
    "TRY",
    "BRL",
    "MXN",
    "ZAR",
    "HKD",
    "CNH",
    "NOK",
    "SEK",
    "PLN",
    "INR",
    "KRW",
    "BTC",
    "ETH",
    "BNB",
    "DAI",
)
_QUOTE_SET = frozenset(_QUOTES)
_BASES = frozenset(
    "BTC ETH BNB SOL XRP ADA DOGE AVAX DOT LINK LTC BCH TRX MATIC TON SHIB XAU XAG GOLD SILVER USOIL UKOIL WTI "
    "US30 US100 US500 NAS100 SPX500 GER40 GER30 DE40 UK100 JP225 HK50 AUS200 DXY".split()
)
_BROKER_SUFFIXES = frozenset(
    "a b c e h i k m p r s x z pro ecn raw std stp vip mini micro cent cash spot fx ins prime".split()
)
_DERIVATIVES = ("-SWAP", "_SWAP", "-PERP", "_PERP", "/PERP", "-PERPETUAL", ".PERP", ".P", "PERP")
_NO_SYMBOL = frozenset(
    {"", "UNKNOWN", "N/A", "NONE", "NULL", "ALL", "ANY", "UNDEFINED", "NAN", "-", "--", "*", "?", "MULTI", "MULTIPLE"}
    | {"CRYPTO", "FOREX", "STOCK", "STOCKS", "COMMODITY", "INDEX", "SPOT", "FUTURES", "PERPETUAL"}
)
_FORBIDDEN = frozenset("{}<>[]()\"'`;,=\\")


def canonical_symbol(raw: object) -> str | None:
    """Fold an instrument to the form it is stored in; None for what names none (`unknown`, `ALL`, numbers).

    `BTC/USDT`, `BTC-USDT`, `btcusdt`, `BINANCE:BTCUSDT` and `BTC-USDT-SWAP` are `BTCUSDT`. A broker's suffix is
    dropped and not upper-cased (`XAUUSDc` and `EURUSD.pro` are `XAUUSD` and `EURUSD`); exchange endings of shares
    stay (`BBCA.JK`).
    """
    if isinstance(raw, str) and len(raw) <= MAX_SYMBOL:
        return _canonical(str.__str__(raw))
    return None


@lru_cache(maxsize=4096)
def _canonical(raw: str) -> str | None:
    text = raw.strip()
    if text.upper() in _NO_SYMBOL or not text.isprintable() or not _FORBIDDEN.isdisjoint(text):
        return None
    text = _without_broker_suffix(_without_derivative(_without_exchange(text)))
    joined = _joined(text.upper())
    return joined if any(character.isalnum() for character in joined) else None


def _without_exchange(text: str) -> str:
    """Take the instrument out of `BINANCE:BTCUSDT`, or the pair out of a settled one (`BTC/USDT:USDT`)."""
    head, colon, tail = text.partition(":")
    if not colon:
        return text
    return head if "/" in head or not tail else tail


def _without_derivative(text: str) -> str:
    upper = text.upper()
    for ending in _DERIVATIVES:
        if upper.endswith(ending) and is_instrument(upper[: -len(ending)]):
            return text[: -len(ending)]
    return text


def _without_broker_suffix(text: str) -> str:
    head = text.rstrip("+#!^.")
    if head != text and is_instrument(head):
        return head
    for mark in ".-_":
        head, dot, tail = text.rpartition(mark)
        if dot and tail.lower() in _BROKER_SUFFIXES and is_instrument(head) and tail.upper() not in _QUOTE_SET:
            return head
    head = text.rstrip("abcdefghijklmnopqrstuvwxyz")
    is_upper_head = len(head) >= 4 and head.isalnum() and head == head.upper()
    return head if is_upper_head and text[len(head) :] in _BROKER_SUFFIXES else text


def _joined(upper: str) -> str:
    """Join base and quote; what is not a pair keeps its dash (`BRK-B`, `R_75`)."""
    for mark in "/-_ ":
        base, separator, quote = upper.rpartition(mark)
        if separator and quote in _QUOTE_SET and base:
            return base.replace("/", "").replace("-", "").replace("_", "").replace(" ", "") + quote
    return upper


def is_instrument(text: str) -> bool:
    """Tell whether a name is surely an instrument: a known base, index or metal, or anything in a known quote."""
    upper = text.upper()
    if upper in _BASES:
        return True
    bare = upper.replace("/", "").replace("-", "").replace("_", "")
    return len(bare) >= 5 and bare.isalnum() and any(bare.endswith(quote) and bare != quote for quote in _QUOTES)
