"""What the engine depends on goes away under load and comes back: the host never notices, and nothing is lost."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import pytest

from stateful_engine import AnalyticsLogger
from stateful_engine.config import Settings
from stateful_engine.guard import Guard
from stateful_engine.recording.recorder import Recorder
from stateful_engine.recording.stream import Worker
from stateful_engine.storage.database import Database
from tests.databases import migrate
from tests.factories import ROOT
from tests.faults.cast import LONG, Clients, Host, account_of, settled_account, until
from tests.faults.host import INSTANCE
from tests.servers import PostgresServer, RedisServer, Server

AWAY_SECONDS = 45.0 if LONG else 3.0
ROUNDS = 10 if LONG else 2
ANSWER_SECONDS = 5.0
"""Slower than this on a busy machine means that a request waited for something that is away."""


def stop(server: Server) -> None:
    server.stop()


def kill(server: Server) -> None:
    server.kill()


def freeze(server: Server) -> None:
    server.freeze()


def start(server: Server) -> None:
    server.start()


def thaw(server: Server) -> None:
    server.thaw()


@pytest.mark.parametrize(("take_away", "give_back"), [(stop, start), (kill, start), (freeze, thaw)])
def test_postgresql_away_under_load_loses_nothing(
    take_away: Callable[[Server], None],
    give_back: Callable[[Server], None],
    make_host: Callable[..., Host],
    fragile_postgres: PostgresServer,
    fragile_database: Database,
    say: Callable[[str], None],
) -> None:
    host = make_host(DATABASE_URL=fragile_postgres.url)
    clients = Clients(host.port, count=3, pause=0.03)
    accepted_while_away = 0
    with clients.at_work():
        for _ in range(ROUNDS):
            until(lambda: len(clients.accepted) > 20, "the first records")
            take_away(fragile_postgres)
            before = len(clients.accepted)
            time.sleep(AWAY_SECONDS / ROUNDS)
            accepted_while_away += len(clients.accepted) - before
            give_back(fragile_postgres)
            time.sleep(0.5)
    account = settled_account(clients.accepted, fragile_database)
    say(f"PostgreSQL {take_away.__name__} x {ROUNDS}: {accepted_while_away} accepted while away; {account}")
    assert accepted_while_away > 20
    assert clients.refused == 0
    assert clients.slowest < ANSWER_SECONDS
    assert (account.lost, account.twice, account.unanswered) == (0, 0, 0)


@contextmanager
def worker_process(folder: Path, database_url: str, stream_url: str) -> Iterator[subprocess.Popen[bytes]]:
    """`flask stateful worker` on a machine of its own; killed at the end if it still lives."""
    environment = {
        **os.environ,
        INSTANCE: str(folder / "worker"),
        "FLASK_STATEFUL_DATABASE_URL": database_url,
        "FLASK_STATEFUL_STREAM_URL": stream_url,
        "FLASK_STATEFUL_SPOOL_DIR": str(folder / "worker spool"),
    }
    command = [sys.executable, "-m", "flask", "--app", "tests.faults.host", "stateful", "worker"]
    with (folder / "worker.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def test_redis_stopped_under_load_loses_nothing(
    make_host: Callable[..., Host],
    postgresql_url: str,
    fragile_redis: RedisServer,
    tmp_path: Path,
    say: Callable[[str], None],
) -> None:
    """As the stream and as the cache: records wait in the spool, answers come as before."""
    host = make_host(
        DATABASE_URL=postgresql_url, STREAM_URL=fragile_redis.url, REDIS_URL=fragile_redis.url, AUTH="none"
    )
    database = Database(postgresql_url)
    clients = Clients(host.port, count=3, pause=0.03)
    with worker_process(tmp_path, postgresql_url, fragile_redis.url), clients.at_work():
        until(lambda: account_of([], database).stored > 5, "the first rows through the stream")
        for end in (stop, kill):
            end(fragile_redis)
            before = len(clients.accepted)
            time.sleep(AWAY_SECONDS / 2)
            assert len(clients.accepted) > before
            assert host.get("/api/gpts/state/analytics/signals")[0] == 200
            fragile_redis.start()
            time.sleep(0.5)
        until(lambda: len(clients.accepted) > 50, "enough records")
        clients.rest()
        account = settled_account(clients.accepted, database)
    say(f"Redis stopped and killed: {account}")
    assert clients.refused == 0
    assert clients.slowest < ANSWER_SECONDS
    assert (account.lost, account.twice, account.unanswered) == (0, 0, 0)
    database.dispose()


def test_a_worker_killed_in_mid_batch_leaves_its_work_to_another(
    make_host: Callable[..., Host],
    fragile_postgres: PostgresServer,
    fragile_database: Database,
    redis_url: str,
    tmp_path: Path,
    say: Callable[[str], None],
) -> None:
    host = make_host(DATABASE_URL=fragile_postgres.url, STREAM_URL=redis_url)
    clients = Clients(host.port, count=2, pause=0.02)
    kills = 0
    with clients.at_work():
        for _ in range(10 if LONG else 3):
            with worker_process(tmp_path, fragile_postgres.url, redis_url) as process:
                before = account_of([], fragile_database).stored
                until(lambda before=before: account_of([], fragile_database).stored > before, "work of the worker")
                fragile_postgres.freeze()
                time.sleep(0.1)
                process.send_signal(signal.SIGKILL)
                process.wait()
                fragile_postgres.thaw()
                kills += 1
    host.stop()
    settings = Settings(spool_dir=tmp_path / "last spool", stream_url=redis_url)
    last = Worker(fragile_database, settings, Guard(), claim_idle_ms=0)
    last.run(threading.Event(), until_empty=True)
    account = settled_account(clients.accepted, fragile_database)
    say(f"worker killed in mid-batch x {kills}: {account}")
    assert (account.lost, account.twice, account.unanswered) == (0, 0, 0)


@contextmanager
def stopped(server: Server) -> Iterator[None]:
    """The server is stopped for the time of the block."""
    server.stop()
    yield
    server.start()


@contextmanager
def locked(path: str) -> Iterator[None]:
    """Somebody else holds a SQLite file for the time of the block."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield


