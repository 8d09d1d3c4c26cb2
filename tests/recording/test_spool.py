"""The spool: what it has accepted is in its files, whatever happens to the process or to its disk."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stateful_engine.errors import SpoolFullError
from stateful_engine.recording import segments
from stateful_engine.recording.frames import Frames, frame
from stateful_engine.recording.segments import MAGIC, Segment
from stateful_engine.recording.spool import ADOPTED_AT_ONCE, Spool

PLENTY = 2**30


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "instance" / "spool"


@pytest.fixture
def spool(folder: Path) -> Iterator[Spool]:
    made = Spool(folder, max_bytes=PLENTY)
    yield made
    made.close()


def put(spool: Spool, *payloads: bytes) -> int:
    return spool.append(b"".join(map(frame, payloads)), len(payloads))


def taken(spool: Spool, segment: Segment | None) -> list[bytes]:
    """What the writer would store next; settled as if it had."""
    assert segment is not None
    frames = segment.read(segment.offset, limit=1000, chunk=2**20)
    spool.settle(segment, frames)
    return frames.payloads


def all_own(spool: Spool) -> list[bytes]:
    payloads = []
    while (segment := spool.own()) is not None:
        payloads += taken(spool, segment)
    return payloads


def all_adopted(spool: Spool) -> list[bytes]:
    payloads = []
    while spool.look_around() or spool.adopted() is not None:
        while (segment := spool.adopted()) is not None:
            payloads += taken(spool, segment)
    return payloads


def segment_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.seg"))


def in_child(work: object) -> int:
    """Run `work` in a forked child that is killed afterwards; its exit code."""
    pid = os.fork()
    if pid == 0:
        try:
            work()  # type: ignore[operator]
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    return os.waitpid(pid, 0)[1]


def test_nothing_touches_the_disk_before_the_first_record(folder: Path) -> None:
    Spool(folder, max_bytes=PLENTY)
    assert not folder.exists()


def test_records_come_out_in_the_order_in_which_they_went_in(spool: Spool) -> None:
    put(spool, b"one")
    put(spool, b"two", b"three")
    assert (spool.appended, spool.settled, spool.pending_records) == (3, 0, 3)
    assert all_own(spool) == [b"one", b"two", b"three"]
    assert (spool.settled, spool.pending_records, spool.pending_bytes) == (3, 0, 0)


def test_only_the_owner_can_read_the_files(spool: Spool, folder: Path) -> None:
    before = os.umask(0)
    try:
        put(spool, b"one")
        taken(spool, spool.own())
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_a_segment_says_its_version_first(spool: Spool, folder: Path) -> None:
    put(spool, b"one")
    assert segment_files(folder)[0].read_bytes() == MAGIC + frame(b"one")


def test_a_full_segment_is_followed_by_a_new_one_and_deleted_when_it_is_stored(folder: Path) -> None:
    spool = Spool(folder, max_bytes=PLENTY, segment_bytes=100)
    payloads = [b"%03d" % number * 20 for number in range(7)]
    for payload in payloads:
        put(spool, payload)
    assert len(segment_files(folder)) > 2
    assert all_own(spool) == payloads
    spool.close()
    assert list(folder.iterdir()) == []


def test_an_old_segment_is_followed_by_a_new_one(spool: Spool, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(spool, b"one")
    assert all_own(spool) == [b"one"]
    spool.seal_old()
    assert len(segment_files(folder)) == 1
    monkeypatch.setattr("stateful_engine.recording.spool.SEGMENT_SECONDS", 0.0)
    spool.seal_old()
    assert all_own(spool) == []
    assert segment_files(folder) == []
    put(spool, b"two")
    assert all_own(spool) == [b"two"]


def test_beyond_its_limit_it_refuses_until_something_is_stored(folder: Path) -> None:
    spool = Spool(folder, max_bytes=300)
    put(spool, b"x" * 200)
    with pytest.raises(SpoolFullError, match="STATEFUL_SPOOL_MAX_BYTES"):
        put(spool, b"y" * 200, b"z")
    assert spool.refused == 2
    assert all_own(spool) == [b"x" * 200]
    put(spool, b"y" * 200)
    spool.close()


def test_the_limit_counts_what_other_processes_have_pending(folder: Path) -> None:
    other = Spool(folder, max_bytes=PLENTY)
    put(other, b"x" * 500)
    spool = Spool(folder, max_bytes=400)
    spool.look_around()
    with pytest.raises(SpoolFullError):
        put(spool, b"y")
    all_own(other)
    spool.look_around()
    put(spool, b"y")
    other.close()
    spool.close()


# Whose file it is


def test_the_file_of_a_living_process_is_nobody_elses(spool: Spool, folder: Path) -> None:
    put(spool, b"one")
    other = Spool(folder, max_bytes=PLENTY)
    assert not other.look_around()
    assert other.adopted() is None
    assert segments.adopt(segment_files(folder)[0]) is None


def test_the_file_of_a_killed_process_is_adopted_stored_and_deleted(spool: Spool, folder: Path) -> None:
    in_child(lambda: put(spool, b"of the dead"))
    assert len(segment_files(folder)) == 1
    assert all_adopted(spool) == [b"of the dead"]
    assert list(folder.iterdir()) == []


def test_what_the_dead_had_stored_is_not_read_again(spool: Spool, folder: Path) -> None:
    def work() -> None:
        put(spool, b"stored")
        all_own(spool)
        put(spool, b"not stored")

    in_child(work)
    assert all_adopted(spool) == [b"not stored"]


def test_an_illegible_offset_means_from_the_beginning(spool: Spool, folder: Path) -> None:
    def work() -> None:
        put(spool, b"stored")
        all_own(spool)

    in_child(work)
    segment_files(folder)[0].with_suffix(".off").write_bytes(bytes(21))
    assert all_adopted(spool) == [b"stored"]


def test_many_files_are_adopted_a_few_at_a_time(spool: Spool, folder: Path) -> None:
    count = 2 * ADOPTED_AT_ONCE + 1
    for number in range(count):
        in_child(lambda number=number: put(spool, b"%d" % number))
    assert spool.look_around()
    assert len(spool._adopted) == ADOPTED_AT_ONCE
    assert sorted(all_adopted(spool)) == sorted(b"%d" % number for number in range(count))


def test_a_file_that_another_adopts_meanwhile_is_left_to_it(spool: Spool, folder: Path) -> None:
    in_child(lambda: put(spool, b"one"))
    path = segment_files(folder)[0]
    winner = segments.adopt(path)
    assert winner is not None
    assert segments.adopt(path) is None
    winner.delete()
    winner.close()
    assert segments.adopt(path) is None


def test_a_lock_on_a_file_that_is_gone_is_worth_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between opening and locking, the owner may store the rest and delete the file."""
    folder.mkdir(parents=True)
    first = segments.create(folder)
    first.close()
    path, real_lock = first.path, segments._lock

    def lock_late(descriptor: int) -> bool:
        path.unlink()
        return real_lock(descriptor)

    monkeypatch.setattr(segments, "_lock", lock_late)
    assert segments.adopt(path) is None


