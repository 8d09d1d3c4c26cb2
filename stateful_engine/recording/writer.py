"""The background thread that brings what lies in the spool to its sink, in batches, for as long as it takes."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping
from enum import Enum
from typing import TYPE_CHECKING

from stateful_engine.logging import logger
from stateful_engine.recording.batches import Batches
from stateful_engine.recording.rejects import Reject, Rejects
from stateful_engine.recording.sinks import AWAY, Sink, Stored
from stateful_engine.recording.spool import Spool
from stateful_engine.storage import breath

if TYPE_CHECKING:
    from stateful_engine.guard import Guard
    from stateful_engine.recording.frames import Frames
    from stateful_engine.recording.preparing import Prepare
    from stateful_engine.recording.segments import Segment

FIRST_BACKOFF = 0.1
LONGEST_BACKOFF = 5.0
LOOK_AROUND_SECONDS = 5.0
QUIET_PASSES = 5

OnCommit = Callable[[Mapping[str, int]], None]


class Verdict(Enum):
    """What became of a record whose maker waits for it."""

    COMMITTED = "committed"
    FORWARDED = "forwarded"
    REJECTED = "rejected"


class Writer:
    """Two daemon threads of one process: one stores batches, the other syncs what is not stored yet."""

    def __init__(
        self,
        spool: Spool,
        prepare: Prepare,
        sink: Sink,
        guard: Guard,
        *,
        flush_interval: float,
        on_commit: OnCommit | None = None,
        host_is_busy: Callable[[], bool] = lambda: False,
        breathe: Callable[[], None] = lambda: None,
    ) -> None:
        """While `host_is_busy` nothing is read ahead; `breathe` is called again and again while a batch is stored."""
        self._spool = spool
        self._batches = Batches(prepare, host_is_busy)
        self._sink = sink
        self._guard = guard
        self._interval = flush_interval
        self._on_commit = on_commit
        self._breathe = breathe
        self._rejects = Rejects(spool.folder)
        self._wake = threading.Event()
        self._busy = threading.Event()
        self._stopping = threading.Event()
        self._changed = threading.Condition()
        self._verdicts: dict[int, Verdict] = {}
        self._wanted = 0
        self._series = 0
        self._failed_attempts = 0
        self._quiet_passes = 0
        self._next_look = 0.0
        self._looks_wanted = 1
        self._looks_seen = 0
        self._looks_done = 0
        self.running = False
        self.idle = False
        self.last_error: str | None = None
        self._threads = [
            threading.Thread(target=self._run, name="stateful-writer", daemon=True),
            threading.Thread(target=self._keep_synced, name="stateful-sync", daemon=True),
        ]

    # What other threads call.

    def start(self) -> None:
        """Start working; raises `RuntimeError` when the process may start no thread."""
        self._busy.set()
        self.running = True
        try:
            for thread in reversed(self._threads):
                thread.start()
        except RuntimeError:
            self._end()
            raise

    def is_alive(self) -> bool:
        """Whether the writing thread runs in this process."""
        return self.running and self._threads[0].is_alive()

    @property
    def away(self) -> bool:
        """Whether the last attempt to store something failed."""
        return self._series > 0

    def is_awaited(self) -> bool:
        """Whether somebody waits until something is stored, or until this writer ends."""
        return self._spool.settled < self._wanted or bool(self._spool.durable) or self._stopping.is_set()

    def wake(self) -> None:
        """Do not wait any longer for more records to come together."""
        self._wake.set()

    def wait_until(self, sequence: int, timeout: float, *, patient: bool = True) -> bool:
        """Wait until the first `sequence` records are settled; False after `timeout` seconds.

        Without `patient` also False as soon as an attempt to store them has failed. The writer does not wait for
        itself: a listener to commits reads what is there.
        """
        if self._is_asked_by_itself():
            return self._spool.settled >= sequence
        with self._changed:
            self._wanted = max(self._wanted, sequence)
            failed = self._failed_attempts
            self.wake()
            self._changed.wait_for(
                lambda: self._spool.settled >= sequence or not (patient or self._failed_attempts == failed), timeout
            )
            return self._spool.settled >= sequence

    def first_look(self, timeout: float) -> bool:
        """Wait until what dead processes had left behind at the start is stored; False after `timeout` seconds."""
        return self._wait_for_look(1, timeout)

    def look_again(self, timeout: float) -> bool:
        """Adopt whatever is to be adopted now and wait until it is stored; False after `timeout` seconds."""
        with self._changed:
            self._looks_wanted += 1
            wanted = self._looks_wanted
        self.wake()
        return self._wait_for_look(wanted, timeout)

    def _is_asked_by_itself(self) -> bool:
        return threading.current_thread() is self._threads[0]

    def _wait_for_look(self, wanted: int, timeout: float) -> bool:
        if self._is_asked_by_itself():
            return False
        with self._changed:
            return self._changed.wait_for(lambda: self._looks_done >= wanted, timeout)

    def verdicts(self, sequences: range, timeout: float) -> list[Verdict | None]:
        """What became of awaited records, once all are settled; None for those that are not within `timeout`."""
        self.wait_until(sequences[-1], 0 if self.away else timeout, patient=False)
        with self._changed:
            self._spool.give_up(sequences)
            return [self._verdicts.pop(sequence, None) for sequence in sequences]

    def stop(self, timeout: float) -> bool:
        """End after the batch in hand; False when that takes longer than `timeout` seconds."""
        self._stopping.set()
        self._busy.set()
        self._wake.set()
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    # The writing thread.

    def _run(self) -> None:
        try:
            self._work()
        finally:
            self._end()

    def _end(self) -> None:
        """The other thread ends as well; the recorder starts the next writer when it has something to store."""
        self.running = False
        self._stopping.set()
        self._busy.set()

    def _work(self) -> None:
        while not self._stopping.is_set():
            try:
                more = self._pass()
                self._succeeded()
            except AWAY as error:
                more = False
                self._failed(error.message)
            except Exception as error:  # noqa: BLE001  the thread outlives whatever happens in one pass
                more = False
                self._guard.caught("store_records", error)
                self._failed(type(error).__name__)
            self._pause(more=more)
        self._batches.drop()

    def _pass(self) -> bool:
        """Store one batch of this process and one of an adopted segment; True when there is more to do at once."""
        leftover = self._look_around()
        full = self._store_from(self._spool.own())
        full |= self._store_from(self._spool.adopted())
        if self._spool.adopted() is None and not leftover:
            self._note_look_done()
        else:
            full = True
        return full or (self.is_awaited() and self._spool.own() is not None)

    def _look_around(self) -> bool:
        """Look for files of dead processes when it is time to; True when some could not be taken over yet."""
        if time.monotonic() < self._next_look and self._looks_wanted == self._looks_seen:
            return False
        self._looks_seen = self._looks_wanted
        self._spool.seal_old()
        leftover = self._spool.look_around()
        self._next_look = time.monotonic() + (0 if leftover else LOOK_AROUND_SECONDS)
        return leftover

    def _note_look_done(self) -> None:
        if self._looks_done != self._looks_seen:
            with self._changed:
                self._looks_done = self._looks_seen
                self._changed.notify_all()

    def _store_from(self, segment: Segment | None) -> bool:
        """Store one batch from `segment`; True when it was a full one."""
        if segment is None:
            return False
        batch = self._batches.take(segment)
        frames, prepared = batch.frames, batch.prepared
        awaited = self._spool.awaited(segment, len(frames.payloads))
        with breath.taken(self._breathe):
            stored = self._sink.store(prepared, frozenset(awaited)) if frames.payloads else Stored()
        self._succeeded()
        self._set_aside(stored, frames)
        self._announce(stored)
        with self._changed:
            for index, sequence in awaited.items():
                self._verdicts[sequence] = _verdict(stored, index)
            self._spool.settle(segment, frames)
            self._changed.notify_all()
        return batch.is_full

    def _set_aside(self, stored: Stored, frames: Frames) -> None:
        corrupt = [Reject(damage.data, "damaged line") for damage in frames.damages if not damage.torn]
        rejects = [*stored.rejects.values(), *corrupt]
        self._guard.count("torn_lines", sum(damage.torn for damage in frames.damages))
        if not rejects:
            return
        self._rejects.add(rejects)
        self._guard.count("rejected_records", len(rejects))
        logger.error(
            "%d record(s) cannot be stored (%s); they are kept in %s, see `flask stateful spool status`",
            len(rejects),
            ", ".join(sorted({reject.reason for reject in rejects})),
            self._rejects.folder,
        )

    def _announce(self, stored: Stored) -> None:
        if stored.counts and self._on_commit is not None:
            with self._guard("announce_commit"):
                self._on_commit(stored.counts)

    def _succeeded(self) -> None:
        if self._series:
            logger.info("records are stored again after %d failed attempts", self._series)
        self._series = 0
        self.last_error = None

    def _failed(self, reason: str) -> None:
        if self._series == 0:
            logger.warning("records wait in the spool: %s", reason)
        self._series += 1
        self.last_error = reason
        with self._changed:
            self._failed_attempts += 1
            self._changed.notify_all()

    def _pause(self, *, more: bool) -> None:
        """Let records come together; sleep deeply when none come at all."""
        if self._series:
            self._wait(_backoff(self._series))
        elif more:
            return
        elif self._spool.pending_records or self._quiet_passes < QUIET_PASSES:
            self._quiet_passes = 0 if self._spool.pending_records else self._quiet_passes + 1
            self._wait(self._interval)
        else:
            self._quiet_passes = 0
            self._sleep()

    def _sleep(self) -> None:
        """Wait for a record that wakes this thread, then for those that come with it."""
        self._busy.clear()
        self.idle = True
        if not self._spool.pending_records:
            self._wait(LOOK_AROUND_SECONDS)
        self.idle = False
        self._busy.set()
        if self._spool.pending_records and not self._spool.durable and self._spool.settled >= self._wanted:
            self._wait(self._interval)

    def _wait(self, seconds: float) -> None:
        """Wait, unless somebody calls for haste."""
        if not self._stopping.is_set():
            self._wake.wait(seconds)
        self._wake.clear()

    # The syncing thread.

    def _keep_synced(self) -> None:
        while not self._stopping.is_set():
            self._busy.wait()
            self._stopping.wait(self._interval)
            try:
                self._spool.sync()
            except OSError as error:
                self._guard.caught("sync_the_spool", error)


def _verdict(stored: Stored, index: int) -> Verdict:
    if index in stored.rejects:
        return Verdict.REJECTED
    return Verdict.FORWARDED if index in stored.forwarded else Verdict.COMMITTED


def _backoff(series: int) -> float:
    """Seconds to the next attempt: doubling up to a limit, and random so that many processes do not knock at once."""
    longest: float = min(LONGEST_BACKOFF, FIRST_BACKOFF * 2 ** min(series, 16))
    return longest * random.uniform(0.5, 1.0)
