"""Ids that are made where a record is made, so that no database has to be asked and a replay is recognised.

Randomness is fetched for many ids at once: each call to the system lets another thread take the interpreter, and
getting it back can cost a request thread milliseconds while the writer is busy.
"""

from __future__ import annotations

import os
import re

from stateful_engine.domain import clock

_AT_ONCE = 128
_BYTES = 6

API_KEY_PREFIX = "se"
"""What the text of an API key begins with."""

_SIGNAL_ID = re.compile(r"sig_[0-9a-f]{12}_([0-9]{1,12})")


_supply: list[str] = []


def _more() -> str:
    """Twelve hexadecimal digits that nobody else has, and a new supply of such."""
    digits = os.urandom(_AT_ONCE * _BYTES).hex()
    _supply.extend(digits[start : start + 2 * _BYTES] for start in range(2 * _BYTES, len(digits), 2 * _BYTES))
    return digits[: 2 * _BYTES]


os.register_at_fork(after_in_child=_supply.clear)


def tail(now_us: int) -> str:
    """What an id made at `now_us`, microseconds since the epoch, has behind its first three letters."""
    try:
        digits = _supply.pop()
    except IndexError:
        digits = _more()
    return f"_{digits}_{now_us // 1_000_000}"


def signal_id() -> str:
    """A new id `sig_<12 hex>_<unix seconds>`."""
    return "sig" + tail(clock.epoch_us())


def query_id() -> str:
    """A new id `qry_<12 hex>_<unix seconds>`."""
    return "qry" + tail(clock.epoch_us())


def interaction_id() -> str:
    """A new id `int_<12 hex>_<unix seconds>`."""
    return "int" + tail(clock.epoch_us())


def action_id() -> str:
    """A new id `act_<12 hex>_<unix seconds>`."""
    return "act" + tail(clock.epoch_us())


def message_id() -> str:
    """A new id `msg_<12 hex>_<unix seconds>` for a message to webhooks."""
    return "msg" + tail(clock.epoch_us())


def signal_made_at(text: str) -> int | None:
    """The unix seconds at which a signal id was made, or None when `text` is no signal id."""
    match = _SIGNAL_ID.fullmatch(text)
    return int(match[1]) if match else None
