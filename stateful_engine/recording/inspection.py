"""What lies in a spool folder, for operators: reads every file, takes none over."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stateful_engine.recording import records
from stateful_engine.recording.frames import parse
from stateful_engine.recording.segments import MAGIC, SUFFIX, saved_offset

CHUNK = 4 * 2**20


@dataclass(frozen=True, slots=True)
class SegmentReport:
    """One file: whether a living process owns it, and what in it is not stored yet.

    `damaged` counts runs of bytes that are no record; `oldest_us` is when its oldest pending record was made, in
    microseconds since the epoch, None without one. `readable` is False for a file of another version.
    """

    name: str
    owned: bool
    readable: bool
    pending_records: int
    pending_bytes: int
    damaged: int
    oldest_us: int | None


def survey(folder: Path) -> Iterator[SegmentReport]:
    """A report on each segment in `folder`, oldest file first."""
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            continue
        try:
            yield _report(path, descriptor)
        finally:
            os.close(descriptor)


def _report(path: Path, descriptor: int) -> SegmentReport:
    if os.pread(descriptor, len(MAGIC), 0) != MAGIC:
        return SegmentReport(path.name, _owned(descriptor), False, 0, os.fstat(descriptor).st_size, 0, None)
    end, at = os.fstat(descriptor).st_size, saved_offset(path)
    pending, damaged, oldest = 0, 0, None
    size, chunk = max(0, end - at), CHUNK
    while at < end:
        data = os.pread(descriptor, min(chunk, end - at), at)
        frames = parse(data, at, limit=10**9, final=not data or at + len(data) >= end)
        if oldest is None and frames.payloads:
            oldest = records.created_us(frames.payloads[0])
        pending += len(frames.payloads)
        damaged += len(frames.damages)
        chunk = CHUNK if frames.end > at else chunk * 4
        at = frames.end
    return SegmentReport(path.name, _owned(descriptor), True, pending, size, damaged, oldest)


def _owned(descriptor: int) -> bool:
    """Whether somebody holds the lock; a shared lock of our own is let go of at once."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return False
