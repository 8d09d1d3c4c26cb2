"""The one way from a call to the database: `record` returns when the record survives this process.

`record` costs one encoding and one `write` system call; everything else happens in the background. Constructing a
`Recorder` starts nothing; the first record starts the writer of this process, also after a fork.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
import weakref
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stateful_engine.domain import clock
from stateful_engine.errors import InvalidInputError, PayloadTooLargeError, StorageUnavailableError
from stateful_engine.recording import records as encoding
from stateful_engine.recording.courtesy import Courtesy
from stateful_engine.recording.forgotten import ForgottenPeople, redone
from stateful_engine.recording.frames import MAX_PAYLOAD, frame
from stateful_engine.recording.preparing import Preparer
from stateful_engine.recording.rejects import Rejects
from stateful_engine.recording.sinks import DatabaseSink, Sink
from stateful_engine.recording.spool import Spool
from stateful_engine.recording.stream import Stream, StreamSink
from stateful_engine.recording.writer import OnCommit, Verdict, Writer

if TYPE_CHECKING:
    from stateful_engine.config import Settings
    from stateful_engine.guard import Guard
    from stateful_engine.recording.records import Record
    from stateful_engine.storage.database import Database

EXIT_SECONDS = 2.0
FIRST_LOOK_SECONDS = 1.0
LOOK_AT_STREAM_SECONDS = 0.05
STOP_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class RecorderStatus:
    """How far behind the database is.

    `pending_records` and `oldest_age_seconds` speak of this process and of what it adopted, `pending_bytes` and
    `rejected` of the whole spool folder. `dropped` counts records that were refused because the spool was full.
    `stream_lag` counts records in the Redis stream; None without a stream, or when it does not answer.
    """

    pending_records: int
    pending_bytes: int
    oldest_age_seconds: float
    dropped: int
    rejected: int
    writer_alive: bool
    stream_lag: int | None
    last_error: str | None


class Recorder:
    """Takes records of one app; one object serves all threads, and all processes that are forked from this one."""

    def __init__(
        self, database: Database, settings: Settings, guard: Guard, *, on_commit: OnCommit | None = None
    ) -> None:
        self._settings = settings
        self._guard = guard
        self.on_commit = on_commit
        self._stream = Stream(settings.stream_url) if settings.stream_url else None
        self._sink = self._make_sink(database)
        self._spool = Spool(settings.spool_dir, max_bytes=settings.spool_max_bytes, on_fork=self._begin_anew)
        self._rejects = Rejects(settings.spool_dir)
        self._forgotten = ForgottenPeople(settings)
        self._writer: Writer | None = None
        self._looked_back = False
        self._left_behind = False
        _living.add(self)

    def _make_sink(self, database: Database) -> Sink:
        direct = DatabaseSink(database)
        return direct if self._stream is None else StreamSink(self._stream, direct)

    def record(self, record: Record) -> None:
        """Take `record`: when this returns it survives the end of this process, however it ends.

        Raises `SpoolFullError` when the spool has reached its limit or its disk is full.
        """
        self.take(_line(record))

    def take(self, line: bytes) -> None:
        """As `record`, for a record that is a line of the spool already."""
        self._spool.append(line, 1)
        writer = self._writer
        if writer is None or not writer.running:
            self._start()
        elif writer.idle:
            writer.wake()

    def record_durably(self, *records: Record, timeout: float = 5.0) -> bool:
        """Take `records` and wait until the database has committed them, together with those of other callers.

        False when it did not within `timeout` seconds, or is known to be away: then they are on this machine's disk
        and will be stored later. Raises `InvalidInputError` when the database refuses them for what they contain.
        """
        data = b"".join([_line(record) for record in records])
        last = self._spool.append(data, len(records), durable=True)
        sequences = range(last - len(records) + 1, last + 1)
        writer = self._running()
        verdicts = set(writer.verdicts(sequences, timeout)) if writer else {None}
        if Verdict.REJECTED in verdicts:
            raise InvalidInputError(
                "the database does not take this record for what it contains; it is set aside in the spool's folder "
                "`rejected`, correct the values and send it again",
                code="RECORD_REJECTED",
            )
        if verdicts == {Verdict.COMMITTED}:
            return True
        self._spool.sync()
        return False

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until every record made before this call is stored (or handed to the stream, or set aside as bad).

        False when that takes longer than `timeout` seconds. Costs next to nothing when nothing is pending.
        """
        return self._caught_up(timeout, patient=True)

    def catch_up(self, timeout: float = 5.0) -> bool:
        """As `flush`, for somebody who is about to read: does not wait for a database that is away."""
        return self._caught_up(timeout, patient=False)

    def ask_for_haste(self) -> None:
        """Have other processes on this machine store what they have sooner, for somebody who waits for it here."""
        self._spool.ask_for_haste()

    def _caught_up(self, timeout: float, *, patient: bool) -> bool:
        spool = self._spool
        target = spool.appended
        if spool.settled >= target and self._looked_back and not self._left_behind:
            return True
        if self._left_behind and not self._fetched_back(timeout):
            return False
        if not self._looked_back:
            self._look_back(min(timeout, FIRST_LOOK_SECONDS))
        if spool.settled >= target:
            return True
        writer = self._running()
        return writer is not None and writer.wait_until(target, timeout, patient=patient)

    def _look_back(self, timeout: float) -> None:
        """Before the first read: give what an earlier process left in the spool a moment to be stored."""
        self._looked_back = True
        if self._spool.has_foreign_segments():
            writer = self._running()
            if writer is not None:
                writer.first_look(timeout)

    def start(self) -> None:
        """Start the writer before the first record, for the sake of files that dead processes left behind."""
        self._running()

    def drain(self, timeout: float = 60.0) -> bool:
        """Store what this process and processes that are gone have in the spool; False when `timeout` came first."""
        deadline = time.monotonic() + timeout
        writer = self._running()
        if writer is None or not writer.look_again(timeout):
            return False
        return self.flush(max(0.0, deadline - time.monotonic()))

    def retry_rejected(self) -> int:
        """Put the records that were set aside back into the spool; returns how many."""
        count = 0
        for path, payloads in self._rejects.take():
            for payload in payloads:
                self._spool.append(frame(payload), 1)
            self._spool.sync()
            path.unlink()
            count += len(payloads)
        return count

    def forget_people(self, names: Collection[str], timeout: float = 5.0) -> int:
        """Keep people who are called one of `names` out of all records made before now; how many refused ones changed.

        What waits in the spool is stored first, as far as the database takes it, so that it can be deleted there; files
        whose records are all stored are deleted, by other processes within a minute.
        """
        self._forgotten.add(names)
        self._spool.seal()
        deadline = time.monotonic() + timeout
        self.drain(timeout)
        self._let_workers_catch_up(deadline)
        return self._rejects.rewrite(lambda payload: redone(payload, names, self._settings))

    def _let_workers_catch_up(self, deadline: float) -> None:
        """Wait until the workers have stored what is in the stream now, on whichever machine; not beyond `deadline`."""
        if self._stream is None:
            return
        with suppress(StorageUnavailableError):
            last = self._stream.newest()
            while last is not None and self._stream.holds_until(last) and time.monotonic() < deadline:
                time.sleep(LOOK_AT_STREAM_SECONDS)

    def _fetched_back(self, timeout: float) -> bool:
        """After a `close` that left records in the files: store them, as those of any process that is gone."""
        writer = self._running()
        self._left_behind = writer is None or not writer.look_again(timeout)
        return not self._left_behind

    def close(self, timeout: float = 5.0) -> bool:
        """Store what can be stored within `timeout` seconds and stop; True when nothing is left in the spool.

        Does not wait for a database that is away: what is left stays in the files for the next process. A record made
        afterwards starts everything again.
        """
        deadline = time.monotonic() + timeout
        if self._writer is not None and self._spool.pending_records:
            self._caught_up(timeout, patient=False)
        while True:
            writer = self._writer
            if writer is not None and not writer.stop(max(STOP_SECONDS, deadline - time.monotonic())):
                return False
            with self._spool.lock:
                # Another thread may have recorded something meanwhile, which started the next writer.
                if self._writer is writer:
                    return self._let_go()

    def _let_go(self) -> bool:
        self._writer = None
        self._looked_back = False
        self._left_behind |= self._spool.pending_records > 0
        self._spool.close()
        return not self._left_behind

    def status(self) -> RecorderStatus:
        """How much is waiting, for how long, and why."""
        spool, writer = self._spool, self._writer
        made = spool.oldest_us()
        return RecorderStatus(
            pending_records=spool.pending_records,
            pending_bytes=spool.pending_bytes,
            oldest_age_seconds=0.0 if made is None else max(0.0, (clock.epoch_us() - made) / 1e6),
            dropped=spool.refused,
            rejected=self._rejects.count(),
            writer_alive=writer is not None and writer.is_alive(),
            stream_lag=self._stream.lag() if self._stream else None,
            last_error=writer.last_error if writer else None,
        )

    def _is_awaited(self) -> bool:
        writer = self._writer
        return writer is not None and writer.is_awaited()

    def _running(self) -> Writer | None:
        """The writer of this process, started when it does not run; None when no thread may be started."""
        writer = self._writer
        if writer is not None and writer.is_alive():
            return writer
        self._start()
        return self._writer

    def _start(self) -> None:
        """Start the writer; where that cannot be (the interpreter is ending), the files wait for the next process."""
        with self._spool.lock:
            if self._writer is not None and self._writer.is_alive():
                return
            courtesy = Courtesy(self._spool, self._is_awaited)
            writer = Writer(
                self._spool,
                Preparer(self._settings, give_way=courtesy),
                self._sink,
                self._guard,
                flush_interval=self._settings.flush_interval,
                on_commit=self.on_commit,
                host_is_busy=courtesy.host_is_busy,
                breathe=courtesy.breathe,
            )
            try:
                writer.start()
            except RuntimeError as error:
                self._guard.caught("start_the_writer", error)
                return
            self._writer = writer

    # Forks: the lock is held over the fork, so that no file is half registered; the child begins with nothing.

    def _before_fork(self) -> None:
        self._spool.lock.acquire()

    def _after_fork_in_parent(self) -> None:
        self._spool.lock.release()

    def _after_fork_in_child(self) -> None:
        self._spool.forget()

    def _begin_anew(self) -> None:
        self._writer = None
        self._looked_back = False
        self._left_behind = False


