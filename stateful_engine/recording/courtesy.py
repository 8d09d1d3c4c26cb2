"""Host first: the writer works in the gaps that requests leave, as long as what waits in the spool is little.

A thread that wants the interpreter waits until its holder lets go of it, or has had its full 5 ms. So the writer lets
go every fraction of a millisecond while requests keep coming, for a moment. While there is no processor time to spare,
it lets go for longer and longer, also for what it stored meanwhile without a stop: a burst is served at the host's own
speed and stored behind it. Once a 32nd of the spool's room is taken, which takes a few seconds to store, something has
waited for `PATIENCE`, or a process beside it asks for haste, the writer only takes breath: so nobody who waits for it
waits long, and a host under load all day does not run into `STATEFUL_SPOOL_MAX_BYTES`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from resource import RUSAGE_SELF, getrusage
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from stateful_engine.recording.spool import Spool

SHORTEST = 0.0001
FIRST = 0.001
LONGEST = 0.05
"""Seconds that the writer sleeps at a time, while records are made; `FIRST` until it knows whether the host is busy."""

LONGER = 8
"""How many times as long it sleeps from one look to the next while the host is busy; half as long once it is not."""

HELD = 0.00025
"""Seconds for which the writer may keep the interpreter from a request. Each rest costs it the caches of its core."""

WINDOW = 0.05
"""Seconds after which it looks again whether requests come, and whether the host is busy."""

FULL = 0.75
"""The share of a core that one interpreter can hardly exceed: threads take turns at it."""

PUSHED_OFF = 50
"""How often in a second the system takes the processor away from a process that others compete with."""

ROOM = 1 / 32
"""The share of the spool's room up to which requests come first."""

PATIENCE = 10.0
"""Seconds for which a record may wait for them."""


class Usage(NamedTuple):
    """For how many seconds this process has used a core, and how often it was pushed off one."""

    seconds: float
    pushed_off: int


def usage() -> Usage:
    """The usage of this process so far, all threads together."""
    used = getrusage(RUSAGE_SELF)
    return Usage(used.ru_utime + used.ru_stime, used.ru_nivcsw)


class Courtesy:
    """How one writer gives way to the threads that serve requests; `hurry` tells that somebody waits for the writer.

    `now` and `used` are what a clock says, in seconds, and the usage of this process.
    """

    def __init__(
        self,
        spool: Spool,
        hurry: Callable[[], bool],
        *,
        now: Callable[[], float] = time.perf_counter,
        used: Callable[[], Usage] = usage,
    ) -> None:
        self._spool = spool
        self._hurry = hurry
        self._now = now
        self._usage = used
        self._seen = 0
        self._pause = 0.0
        self._woke = 0.0
        self._looked = 0.0
        self._used = Usage(0.0, 0)
        self._owed = 0.0
        self._expected = 0
        self._expected_since = 0.0

    def host_is_busy(self) -> bool:
        """Whether requests left no time to spare when that was last looked at."""
        return self._pause > FIRST

    def __call__(self) -> None:
        """Between two records: sleep, if others are being made and this thread has worked for a while."""
        now = self._now()
        if now - self._looked >= WINDOW and not self._hurry():
            self._look(now)
        self._rest(now, self._pause)
        while self._owed >= LONGEST and not self._hurry():
            self._owed -= LONGEST
            self._sleep(LONGEST)
            self._look(self._woke)

    def breathe(self) -> None:
        """Amid a transaction, which is not to stay open longer than it must: sleep for the shortest time.

        While the host is busy, the rest of the sleep is made up for before the next record.
        """
        if self._pause and self._rest(self._now(), SHORTEST) and self.host_is_busy():
            self._owed += self._pause

    def _rest(self, now: float, seconds: float) -> bool:
        if not seconds or now - self._woke < HELD or self._hurry():
            return False
        self._sleep(seconds)
        return True

    def _sleep(self, seconds: float) -> None:
        time.sleep(seconds)
        self._woke = self._now()

    def _look(self, now: float) -> None:
        appended, is_full = self._spool.appended, self._is_full(now)
        if appended == self._seen:
            self._pause = self._owed = 0.0
        elif is_full and self._can_wait(now, appended):
            self._pause = min(LONGEST, LONGER * max(FIRST, self._pause))
        elif is_full:
            self._pause, self._owed = SHORTEST, 0.0
        else:
            self._pause = max(SHORTEST, self._pause / 2) if self._pause else FIRST
            self._owed = 0.0
        self._seen = appended

    def _can_wait(self, now: float, appended: int) -> bool:
        """Whether what waits in the spool is little, has not waited long, and nobody on this machine asks for it."""
        if self._spool.settled >= self._expected:
            self._expected, self._expected_since = appended, now
        is_little = self._spool.pending_bytes < ROOM * self._spool.max_bytes
        is_new = now - self._expected_since < PATIENCE
        return is_little and is_new and not self._spool.is_haste_asked_for()

    def _is_full(self, now: float) -> bool:
        """Whether this process has used up an interpreter since the last look, or had to fight for a core."""
        used, seconds = self._usage(), now - self._looked
        busy, pushed_off = used.seconds - self._used.seconds, used.pushed_off - self._used.pushed_off
        self._looked, self._used = now, used
        return busy > FULL * seconds or pushed_off > PUSHED_OFF * seconds
