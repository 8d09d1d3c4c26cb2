"""`flask stateful spool`: an operator sees what waits and gets it moving."""

from __future__ import annotations

import os
import signal as signals_of_the_system
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskCliRunner

from stateful_engine.config import Settings
from stateful_engine.extension import Runtime
from stateful_engine.guard import Guard
from stateful_engine.recording.recorder import Recorder
from stateful_engine.recording.records import Rows
from stateful_engine.storage.database import Database
from tests.recording.conftest import signal, signals, stored_ids

NOBODY = "postgresql://nobody@127.0.0.1:1/nothing"


@pytest.fixture
def runner(app: Flask) -> FlaskCliRunner:
    return app.test_cli_runner()


@pytest.fixture
def dead_process(runtime: Runtime) -> Iterator[Callable[..., None]]:
    """Lets a process record something while the database is away, and kills it."""
    recorder = Recorder(Database(NOBODY), Settings(spool_dir=runtime.settings.spool_dir), Guard())

    def live_and_die(*records: Rows) -> None:
        pid = os.fork()
        if pid == 0:
            try:
                for each in records:
                    recorder.record(each)
            finally:
                os.kill(os.getpid(), signals_of_the_system.SIGKILL)
        os.waitpid(pid, 0)

    yield live_and_die
    recorder.close(1.0)


def run(runner: FlaskCliRunner, *arguments: str, code: int = 0) -> str:
    result = runner.invoke(args=["stateful", "spool", *arguments])
    assert result.exit_code == code, result.output
    return result.output


def test_the_status_of_an_empty_spool(runner: FlaskCliRunner) -> None:
    shown = run(runner, "status")
    assert "pending     0 records" in shown
    assert "nothing waits" in shown
    assert "rejected    0 records" in shown


def test_the_status_names_what_a_dead_process_left_behind(
    runner: FlaskCliRunner, dead_process: Callable[..., None]
) -> None:
    dead_process(signals("sig_a"), signals("sig_b"))
    shown = run(runner, "status")
    assert "left behind, 2 records" in shown
    assert "pending     2 records" in shown


def test_the_status_tells_files_in_use_from_others(runner: FlaskCliRunner, runtime: Runtime) -> None:
    other = Recorder(Database(NOBODY), runtime.settings, Guard())
    other.record(signals("sig_a"))
    assert "in use, 1 record," in run(runner, "status")
    other.close(1.0)


def test_a_file_of_another_version_is_named_and_left(runner: FlaskCliRunner, runtime: Runtime) -> None:
    folder: Path = runtime.settings.spool_dir
    folder.mkdir(parents=True)
    (folder / "0.seg").write_bytes(b"stateful-spool 9\n")
    assert "upgrade" in run(runner, "status")


def test_drain_stores_what_was_left_behind(
    runner: FlaskCliRunner, runtime: Runtime, dead_process: Callable[..., None]
) -> None:
    dead_process(signals("sig_a"), signals("sig_b"))
    dead_process(signals("sig_c"))
    assert "stored 3 records, 0 left" in run(runner, "drain")
    assert stored_ids(runtime.database) == ["sig_a", "sig_b", "sig_c"]
    assert "pending     0 records" in run(runner, "status")


def test_drain_fails_while_the_database_is_away(make_app: Callable[..., Flask], tmp_path: Path) -> None:
    app = make_app(STATEFUL_DATABASE_URL=NOBODY, STATEFUL_SPOOL_DIR=str(tmp_path / "spool"))
    other = Recorder(Database(NOBODY), app.extensions["stateful_engine"].settings, Guard())
    other.record(signals("sig_a"))
    other.close(0.5)
    shown = run(app.test_cli_runner(), "drain", "--timeout", "0.5", code=1)
    assert "stored 0 records, 1 left" in shown
    assert "doctor" in shown


def test_rejected_records_are_shown_with_their_reasons_and_can_be_tried_again(
    runner: FlaskCliRunner, runtime: Runtime
) -> None:
    for each in (Rows({"signal_history": [signal("sig_bad", action=None)]}), signals("sig_a")):
        runtime.recorder.record(each)
    runtime.recorder.flush()
    shown = run(runner, "status")
    assert "rejected    1 record\n" in shown
    assert "IntegrityError" in shown
    assert "retry-rejected" in shown
    assert "tried 1 record again, 1 is still refused" in run(runner, "retry-rejected")
    assert "rejected    1 record\n" in run(runner, "status")
