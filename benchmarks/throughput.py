"""Requests per second under gunicorn: untracked, tracked by us, tracked by a synchronous ORM; PostgreSQL behind.

    python benchmarks/throughput.py [--rounds 5] [--seconds 4] [--clients 8]

Each contestant is one gthread worker on one core; the client (a loop over keep-alive connections, written for this) and
PostgreSQL share the other. Two views: one that answers with a constant, where recording is as dear as it can be beside
the work of the host, and the one of the demo host, which computes its signal from 240 candles. Rounds are interleaved.
The spool is emptied between rounds, off the clock; that everything answered was stored is checked at the end. CPU per
request counts the server process with all its threads. The gate is of the computed view.
"""

from __future__ import annotations

import argparse
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import common

GET = b"GET /api/gpts/signal?symbol=BTCUSDT&tf=1H HTTP/1.1\r\nHost: localhost\r\nUser-Agent: ChatGPT-User/1.0\r\n\r\n"
OPTIONS = "THROUGHPUT_OPTIONS"
CONTESTANTS = {"untracked": "bare view", "stateful_engine": "stateful_engine", "synchronous ORM": "synchronous ORM"}


def create_app(name: str) -> object:
    """The app of a contestant, for gunicorn."""
    import overhead

    app, flush = overhead.CONTESTANTS[name](json.loads(os.environ[OPTIONS]))

    @app.get("/flush")
    def empty() -> str:
        return str(flush())

    return app


class Served:
    """A contestant under gunicorn, on one core."""

    def __init__(self, name: str, options: str) -> None:
        from tests.servers import free_port

        self.port = free_port()
        command = [
            sys.executable,
            "-m",
            "gunicorn",
            "--worker-class",
            "gthread",
            "--threads",
            "4",
            "--keep-alive",
            "60",
        ]
        command += ["--bind", f"127.0.0.1:{self.port}", f"throughput:create_app({CONTESTANTS[name]!r})"]
        self._process = subprocess.Popen(
            command,
            env={**os.environ, OPTIONS: options, "PYTHONPATH": f"{Path(__file__).parent}{os.pathsep}{common.ROOT}"},
            stderr=subprocess.DEVNULL,
        )
        common.pin(0, pid=self._process.pid)
        self._wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                self.ask(b"/api/gpts/signal")
            except OSError:
                time.sleep(0.1)
            else:
                return
        raise RuntimeError("the server did not start")

    def ask(self, path: bytes) -> bytes:
        """One answer."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=120) as line:
            line.sendall(b"GET %b HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" % path)
            answer = b""
            while chunk := line.recv(65536):
                answer += chunk
        return answer

    def cpu_seconds(self) -> float:
        """CPU that the worker has used so far; 0 where the system does not tell."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        if not children.exists():
            return 0.0
        used = 0
        for pid in children.read_text().split():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            used += int(fields[11]) + int(fields[12])
        return used / os.sysconf("SC_CLK_TCK")

    def close(self) -> None:
        """Stop it in the orderly way."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(60)


def load(port: int, *, clients: int, seconds: float) -> int:
    """Answers received within `seconds` over `clients` keep-alive connections, each with one request at a time."""
    with selectors.DefaultSelector() as selector, _connections(port, clients) as lines:
        for line in lines:
            selector.register(line, selectors.EVENT_READ, bytearray())
            line.sendall(GET)
        answers, end = 0, time.monotonic() + seconds
        while time.monotonic() < end:
            for key, _ in selector.select(0.1):
                line, received = key.fileobj, key.data
                assert isinstance(line, socket.socket)
                received += line.recv(65536)
                if _is_whole(received):
                    answers += 1
                    received.clear()
                    line.sendall(GET)
    return answers


@contextmanager
def _connections(port: int, count: int) -> Iterator[list[socket.socket]]:
    lines = [socket.create_connection(("127.0.0.1", port), timeout=30) for _ in range(count)]
    try:
        yield lines
    finally:
        for line in lines:
            line.close()


def _is_whole(received: bytearray) -> bool:
    """Whether an answer with a Content-Length has arrived completely."""
    head, separator, body = received.partition(b"\r\n\r\n")
    if not separator:
        return False
    if not head.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(head.decode(errors="replace"))
    length = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
    return len(body) >= int(length.partition(b":")[2])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--clients", type=int, default=8)
    arguments = parser.parse_args()
    common.pin(1)
    with tempfile.TemporaryDirectory() as folder, common.migrated_postgresql() as url:
        shares = {
            view: compare(arguments, {"folder": folder, "database": url, "view": view})
            for view in ("constant", "computed")
        }
    for view, share in shares.items():
        common.verdict(f"{view} view, tracked as a share of untracked requests/s", share, limit=0.9, at_most=False)


def compare(arguments: argparse.Namespace, options: dict[str, str]) -> float:
    """Run the rounds and print the table; returns our rate as a share of the untracked rate."""
    servers = {name: Served(name, json.dumps(options)) for name in CONTESTANTS}
    rates: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
    cpu: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
    before_all, answered = _stored(options["database"]), 0
    for _ in range(arguments.rounds):
        for name, server in servers.items():
            before = server.cpu_seconds()
            answers = load(server.port, clients=arguments.clients, seconds=arguments.seconds)
            rates[name].append(answers / arguments.seconds)
            server.ask(b"/flush")
            cpu[name].append((server.cpu_seconds() - before) / max(1, answers) * 1e6)
            answered += answers if name == "stateful_engine" else 0
    for server in servers.values():
        server.close()
    for name in CONTESTANTS:
        rate, used = common.median(rates[name]), common.median(cpu[name])
        print(f"{options['view']:10}{name:18}{rate:8.0f} requests/s{used:8.0f} us CPU per request")
    stored = _stored(options["database"]) - before_all
    print(f"{options['view']:10}{answered} answers were read to their end, {min(stored, answered)} of them are stored")
    ratios = [ours / bare for ours, bare in zip(rates["stateful_engine"], rates["untracked"], strict=True)]
    return common.median(ratios)


def _stored(url: str) -> int:
    """Calls that our contestant stored; it alone says how long a call took."""
    from sqlalchemy import func, select

    from stateful_engine.storage import tables
    from stateful_engine.storage.database import Database

    database, table = Database(url), tables.table("gpt_query_log")
    with database.reading() as session:
        count = session.scalar(select(func.count()).where(table.c.processing_time_ms.is_not(None))) or 0
    database.dispose()
    return count


if __name__ == "__main__":
    main()
