"""Host first: the writer works in the gaps that requests leave, as long as what waits in the spool is little.

A thread that wants the interpreter waits until its holder lets go of it, or has had its full 5 ms. So the writer lets
go after each record while requests keep coming. While this process uses up nearly all of a core, which is all that one
interpreter can use, it sleeps longer and longer: a burst is served at the host's own speed and stored behind it. Once a
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
"""Seconds that the writer sleeps after a record."""

WINDOW = 0.02
FULL = 0.75
"""The host is busy when this process used that share of a core for so many seconds."""

ROOM = 1 / 16
"""The share of the spool's room up to which requests come first."""


class Courtesy:
    """How one writer gives way to the threads that serve requests; `hurry` tells that somebody waits for the writer.

    `now` and `used` are the seconds of a clock, and those for which this process has used a core.
    """

    def __init__(
        self,
        spool: Spool,
        hurry: Callable[[], bool],
        *,
        now: Callable[[], float] = time.perf_counter,
        used: Callable[[], float] = time.process_time,
    ) -> None:
        self._spool = spool
        self._hurry = hurry
        self._now = now
        self._clock_of_use = used
        self._seen = 0
        self._pause = SHORTEST
        self._looked = 0.0
        self._used = 0.0

    def host_is_busy(self) -> bool:
        """Whether requests used all of the interpreter when that was last looked at."""
        return self._pause > SHORTEST

    def __call__(self) -> None:
        """Sleep a moment, if a record was made since the last time."""
        appended = self._spool.appended
        if appended == self._seen or self._hurry():
            self._pause = SHORTEST
            return
        self._seen = appended
        time.sleep(self._pause)
        now = self._now()
        if now - self._looked >= WINDOW:
            self._look(now)

    def _look(self, now: float) -> None:
        used, seconds = self._clock_of_use(), now - self._looked
        is_full = (used - self._used) / seconds > FULL
        self._looked, self._used = now, used
        if is_full and self._spool.pending_bytes < ROOM * self._spool.max_bytes:
            self._pause = min(LONGEST, 2 * self._pause)
        else:
            self._pause = max(SHORTEST, self._pause / 2)
