"""What the writer stores at a time, read ahead: while the database works on one batch, the next is prepared.

A thread prepares only where a full batch says that there is a backlog; it lives for that one batch. So a spool empties
at the speed of the slower of the two, this process or the database, and not at the speed of both in turn.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stateful_engine.logging import logger
from stateful_engine.recording.frames import Frames

if TYPE_CHECKING:
    from stateful_engine.recording.preparing import Prepare, Prepared
    from stateful_engine.recording.segments import Segment

BATCH_RECORDS = 1000
BATCH_BYTES = 2**18
"""Bytes read at a time: a batch takes about four times as much memory while it is stored."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A piece of a segment, and its records as rows."""

    frames: Frames
    prepared: Prepared
    is_full: bool


class Batches:
    """The batches of the writer's segments, one after another."""

    def __init__(self, prepare: Prepare, host_is_busy: Callable[[], bool]) -> None:
        """While the host is busy nothing is read ahead."""
        self._prepare = prepare
        self._host_is_busy = host_is_busy
        self._ahead: _Ahead | None = None

    def take(self, segment: Segment) -> Batch:
        """The next batch of `segment`; it comes again until the segment is settled behind it."""
        start = segment.offset
        batch = self._made_ahead(segment, start) or self._read(segment, start)
        if self._ahead is None and batch.is_full and batch.frames.end < segment.size and not self._host_is_busy():
            with suppress(RuntimeError):
                # Where no thread can be started, the next batch is read in its turn.
                self._ahead = _Ahead(self, segment, batch.frames.end)
        return batch

    def _made_ahead(self, segment: Segment, start: int) -> Batch | None:
        """The batch that was read ahead, where it is this one; that of another segment waits for its turn."""
        ahead = self._ahead
        if ahead is None or ahead.segment is not segment:
            return None
        self._ahead = None
        made = ahead.result()
        return made if ahead.start == start else None

    def drop(self) -> None:
        """Wait for what is being prepared and forget it."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            ahead.result()

    def _read(self, segment: Segment, start: int) -> Batch:
        frames = segment.read(start, limit=BATCH_RECORDS, chunk=BATCH_BYTES)
        is_full = len(frames.payloads) == BATCH_RECORDS or segment.size - frames.end >= BATCH_BYTES
        return Batch(frames, self._prepare(frames.payloads), is_full)


class _Ahead:
    """A batch in the making."""

    def __init__(self, batches: Batches, segment: Segment, start: int) -> None:
        self._batches = batches
        self.segment = segment
        self.start = start
        self._batch: Batch | None = None
        self._thread = threading.Thread(target=self._work, name="stateful-ahead", daemon=True)
        self._thread.start()

    def result(self) -> Batch | None:
        """The batch once it is made; None when it could not be, so that whoever needs it makes it itself."""
        self._thread.join()
        return self._batch

    def _work(self) -> None:
        try:
            self._batch = self._batches._read(self.segment, self.start)
        except OSError:
            logger.debug("the next batch could not be read ahead")
