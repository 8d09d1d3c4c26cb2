"""Fixtures of the fault tests; they run in a short form, and in a long one with `STATEFUL_TEST_LONG=1`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stateful_engine.storage.database import Database
from tests.databases import migrate
from tests.faults.cast import Host
from tests.servers import PostgresServer, RedisServer

MakeHost = Callable[..., Host]


@pytest.fixture
def make_host(tmp_path: Path) -> Iterator[MakeHost]:
    """Makes and starts hosts; keywords are settings in capitals, `workers` and `threads`."""
    made: list[Host] = []

    def make(*, workers: int = 2, threads: int = 4, **config: Any) -> Host:
        host = Host(tmp_path, config, workers=workers, threads=threads)
        made.append(host)
        host.start()
        return host

    yield make
    for host in made:
        host.stop()


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    made = Database(database_url)
    yield made
    made.dispose()


@pytest.fixture(scope="module")
def fragile_postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL of this module's own, to be stopped, killed and frozen."""
    with PostgresServer(durable=True) as server:
        migrate(server.url)
        yield server


@pytest.fixture
def fragile_database(fragile_postgres: PostgresServer) -> Iterator[Database]:
    """The emptied database on `fragile_postgres`."""
    made = Database(fragile_postgres.url)
    with made.connection() as connection:
        for name in ("signal_history", "gpt_query_log", "user_interaction"):
            connection.exec_driver_sql(f"TRUNCATE {made.qualified(name)}")
    yield made
    made.dispose()


@pytest.fixture
def fragile_redis() -> Iterator[RedisServer]:
    """A Redis of this test's own that keeps what it acknowledged, to be stopped and killed."""
    with RedisServer(durable=True) as server:
        yield server


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Print a summary line that the reader of the run sees."""

    def speak(line: str) -> None:
        with capsys.disabled():
            print(f"\n{line}", flush=True)  # noqa: T201

    return speak
