"""Which experiment and variant a record is made under.

A stamp holds inside `with stamped(...)`, in sync and async code. A tracked view is settled after it has returned, when
that block has ended; so whoever observes a call is told of the stamps that are made while it runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stamp:
    """One variant of one experiment, served to one unit (a person, an episode, a block of time)."""

    experiment: str
    variant: str
    unit: str


class Observer:
    """Whoever observes a call; `stamp` is the last one that was made while it ran, or that it began under."""

    stamp: Stamp | None = None

    def observes_here(self) -> bool:
        """Whether the code that runs is a part of the call."""
        return True


_current: ContextVar[Stamp | None] = ContextVar("stateful_engine_stamp", default=None)

observer: ContextVar[Observer | None] = ContextVar("stateful_engine_observer", default=None)
"""The innermost observer of the code that runs."""


def current() -> Stamp | None:
    """The stamp that holds here, or None outside of any experiment."""
    return _current.get()


@contextmanager
def stamped(stamp: Stamp) -> Iterator[None]:
    """Everything recorded inside the block carries `stamp`."""
    observing = observer.get()
    if observing is not None and observing.observes_here():
        observing.stamp = stamp
    token = _current.set(stamp)
    try:
        yield
    finally:
        _current.reset(token)


def columns(stamp: Stamp | None) -> dict[str, str]:
    """The columns that a stamp fills in."""
    return {} if stamp is None else {"experiment": stamp.experiment, "variant": stamp.variant}
