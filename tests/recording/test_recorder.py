"""The recorder: what `record` took is stored exactly once, and every answer about it is true."""

from __future__ import annotations

import json
import os
import signal as signals_of_the_system
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text

from stateful_engine.config import Settings
from stateful_engine.errors import InvalidInputError, PayloadTooLargeError, SpoolFullError
from stateful_engine.guard import Guard
from stateful_engine.recording.recorder import Recorder
from stateful_engine.recording.records import Rows
from stateful_engine.storage import tables
from stateful_engine.storage.database import Database
from tests.factories import ROOT
from tests.recording.conftest import call, count, signal, signals, stored_ids

SOON = 10.0
NOBODY = "postgresql://nobody@127.0.0.1:1/nothing"


def threads_named_ours() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("stateful-")]


def test_constructing_one_starts_and_touches_nothing(recorder: Recorder, settings: Settings) -> None:
    assert threads_named_ours() == []
    assert not settings.spool_dir.exists()
    assert recorder.flush()
    assert threads_named_ours() == []


def test_a_tracked_call_is_stored_with_its_query_signal_and_interaction(recorder: Recorder, database: Database) -> None:
    recorder.record(call("sig_a"))
    assert recorder.flush(SOON)
    assert stored_ids(database) == ["sig_a"]
    assert [count(database, table) for table in ("gpt_query_log", "user_interaction")] == [1, 1]


def test_records_of_one_call_are_stored_in_their_order(recorder: Recorder, database: Database) -> None:
    for number in range(300):
        recorder.record(signals(f"sig_{number}_a", f"sig_{number}_b"))
    assert recorder.flush(SOON)
    assert stored_ids(database) == [f"sig_{number}_{each}" for number in range(300) for each in "ab"]


def test_a_commit_is_announced_with_the_new_rows_only(make_recorder: Callable[..., Recorder]) -> None:
    announced: list[dict[str, int]] = []
    recorder = make_recorder(on_commit=lambda counts: announced.append(dict(counts)))
    recorder.record(call("sig_a"))
    assert recorder.flush(SOON)
    recorder.record(signals("sig_a", "sig_b"))
    assert recorder.flush(SOON)
    assert announced[0] == {"gpt_query_log": 1, "signal_history": 1, "user_interaction": 1}
    assert len(announced) == 2


def test_the_same_record_twice_is_stored_once(recorder: Recorder, database: Database) -> None:
    record = Rows({"signal_history": [signal("sig_a", created_at=1_700_000_000_000_000)]})
    recorder.record(record)
    recorder.record(record)
    recorder.flush(SOON)
    recorder.record(record)
    recorder.flush(SOON)
    assert stored_ids(database) == ["sig_a"]


def test_an_id_that_comes_again_with_other_content_is_stored_under_another(
    recorder: Recorder, database: Database
) -> None:
    recorder.record(Rows({"signal_history": [signal("sig_a", created_at=1_700_000_000_000_000)]}))
    recorder.record(Rows({"signal_history": [signal("sig_a", created_at=1_700_000_000_000_000, action="SELL")]}))
    assert recorder.flush(SOON)
    assert len(stored_ids(database)) == 2
    assert "sig_a" in stored_ids(database)


# Bad records


def bad(signal_id: str) -> Rows:
    """A record that no database takes: the action is missing."""
    return Rows({"signal_history": [signal(signal_id, action=None)]})


def test_bad_records_are_set_aside_and_all_others_are_stored(recorder: Recorder, database: Database) -> None:
    good = [f"sig_{number}" for number in range(60)]
    for number, signal_id in enumerate(good):
        recorder.record(signals(signal_id))
        if number % 20 == 10:
            recorder.record(bad(f"sig_bad_{number}"))
    assert recorder.flush(SOON)
    assert stored_ids(database) == good
    assert recorder.status().rejected == 3


def test_what_was_set_aside_can_be_tried_again(
    recorder: Recorder, database: Database, make_recorder: Callable[..., Recorder]
) -> None:
    for each in (Rows({"table_of_a_later_version": [{"id": 1}]}), bad("sig_bad"), signals("sig_a")):
        recorder.record(each)
    assert recorder.flush(SOON)
    assert recorder.status().rejected == 2
    assert recorder.retry_rejected() == 2
    assert recorder.flush(SOON)
    assert recorder.status().rejected == 2
    assert stored_ids(database) == ["sig_a"]


