"""Events that a host may listen to. They are called events because a "signal" here is a trade idea.

Every receiver gets the sender (the `Runtime` of the app) and keyword arguments with plain values:

>>> from stateful_engine.events import signal_executed
>>> @signal_executed.connect
... def alert(runtime, signal_id, **details): ...
"""

from __future__ import annotations

from blinker import Namespace

_namespace = Namespace()

rows_committed = _namespace.signal("rows-committed")
"""Records reached the database: `counts` maps a table name to the number of new rows."""

signal_executed = _namespace.signal("signal-executed")
"""Somebody acted on a signal: `signal_id`, `execution_price`, `source`."""

outcome_recorded = _namespace.signal("outcome-recorded")
"""A signal ended or its end was corrected: `signal_id`, `outcome`, `pnl_percentage`, `r_multiple`."""