def test_a_file_that_was_never_begun_is_deleted(spool: Spool, folder: Path) -> None:
    folder.mkdir(parents=True)
    for number, beginning in enumerate([b"", MAGIC[:5]]):
        (folder / f"{number}.seg").write_bytes(beginning)
    assert not spool.look_around()
    assert segment_files(folder) == []


def test_a_file_of_another_version_is_left_alone(spool: Spool, folder: Path) -> None:
    folder.mkdir(parents=True)
    later = folder / "later.seg"
    later.write_bytes(b"stateful-spool 2\nwhatever")
    spool.look_around()
    assert spool.adopted() is None
    assert later.exists()


def test_an_offset_without_its_segment_is_deleted(spool: Spool, folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "gone.off").write_bytes(b"%020d\n" % 99)
    spool.look_around()
    assert list(folder.iterdir()) == []


# Disks


def test_a_torn_tail_costs_nothing_else(spool: Spool, folder: Path) -> None:
    in_child(lambda: put(spool, b"whole"))
    path = segment_files(folder)[0]
    path.write_bytes(path.read_bytes() + frame(b"torn")[:-4])
    assert all_adopted(spool) == [b"whole"]
    assert segment_files(folder) == []


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_short_write_is_repeated_in_a_new_file(spool: Spool, folder: Path) -> None:
    put(spool, b"before")
    (path,) = segment_files(folder)
    with largest_file(path.stat().st_size + 5):
        put(spool, b"repeated")
    put(spool, b"behind")
    assert len(segment_files(folder)) == 2
    assert all_own(spool) == [b"before", b"repeated", b"behind"]
    assert spool.pending_records == 0


def test_where_files_may_not_grow_records_go_on_in_new_ones(spool: Spool, folder: Path) -> None:
    payloads = [b"%d" % number * 100 for number in range(10)]
    with largest_file(450):
        for payload in payloads:
            put(spool, payload)
    assert len(segment_files(folder)) >= 3
    assert all_own(spool) == payloads


def test_a_record_for_which_there_is_no_room_is_refused_and_leaves_nothing_behind(spool: Spool) -> None:
    with largest_file(450):
        put(spool, b"small")
        with pytest.raises(SpoolFullError, match="disk"):
            put(spool, b"x" * 1000)
        put(spool, b"small too")
    assert spool.refused == 1
    assert all_own(spool) == [b"small", b"small too"]


