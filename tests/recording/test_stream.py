"""Many machines: records travel through a Redis stream, and each is in the database exactly once whoever dies."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from redis import Redis

from stateful_engine.config import Settings
from stateful_engine.errors import ConfigurationError, StorageUnavailableError
from stateful_engine.guard import Guard
from stateful_engine.recording.recorder import Recorder
from stateful_engine.recording.records import Call, Rows, decode
from stateful_engine.recording.rejects import Rejects
from stateful_engine.recording.stream import FIELD, GROUP, STREAM, Worker
from stateful_engine.storage.database import Database
from tests.recording.conftest import call, count, signal, signals, stored_ids

SOON = 15.0
NOBODY = "postgresql://nobody@127.0.0.1:1/nothing"
NO_REDIS = "redis://127.0.0.1:1/0"

MakeRecorder = Callable[..., Recorder]
MakeWorker = Callable[..., Worker]


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def streaming(make_recorder: MakeRecorder, redis_url: str) -> Recorder:
    """A recorder of a web host: it forwards."""
    return make_recorder(stream_url=redis_url)


@pytest.fixture
def make_worker(database: Database, settings: Settings, guard: Guard, redis_url: str) -> MakeWorker:
    def make(*, of: Database | None = None, **options: object) -> Worker:
        return Worker(of or database, replace(settings, stream_url=redis_url), guard, **options)  # type: ignore[arg-type]

    return make


def work_until_empty(worker: Worker) -> None:
    stop = threading.Event()
    timer = threading.Timer(SOON, stop.set)
    timer.start()
    worker.run(stop, until_empty=True)
    timer.cancel()
    assert not stop.is_set(), "the stream did not become empty"


def test_records_reach_the_database_through_the_stream_and_leave_nothing_in_it(
    streaming: Recorder, make_worker: MakeWorker, database: Database, redis: Redis
) -> None:
    for number in range(250):
        streaming.record(call(f"sig_{number}"))
    assert streaming.flush(SOON)
    assert stored_ids(database) == []
    assert streaming.status().stream_lag == 250
    worker = make_worker()
    work_until_empty(worker)
    assert stored_ids(database) == [f"sig_{number}" for number in range(250)]
    assert count(database, "gpt_query_log") == 250
    assert worker.stored_entries == 250
    assert redis.xlen(STREAM) == 0
    assert streaming.status().stream_lag == 0


def test_what_leaves_the_machine_is_redacted_and_cut(make_recorder: MakeRecorder, redis_url: str, redis: Redis) -> None:
    recorder = make_recorder(stream_url=redis_url, capture_response_max_bytes=100)
    secret = replace(call("sig_a"), body=b'{"api_key": "s3cret", "text": "%b"}' % (b"x" * 500))
    recorder.record(secret)
    assert recorder.flush(SOON)
    [(_, fields)] = redis.xrange(STREAM)
    assert b"s3cret" not in fields[FIELD]
    record = decode(fields[FIELD])
    assert isinstance(record, Rows)
    assert record.tables["gpt_query_log"][0]["response_data"]["_truncated"] is True


def test_a_durable_record_is_in_the_database_without_a_worker(
    streaming: Recorder, database: Database, redis: Redis
) -> None:
    streaming.record(signals("sig_in_passing"))
    assert streaming.record_durably(signals("sig_durable"), timeout=SOON)
    assert stored_ids(database) == ["sig_durable"]
    assert streaming.flush(SOON)
    assert redis.xlen(STREAM) == 1


def test_a_durable_record_goes_to_the_stream_when_the_database_is_away(
    make_recorder: MakeRecorder, make_worker: MakeWorker, redis_url: str, database: Database
) -> None:
    recorder = make_recorder(of=Database(NOBODY), stream_url=redis_url)
    assert not recorder.record_durably(signals("sig_durable"), timeout=SOON)
    assert recorder.flush(SOON)
    work_until_empty(make_worker())
    assert stored_ids(database) == ["sig_durable"]


def test_with_redis_away_records_wait_in_the_spool_and_are_forwarded_later(
    make_recorder: MakeRecorder, make_worker: MakeWorker, redis_url: str, database: Database
) -> None:
    cut_off = make_recorder(stream_url=NO_REDIS)
    for number in range(50):
        cut_off.record(signals(f"sig_{number}"))
    assert not cut_off.catch_up(SOON)
    assert cut_off.status().stream_lag is None
    assert cut_off.status().pending_records == 50
    cut_off.close(1.0)
    assert make_recorder(stream_url=redis_url).drain(SOON)
    work_until_empty(make_worker())
    assert len(stored_ids(database)) == 50


def test_several_workers_share_the_work_and_store_each_record_once(
    streaming: Recorder, make_worker: MakeWorker, database: Database
) -> None:
    for number in range(1500):
        streaming.record(signals(f"sig_{number}"))
    assert streaming.flush(SOON)
    workers = [make_worker() for _ in range(3)]
    threads = [threading.Thread(target=work_until_empty, args=(worker,)) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON)
    assert sorted(stored_ids(database)) == sorted(f"sig_{number}" for number in range(1500))
    assert sum(worker.stored_entries for worker in workers) == 1500


def test_what_a_dead_worker_had_in_hand_is_taken_over(
    streaming: Recorder, make_worker: MakeWorker, database: Database, redis: Redis
) -> None:
    for number in range(20):
        streaming.record(signals(f"sig_{number}"))
    assert streaming.flush(SOON)
    redis.xgroup_create(STREAM, GROUP, id="0")
    assert redis.xreadgroup(GROUP, "worker that died", {STREAM: ">"}, count=15)
    worker = make_worker(claim_idle_ms=0)
    work_until_empty(worker)
    assert sorted(stored_ids(database)) == sorted(f"sig_{number}" for number in range(20))


def test_a_worker_that_dies_after_the_commit_leaves_work_that_changes_nothing(
    streaming: Recorder, make_worker: MakeWorker, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("sig_a", "sig_b"):
        streaming.record(signals(name))
    assert streaming.flush(SOON)
    dying = make_worker()

    def die(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(dying._stream, "done", die)
    with pytest.raises(KeyboardInterrupt):
        dying.run(threading.Event())
    assert stored_ids(database) == ["sig_a", "sig_b"]
    work_until_empty(make_worker(claim_idle_ms=0))
    assert stored_ids(database) == ["sig_a", "sig_b"]


def test_a_bad_record_is_set_aside_by_the_worker_and_the_rest_is_stored(
    streaming: Recorder, make_worker: MakeWorker, settings: Settings, guard: Guard, database: Database, redis: Redis
) -> None:
    for each in (signals("sig_a"), Rows({"signal_history": [signal("sig_bad", action=None)]}), signals("sig_b")):
        streaming.record(each)
    assert streaming.flush(SOON)
    redis.xadd(STREAM, {FIELD: b"not a record"})
    work_until_empty(make_worker())
    assert stored_ids(database) == ["sig_a", "sig_b"]
    assert Rejects(settings.spool_dir).count() == 2
    assert redis.xlen(STREAM) == 0


def test_a_record_that_cannot_even_be_read_is_set_aside_before_the_stream(
    streaming: Recorder, settings: Settings, redis: Redis
) -> None:
    for each in (Rows({"no_such_table": [{}]}), signals("sig_a")):
        streaming.record(each)
    assert streaming.flush(SOON)
    assert redis.xlen(STREAM) == 1
    assert Rejects(settings.spool_dir).count() == 1


def test_a_worker_without_its_database_keeps_the_batch_and_stops_when_asked(
    streaming: Recorder, make_worker: MakeWorker, database: Database, redis: Redis
) -> None:
    streaming.record(signals("sig_a"))
    assert streaming.flush(SOON)
    stop = threading.Event()
    waiting = make_worker(of=Database(NOBODY))
    thread = threading.Thread(target=waiting.run, args=(stop,))
    thread.start()
    deadline = time.monotonic() + SOON
    while not _in_hands(redis) and time.monotonic() < deadline:
        time.sleep(0.01)
    stop.set()
    thread.join(SOON)
    assert not thread.is_alive()
    assert redis.xlen(STREAM) == 1
    work_until_empty(make_worker(claim_idle_ms=0))
    assert stored_ids(database) == ["sig_a"]


def _in_hands(redis: Redis) -> int:
    groups = redis.xinfo_groups(STREAM)
    return int(groups[0]["pending"]) if groups else 0


def test_a_worker_that_stops_in_order_leaves_no_name_behind(
    streaming: Recorder, make_worker: MakeWorker, redis: Redis
) -> None:
    streaming.record(signals("sig_a"))
    assert streaming.flush(SOON)
    work_until_empty(make_worker())
    assert redis.xinfo_consumers(STREAM, GROUP) == []


def test_whoever_forgets_a_person_waits_for_what_is_in_the_stream(
    streaming: Recorder, make_worker: MakeWorker, database: Database
) -> None:
    """So that what is stored by a worker on another machine is there to be deleted."""
    streaming.record(signals("sig_a"))
    assert streaming.flush(SOON)
    streaming.forget_people(["ann"], timeout=0.1)
    assert stored_ids(database) == []
    stop = threading.Event()
    worker = threading.Thread(target=make_worker().run, args=(stop,))
    worker.start()
    streaming.forget_people(["ann"], timeout=SOON)
    assert stored_ids(database) == ["sig_a"]
    stop.set()
    worker.join(SOON)


def test_a_worker_survives_that_redis_forgets_everything(
    streaming: Recorder, make_worker: MakeWorker, database: Database, redis: Redis
) -> None:
    worker = make_worker()
    stop = threading.Event()
    thread = threading.Thread(target=worker.run, args=(stop,))
    thread.start()
    streaming.record(signals("sig_a"))
    assert streaming.flush(SOON)
    _until(lambda: stored_ids(database) == ["sig_a"])
    redis.flushdb()
    streaming.record(signals("sig_b"))
    assert streaming.flush(SOON)
    _until(lambda: stored_ids(database) == ["sig_a", "sig_b"])
    stop.set()
    thread.join(SOON)
    assert not thread.is_alive()


def _until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SOON
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_commits_of_a_worker_are_announced(streaming: Recorder, make_worker: MakeWorker) -> None:
    announced: list[dict[str, int]] = []
    streaming.record(signals("sig_a"))
    assert streaming.flush(SOON)
    work_until_empty(make_worker(on_commit=lambda counts: announced.append(dict(counts))))
    assert announced == [{"signal_history": 1}]


def test_a_worker_needs_a_stream(database: Database, settings: Settings, guard: Guard) -> None:
    with pytest.raises(ConfigurationError, match="STATEFUL_STREAM_URL"):
        Worker(database, settings, guard)


def test_a_worker_without_redis_says_so(database: Database, settings: Settings, guard: Guard) -> None:
    worker = Worker(database, replace(settings, stream_url=NO_REDIS), guard)
    with pytest.raises(StorageUnavailableError, match="STATEFUL_STREAM_URL"):
        worker.step(threading.Event())


def test_the_record_in_the_stream_is_the_same_call(streaming: Recorder, redis: Redis) -> None:
    made = call("sig_a")
    streaming.record(made)
    assert streaming.flush(SOON)
    [(_, fields)] = redis.xrange(STREAM)
    record = decode(fields[FIELD])
    assert isinstance(made, Call)
    assert isinstance(record, Rows)
    assert record.created_us == made.created_us
    assert record.tables["gpt_query_log"][0]["query_id"] == made.query_id
