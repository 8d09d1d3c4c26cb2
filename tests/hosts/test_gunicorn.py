"""gunicorn with `--preload` and two workers: what was warm before the fork works in both workers, nothing is lost."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any

from tests.factories import ROOT
from tests.recorded import recorded

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import AppMaker

HOST = """
import os
from flask import Flask
from stateful_engine import StatefulEngine, track_signal_generation

app = Flask("host", instance_path=os.environ["HOST_INSTANCE"])
app.config.update(TESTING=True)
app.config.from_prefixed_env()
engine = StatefulEngine(app)

@app.get("/signal")
@track_signal_generation
def view():
    return {"symbol": "BTCUSDT", "action": "BUY", "confidence": 80, "entry_price": 45000.0, "pid": os.getpid()}

@app.get("/flush")
def flush():
    return {"flushed": engine.flush(10.0), "pid": os.getpid()}

@app.get("/warm")
def show_warm():
    return warm

# Warm before the fork: the writer thread runs and the pool holds a connection.
warm = app.test_client().get("/signal").get_json()
assert engine.flush(10.0)
"""


@contextmanager
def served(folder: Path, database_url: str) -> Iterator[int]:
    """The host under a real gunicorn; yields its port, and ends it as an operator would."""
    (folder / "host_app.py").write_text(HOST)
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}",
        "HOST_INSTANCE": str(folder / "instance"),
        "FLASK_STATEFUL_DATABASE_URL": database_url,
    }
    command = [sys.executable, "-m", "gunicorn", "--preload", "--workers", "2", "--no-control-socket"]
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        port = listening.getsockname()[1]
        process = subprocess.Popen(
            [*command, "--bind", f"fd://{listening.fileno()}", "host_app:app"],
            cwd=folder,
            env=environment,
            pass_fds=[listening.fileno()],
            stderr=subprocess.PIPE,
        )
    try:
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate(timeout=60)
        sys.stderr.write(told.decode())
    assert process.returncode == 0


def ask(port: int, path: str) -> dict[str, Any]:
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path)
        answer: dict[str, Any] = json.loads(connection.getresponse().read())
        return answer
    finally:
        connection.close()


def test_both_workers_record_and_flush_and_nothing_is_lost(
    make_app: AppMaker, database_url: str, tmp_path: Path
) -> None:
    with served(tmp_path, database_url) as port:
        ids = {ask(port, "/warm")["signal_id"]}
        workers: set[int] = set()
        patience = time.monotonic() + 30
        while (len(workers) < 2 or len(ids) <= 20) and time.monotonic() < patience:
            answer = ask(port, "/signal")
            ids.add(answer["signal_id"])
            workers.add(answer["pid"])
        flushed = [ask(port, "/flush")["flushed"] for _ in range(6)]
        ids.add(ask(port, "/signal")["signal_id"])
    assert len(workers) == 2
    assert all(flushed)
    app = make_app(instance_path=tmp_path / "instance")
    stored = [row["signal_id"] for row in recorded(app).signals]
    assert sorted(stored) == sorted(ids)
