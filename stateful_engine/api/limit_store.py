"""Where calls are counted when there is no Redis: in this process, without a thread of its own.

The store that comes with `limits` starts a thread for nearly every call that it counts; this one forgets what has
expired while it counts.
"""

from __future__ import annotations

import threading
import time
from collections import deque

from limits.storage import MovingWindowSupport, Storage

from stateful_engine.storage import forks

SWEEP_EVERY = 1000
"""Calls after which the callers that have gone silent are forgotten."""


class InProcess(Storage, MovingWindowSupport):
    """Counts calls per key in a moving window, exactly; each process counts for itself."""

    STORAGE_SCHEME = ["stateful-in-process"]  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__("stateful-in-process://", wrap_exceptions=False)
        self._lock = threading.Lock()
        self._calls: dict[str, deque[float]] = {}
        self._seconds: dict[str, int] = {}
        self._until_sweep = SWEEP_EVERY
        forks.remember(self)

    def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Count `amount` calls, unless that would be more than `limit` within `expiry` seconds."""
        now = time.monotonic()
        with self._lock:
            self._sweep(now)
            calls = self._live(key, expiry, now)
            if len(calls) + amount > limit:
                return False
            self._calls[key] = calls
            calls.extend([now] * amount)
            return True

    def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:  # noqa: ARG002
        """When the window began (as `time.time()`), and how many calls are in it."""
        now = time.monotonic()
        with self._lock:
            calls = self._live(key, expiry, now)
            began = calls[0] if calls else now
            return time.time() - (now - began), len(calls)

    def after_fork(self) -> None:
        """In a forked child: a lock of its own."""
        self._lock = threading.Lock()

    def _live(self, key: str, expiry: int, now: float) -> deque[float]:
        calls = self._calls.get(key, deque())
        self._seconds[key] = expiry
        while calls and calls[0] <= now - expiry:
            calls.popleft()
        return calls

    def _sweep(self, now: float) -> None:
        self._until_sweep -= 1
        if self._until_sweep > 0:
            return
        self._until_sweep = SWEEP_EVERY
        for key in [key for key, seconds in self._seconds.items() if not self._live(key, seconds, now)]:
            self._calls.pop(key, None)
            self._seconds.pop(key, None)

    # What `limits` asks of every store, though a moving window needs none of it

    @property
    def base_exceptions(self) -> type[Exception] | tuple[type[Exception], ...]:
        """Nothing can go wrong here."""
        return ()

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Count without a limit."""
        self.acquire_entry(key, 2**62, expiry, amount)
        return self.get(key)

    def get(self, key: str) -> int:
        """How many calls are remembered."""
        return len(self._calls.get(key, ()))

    def get_expiry(self, key: str) -> float:
        """When the last call will be forgotten (as `time.time()`)."""
        calls = self._calls.get(key)
        return time.time() + (calls[-1] + self._seconds[key] - time.monotonic() if calls else 0.0)

    def check(self) -> bool:
        """Whether it can count."""
        return True

    def reset(self) -> int | None:
        """Forget everybody."""
        with self._lock:
            known = len(self._calls)
            self._calls.clear()
            self._seconds.clear()
        return known

    def clear(self, key: str) -> None:
        """Forget one key."""
        with self._lock:
            self._calls.pop(key, None)
            self._seconds.pop(key, None)
