"""The same signal shown again within a window is the same signal: it keeps its first id and is not stored twice."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import orjson

from stateful_engine.domain import clock

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stateful_engine.storage.cache import Cache

_IDENTITY = ("endpoint", "symbol", "timeframe", "action", "entry_price", "take_profit", "stop_loss")


def earlier_id(cache: Cache, row: Mapping[str, Any], seconds: float) -> str | None:
    """The id of an equal signal of the last `seconds`; None when there is none, and then `row` is remembered.

    Equal means: same endpoint, symbol, timeframe, action and prices. The memory is Redis where one is set, and this
    process otherwise; a dead Redis remembers nothing.
    """
    key = _key(row)
    now = clock.epoch_us()
    own = {"id": row["signal_id"], "at": now}
    known = cache.claim(key, own, seconds)
    if known["id"] == own["id"]:
        return None
    if 0 <= now - known["at"] < seconds * 1_000_000:
        return str(known["id"])
    cache.set(key, own, seconds)
    return None


def forget(cache: Cache, row: Mapping[str, Any]) -> None:
    """Let go of a signal that was remembered but could not be recorded."""
    cache.delete(_key(row))


def _key(row: Mapping[str, Any]) -> str:
    identity = orjson.dumps([row[name] for name in _IDENTITY])
    return f"dedupe:{hashlib.blake2b(identity, digest_size=16).hexdigest()}"
