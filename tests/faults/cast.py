"""Who plays in the fault tests: a host under gunicorn, clients that remember what they were promised, and a judge."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from stateful_engine.storage import tables
from stateful_engine.storage.database import Database
from tests.factories import ROOT
from tests.faults.host import INSTANCE
from tests.servers import free_port

LONG = bool(os.environ.get("STATEFUL_TEST_LONG"))
"""Whether the long form of the fault tests is wanted: ten times as many rounds."""

PATIENCE = 60.0


def until(reached: Callable[[], bool], what: str, *, within: float = PATIENCE) -> None:
    """Wait until `reached()`; fails naming `what` did not happen."""
    deadline = time.monotonic() + within
    while not reached():
        assert time.monotonic() < deadline, f"{what} did not happen within {within:.0f} s"
        time.sleep(0.02)


class Host:
    """The host of `host.py` under gunicorn with `--preload`, so that its workers are forked and replaced."""

    def __init__(self, folder: Path, config: Mapping[str, Any], *, workers: int = 2, threads: int = 4) -> None:
        self.port = free_port()
        self.spool = folder / "spool"
        self._log = folder / "gunicorn.log"
        self._environment = {
            **os.environ,
            INSTANCE: str(folder / "instance"),
            "FLASK_STATEFUL_SPOOL_DIR": str(self.spool),
            **{f"FLASK_STATEFUL_{name}": str(value) for name, value in config.items()},
        }
        self._command = [sys.executable, "-m", "gunicorn", "--preload", "--worker-class", "gthread"]
        self._command += ["--workers", str(workers), "--threads", str(threads), "--graceful-timeout", "10"]
        self._command += ["--bind", f"127.0.0.1:{self.port}", "tests.faults.host:create_app()"]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, cwd=ROOT, env=self._environment, stdout=log, stderr=log, start_new_session=True
            )
        until(self._answers, "the start of the host")

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text()
        try:
            return self.get("/plain")[0] == 200
        except OSError:
            return False

    def get(self, path: str, *, timeout: float = 30.0) -> tuple[int, bytes]:
        """Status and body of one answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def kill_everything(self) -> None:
        """As a power cut for processes: master and workers at once, without a goodbye."""
        self._signal(signal.SIGKILL)

    def stop(self) -> None:
        """Stop it in the orderly way; harmless when it does not run."""
        self._signal(signal.SIGTERM)

    def _signal(self, number: signal.Signals) -> None:
        process = self._process
        if process is None:
            return
        if number is signal.SIGKILL:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self._process = None


@dataclass
class Clients:
    """Clients that ask for signals until they are told to stop; `accepted` are the ids they were given."""

    port: int
    count: int = 4
    pause: float = 0.005
    accepted: list[str] = field(default_factory=list)
    refused: int = 0
    slowest: float = 0.0
    pids: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._live) for _ in range(self.count)]

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """They ask throughout the block."""
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self.rest()
            for thread in self._threads:
                thread.join()

    def rest(self) -> None:
        """Ask for nothing more."""
        self._stop.set()

    def _live(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        while not self._stop.wait(self.pause):
            try:
                self._ask(connection)
            except (OSError, http.client.HTTPException):
                self.refused += 1
                connection.close()
        connection.close()

    def _ask(self, connection: http.client.HTTPConnection) -> None:
        began = time.monotonic()
        connection.request("GET", "/signal")
        response = connection.getresponse()
        response.read()
        self.slowest = max(self.slowest, time.monotonic() - began)
        signal_id = response.headers.get("X-Signal-ID")
        assert response.status == 200
        if signal_id is not None:
            self.accepted.append(signal_id)
        pid = response.headers.get("X-Pid")
        if pid is not None:
            self.pids.add(int(pid))


@dataclass(frozen=True)
class Account:
    """What was promised and what is there."""

    accepted: int
    stored: int
    lost: int
    twice: int
    unanswered: int

    def __str__(self) -> str:
        return (
            f"accepted {self.accepted}, stored {self.stored}, lost {self.lost}, twice {self.twice}, "
            f"stored but cut off before the answer {self.unanswered}"
        )


def account_of(accepted: list[str], database: Database) -> Account:
    """Compare the ids that clients were given with the rows; query, signal and interaction belong together."""
    signals, queries, interactions = (
        tables.table(name) for name in ("signal_history", "gpt_query_log", "user_interaction")
    )
    with database.reading() as session:
        stored = list(session.scalars(select(signals.c.signal_id)))
        others = [session.scalar(select(func.count()).select_from(table)) for table in (queries, interactions)]
    twice = len(stored) - len(set(stored)) + sum(max(0, (other or 0) - len(stored)) for other in others)
    promised = set(accepted)
    assert len(promised) == len(accepted), "an id was given twice"
    return Account(
        accepted=len(accepted),
        stored=len(stored),
        lost=len(promised - set(stored)) + sum(max(0, len(stored) - (other or 0)) for other in others),
        twice=twice,
        unanswered=len(set(stored) - promised),
    )


def settled_account(accepted: list[str], database: Database) -> Account:
    """The account once everything accepted has arrived, or as it stands when patience ends."""
    deadline = time.monotonic() + PATIENCE
    account = account_of(accepted, database)
    while account.lost and time.monotonic() < deadline:
        time.sleep(0.1)
        account = account_of(accepted, database)
    return account
