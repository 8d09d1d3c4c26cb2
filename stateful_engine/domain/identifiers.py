"""Ids that are made where a record is made, so that no database has to be asked and a replay is recognised."""

from __future__ import annotations

import os
import re

from stateful_engine.domain import clock

_SIGNAL_ID = re.compile(r"sig_[0-9a-f]{12}_([0-9]{1,12})")


def signal_id() -> str:
    """A new id `sig_<12 hex>_<unix seconds>`."""
    return f"sig_{os.urandom(6).hex()}_{clock.epoch_seconds()}"


def query_id() -> str:
    """A new id `qry_<12 hex>_<unix seconds>`."""
    return f"qry_{os.urandom(6).hex()}_{clock.epoch_seconds()}"


def interaction_id() -> str:
    """A new id `int_<12 hex>_<unix seconds>`."""
    return f"int_{os.urandom(6).hex()}_{clock.epoch_seconds()}"


def signal_made_at(text: str) -> int | None:
    """The unix seconds at which a signal id was made, or None when `text` is no signal id."""
    match = _SIGNAL_ID.fullmatch(text)
    return int(match[1]) if match else None
