"""`flask stateful db`: an operator brings our tables up, down and back, and is told what happened."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import Result
from flask import Flask

from stateful_engine import StatefulEngine
from stateful_engine.storage import migrate
from tests.factories import signal_data


@pytest.fixture
def host(empty_database_url: str, tmp_path: Path) -> Iterator[Flask]:
    """A host whose database has no tables of ours yet, and that wants to be asked."""
    app = Flask("tests.host", instance_path=str(tmp_path / "instance"))
    app.config.update(STATEFUL_DATABASE_URL=empty_database_url, STATEFUL_AUTO_MIGRATE=False, TESTING=True)
    engine = StatefulEngine(app)
    yield app
    engine.close()


def run(app: Flask, *arguments: str) -> Result:
    return app.test_cli_runner().invoke(args=["stateful", "db", *arguments])


def test_upgrade_makes_the_tables_and_says_where(host: Flask) -> None:
    result = run(host, "upgrade")
    assert result.exit_code == 0, result.output
    assert result.output.startswith(f"nothing -> {migrate.head()} in ")
    assert run(host, "check").output == "The tables are as the models say.\n"
    assert run(host, "current").output.startswith(f"{migrate.head()} (newest: {migrate.head()}) in ")
    with host.app_context():
        from stateful_engine import track_signal

        assert track_signal(signal_data(), source_engine="sharp")


def test_upgrade_goes_to_the_revision_that_is_named(host: Flask) -> None:
    assert run(host, "upgrade", "0001").output.startswith("nothing -> 0001 in ")
    assert run(host, "current").output.startswith(f"0001 (newest: {migrate.head()}) in ")
    listed = run(host, "history").output.splitlines()
    assert listed[0] == "* 0001  Signals, queries and interactions."
    assert all(line.startswith("  0") for line in listed[1:])
    assert len(listed) == len(migrate.history())


def test_downgrade_asks_before_it_forgets(host: Flask) -> None:
    run(host, "upgrade")
    refused = host.test_cli_runner().invoke(args=["stateful", "db", "downgrade", "base"], input="n\n")
    assert refused.exit_code == 1
    assert "will be lost" in refused.output
    agreed = host.test_cli_runner().invoke(args=["stateful", "db", "downgrade"], input="y\n")
    assert agreed.exit_code == 0
    assert f"{migrate.head()} -> {migrate.history()[-2].revision} in " in agreed.output
    assert "-> nothing in" in run(host, "downgrade", "base", "--yes").output


def test_stamp_writes_down_a_version_without_touching_tables(host: Flask) -> None:
    assert f"nothing -> {migrate.head()} in " in run(host, "stamp").output
    result = run(host, "check")
    assert result.exit_code == 1
    assert "signal_history" in result.output


def test_what_differs_is_listed_and_fails(host: Flask) -> None:
    run(host, "upgrade")
    database = host.extensions["stateful_engine"].database
    with database.connection() as connection:
        connection.exec_driver_sql(f"ALTER TABLE {database.qualified('gpt_query_log')} ADD COLUMN surplus TEXT")
    result = run(host, "check")
    assert result.exit_code == 1
    assert "surplus" in result.output


@pytest.mark.parametrize("command", ["check", "upgrade nonsense", "downgrade nonsense --yes", "stamp nonsense"])
def test_a_mistake_is_one_line_with_its_remedy(host: Flask, command: str) -> None:
    result = run(host, *command.split())
    assert result.exit_code == 1
    assert result.output.startswith("Error: ")
    assert "flask stateful db" in result.output
    assert "Traceback" not in result.output


def test_a_database_that_is_away_is_one_line_without_its_password(tmp_path: Path) -> None:
    app = Flask("tests.host", instance_path=str(tmp_path / "instance"))
    app.config["STATEFUL_DATABASE_URL"] = "postgresql://nobody:hunter2@127.0.0.1:1/nothing"
    StatefulEngine(app)
    for command in ("current", "upgrade", "history"):
        result = run(app, command)
        assert result.exit_code == 1
        assert result.output.startswith("Error: the database does not answer")
        assert "hunter2" not in result.output


def test_no_command_of_ours_shows_a_password(host: Flask) -> None:
    database = host.extensions["stateful_engine"].database
    password = database.engine.url.password
    outputs = [run(host, *command.split()).output for command in ("upgrade", "current", "downgrade --yes", "stamp")]
    assert password is None or not any(password in output for output in outputs)
