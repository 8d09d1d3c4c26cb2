"""Counts that all processes of an app on one machine add up to, for `/metrics`.

A process keeps its own counts in memory and notes them in a file that it locks. Whoever asks reads the files of all;
those of processes that are gone (nobody holds their lock) are added to one file first, so that nothing is forgotten and
no count ever goes down while the folder lives.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import threading
import time
import weakref
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import orjson

from stateful_engine.storage import forks

SUFFIX = ".tally"
PAST = "past.json"
NOTE_EVERY = 1.0
BLOCK = 4096


class Tally:
    """The counts of this process, and the way to those of the others; constructing it touches no file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._descriptor: int | None = None
        self._closer: weakref.finalize[..., Tally] | None = None
        self._noted = 0.0
        forks.remember(self)

    def add(self, counts: Mapping[str, int]) -> None:
        """Add to the counts of this process; they are noted at most once in a second."""
        with self._lock:
            self._counts.update(counts)
            if time.monotonic() - self._noted >= NOTE_EVERY:
                self._note()

    def total(self, own: Mapping[str, int]) -> dict[str, int]:
        """The counts of all processes; `own` are counts of this one that are kept elsewhere."""
        with self._lock:
            for name, value in own.items():
                self._counts[name] = value
            self._note()
            return dict(self._read_all())

    def after_fork(self) -> None:
        """In a forked child: counts and a file of its own; the parent keeps its lock."""
        self._lock = threading.Lock()
        self._counts = Counter()
        self.close()

    def close(self) -> None:
        """Give up the file; its counts stay. The next count takes another file."""
        if self._closer is not None:
            self._closer()
        self._descriptor = self._closer = None

    def _note(self) -> None:
        """Write the counts down; a full disk or a folder that is gone only makes the numbers older."""
        self._noted = time.monotonic()
        with suppress(OSError):
            if self._descriptor is None:
                self._descriptor = self._open()
                self._closer = weakref.finalize(self, os.close, self._descriptor)
            data = orjson.dumps(self._counts)
            # Padded, never cut: a reader in between sees the old counts or the new ones, not half of them.
            os.pwrite(self._descriptor, data.ljust(-len(data) % BLOCK + len(data)), 0)

    def _open(self) -> int:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / f"{os.getpid()}-{secrets.token_hex(4)}{SUFFIX}"
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return descriptor

    def _read_all(self) -> Counter[str]:
        """The counts in all files, after those of the dead were put together."""
        found = Counter(self._counts)
        with suppress(OSError):
            self._bury_dead()
            found.update(_read(self._folder / PAST))
            for path in self._folder.glob(f"*{SUFFIX}"):
                if not self._is_own(path):
                    found.update(_read(path))
        return found

    def _bury_dead(self) -> None:
        """Add the counts of files that nobody locks to the file of the past; one process at a time."""
        with (self._folder / f"{PAST}.lock").open("w") as guard:
            fcntl.flock(guard, fcntl.LOCK_EX)
            past = _read(self._folder / PAST)
            dead = [path for path in self._folder.glob(f"*{SUFFIX}") if _is_dead(path)]
            if not dead:
                return
            for path in dead:
                past.update(_read(path))
            fresh = self._folder / f"{PAST}.new"
            fresh.write_bytes(orjson.dumps(past))
            fresh.replace(self._folder / PAST)
            for path in dead:
                path.unlink()

    def _is_own(self, path: Path) -> bool:
        return self._descriptor is not None and os.fstat(self._descriptor).st_ino == path.stat().st_ino


def _is_dead(path: Path) -> bool:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def _read(path: Path) -> Counter[str]:
    """The counts in a file; none where it is missing or was being written."""
    try:
        found = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return Counter()
    return Counter({str(name): int(value) for name, value in found.items()}) if isinstance(found, dict) else Counter()
