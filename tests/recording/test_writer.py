"""The writer: batches, patience while the sink is away, truth for those who wait."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Set
from pathlib import Path

import pytest

from stateful_engine.errors import StorageUnavailableError
from stateful_engine.guard import Guard
from stateful_engine.recording import writer as writing
from stateful_engine.recording.frames import frame
from stateful_engine.recording.preparing import Prepared
from stateful_engine.recording.rejects import Reject, Rejects
from stateful_engine.recording.sinks import Stored
from stateful_engine.recording.spool import Spool
from stateful_engine.recording.writer import Verdict, Writer

SOON = 5.0


class Shelf:
    """A sink in memory that can be away, slow, or refuse what begins with `bad`."""

    def __init__(self) -> None:
        self.batches: list[list[bytes]] = []
        self.fault: Exception | None = None
        self.attempts = 0
        self.open = threading.Event()
        self.open.set()
        self.attempted = threading.Event()

    @property
    def payloads(self) -> list[bytes]:
        return [payload for batch in self.batches for payload in batch]

    def store(self, batch: Prepared, awaited: Set[int] = frozenset()) -> Stored:
        payloads = batch.payloads
        self.attempts += 1
        self.attempted.set()
        self.open.wait(SOON)
        if self.fault is not None:
            raise self.fault
        stored = Stored()
        for index, payload in enumerate(payloads):
            if payload.startswith(b"bad"):
                stored.rejects[index] = Reject(payload, "DataError")
            elif payload.startswith(b"later"):
                stored.forwarded.add(index)
        self.batches.append([payload for index, payload in enumerate(payloads) if index not in stored.rejects])
        stored.counts["signal_history"] += len(self.batches[-1])
        return stored


AWAY = StorageUnavailableError("the database is away; start it")

MakeWriter = Callable[..., Writer]


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    made = Spool(tmp_path / "spool", max_bytes=2**30)
    yield made
    made.close()


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def guard() -> Guard:
    return Guard()


@pytest.fixture
def make_writer(spool: Spool, shelf: Shelf, guard: Guard) -> Iterator[MakeWriter]:
    made: list[Writer] = []

    def make(*, interval: float = 0.01, on_commit: writing.OnCommit | None = None) -> Writer:
        writer = Writer(spool, Prepared, shelf, guard, flush_interval=interval, on_commit=on_commit)
        made.append(writer)
        writer.start()
        return writer

    yield make
    shelf.open.set()
    for writer in made:
        assert writer.stop(SOON)


def put(spool: Spool, *payloads: bytes, durable: bool = False) -> int:
    return spool.append(b"".join(map(frame, payloads)), len(payloads), durable=durable)


def test_what_is_pending_when_it_starts_is_stored(spool: Spool, shelf: Shelf, make_writer: MakeWriter) -> None:
    put(spool, b"one", b"two")
    assert make_writer().wait_until(2, SOON)
    assert shelf.batches == [[b"one", b"two"]]


def test_a_batch_holds_at_most_a_thousand_records(spool: Spool, shelf: Shelf, make_writer: MakeWriter) -> None:
    last = put(spool, *[b"%d" % number for number in range(2500)])
    assert make_writer().wait_until(last, SOON)
    assert [len(batch) for batch in shelf.batches] == [1000, 1000, 500]


def test_large_records_come_in_smaller_batches(spool: Spool, shelf: Shelf, make_writer: MakeWriter) -> None:
    last = put(spool, *[b"%d" % number * 500_000 for number in range(30)])
    assert make_writer().wait_until(last, SOON)
    assert len(shelf.batches) > 3
    assert len(shelf.payloads) == 30


def test_records_wait_at_most_the_flush_interval(spool: Spool, shelf: Shelf, make_writer: MakeWriter) -> None:
    make_writer(interval=0.02)
    shelf.attempted.clear()
    put(spool, b"one")
    assert shelf.attempted.wait(SOON)


def test_records_that_come_close_together_share_a_batch(spool: Spool, shelf: Shelf, make_writer: MakeWriter) -> None:
    writer = make_writer(interval=0.2)
    for number in range(50):
        put(spool, b"%d" % number)
        time.sleep(0.001)
    assert writer.wait_until(50, SOON)
    assert len(shelf.batches) < 25


def test_somebody_who_waits_does_not_wait_for_the_interval(spool: Spool, shelf: Shelf, make_writer: MakeWriter) -> None:
    writer = make_writer(interval=60.0)
    began = time.monotonic()
    assert writer.wait_until(put(spool, b"one"), SOON)
    assert time.monotonic() - began < SOON


def test_it_sleeps_when_nothing_comes_and_wakes_for_the_next_record(
    spool: Spool, shelf: Shelf, make_writer: MakeWriter
) -> None:
    writer = make_writer(interval=0.01)
    deadline = time.monotonic() + SOON
    while not writer.idle and time.monotonic() < deadline:
        time.sleep(0.005)
    assert writer.idle
    put(spool, b"one")
    writer.wake()
    assert shelf.attempted.wait(SOON)


def test_waiting_ends_in_time_with_the_truth(spool: Spool, shelf: Shelf, make_writer: MakeWriter) -> None:
    shelf.open.clear()
    writer = make_writer()
    last = put(spool, b"one")
    assert not writer.wait_until(last, 0.05)
    shelf.open.set()
    assert writer.wait_until(last, SOON)


def test_while_the_sink_is_away_records_wait_and_then_all_are_stored_once(
    spool: Spool, shelf: Shelf, make_writer: MakeWriter, caplog: pytest.LogCaptureFixture
) -> None:
    shelf.fault = AWAY
    with caplog.at_level(logging.INFO, logger="stateful_engine"):
        writer = make_writer()
        last = put(spool, b"secret one", b"secret two")
        assert not writer.wait_until(last, SOON, patient=False)
        assert writer.away
        assert writer.last_error == AWAY.message
        assert spool.pending_records == 2
        shelf.fault = None
        assert writer.wait_until(last, SOON)
    assert shelf.payloads == [b"secret one", b"secret two"]
    assert not writer.away
    assert writer.last_error is None
    assert "secret" not in caplog.text
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_attempts_become_rarer_and_never_come_in_step() -> None:
    pauses = [writing._backoff(series) for series in range(1, 40)]
    assert max(pauses) <= writing.LONGEST_BACKOFF
    assert all(pause >= writing.LONGEST_BACKOFF / 2 for pause in pauses[10:])
    assert len(set(pauses)) == len(pauses)
    assert writing._backoff(1) < writing.LONGEST_BACKOFF / 10


def test_an_error_nobody_thought_of_does_not_end_the_thread(
    spool: Spool, shelf: Shelf, guard: Guard, make_writer: MakeWriter
) -> None:
    shelf.fault = RuntimeError("a bug")
    writer = make_writer()
    last = put(spool, b"one")
    assert not writer.wait_until(last, SOON, patient=False)
    shelf.fault = None
    assert writer.wait_until(last, SOON)
    assert guard.snapshot()["failed_store_records"] >= 1


def test_a_refused_record_is_set_aside_with_its_reason_and_the_rest_is_stored(
    spool: Spool, shelf: Shelf, guard: Guard, make_writer: MakeWriter
) -> None:
    assert make_writer().wait_until(put(spool, b"one", b"bad two", b"three"), SOON)
    assert shelf.payloads == [b"one", b"three"]
    rejects = Rejects(spool.folder)
    assert rejects.reasons() == {"DataError": 1}
    assert [payloads for _, payloads in rejects.take()] == [[b"bad two"]]
    assert guard.snapshot()["rejected_records"] == 1


def test_a_damaged_line_is_set_aside_too(spool: Spool, shelf: Shelf, make_writer: MakeWriter) -> None:
    put(spool, b"one", b"two")
    segment = spool.own()
    assert segment is not None
    data = bytearray(segment.path.read_bytes())
    data[-2] ^= 1
    with segment.path.open("r+b") as file:
        file.write(data)
    assert make_writer().wait_until(2, SOON)
    assert shelf.payloads == [b"one"]
    assert Rejects(spool.folder).reasons() == {"damaged line": 1}


def test_whoever_awaits_a_record_learns_what_became_of_it(spool: Spool, shelf: Shelf, make_writer: MakeWriter) -> None:
    writer = make_writer(interval=60.0)
    put(spool, b"in passing")
    last = put(spool, b"good", b"bad", b"later", durable=True)
    assert writer.verdicts(range(last - 2, last + 1), SOON) == [
        Verdict.COMMITTED,
        Verdict.REJECTED,
        Verdict.FORWARDED,
    ]
    assert not spool.durable
    assert not writer._verdicts


def test_whoever_awaits_a_record_is_told_at_once_that_the_sink_is_away(
    spool: Spool, shelf: Shelf, make_writer: MakeWriter
) -> None:
    shelf.fault = AWAY
    writer = make_writer()
    last = put(spool, b"one", durable=True)
    began = time.monotonic()
    assert writer.verdicts(range(last, last + 1), 60.0) == [None]
    attempts = shelf.attempts
    last = put(spool, b"two", durable=True)
    assert writer.verdicts(range(last, last + 1), 60.0) == [None]
    assert shelf.attempts == attempts
    assert time.monotonic() - began < SOON


def test_those_who_wait_together_share_a_commit(spool: Spool, shelf: Shelf, make_writer: MakeWriter) -> None:
    shelf.open.clear()
    writer = make_writer()
    first = put(spool, b"first", durable=True)
    writer.wake()
    assert shelf.attempted.wait(SOON)
    lasts = [put(spool, b"%d" % number, durable=True) for number in range(16)]
    threads = [threading.Thread(target=writer.verdicts, args=(range(last, last + 1), SOON)) for last in [first, *lasts]]
    for thread in threads:
        thread.start()
    shelf.open.set()
    for thread in threads:
        thread.join(SOON)
    assert [len(batch) for batch in shelf.batches] == [1, 16]


def test_commits_are_announced_with_their_counts_before_anybody_is_answered(
    spool: Spool, shelf: Shelf, guard: Guard, make_writer: MakeWriter
) -> None:
    announced: list[tuple[dict[str, int], int]] = []
    writer = make_writer(on_commit=lambda counts: announced.append((dict(counts), spool.settled)))
    assert writer.wait_until(put(spool, b"one", b"two"), SOON)
    assert announced == [({"signal_history": 2}, 0)]


def test_a_listener_that_fails_costs_nothing(spool: Spool, shelf: Shelf, guard: Guard, make_writer: MakeWriter) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("the host's bug")

    assert make_writer(on_commit=fail).wait_until(put(spool, b"one"), SOON)
    assert guard.snapshot()["failed_announce_commit"] == 1


def test_what_cannot_be_stored_is_brought_onto_the_disk_within_the_interval(
    spool: Spool, shelf: Shelf, make_writer: MakeWriter
) -> None:
    """Also when the sink does not answer at all: syncing has a thread of its own."""
    shelf.open.clear()
    make_writer(interval=0.02)
    put(spool, b"one")
    assert shelf.attempted.wait(SOON)
    segment = spool.own()
    assert segment is not None
    deadline = time.monotonic() + SOON
    while segment.synced < segment.size and time.monotonic() < deadline:
        time.sleep(0.005)
    assert segment.synced == segment.size


def test_files_of_the_dead_are_stored_beside_our_own(spool: Spool, shelf: Shelf, make_writer: MakeWriter) -> None:
    dead = Spool(spool.folder, max_bytes=2**30)
    put(dead, *[b"dead %d" % number for number in range(1500)])
    dead.close()
    put(spool, b"ours")
    writer = make_writer(interval=60.0)
    assert writer.first_look(SOON)
    assert len(shelf.payloads) == 1501
    dead = Spool(spool.folder, max_bytes=2**30)
    put(dead, b"died later")
    dead.close()
    assert writer.look_again(SOON)
    assert shelf.payloads[-1] == b"died later"


def test_stopping_finishes_the_batch_in_hand(spool: Spool, shelf: Shelf, make_writer: MakeWriter) -> None:
    shelf.open.clear()
    writer = make_writer()
    put(spool, b"one")
    assert shelf.attempted.wait(SOON)
    assert not writer.stop(0.05)
    shelf.open.set()
    assert writer.stop(SOON)
    assert shelf.payloads == [b"one"]
    assert spool.pending_records == 0
