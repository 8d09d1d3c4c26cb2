"""Which experiment and variant a record is made under.

A stamp holds inside `with stamped(...)`, in sync and async code. A tracked view is settled after it has returned, when
that block has ended; so whoever observes a call collects the stamps that were made while it ran.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stamp:
    """One variant of one experiment, served to one unit (a person, an episode, a block of time)."""

    experiment: str
    variant: str
    unit: str


_current: ContextVar[Stamp | None] = ContextVar("stateful_engine_stamp", default=None)
_collected: ContextVar[list[Stamp] | None] = ContextVar("stateful_engine_stamps", default=None)

Collecting = Token[list[Stamp] | None]


def current() -> Stamp | None:
    """The stamp that holds here, or None outside of any experiment."""
    return _current.get()


@contextmanager
def stamped(stamp: Stamp) -> Iterator[None]:
    """Everything recorded inside the block carries `stamp`."""
    collected = _collected.get()
    if collected is not None:
        collected.append(stamp)
    token = _current.set(stamp)
    try:
        yield
    finally:
        _current.reset(token)


def collect(into: list[Stamp]) -> Collecting:
    """From now on add every stamp to `into`; end it with `stop_collecting`."""
    return _collected.set(into)


def stop_collecting(token: Collecting) -> None:
    """End what `collect` began."""
    _collected.reset(token)


def columns(stamp: Stamp | None) -> dict[str, str]:
    """The columns that a stamp fills in."""
    return {} if stamp is None else {"experiment": stamp.experiment, "variant": stamp.variant}