def test_where_the_database_refuses_everything_nothing_is_called_bad(
    recorder: Recorder, database: Database, guard: Guard, monkeypatch: pytest.MonkeyPatch
) -> None:
    with database.connection() as connection:
        connection.execute(text(f"ALTER TABLE {database.qualified('signal_history')} RENAME TO elsewhere"))
    for number in range(30):
        recorder.record(signals(f"sig_{number}"))
    assert not recorder.catch_up(SOON)
    assert recorder.status().rejected == 0
    assert recorder.status().last_error is not None
    elsewhere = database.qualified("elsewhere")
    with database.connection() as connection:
        connection.execute(text(f"ALTER TABLE {elsewhere} RENAME TO signal_history"))
    assert recorder.flush(SOON)
    assert len(stored_ids(database)) == 30


# Durable records


def test_a_durable_record_is_in_the_database_when_the_call_returns(
    make_recorder: Callable[..., Recorder], database: Database
) -> None:
    recorder = make_recorder(flush_interval=60.0)
    began = time.monotonic()
    assert recorder.record_durably(signals("sig_a"), signals("sig_b"), timeout=SOON)
    assert stored_ids(database) == ["sig_a", "sig_b"]
    assert time.monotonic() - began < SOON


def test_a_durable_record_that_the_database_refuses_says_so(recorder: Recorder, database: Database) -> None:
    with pytest.raises(InvalidInputError, match="rejected") as caught:
        recorder.record_durably(bad("sig_bad"), timeout=SOON)
    assert caught.value.code == "RECORD_REJECTED"
    assert recorder.record_durably(signals("sig_a"), timeout=SOON)
    assert stored_ids(database) == ["sig_a"]


def test_with_the_database_away_a_durable_record_is_synced_and_the_answer_is_quick(
    make_recorder: Callable[..., Recorder], settings: Settings
) -> None:
    recorder = make_recorder(of=Database(NOBODY))
    began = time.monotonic()
    assert not recorder.record_durably(signals("sig_a"), timeout=60.0)
    assert not recorder.record_durably(signals("sig_b"), timeout=60.0)
    assert time.monotonic() - began < SOON
    segment = recorder._spool.own()
    assert segment is not None
    assert segment.synced == segment.size
    assert recorder.status().pending_records == 2


def test_durable_records_of_many_threads_share_commits(recorder: Recorder, database: Database) -> None:
    answers: list[bool] = []

    def work(worker: int) -> None:
        for number in range(10):
            answers.append(recorder.record_durably(signals(f"sig_{worker}_{number}"), timeout=SOON))

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON)
    assert answers == [True] * 80
    assert len(set(stored_ids(database))) == 80


# Outages


def test_with_the_database_away_records_are_taken_and_stored_by_the_next_process(
    make_recorder: Callable[..., Recorder], database: Database
) -> None:
    cut_off = make_recorder(of=Database(NOBODY))
    for number in range(100):
        cut_off.record(signals(f"sig_{number}"))
    assert not cut_off.catch_up(SOON)
    status = cut_off.status()
    assert (status.pending_records, status.writer_alive) == (100, True)
    assert status.pending_bytes > 0
    assert status.oldest_age_seconds > 0
    assert status.last_error is not None
    assert not cut_off.close(1.0)
    recorder = make_recorder()
    assert recorder.flush(SOON)
    assert stored_ids(database) == [f"sig_{number}" for number in range(100)]


def test_the_first_read_of_a_process_sees_what_a_killed_one_had_recorded(
    make_recorder: Callable[..., Recorder], database: Database
) -> None:
    lost = make_recorder(of=Database(NOBODY))

    def work() -> None:
        lost.record(signals("sig_a"))

    in_child(work)
    assert make_recorder().flush(SOON)
    assert stored_ids(database) == ["sig_a"]


def test_beyond_the_limit_records_are_refused_and_counted(make_recorder: Callable[..., Recorder]) -> None:
    recorder = make_recorder(of=Database(NOBODY), spool_max_bytes=2000)
    with pytest.raises(SpoolFullError) as caught:
        for number in range(100):
            recorder.record(signals(f"sig_{number}"))
    assert caught.value.status == 503
    assert caught.value.retry_after is not None
    assert recorder.status().dropped == 1
    assert recorder.status().pending_bytes <= 2000


