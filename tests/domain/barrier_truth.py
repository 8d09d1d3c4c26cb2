"""Outcomes that freqtrade gave, from the shared folder; nothing in a clone without it."""

from __future__ import annotations

import csv
import gzip
from dataclasses import dataclass
from functools import cache
from typing import Any

from stateful_engine.domain.barriers import Resolution, resolve
from tests.factories import shared_cases, shared_folder

MINUTE = 60_000
SIDES = {"long": "BUY", "short": "SELL"}
EXITS = {None: "NONE", "EXPIRED_UNFILLED": "NOT_FILLED"}


@dataclass(frozen=True)
class Exit:
    """What both we and the truth say about the end of a position."""

    reason: str
    candle: int | None
    price: float | None


def cases() -> list[dict[str, Any]]:
    return (shared_cases("truth/outcome_and_metric_cases.json") or {"tp_sl_cases": []})["tp_sl_cases"]


def resolve_case(case: dict[str, Any], **options: Any) -> Resolution:
    """A case as a signal issued when its signal candle closed."""
    expected, entry = case["expected"], case["entry"]
    if entry["mode"] == "limit":
        options |= {
            "entry_mode": "limit",
            "limit_price": entry["limit_price"],
            "limit_valid_candles": entry["limit_valid_candles"],
        }
    else:
        options["entry_mode"] = "next_open"
    return resolve(
        SIDES[case["side"]],
        expected["entry_price"],
        expected["stop_price"],
        expected["take_profit_price"],
        [(row[0] * MINUTE, *row[1:]) for row in case["candles"]],
        signal_time=(entry["signal_candle"] + 1) * MINUTE,
        candle_ms=MINUTE,
        **options,
    )


def exit_of(found: Resolution) -> Exit:
    reached = found.exit_reason in {"SL", "TP", "EXPIRED"}
    return Exit(
        reason=EXITS.get(found.exit_reason, str(found.exit_reason)),
        candle=found.exit_time // MINUTE if reached and found.exit_time is not None else None,
        price=None if found.exit_price is None else round(found.exit_price, 9),
    )


def exit_in(truth: dict[str, Any]) -> Exit:
    price = truth["exit_price"]
    return Exit(truth["exit"], truth["exit_candle"], None if price is None else round(float(price), 9))


@cache
def candles_of(symbol: str, timeframe: str) -> list[tuple[float, ...]]:
    folder = shared_folder("candles")
    assert folder is not None
    with gzip.open(folder / f"{symbol}-{timeframe}.csv.gz", "rt") as file:
        rows = list(csv.reader(file))[1:]
    return [(int(row[0]), *map(float, row[1:5])) for row in rows]


@dataclass(frozen=True)
class Traded:
    """One position of freqtrade's on real candles."""

    name: str
    side: str
    entry_ts: int
    entry_price: float
    stop_price: float
    take_profit_price: float
    expiry: int | None
    exit: str
    exit_ts: int | None
    exit_price: float | None
    ambiguous: bool
    gapped: bool


def traded() -> dict[tuple[str, str], list[Traded]]:
    """All positions by (symbol, timeframe)."""
    folder = shared_folder("truth")
    markets: dict[tuple[str, str], list[Traded]] = {}
    if folder is None:
        return markets
    with gzip.open(folder / "signal_outcomes.csv.gz", "rt") as file:
        for row in csv.DictReader(file):
            markets.setdefault((row["symbol"], row["timeframe"]), []).append(_position(row))
    return markets


def _position(row: dict[str, str]) -> Traded:
    entry_ts, horizon = int(row["entry_ts"]), int(row["horizon_min"])
    return Traded(
        name=row["id"],
        side=SIDES[row["side"]],
        entry_ts=entry_ts,
        entry_price=float(row["entry_price"]),
        stop_price=float(row["stop_price"]),
        take_profit_price=float(row["take_profit_price"]),
        expiry=entry_ts + horizon * MINUTE if horizon else None,
        exit=row["exit"],
        exit_ts=int(float(row["exit_ts"])) if row["exit_ts"] else None,
        exit_price=float(row["exit_price"]) if row["exit_price"] else None,
        ambiguous=row["ambiguous"] == "1",
        gapped=row["open_beyond_barrier"] == "1",
    )
