"""`flask stateful doctor`: says what is wrong and what to do about it, without secrets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from flask import Flask


def run(app: Flask, code: int) -> dict[str, tuple[str, str]]:
    """Mark and detail by subject."""
    result = app.test_cli_runner().invoke(args=["stateful", "doctor"])
    assert result.exit_code == code, result.output
    width = result.output.index("true")
    return {line[8:width].strip(): (line[:8].strip(), line[width:]) for line in result.output.splitlines()}


def test_a_healthy_app_has_no_problems(app: Flask) -> None:
    found = run(app, 0)
    assert [found[name][0] for name in ("enabled", "database", "schema", "spool")] == ["ok"] * 4
    assert found["auth"] == ("", "auto: open in debug and testing, API keys otherwise")


def test_a_database_that_is_away_is_the_only_problem_and_its_password_is_not_shown(
    make_app: Callable[..., Flask],
) -> None:
    found = run(make_app(STATEFUL_DATABASE_URL="postgresql://u:hunter2@127.0.0.1:1/x"), 1)
    assert [name for name, (mark, _) in found.items() if mark == "PROBLEM"] == ["database"]
    assert "u:***@127.0.0.1:1/x: the database does not answer; start it, or correct" in found["database"][1]
    assert found["schema"] == found["webhooks"] == ("", "not known before the database answers")


def test_a_spool_that_cannot_be_made_is_a_problem(make_app: Callable[..., Flask], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = run(make_app(STATEFUL_SPOOL_DIR=tmp_path / "file" / "spool"), 1)
    mark, detail = found["spool"]
    assert mark == "PROBLEM"
    assert detail.endswith("is not writable: change its owner or set STATEFUL_SPOOL_DIR")


def test_a_redis_that_is_away_is_a_problem(make_app: Callable[..., Flask]) -> None:
    away = "redis://127.0.0.1:1/0"
    found = run(make_app(STATEFUL_REDIS_URL=away, STATEFUL_STREAM_URL=away), 1)
    assert found["redis"] == ("PROBLEM", "away: check STATEFUL_REDIS_URL and the server")
    assert found["stream"] == ("PROBLEM", "away: check STATEFUL_STREAM_URL and the server")
