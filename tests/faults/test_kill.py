"""kill -9 at random moments: what a client was told is recorded is stored, and nothing is stored twice."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress

from stateful_engine.storage.database import Database
from tests.faults.cast import LONG, Clients, Host, settled_account, until

ROUNDS = 200 if LONG else 20


def killed_one(clients: Clients) -> bool:
    """Kill a worker that has answered lately; False when all of those are dead already."""
    seen, clients.pids = clients.pids, set()
    for pid in random.sample(sorted(seen), len(seen)):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            return True
    return False


def test_kill_9_of_a_loaded_server_loses_nothing_and_stores_nothing_twice(
    make_host: Callable[..., Host], database_url: str, database: Database, say: Callable[[str], None]
) -> None:
    host = make_host(DATABASE_URL=database_url, AUTO_MIGRATE="true")
    clients = Clients(host.port)
    killed = 0
    with clients.at_work():
        for round_number in range(ROUNDS):
            time.sleep(random.uniform(0.02, 0.35))
            if round_number % 20 == 9:
                host.kill_everything()
                host.start()
                killed += 1
                continue
            until(lambda: killed_one(clients), "an answer of a worker that still lives")
            killed += 1
        time.sleep(0.3)
    account = settled_account(clients.accepted, database)
    say(f"kill -9 ({database.dialect}): {ROUNDS} rounds, {killed} kills; {account}")
    assert killed == ROUNDS
    assert account.accepted > ROUNDS * 5
    assert (account.lost, account.twice) == (0, 0)
    assert account.unanswered <= killed * clients.count
    host.stop()
    assert [path.name for path in host.spool.glob("*.seg")] == []


def test_after_killing_everything_the_first_read_of_the_next_server_sees_all_that_was_accepted(
    make_host: Callable[..., Host], sqlite_url: str
) -> None:
    database = Database(sqlite_url)
    host = make_host(DATABASE_URL=sqlite_url, FLUSH_INTERVAL="30", AUTH="none")
    clients = Clients(host.port)
    with clients.at_work():
        time.sleep(0.7)
    assert clients.accepted
    host.kill_everything()
    host.start()
    status, body = host.get(f"/api/gpts/state/signal/{clients.accepted[-1]}")
    assert status == 200, body
    assert settled_account(clients.accepted, database).lost == 0
    database.dispose()
