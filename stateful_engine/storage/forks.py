"""After a fork the child forgets what it shares with its parent: sockets, and locks that nobody will release."""

from __future__ import annotations

import os
import threading
import weakref
from typing import Protocol


class Forgetful(Protocol):
    """Something that must be told in a forked child."""

    def after_fork(self) -> None:
        """Drop what belongs to the parent; runs in the child before anything else."""


_remembered: weakref.WeakSet[Forgetful] = weakref.WeakSet()


def remember(thing: Forgetful) -> None:
    """Call `thing.after_fork()` in every forked child for as long as `thing` lives."""
    _remembered.add(thing)


class ForgetfulLock:
    """A lock for `with`, which is free in a forked child whoever held it in the parent."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        remember(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def after_fork(self) -> None:
        """Begin with a free lock."""
        self._lock = threading.Lock()


def _in_child() -> None:
    for thing in list(_remembered):
        thing.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
