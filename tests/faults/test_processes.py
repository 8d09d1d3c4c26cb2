"""Many processes and threads, replays and clocks: each record is stored exactly once."""

from __future__ import annotations

import os
import shutil
import signal as signals_of_the_system
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from stateful_engine.config import Settings
from stateful_engine.domain import clock
from stateful_engine.guard import Guard
from stateful_engine.recording.recorder import Recorder
from stateful_engine.storage import tables
from stateful_engine.storage.database import Database
from tests.faults.cast import LONG, account_of
from tests.recording.conftest import call

PROCESSES, THREADS = 4, 4
RECORDS = 500 if LONG else 50
SOON = 60.0
NOBODY = "postgresql://nobody@127.0.0.1:1/nothing"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(spool_dir=tmp_path / "spool", flush_interval=0.02)


@pytest.fixture
def recorder(database: Database, settings: Settings) -> Iterator[Recorder]:
    made = Recorder(database, settings, Guard())
    yield made
    made.close(2.0)


def forked(work: Callable[[], object]) -> int:
    """The pid of a child that does `work` and is then killed without a goodbye."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os.kill(os.getpid(), signals_of_the_system.SIGKILL)
    return pid


def record_in_threads(recorder: Recorder, name: str) -> list[str]:
    """Record from several threads at once; the ids."""
    ids = [[f"sig_{name}_{thread}_{number}" for number in range(RECORDS)] for thread in range(THREADS)]

    def work(mine: list[str]) -> None:
        for each in mine:
            recorder.record(call(each))

    threads = [threading.Thread(target=work, args=(mine,)) for mine in ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [each for mine in ids for each in mine]


def test_four_processes_of_four_threads_forked_after_first_use_store_each_record_once(
    recorder: Recorder, database: Database, say: Callable[[str], None]
) -> None:
    recorder.record(call("sig_before_the_fork"))
    recorder.flush(SOON)
    accepted = ["sig_before_the_fork"]
    pids = []
    for process in range(PROCESSES):
        pids.append(forked(lambda process=process: record_in_threads(recorder, str(process))))
        accepted += [f"sig_{process}_{thread}_{number}" for thread in range(THREADS) for number in range(RECORDS)]
    accepted += record_in_threads(recorder, "parent")
    for pid in pids:
        os.waitpid(pid, 0)
    assert recorder.drain(SOON)
    account = account_of(accepted, database)
    say(f"{PROCESSES} x {THREADS} forked after first use ({database.dialect}): {account}")
    assert (account.lost, account.twice, account.unanswered) == (0, 0, 0)


def test_the_same_spool_replayed_again_and_again_changes_nothing(
    database: Database, settings: Settings, tmp_path: Path, say: Callable[[str], None]
) -> None:
    away = Recorder(Database(NOBODY), settings, Guard())
    accepted = record_in_threads(away, "once")
    away.close(SOON)
    copy = tmp_path / "copy"
    shutil.copytree(settings.spool_dir, copy)
    seen = []
    for _ in range(3):
        shutil.copytree(copy, settings.spool_dir, dirs_exist_ok=True)
        again = Recorder(database, settings, Guard())
        assert again.drain(SOON)
        again.close(2.0)
        seen.append(_contents(database))
    account = account_of(accepted, database)
    say(f"one spool replayed three times ({database.dialect}): {account}")
    assert (account.lost, account.twice, account.unanswered) == (0, 0, 0)
    assert seen[0] == seen[1] == seen[2]


def _contents(database: Database) -> list[object]:
    """Everything in every table of ours, with what is derived from the rows."""
    with database.reading() as session:
        return [sorted(map(repr, session.execute(select(table)).all())) for table in tables.metadata.sorted_tables]


def test_records_are_stored_whatever_the_clock_does(recorder: Recorder, database: Database) -> None:
    times = iter(range(2_000_000_000, 0, -7_000_000))
    accepted = []
    with clock.clock_from(lambda: next(times) * 1_000_000_000):
        for number in range(20):
            recorder.record(call(f"sig_{number}"))
            accepted.append(f"sig_{number}")
            if number == 10:
                assert recorder.flush(SOON)
        assert recorder.flush(SOON)
        assert recorder.status().oldest_age_seconds >= 0
    assert (account_of(accepted, database).lost, account_of(accepted, database).twice) == (0, 0)
