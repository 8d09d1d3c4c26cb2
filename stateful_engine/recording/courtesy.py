"""Host first: the writer works in the gaps that requests leave, as long as what waits in the spool is little.

A thread that wants the interpreter waits until its holder lets go of it, or has had its full 5 ms. So the writer lets
go after each record while requests keep coming, and sleeps the longer the later it gets the interpreter back: that it
comes late says that the host needs it. A burst is thus served at the host's own speed and stored behind it. Once a
sixteenth of the spool's room is taken the writer only takes breath, so that a host under load all day does not run into
`STATEFUL_SPOOL_MAX_BYTES`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stateful_engine.recording.spool import Spool

SHORTEST = 0.0001
LONGEST = 0.01
LATE = 0.0004
"""Seconds: how long a sleep is, and by how much it must be exceeded to say that the host is busy."""

ROOM = 1 / 16
"""The share of the spool's room up to which requests come first."""


class Courtesy:
    """How one writer gives way to the threads that serve requests; `hurry` tells that somebody waits for the writer."""

    def __init__(self, spool: Spool, hurry: Callable[[], bool]) -> None:
        self._spool = spool
        self._hurry = hurry
        self._seen = 0
        self._pause = SHORTEST

    def host_is_busy(self) -> bool:
        """Whether the host used all of the interpreter when it was last looked at."""
        return self._pause > SHORTEST

    def __call__(self) -> None:
        """Sleep a moment, if a record was made since the last time."""
        appended = self._spool.appended
        if appended == self._seen or self._hurry():
            self._pause = SHORTEST
            return
        self._seen = appended
        begin = time.perf_counter()
        time.sleep(self._pause)
        is_late = time.perf_counter() - begin > self._pause + LATE
        patient = is_late and self._spool.pending_bytes < ROOM * self._spool.max_bytes
        self._pause = min(LONGEST, 2 * self._pause) if patient else max(SHORTEST, self._pause / 2)
