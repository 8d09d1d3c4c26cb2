"""`flask stateful worker`: brings the stream into the database and stops in order."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask

from stateful_engine.recording import stream
from tests.factories import ROOT
from tests.recording.conftest import signals, stored_ids

HOST = """
import sys
from flask import Flask
from stateful_engine import StatefulEngine

def create_app():
    app = Flask("host", instance_path={instance!r})
    app.config.update(
        STATEFUL_DATABASE_URL={database!r}, STATEFUL_STREAM_URL={stream!r}, STATEFUL_SPOOL_DIR={spool!r}
    )
    StatefulEngine(app)
    return app
"""


def test_without_a_stream_it_says_what_to_set(app: Flask) -> None:
    result = app.test_cli_runner().invoke(args=["stateful", "worker"])
    assert result.exit_code == 1
    assert "STATEFUL_STREAM_URL" in result.output


def test_while_redis_is_away_it_says_so_once_and_waits(
    make_app: Callable[..., Flask], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = make_app(STATEFUL_STREAM_URL="redis://127.0.0.1:1/0").extensions["stateful_engine"]
    worker, tries, stop = stream.Worker(runtime.database, runtime.settings, runtime.guard), 0, threading.Event()

    def wait(_: float) -> bool:
        nonlocal tries
        tries += 1
        if tries == 3:
            stop.set()
        return stop.is_set()

    monkeypatch.setattr(stop, "wait", wait)
    worker.run(stop)
    told = [record.getMessage() for record in caplog.records if "the worker waits" in record.getMessage()]
    assert len(told) == 1
    assert "STATEFUL_STREAM_URL" in told[0]


def test_it_stores_what_is_in_the_stream_and_returns(make_app: Callable[..., Flask], redis_url: str) -> None:
    app = make_app(STATEFUL_STREAM_URL=redis_url)
    runtime = app.extensions["stateful_engine"]
    runtime.recorder.record(signals("sig_a"))
    runtime.recorder.record(signals("sig_b"))
    assert runtime.flush()
    result = app.test_cli_runner().invoke(args=["stateful", "worker", "--until-empty"])
    assert result.exit_code == 0, result.output
    assert "stored 2 records" in result.output
    assert stored_ids(runtime.database) == ["sig_a", "sig_b"]


def test_sigterm_ends_it_in_order(
    make_app: Callable[..., Flask], redis_url: str, database_url: str, tmp_path: Path
) -> None:
    app = make_app(STATEFUL_STREAM_URL=redis_url)
    runtime = app.extensions["stateful_engine"]
    host = tmp_path / "workerhost.py"
    host.write_text(
        HOST.format(
            instance=str(tmp_path / "i"), database=database_url, stream=redis_url, spool=str(tmp_path / "other spool")
        )
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "flask", "--app", str(host), "stateful", "worker"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        assert process.stdout is not None
        assert "waiting for records" in process.stdout.readline()
        runtime.recorder.record(signals("sig_a"))
        assert runtime.flush()
        deadline = time.monotonic() + 20
        while stored_ids(runtime.database) != ["sig_a"]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=20)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    assert process.returncode == 0
    assert "stored 1 record" in rest
