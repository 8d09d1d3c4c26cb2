"""Long work in a background thread lets the threads that serve requests go first.

A thread that wants the interpreter waits until its holder lets go of it, or has had its full 5 ms. Whoever stores a
batch says here, between its steps, that another thread may have its turn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Breath = Callable[[], None]


def _go_on() -> None:
    pass


_breath: ContextVar[Breath] = ContextVar("stateful_engine_breath", default=_go_on)


@contextmanager
def taken(breath: Breath) -> Iterator[None]:
    """Inside the block this is what `breathe` does."""
    token = _breath.set(breath)
    try:
        yield
    finally:
        _breath.reset(token)


def breathe() -> None:
    """Between two steps of long work: a place to let others go first."""
    _breath.get()()
