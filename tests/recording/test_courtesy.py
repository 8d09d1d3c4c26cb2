"""The writer gives way to requests while they need the interpreter, and never so long that the spool fills up."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stateful_engine.recording.courtesy import Courtesy
from stateful_engine.recording.frames import frame
from stateful_engine.recording.spool import Spool

LINE = frame(b'{"k":"r"}')
MANY = 400


@contextmanager
def busy_host() -> Iterator[None]:
    """A thread that computes without a break."""
    done = threading.Event()

    def compute() -> None:
        while not done.is_set():
            sum(range(1000))

    thread = threading.Thread(target=compute)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    made = Spool(tmp_path / "spool", max_bytes=2**20)
    yield made
    made.close()


def becomes(courtesy: Courtesy, spool: Spool, *, busy: bool) -> bool:
    """Whether that is found out while a record is made before each of many steps of the writer."""
    for _ in range(MANY):
        spool.append(LINE, 1)
        courtesy()
        if courtesy.host_is_busy() is busy:
            return True
    return False


def test_a_host_that_uses_up_the_interpreter_is_found_busy_until_it_rests(spool: Spool) -> None:
    courtesy = Courtesy(spool, hurry=lambda: False)
    with busy_host():
        assert becomes(courtesy, spool, busy=True)
    assert becomes(courtesy, spool, busy=False)


def test_without_new_records_the_writer_does_not_wait_for_anybody(spool: Spool) -> None:
    courtesy = Courtesy(spool, hurry=lambda: False)
    with busy_host():
        assert becomes(courtesy, spool, busy=True)
        courtesy()
        assert not courtesy.host_is_busy()


def test_somebody_who_waits_for_the_writer_comes_before_the_host(spool: Spool) -> None:
    courtesy = Courtesy(spool, hurry=lambda: True)
    with busy_host():
        assert not becomes(courtesy, spool, busy=True)


def test_once_much_waits_the_writer_takes_its_share(spool: Spool) -> None:
    courtesy = Courtesy(spool, hurry=lambda: False)
    spool.append(frame(b" " * 2**17), 1)
    with busy_host():
        assert not becomes(courtesy, spool, busy=True)
