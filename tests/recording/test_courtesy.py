"""The writer gives way to requests while they need the interpreter, and never so long that the spool fills up."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stateful_engine.recording.courtesy import PATIENCE, Courtesy, Usage, usage
from stateful_engine.recording.frames import frame
from stateful_engine.recording.spool import Spool

LINE = frame(b'{"k":"r"}')
MANY = 20


class Host:
    """A process that uses some share of a core, on a clock that goes 100 ms with each look at it."""

    def __init__(self) -> None:
        self.share = 1.0
        self.competitors = 0
        self.looks = 0
        self._seconds = self._used = 0.0
        self._pushed_off = 0

    def now(self) -> float:
        self.looks += 1
        self._seconds += 0.1
        self._used += 0.1 * self.share
        self._pushed_off += 10 * self.competitors
        return self._seconds

    def sleep(self, seconds: float) -> None:
        self._seconds += seconds
        self._used += seconds * self.share

    def used(self) -> Usage:
        return Usage(self._used, self._pushed_off)


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    made = Spool(tmp_path / "spool", max_bytes=2**20)
    yield made
    made.close()


@pytest.fixture
def make(spool: Spool, host: Host) -> Callable[..., Courtesy]:
    """Makes the courtesy of a writer that nobody waits for, unless told otherwise."""
    return lambda hurry=False: Courtesy(spool, lambda: hurry, now=host.now, used=host.used)


def becomes(courtesy: Courtesy, spool: Spool, *, busy: bool) -> bool:
    """Whether that is found out while a record is made before each of some steps of the writer."""
    for _ in range(MANY):
        spool.append(LINE, 1)
        courtesy()
        if courtesy.host_is_busy() is busy:
            return True
    return False


def test_a_host_that_uses_up_the_interpreter_is_found_busy_until_it_rests(
    make: Callable[..., Courtesy], spool: Spool, host: Host
) -> None:
    courtesy = make()
    assert becomes(courtesy, spool, busy=True)
    host.share = 0.5
    assert becomes(courtesy, spool, busy=False)


def test_a_host_that_has_to_share_its_core_is_busy_however_little_it_gets(
    make: Callable[..., Courtesy], spool: Spool, host: Host
) -> None:
    host.share, host.competitors = 0.3, 1
    courtesy = make()
    assert becomes(courtesy, spool, busy=True)
    host.competitors = 0
    assert becomes(courtesy, spool, busy=False)


def test_the_usage_of_this_process_grows_while_it_computes() -> None:
    before = usage()
    sum(number * number for number in range(300_000))
    assert usage().seconds > before.seconds
    assert usage().pushed_off >= before.pushed_off


def test_breath_is_taken_after_some_work_and_only_while_records_are_made(
    make: Callable[..., Courtesy], spool: Spool, host: Host
) -> None:
    host.share = 0.1
    courtesy = make()
    courtesy.breathe()
    assert host.looks == 0, "nobody needs the interpreter"
    assert not becomes(courtesy, spool, busy=True)
    before = host.looks
    courtesy.breathe()
    assert host.looks == before + 2, "it has slept, and noted when it woke"


def test_what_was_stored_while_the_host_was_busy_is_made_up_for(spool: Spool, host: Host) -> None:
    def nobody_waits() -> bool:
        spool.append(LINE, 1)
        return False

    def looks_of(step: Callable[[], None]) -> int:
        before = host.looks
        step()
        return host.looks - before

    courtesy = Courtesy(spool, nobody_waits, now=host.now, used=host.used)
    for _ in range(5):
        courtesy()
    usual = looks_of(courtesy)
    for _ in range(3):
        courtesy.breathe()
    assert looks_of(courtesy) == usual + 3, "three sleeps more"
    assert looks_of(courtesy) == usual
    for _ in range(3):
        courtesy.breathe()
    host.share = 0.1
    assert looks_of(courtesy) < usual + 3, "the host has time again"


def test_nobody_takes_breath_while_somebody_waits(make: Callable[..., Courtesy], spool: Spool, host: Host) -> None:
    waits = False
    courtesy = Courtesy(spool, lambda: waits, now=host.now, used=host.used)
    becomes(courtesy, spool, busy=True)
    waits, before = True, host.looks
    courtesy.breathe()
    assert host.looks == before + 1, "it has looked at the clock and not slept"


def test_without_new_records_the_writer_does_not_wait_for_anybody(make: Callable[..., Courtesy], spool: Spool) -> None:
    courtesy = make()
    assert becomes(courtesy, spool, busy=True)
    courtesy()
    assert not courtesy.host_is_busy()


def test_somebody_who_waits_for_the_writer_comes_before_the_host(make: Callable[..., Courtesy], spool: Spool) -> None:
    assert not becomes(make(hurry=True), spool, busy=True)


def test_once_something_has_waited_long_the_writer_takes_its_share(
    make: Callable[..., Courtesy], spool: Spool, host: Host
) -> None:
    courtesy = make()
    assert becomes(courtesy, spool, busy=True)
    host.sleep(PATIENCE)
    assert becomes(courtesy, spool, busy=False)
    spool.settled = spool.appended
    assert becomes(courtesy, spool, busy=True), "it has been stored"


def test_a_process_beside_it_may_ask_for_haste(
    make: Callable[..., Courtesy], spool: Spool, host: Host, tmp_path: Path
) -> None:
    courtesy = make()
    assert becomes(courtesy, spool, busy=True)
    Spool(tmp_path / "spool", max_bytes=2**20).ask_for_haste()
    assert becomes(courtesy, spool, busy=False)
    long_ago = time.time() - 60
    os.utime(tmp_path / "spool" / "haste", (long_ago, long_ago))
    assert becomes(courtesy, spool, busy=True)


def test_once_much_waits_the_writer_takes_its_share(make: Callable[..., Courtesy], spool: Spool) -> None:
    spool.append(frame(b" " * 2**17), 1)
    assert not becomes(make(), spool, busy=True)