@pytest.fixture(params=["sqlite", "postgresql"])
def fragile(request: pytest.FixtureRequest) -> tuple[str, AbstractContextManager[None]]:
    """The address of a database, and the time in which it is away."""
    if request.param == "sqlite":
        url: str = request.getfixturevalue("sqlite_url")
        return url, locked(url.removeprefix("sqlite:///"))
    server: PostgresServer = request.getfixturevalue("fragile_postgres")
    request.getfixturevalue("fragile_database")
    return server.url, stopped(server)


def test_what_people_did_while_the_database_was_away_is_stored_once_although_the_bot_was_killed(
    fragile: tuple[str, AbstractContextManager[None]], tmp_path: Path, say: Callable[[str], None]
) -> None:
    url, away = fragile
    spool, copy = tmp_path / "spool", tmp_path / "copy"
    with away:
        done = subprocess.run(
            [sys.executable, "-c", KILLED_BOT],
            cwd=ROOT,
            env={
                **os.environ,
                INSTANCE: str(tmp_path / "instance"),
                "FLASK_STATEFUL_DATABASE_URL": url,
                "FLASK_STATEFUL_SPOOL_DIR": str(spool),
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == -signal.SIGKILL, done.stderr
    accepted = done.stdout.split()
    shutil.copytree(spool, copy)
    database = Database(url)
    for _ in range(2):
        shutil.copytree(copy, spool, dirs_exist_ok=True)
        again = Recorder(database, Settings(spool_dir=spool), Guard())
        assert again.drain(30.0)
        again.close(2.0)
    stored = [action["action_id"] for action in reversed(AnalyticsLogger(database).page(100).items)]
    say(f"actions while {database.dialect} was away, then kill -9: accepted {len(accepted)}, stored {len(stored)}")
    assert len(accepted) == 50
    assert stored == accepted
    database.dispose()


KILLED_BOT = """
import os, signal
from stateful_engine import AnalyticsLogger
from tests.faults.host import create_app

with create_app().app_context():
    for number in range(50):
        print(AnalyticsLogger().log_action(7, -100, "button_click", {"number": number}), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_full_disk_costs_only_records_and_says_so(tmp_path: Path, postgresql_url: str) -> None:
    """Files may not grow beyond 8 KiB here: small records go on, one that fits nowhere is refused, and all is said."""
    migrate(postgresql_url)
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK],
        cwd=ROOT,
        env={
            **os.environ,
            INSTANCE: str(tmp_path / "instance"),
            "FLASK_STATEFUL_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing",
            "FLASK_STATEFUL_SPOOL_DIR": str(tmp_path / "spool"),
            "FLASK_STATEFUL_AUTH": "none",
            "REAL_DATABASE_URL": postgresql_url,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    database = Database(postgresql_url)
    accepted = done.stdout.split()
    assert settled_account(accepted, database).lost == 0
    database.dispose()


FULL_DISK = """
import os, resource, signal
from stateful_engine.recording.recorder import Recorder
from stateful_engine.storage.database import Database
from stateful_engine.guard import Guard
from tests.faults.host import create_app

app = create_app()
runtime = app.extensions["stateful_engine"]
client = app.test_client()
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]

def accepted(count):
    answers = [client.get("/signal") for _ in range(count)]
    assert all(answer.status_code == 200 for answer in answers)
    return [answer.headers["X-Signal-ID"] for answer in answers if "X-Signal-ID" in answer.headers]

ids = accepted(3)
assert len(ids) == 3
resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard))
ids += accepted(30)
assert len(ids) == 33, "small records go on in new files"
resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
assert accepted(5) == [], "no id is given for what is not kept"
status = runtime.recorder.status()
assert status.dropped == 5, status
body = {"signal_data": {"symbol": "BTCUSDT", "action": "BUY"}}
answer = client.post("/api/gpts/state/track-signal", json=body)
assert answer.status_code == 503, answer.text
assert int(answer.headers["Retry-After"]) > 0
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, hard))
ids += accepted(3)
assert len(ids) == 36, "with room again records are taken again"
runtime.close(1.0)
again = Recorder(Database(os.environ["REAL_DATABASE_URL"]), runtime.settings, Guard())
assert again.drain(30.0)
again.close(1.0)
print(*ids)
"""
