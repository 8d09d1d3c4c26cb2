"""`flask stateful rollup`: an operator compares the figures of the reports with the rows, and has them made again."""

from __future__ import annotations

import pytest
from flask import Flask
from sqlalchemy import text

from stateful_engine.extension import Runtime
from tests.factories import play_history


@pytest.fixture(autouse=True)
def history(app: Flask, runtime: Runtime) -> None:
    with app.app_context():
        play_history(runtime.state_manager, signals=5, executed=4, wins=2, losses=1)


def run(app: Flask, *arguments: str, code: int = 0) -> str:
    result = app.test_cli_runner().invoke(args=["stateful", "rollup", *arguments])
    assert result.exit_code == code, result.output
    return str(result.output)


def spoil(runtime: Runtime, change: str) -> None:
    with runtime.database.connection() as connection:
        connection.execute(text(f"UPDATE {runtime.database.qualified('rollup_signals')} SET {change}"))


def test_figures_that_agree_are_said_to(app: Flask) -> None:
    assert "the figures agree with the rows" in run(app, "check")


def test_each_difference_is_listed_and_the_exit_status_is_1(app: Flask, runtime: Runtime) -> None:
    spoil(runtime, "win = win + 3 WHERE dimension = 'symbol'")
    shown = run(app, "check", code=1)
    assert "rollup_signals: hour of " in shown
    assert "win of symbol 'BTCUSDT': +3" in shown
    assert "run `flask stateful rollup rebuild`" in shown


def test_at_most_so_many_differences_are_listed(app: Flask, runtime: Runtime) -> None:
    spoil(runtime, "total = total + 1, win = win + 1")
    shown = run(app, "check", "--most", "2", code=1)
    assert shown.count("rollup_signals: ") == 2
    assert "2 or more figures differ" in shown


def test_a_rebuild_mends_what_differs_and_the_reports_say_so(app: Flask, runtime: Runtime) -> None:
    spoil(runtime, "win = win + 3 WHERE dimension = ''")
    runtime.analytics.invalidate({"signal_history": 1})
    assert runtime.analytics.signals()["winning_signals"] == 5
    shown = run(app, "rebuild")
    assert "counted again: gpt_query_log, signal_history, user_interaction" in shown
    assert runtime.analytics.signals()["winning_signals"] == 2
    run(app, "check")


def test_one_table_can_be_counted_again_alone(app: Flask, runtime: Runtime) -> None:
    spoil(runtime, "total = 0")
    assert "counted again: signal_history" in run(app, "rebuild", "--table", "signal_history")
    run(app, "check")


def test_a_database_without_tables_is_told_plainly(app: Flask, runtime: Runtime) -> None:
    with runtime.database.connection() as connection:
        connection.execute(text(f"DROP TABLE {runtime.database.qualified('rollup_marks')}"))
    shown = run(app, "check", code=1)
    assert "Traceback" not in shown
    assert "Error: " in shown