def test_a_folder_that_cannot_be_made_refuses_records(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    spool = Spool(tmp_path / "file" / "spool", max_bytes=PLENTY)
    with pytest.raises(SpoolFullError, match="STATEFUL_SPOOL_DIR"):
        put(spool, b"one")
    assert spool.refused == 1


def test_an_offset_that_the_disk_does_not_take_only_means_storing_again(
    spool: Spool, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(spool, b"one")

    def refuse(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", refuse)
    assert all_own(spool) == [b"one"]
    assert spool.pending_records == 0


def test_a_damaged_line_of_our_own_does_not_keep_anyone_waiting(spool: Spool, folder: Path) -> None:
    put(spool, b"one", b"two", b"three")
    path = segment_files(folder)[0]
    data = bytearray(path.read_bytes())
    data[len(MAGIC) + len(frame(b"one")) + 20] ^= 1
    with path.open("r+b") as file:
        file.write(data)
    assert all_own(spool) == [b"one", b"three"]
    assert spool.pending_records == 0


def test_sync_covers_what_is_pending_and_asks_the_disk_once(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(segments, "_fdatasync", synced.append)
    put(spool, b"one")
    spool.sync()
    spool.sync()
    assert len(synced) == 1
    put(spool, b"two")
    spool.sync()
    assert len(synced) == 2
    all_own(spool)
    spool.sync()
    assert len(synced) == 2


# Processes and threads


def test_a_forked_child_writes_files_of_its_own_and_leaves_the_parents_alone(spool: Spool, folder: Path) -> None:
    put(spool, b"parent before")
    in_child(lambda: put(spool, b"child"))
    put(spool, b"parent after")
    assert all_own(spool) == [b"parent before", b"parent after"]
    assert all_adopted(spool) == [b"child"]


def test_the_child_of_a_dead_parent_does_not_hold_on_to_its_files(spool: Spool, folder: Path) -> None:
    """flock survives in forked children, so a child has to let go of what it inherited."""
    spool_of_parent = Spool(folder, max_bytes=PLENTY)
    reader, writer = multiprocessing.Pipe(duplex=False)

    def parent() -> None:
        put(spool_of_parent, b"of the parent")
        if os.fork() == 0:
            put(spool_of_parent, b"of the child")
            writer.send(os.getpid())
        signal.pause()

    pid = os.fork()
    if pid == 0:
        try:
            parent()
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    child = reader.recv()
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    try:
        assert all_adopted(spool) == [b"of the parent"]
    finally:
        os.kill(child, signal.SIGKILL)


def test_many_threads_lose_no_record_and_split_none(folder: Path) -> None:
    spool = Spool(folder, max_bytes=PLENTY, segment_bytes=2000)
    sent = [[b"%d-%d" % (worker, number) * 5 for number in range(200)] for worker in range(8)]

    def work(payloads: list[bytes]) -> None:
        for payload in payloads:
            put(spool, payload)

    threads = [threading.Thread(target=work, args=(payloads,)) for payloads in sent]
    for thread in threads:
        thread.start()
    stored: list[bytes] = []
    while any(thread.is_alive() for thread in threads) or spool.pending_records:
        stored += all_own(spool)
    assert sorted(stored) == sorted(payload for payloads in sent for payload in payloads)
    for payloads in sent:
        mine = [payload for payload in stored if payload in set(payloads)]
        assert mine == payloads
    spool.close()


def test_a_clock_that_steps_back_changes_nothing(spool: Spool, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([5_000_000, 1, 1, 1])
    monkeypatch.setattr("stateful_engine.domain.clock.epoch_us", lambda: next(times))
    in_child(lambda: put(spool, b"later by the clock"))
    put(spool, b"earlier by the clock")
    spool._seal()
    put(spool, b"last")
    assert all_own(spool) == [b"earlier by the clock", b"last"]
    assert all_adopted(spool) == [b"later by the clock"]


def test_closing_leaves_what_is_pending_for_the_next_process(folder: Path) -> None:
    spool = Spool(folder, max_bytes=PLENTY)
    put(spool, b"one")
    spool.close()
    next_one = Spool(folder, max_bytes=PLENTY)
    assert all_adopted(next_one) == [b"one"]
    assert list(folder.iterdir()) == []


def test_an_empty_frames_result_settles_nothing(spool: Spool) -> None:
    put(spool, b"one")
    segment = spool.own()
    assert segment is not None
    spool.settle(segment, Frames([], [], segment.offset))
    assert spool.pending_records == 1
    all_own(spool)
