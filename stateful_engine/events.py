"""Events that a host may listen to. They are called events because a "signal" here is a trade idea.

Every receiver gets the sender (the `Runtime` of the app) and keyword arguments with plain values:

>>> from stateful_engine.events import signal_executed
>>> @signal_executed.connect
... def alert(runtime, signal_id, **details): ...
"""

from __future__ import annotations

from typing import Any, Protocol

from blinker import NamedSignal, Namespace

_namespace = Namespace()

rows_committed = _namespace.signal("rows-committed")
"""Records reached the database: `counts` maps a table name to the number of new rows."""

signal_executed = _namespace.signal("signal-executed")
"""Somebody acted on a signal: `signal_id`, `execution_price`, `source`."""

outcome_recorded = _namespace.signal("outcome-recorded")
"""A signal ended or its end was corrected, by hand or from candles: `signal_id`, `outcome`, `pnl_percentage`,
`r_multiple`."""


class Announce(Protocol):
    """Sends an event in the name of an app, after the commit; what a receiver does wrong is counted, never raised."""

    def __call__(self, event: NamedSignal, **details: Any) -> None: ...


def silent(event: NamedSignal, **details: Any) -> None:
    """Where no app stands behind a service, nobody can listen."""