def test_a_record_that_no_file_could_hold_is_refused(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stateful_engine.recording.recorder.MAX_PAYLOAD", 1000)
    with pytest.raises(PayloadTooLargeError):
        recorder.record(Rows({"signal_history": [signal(ai_reasoning="x" * 2000)]}))


def test_the_status_of_an_idle_recorder_is_all_zero(recorder: Recorder) -> None:
    recorder.record(signals("sig_a"))
    assert recorder.flush(SOON)
    status = recorder.status()
    assert (status.pending_records, status.pending_bytes, status.dropped, status.rejected) == (0, 0, 0, 0)
    assert (status.oldest_age_seconds, status.stream_lag, status.last_error) == (0.0, None, None)


# Beginning, end and forks


def in_child(work: Callable[[], Any], *, wait: bool = True) -> int:
    """Run `work` in a forked child, which is killed without a goodbye; its pid."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os.kill(os.getpid(), signals_of_the_system.SIGKILL)
    if wait:
        os.waitpid(pid, 0)
    return pid


def test_closing_stores_everything_and_leaves_no_thread_and_no_file(
    recorder: Recorder, database: Database, settings: Settings
) -> None:
    recorder.record(signals("sig_a"))
    assert recorder.close(SOON)
    assert stored_ids(database) == ["sig_a"]
    assert threads_named_ours() == []
    assert list(settings.spool_dir.iterdir()) == []
    assert recorder.close(SOON)


def test_a_record_after_closing_starts_everything_again(recorder: Recorder, database: Database) -> None:
    recorder.record(signals("sig_a"))
    recorder.close(SOON)
    recorder.record(signals("sig_b"))
    assert recorder.flush(SOON)
    assert stored_ids(database) == ["sig_a", "sig_b"]


def test_after_a_fork_the_child_has_a_writer_of_its_own_and_nothing_is_stored_twice(
    recorder: Recorder, database: Database
) -> None:
    recorder.record(signals("sig_before"))
    assert recorder.flush(SOON)

    def work() -> None:
        for number in range(50):
            recorder.record(signals(f"sig_child_{number}"))
        if recorder.flush(SOON):
            recorder.record(signals("sig_flushed"))
            recorder.flush(SOON)

    in_child(work)
    recorder.record(signals("sig_after"))
    assert recorder.flush(SOON)
    expected = ["sig_before", *[f"sig_child_{number}" for number in range(50)], "sig_flushed", "sig_after"]
    assert stored_ids(database) == expected


def test_a_fork_under_load_loses_nothing(recorder: Recorder, database: Database) -> None:
    """Forked at any moment, also while other threads hold locks and the writer is at work."""
    recorder.record(signals("sig_first"))
    going = threading.Event()
    going.set()
    made: list[str] = ["sig_first"]

    def load(worker: int) -> None:
        number = 0
        while going.is_set():
            number += 1
            signal_id = f"sig_{worker}_{number}"
            recorder.record(signals(signal_id))
            made.append(signal_id)
            time.sleep(0.001)

    threads = [threading.Thread(target=load, args=(worker,)) for worker in range(3)]
    for thread in threads:
        thread.start()
    for round_number in range(8):
        in_child(lambda round_number=round_number: recorder.record(signals(f"sig_fork_{round_number}")))
        made.append(f"sig_fork_{round_number}")
    going.clear()
    for thread in threads:
        thread.join()
    assert recorder.drain(SOON)
    stored = stored_ids(database)
    assert len(stored) == len(set(stored))
    assert set(stored) == set(made)


def test_threads_that_fork_at_once_do_not_wait_for_each_other_for_ever(
    make_recorder: Callable[..., Recorder], tmp_path: Path
) -> None:
    recorders = [make_recorder(spool_dir=tmp_path / name) for name in ("one", "two")]

    def fork() -> None:
        for _ in range(50):
            in_child(lambda: None)

    threads = [threading.Thread(target=fork, daemon=True) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(6 * SOON)
    assert not any(thread.is_alive() for thread in threads)
    for recorder in recorders:
        recorder.record(signals(f"sig_{id(recorder)}"))
        assert recorder.flush(SOON)


def test_a_child_that_was_forked_without_a_word_to_us_stores_its_records(
    recorder: Recorder, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Servers that are written in C fork without the hooks that Python runs around `os.fork`."""
    recorder.record(signals("sig_before"))
    assert recorder.flush(SOON)

    def work() -> None:
        recorder.record(signals("sig_child"))
        # Not flushed: a host that only records must have a writer too.
        deadline = time.monotonic() + SOON
        while recorder.status().pending_records and time.monotonic() < deadline:
            time.sleep(0.01)

    with monkeypatch.context() as patch:
        patch.setattr(recorder, "_after_fork_in_child", lambda: None)
        in_child(work)
    assert stored_ids(database) == ["sig_before", "sig_child"]


def test_closing_while_others_record_leaves_one_writer_and_a_true_count(
    make_recorder: Callable[..., Recorder], database: Database
) -> None:
    recorder = make_recorder(flush_interval=0.001)
    going = threading.Event()
    going.set()
    made: list[str] = []

    def load(worker: int) -> None:
        while going.is_set():
            signal_id = f"sig_{worker}_{len(made)}"
            recorder.record(signals(signal_id))
            made.append(signal_id)
            time.sleep(0.0001)

    threads = [threading.Thread(target=load, args=(worker,)) for worker in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        recorder.close(SOON)
    going.clear()
    for thread in threads:
        thread.join()
    assert recorder.drain(3 * SOON)
    assert sorted(stored_ids(database)) == sorted(made)
    assert recorder.status().pending_records == 0
    assert recorder.close(SOON)
    assert threads_named_ours() == []


EXIT = """
import sys
import time
from dataclasses import replace
from pathlib import Path
from stateful_engine.config import Settings
from stateful_engine.guard import Guard
from stateful_engine.recording.records import Rows
from stateful_engine.recording.recorder import Recorder
from stateful_engine.storage import tables
from stateful_engine.storage.database import Database

url, folder = sys.argv[1:]
recorder = Recorder(Database(url), Settings(spool_dir=Path(folder), flush_interval=60.0), Guard())
recorder.record(Rows({"signal_history": [{"signal_id": "sig_a", "action": "BUY"}]}))
print(time.monotonic())
"""


def test_an_orderly_exit_stores_what_is_pending(database: Database, database_url: str, tmp_path: Path) -> None:
    folder = tmp_path / "spool of another"
    subprocess.run([sys.executable, "-c", EXIT, database_url, str(folder)], check=True, cwd=ROOT, timeout=60)
    assert stored_ids(database) == ["sig_a"]
    assert list(folder.iterdir()) == []


def test_an_exit_with_the_database_away_is_quick_and_keeps_the_file(tmp_path: Path) -> None:
    folder = tmp_path / "spool of another"
    command = [sys.executable, "-c", EXIT, NOBODY, str(folder)]
    done = subprocess.run(command, check=True, cwd=ROOT, timeout=60, capture_output=True, text=True)
    assert time.monotonic() - float(done.stdout) < SOON
    assert len(list(folder.glob("*.seg"))) == 1


def test_where_no_thread_can_be_started_the_record_is_still_kept(
    make_recorder: Callable[..., Recorder], database: Database, guard: Guard, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    recorder = make_recorder()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        recorder.record(signals("sig_a"))
        assert not recorder.record_durably(signals("sig_b"), timeout=SOON)
        assert not recorder.flush(0.1)
    assert guard.snapshot()["failed_start_the_writer"] >= 1
    assert recorder.flush(SOON)
    assert stored_ids(database) == ["sig_a", "sig_b"]


def test_where_only_one_thread_can_be_started_none_is_left_behind(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[threading.Thread] = []
    start = threading.Thread.start

    def refuse_the_second(self: threading.Thread) -> None:
        if begun:
            raise RuntimeError("can't start new thread")
        begun.append(self)
        start(self)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse_the_second)
        recorder.record(signals("sig_a"))
    begun[0].join(SOON)
    assert threads_named_ours() == []


def test_two_recorders_with_one_folder_store_each_record_once(
    make_recorder: Callable[..., Recorder], database: Database
) -> None:
    recorders = [make_recorder() for _ in range(3)]
    for number in range(60):
        recorders[number % 3].record(signals(f"sig_{number}"))
    for recorder in recorders:
        assert recorder.flush(SOON)
    assert sorted(stored_ids(database)) == sorted(f"sig_{number}" for number in range(60))


@pytest.mark.parametrize("number", [1, 60])
def test_json_comes_back_as_the_view_gave_it_however_many_rows_come_together(
    number: int, recorder: Recorder, database: Database
) -> None:
    body = '{\n  "signal": {"action": "BUY", "note": "ünïcode ✓"},\n  "levels": [1.5, 2]\n}\n'
    for _ in range(number):
        recorder.record(replace(call(), body=body.encode()))
    assert recorder.flush(SOON)
    table = tables.table("gpt_query_log")
    with database.reading() as session:
        kept = session.scalars(select(table.c.response_data)).all()
    assert kept == [json.loads(body)] * number
