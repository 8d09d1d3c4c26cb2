"""One `write` system call that does not let go of the interpreter.

`os.write` lets another thread have it meanwhile, which takes a request thread far longer to get back than the few
microseconds that a line needs to reach the page cache: a thread that waits is woken for nothing, or takes its turn
amid the request.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress

SHORT = 64 * 2**10
"""Bytes up to which that is right; copying more takes a while."""

_call: Callable[[int, bytes, int], int] | None = None
"""None in a Python that was built without libffi."""
with suppress(ImportError):
    import ctypes

    # Without `argtypes`, which would cost half as much as the call: two small numbers and bytes go as they are.
    _call = ctypes.PyDLL(None).write
    _call.restype = ctypes.c_ssize_t


def is_written(descriptor: int, data: bytes) -> bool:
    """Whether one system call has written all of `data`."""
    size = len(data)
    if _call is not None and size <= SHORT:
        return _call(descriptor, data, size) == size
    try:
        return os.write(descriptor, data) == size
    except OSError:
        return False