def _line(record: Record) -> bytes:
    payload = encoding.encode(record)
    if len(payload) > MAX_PAYLOAD:
        raise PayloadTooLargeError(f"a record may hold {MAX_PAYLOAD >> 20} MiB; record less at a time")
    return frame(payload)


_living: weakref.WeakSet[Recorder] = weakref.WeakSet()
_held: list[Recorder] = []
_forking = threading.Lock()
"""Held over a fork: of two threads that fork at once, each has to find its own recorders in `_held`."""


def _before_fork() -> None:
    _forking.acquire()
    _held[:] = list(_living)
    for recorder in _held:
        recorder._before_fork()


def _after_fork_in_parent() -> None:
    for recorder in _held:
        recorder._after_fork_in_parent()
    _held.clear()
    _forking.release()


def _after_fork_in_child() -> None:
    """Servers that fork in C may call this without the rest, so it does not count on what came before."""
    for recorder in list(_living):
        recorder._after_fork_in_child()
    _held.clear()
    if _forking.locked():
        _forking.release()


def _at_exit() -> None:
    """Give what is pending a moment; the files keep the rest."""
    deadline = time.monotonic() + EXIT_SECONDS
    for recorder in list(_living):
        recorder.close(max(0.1, deadline - time.monotonic()))


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
atexit.register(_at_exit)
