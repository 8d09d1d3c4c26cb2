"""A segment: one append-only file of the spool, owned by whoever holds its lock.

Ownership is a non-blocking `flock` on the open file and never a process id, which may be reused. Whoever gets the lock
checks that the path still leads to the locked file, since its former owner may have deleted it in between. flock works
on local file systems only.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from stateful_engine.domain import clock
from stateful_engine.errors import ConfigurationError
from stateful_engine.recording.frames import Frames, parse

MAGIC = b"stateful-spool 1\n"
SUFFIX = ".seg"
OFFSET_SUFFIX = ".off"

_CREATE = os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_RDWR | getattr(os, "O_NOFOLLOW", 0)
_ADOPT = os.O_RDWR | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
_fdatasync = getattr(os, "fdatasync", os.fsync)


@dataclass(slots=True, eq=False)
class Segment:
    """An open, locked segment.

    `size` counts the bytes of whole lines, `offset` those that are settled, `records` and `settled` the same in
    records (of a segment that this process wrote), `synced` the bytes known to be on the disk itself.
    """

    path: Path
    fd: int
    size: int
    offset: int = len(MAGIC)
    records: int = 0
    settled: int = 0
    synced: int = 0
    sealed: bool = False
    opened: float = field(default_factory=time.monotonic)

    @property
    def pending_bytes(self) -> int:
        """Bytes that still have to be written to the database."""
        return max(0, self.size - self.offset)

    def read(self, start: int, *, limit: int, chunk: int) -> Frames:
        """Up to `limit` lines from offset `start`, from about `chunk` bytes; the first is read whatever its length."""
        end = self.size
        while True:
            data = os.pread(self.fd, max(0, min(chunk, end - start)), start)
            final = start + len(data) >= end or not data
            frames = parse(data, start, limit=limit, final=final)
            if frames.end > start or final:
                return frames
            chunk *= 4

    def settle(self, offset: int) -> None:
        """Remember that everything before `offset` is stored, so that nobody has to store it again.

        A full disk may refuse the note; then a successor stores again what is stored, which changes nothing.
        """
        self.offset = offset
        with suppress(OSError):
            descriptor = os.open(self.path.with_suffix(OFFSET_SUFFIX), os.O_CREAT | os.O_WRONLY, 0o600)
            try:
                os.pwrite(descriptor, b"%020d\n" % offset, 0)
            finally:
                os.close(descriptor)

    def sync(self, descriptor: int | None = None) -> None:
        """Bring what was written so far onto the disk, and with the first of it the name of the file."""
        size, first = self.size, self.synced == 0
        _fdatasync(self.fd if descriptor is None else descriptor)
        if first:
            _sync_folder(self.path.parent)
        self.synced = max(self.synced, size)

    def delete(self) -> None:
        """Remove the files while their lock is held; `close` comes after."""
        self.path.unlink(missing_ok=True)
        self.path.with_suffix(OFFSET_SUFFIX).unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the file and its lock."""
        os.close(self.fd)


def create(folder: Path) -> Segment:
    """A new segment in `folder`, which exists. Raises `OSError` when the disk does not take it."""
    while True:
        path = folder / f"{clock.epoch_us():016x}-{os.getpid()}-{os.urandom(4).hex()}{SUFFIX}"
        descriptor = os.open(path, _CREATE, 0o600)
        try:
            if _lock(descriptor) and _still_there(path, descriptor):
                _begin(descriptor)
                return Segment(path, descriptor, size=len(MAGIC))
        except BaseException:
            path.unlink(missing_ok=True)
            os.close(descriptor)
            raise
        os.close(descriptor)


def _begin(descriptor: int) -> None:
    if os.write(descriptor, MAGIC) != len(MAGIC):
        raise OSError(errno.ENOSPC, "no room for a segment")


def adopt(path: Path) -> Segment | None:
    """The segment at `path` when nobody owns it any more; None when somebody does, or when it is of another version.

    A file that its maker did not live to begin is deleted.
    """
    try:
        descriptor = os.open(path, _ADOPT)
    except OSError:
        return None
    try:
        if _lock(descriptor) and _still_there(path, descriptor):
            beginning = os.pread(descriptor, len(MAGIC), 0)
            if beginning == MAGIC:
                return _adopted(path, descriptor)
            if MAGIC.startswith(beginning):
                path.unlink(missing_ok=True)
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def _adopted(path: Path, descriptor: int) -> Segment:
    size = os.fstat(descriptor).st_size
    return Segment(path, descriptor, size=size, offset=min(saved_offset(path), size), synced=size, sealed=True)


def saved_offset(path: Path) -> int:
    """How far the segment at `path` is settled; its beginning when nobody said, or said it illegibly."""
    try:
        text = path.with_suffix(OFFSET_SUFFIX).read_bytes()
    except OSError:
        return len(MAGIC)
    digits = text.strip()
    return max(len(MAGIC), int(digits)) if len(text) == 21 and digits.isdigit() else len(MAGIC)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise ConfigurationError(
            f"the spool folder cannot be locked ({os.strerror(error.errno or 0)}); "
            "set STATEFUL_SPOOL_DIR to a folder on a local disk"
        ) from error
    return True


def _still_there(path: Path, descriptor: int) -> bool:
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    here = os.fstat(descriptor)
    return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)
