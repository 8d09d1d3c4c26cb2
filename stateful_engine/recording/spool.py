"""The local durable buffer: what `append` has accepted survives the death of this process.

Each process appends to segment files of its own; a segment is deleted when all of it is stored. Segments whose owner is
gone are adopted by any other process that looks into the folder.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from stateful_engine.errors import SpoolFullError
from stateful_engine.logging import logger
from stateful_engine.recording import records, segments
from stateful_engine.recording.frames import Frames
from stateful_engine.recording.segments import OFFSET_SUFFIX, SUFFIX, Segment
from stateful_engine.recording.writing import is_written

SEGMENT_BYTES = 16 * 2**20
SEGMENT_SECONDS = 60.0
ADOPTED_AT_ONCE = 4

HASTE = "haste"
HASTE_SECONDS = 2.0
"""A file that somebody touches who waits for a record of another process, and for how long that says so."""


class Spool:
    """The segments of one process in `folder`.

    `appended` counts the records that were accepted since the process began (or was forked), `settled` those that
    need no more work: stored, or set aside. Both only grow; nothing is pending when they are equal.
    """

    def __init__(
        self,
        folder: Path,
        *,
        max_bytes: int,
        segment_bytes: int | None = None,
        on_fork: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_fork` is called in a forked child when it has let go of what is its parent's."""
        self.folder = folder
        self.max_bytes = max_bytes
        self._on_fork = on_fork
        self._segment_bytes = segment_bytes or max(64 * 2**10, min(SEGMENT_BYTES, max_bytes // 8))
        self._begin()

    def _begin(self) -> None:
        self.lock = threading.RLock()
        self.appended = 0
        self.settled = 0
        self.refused = 0
        self.durable: set[int] = set()
        self._pid = os.getpid()
        self._active: Segment | None = None
        self._own: deque[Segment] = deque()
        self._adopted: deque[Segment] = deque()
        self._pending_bytes = 0
        self._others_bytes = 0
        self._shared_descriptors: set[int] = set()

    # What the request thread does.

    def append(self, data: bytes, count: int, *, durable: bool = False) -> int:
        """Write the lines in `data`, which hold `count` records, with one system call; returns `appended` after it.

        `durable` marks them as awaited by their maker. Raises `SpoolFullError` beyond the limit or when the disk takes
        no more; then nothing is kept.
        """
        with self.lock:
            if os.getpid() != self._pid:
                self.forget()
            size = len(data)
            if self._pending_bytes + self._others_bytes + size > self.max_bytes:
                self._refuse(count)
            segment = self._active or self._open(count)
            if not is_written(segment.fd, data):
                segment = self._repeat(data, count)
            segment.size += size
            segment.records += count
            self._pending_bytes += size
            first = self.appended + 1
            self.appended += count
            if durable:
                self.durable.update(range(first, self.appended + 1))
            if segment.size >= self._segment_bytes:
                self._seal()
            return self.appended

    def _refuse(self, count: int) -> None:
        self.refused += count
        raise SpoolFullError(
            "the spool has reached STATEFUL_SPOOL_MAX_BYTES; bring the database back or raise the limit", retry_after=5
        )

    def _open(self, count: int) -> Segment:
        """A new active segment; the folder is made when it is not there."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            segment = segments.create(self.folder)
        except OSError as error:
            self.refused += count
            raise SpoolFullError(
                f"the spool folder cannot be written ({os.strerror(error.errno or 0)}); "
                "free space on its disk, change its owner or set STATEFUL_SPOOL_DIR to another",
                retry_after=5,
            ) from error
        self._active = segment
        self._own.append(segment)
        return segment

    def _repeat(self, data: bytes, count: int) -> Segment:
        """Write `data` to a new segment after a short or failed write: what stands behind a torn line is not read."""
        self._seal()
        segment = self._open(count)
        if is_written(segment.fd, data):
            return segment
        self._seal()
        self.refused += count
        raise SpoolFullError(
            "the disk of the spool is full; free space on it or set STATEFUL_SPOOL_DIR to another", retry_after=5
        )

    def _seal(self) -> None:
        if self._active is not None:
            self._active.sealed = True
            self._active = None

    # What the writer does.

    @property
    def pending_records(self) -> int:
        """Records of this process that are not settled."""
        return self.appended - self.settled

    @property
    def pending_bytes(self) -> int:
        """Bytes in the folder that are not settled, of this process and, as of the last look, of all others."""
        return self._pending_bytes + self._others_bytes + sum(each.pending_bytes for each in list(self._adopted))

    def own(self) -> Segment | None:
        """The oldest segment of this process with something to store; finished ones before it are deleted."""
        while True:
            with self.lock:
                segment = self._own[0] if self._own else None
                if segment is None or segment.pending_bytes:
                    return segment
                if not segment.sealed:
                    return None
                self._own.popleft()
                self._discard(segment)

    def adopted(self) -> Segment | None:
        """An adopted segment with something to store; finished ones are deleted."""
        while True:
            with self.lock:
                segment = self._adopted[0] if self._adopted else None
                if segment is None or segment.pending_bytes:
                    return segment
                self._adopted.popleft()
                self._discard(segment)

    def awaited(self, segment: Segment, count: int) -> dict[int, int]:
        """Which of the next `count` records in `segment` somebody waits for: their sequences by index."""
        with self.lock:
            if not self.durable or not segment.records:
                return {}
            first = self.settled + 1
            return {index: first + index for index in range(count) if first + index in self.durable}

    def give_up(self, sequences: range) -> None:
        """Nobody waits for these records any more."""
        with self.lock:
            self.durable.difference_update(sequences)

    def settle(self, segment: Segment, frames: Frames) -> None:
        """Remember that what `frames` was read from `segment` needs no more work."""
        with self.lock:
            before = segment.offset
            segment.settle(frames.end)
            if segment.records == 0:
                return
            self._pending_bytes -= frames.end - before
            done = segment.records if segment.offset >= segment.size else segment.settled + len(frames.payloads)
            self.settled += done - segment.settled
            segment.settled = done

    def seal(self) -> None:
        """Begin a new segment with the next record, so that the present one is deleted once it is stored."""
        with self.lock:
            self._seal()

    def seal_old(self) -> None:
        """Begin a new segment with the next record when the present one is old, so that its disk space comes back."""
        with self.lock:
            segment = self._active
            if segment is not None and segment.records and time.monotonic() - segment.opened > SEGMENT_SECONDS:
                self._seal()

    def look_around(self) -> bool:
        """Adopt segments whose owner is gone, a few at a time; True when there may be more to adopt."""
        with self.lock:
            mine = {segment.path for segment in (*self._own, *self._adopted)}
        others = 0
        more = False
        for path in self._segment_paths():
            if path in mine:
                continue
            if len(self._adopted) >= ADOPTED_AT_ONCE:
                more = True
                others += _pending_in(path)
            elif not self._adopt(path):
                others += _pending_in(path)
        self._others_bytes = others
        return more

    def _adopt(self, path: Path) -> bool:
        with self.lock:
            segment = segments.adopt(path)
            if segment is None:
                return False
            self._adopted.append(segment)
        logger.info("took over the spool file %s of a process that is gone", path.name)
        return True

    def _segment_paths(self) -> list[Path]:
        """All segments in the folder, oldest first; offsets whose segment is gone are deleted in passing."""
        try:
            names = sorted(entry.name for entry in os.scandir(self.folder))
        except FileNotFoundError:
            return []
        present = set(names)
        for name in names:
            if name.endswith(OFFSET_SUFFIX) and name[: -len(OFFSET_SUFFIX)] + SUFFIX not in present:
                (self.folder / name).unlink(missing_ok=True)
        return [self.folder / name for name in names if name.endswith(SUFFIX)]

    def has_foreign_segments(self) -> bool:
        """Whether the folder holds segments that are not of this process."""
        with self.lock:
            mine = {segment.path for segment in self._own}
        return any(path not in mine for path in self._segment_paths())

    def oldest_us(self) -> int | None:
        """When the oldest record that is not settled was made, in microseconds since the epoch; None without one."""
        with self.lock:
            waiting = [each for each in (*self._adopted, *self._own) if each.pending_bytes]
            first = [each.read(each.offset, limit=1, chunk=64 * 2**10).payloads for each in waiting[:1]]
        try:
            return records.created_us(first[0][0])
        except (IndexError, ValueError, KeyError, TypeError):
            return None

    def ask_for_haste(self) -> None:
        """Tell the writers of all processes that share the folder that somebody waits for what they have."""
        with suppress(OSError):
            (self.folder / HASTE).touch(mode=0o600)

    def is_haste_asked_for(self) -> bool:
        """Whether somebody has done so a moment ago."""
        try:
            asked = (self.folder / HASTE).stat().st_mtime
        except OSError:
            return False
        return abs(time.time() - asked) < HASTE_SECONDS

    def sync(self) -> None:
        """Bring everything that is pending onto the disk."""
        with self.lock:
            waiting = [each for each in self._own if each.synced < each.size and each.pending_bytes]
        for segment in waiting:
            with self._borrowed(segment) as descriptor:
                segment.sync(descriptor)

    @contextmanager
    def _borrowed(self, segment: Segment) -> Iterator[int]:
        """A descriptor of `segment` that stays open even if the writer closes the segment meanwhile."""
        with self.lock:
            descriptor = os.dup(segment.fd)
            self._shared_descriptors.add(descriptor)
        try:
            yield descriptor
        finally:
            with self.lock:
                if descriptor in self._shared_descriptors:
                    self._shared_descriptors.discard(descriptor)
                    os.close(descriptor)

    # Beginning and end.

    def close(self) -> None:
        """Let go of all files: finished ones are deleted, the others are left for whoever comes next."""
        with self.lock:
            self._seal()
            for segment in (*self._own, *self._adopted):
                if segment.pending_bytes:
                    segment.sync()
                    segment.close()
                else:
                    self._discard(segment)
            self._own.clear()
            self._adopted.clear()
            self._pending_bytes = 0
            self.settled = self.appended

    def forget(self) -> None:
        """In a forked child: let go of everything that belongs to the parent, which goes on with it."""
        for descriptor in {segment.fd for segment in (*self._own, *self._adopted)} | self._shared_descriptors:
            os.close(descriptor)
        self._begin()
        self._on_fork()

    def _discard(self, segment: Segment) -> None:
        segment.delete()
        segment.close()


def _pending_in(path: Path) -> int:
    try:
        return max(0, path.stat().st_size - segments.saved_offset(path))
    except OSError:
        return 0
