"""The one place that reads the time, so that every test can hold the clock."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class _Clock:
    """Holds the source of time in nanoseconds since the epoch; tests replace it for a while."""

    __slots__ = ("read_ns",)

    def __init__(self) -> None:
        self.read_ns: Callable[[], int] = time.time_ns


_clock = _Clock()


def epoch_us() -> int:
    """Now, as whole microseconds since 1970-01-01 UTC."""
    return _clock.read_ns() // 1000


def epoch_seconds() -> int:
    """Now, as whole seconds since 1970-01-01 UTC."""
    return _clock.read_ns() // 1_000_000_000


def now() -> datetime:
    """Now, as an aware datetime in UTC with microseconds."""
    return from_epoch_us(epoch_us())


def from_epoch_us(value: int) -> datetime:
    """The aware UTC datetime for microseconds since the epoch; exact, since no float is involved."""
    return EPOCH + timedelta(microseconds=value)


def to_epoch_us(moment: datetime) -> int:
    """Microseconds since the epoch of an aware datetime; exact. A naive datetime raises `ValueError`."""
    if moment.tzinfo is None:
        raise ValueError("a naive datetime has no place on the time line; attach a timezone, for example timezone.utc")
    delta = moment - EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


@contextmanager
def clock_from(read_ns: Callable[[], int]) -> Iterator[None]:
    """Let `read_ns` (nanoseconds since the epoch) be the clock of this process inside the block."""
    before, _clock.read_ns = _clock.read_ns, read_ns
    try:
        yield
    finally:
        _clock.read_ns = before
