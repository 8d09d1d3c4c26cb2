"""An existing journal comes along, once, whatever columns it has."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from flask import Flask

from stateful_engine import AnalyticsLogger, ChatGPTLogger, JournalRepo, PerformanceDashboard
from stateful_engine.extension import Runtime

OLD_JOURNAL = """
CREATE TABLE chatgpt_conversations (id INTEGER PRIMARY KEY, user_id INTEGER, chat_id INTEGER, started_at REAL,
    ended_at REAL, message_count INTEGER, total_tokens INTEGER);
INSERT INTO chatgpt_conversations VALUES (41, 7000000000, -100, 1769860800.5, NULL, 2, 30);
CREATE TABLE chatgpt_messages (id INTEGER PRIMARY KEY, conversation_id INTEGER, role TEXT, content TEXT,
    timestamp REAL, tokens_used INTEGER);
INSERT INTO chatgpt_messages VALUES (1, 41, 'user', 'Gold?', 1769860801, NULL), (2, 41, 'assistant', 'Buy.',
    1769860802, 30), (3, 99, 'user', 'lost', 1769860803, NULL), (4, 41, 'wizard', 'x', 1769860804, NULL);
CREATE TABLE ai_recommendations (id INTEGER PRIMARY KEY, user_id INTEGER, conversation_id INTEGER, symbol TEXT,
    direction TEXT, confidence INTEGER, entry_price REAL, stop_loss REAL, take_profit REAL, created_at TEXT,
    executed INTEGER, result_pnl REAL, result_r REAL);
INSERT INTO ai_recommendations VALUES (1, 7000000000, 41, 'XAUUSDc', 'buy', 85, 2650, 2640, 2670,
    '2026-01-31 12:00:00', 1, 20, 2);
CREATE TABLE trade_events (id INTEGER PRIMARY KEY, event TEXT, ticket INTEGER, symbol TEXT, notes TEXT, extra TEXT,
    timestamp TEXT);
INSERT INTO trade_events VALUES (1, 'oco_triggered', 7, 'XAUUSD', 'n', '{"a": 1}', '2026-01-31T12:00:00Z');
"""


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    path = tmp_path / "old.sqlite"
    connection = sqlite3.connect(path)
    connection.executescript(OLD_JOURNAL)
    connection.close()
    return path


def test_an_old_journal_is_imported_once_with_a_report(app: Flask, runtime: Runtime, journal: Path) -> None:
    before = journal.read_bytes()
    first = app.test_cli_runner().invoke(args=["stateful", "import-journal", str(journal)])
    assert first.exit_code == 0, first.output
    assert "chatgpt_messages         2 imported, 0 known already, 2 refused" in first.output
    assert "user_actions             not in the file" in first.output
    again = app.test_cli_runner().invoke(args=["stateful", "import-journal", str(journal)])
    assert "chatgpt_messages         0 imported, 2 known already, 2 refused" in again.output
    assert "ai_recommendations       0 imported, 1 known already, 0 refused" in again.output
    assert journal.read_bytes() == before

    [conversation] = ChatGPTLogger(runtime.database).get_user_conversations(7_000_000_000)
    assert (conversation["message_count"], conversation["started_at"]) == (2, 1769860800.5)
    history = ChatGPTLogger(runtime.database).get_conversation_history(conversation["id"])
    assert [one["content"] for one in history] == ["Gold?", "Buy."]
    performance = PerformanceDashboard(runtime.database).get_recommendation_performance(days=0)
    assert performance["by_symbol"] == {"XAUUSD": {"count": 1, "wins": 1, "avg_pnl": 20.0}}
    [event] = JournalRepo(runtime.database).recent(5)
    assert (event["event"], event["ticket"], event["extra"]) == ("oco_triggered", "7", {"a": 1})


def test_a_file_that_is_no_database_is_told(app: Flask, tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("these are not the rows you are looking for" * 100)
    refused = app.test_cli_runner().invoke(args=["stateful", "import-journal", str(path)])
    assert refused.exit_code == 1
    assert "no SQLite database" in refused.output


def imported(app: Flask, path: Path, script: str, *, code: int = 0) -> str:
    """The report of importing a journal that `script` makes or changes."""
    connection = sqlite3.connect(path)
    connection.executescript(script)
    connection.close()
    done = app.test_cli_runner().invoke(args=["stateful", "import-journal", str(path)])
    assert done.exit_code == code, done.output
    return str(done.output)


ACTIONS = (
    "CREATE TABLE user_actions (id INTEGER PRIMARY KEY, user_id, chat_id, action_type TEXT, action_data, timestamp);"
)


def test_what_happened_twice_in_one_second_is_two_records(app: Flask, runtime: Runtime, tmp_path: Path) -> None:
    same = "INSERT INTO user_actions (user_id, action_type, timestamp) VALUES (7, 'button_click', 1769860800);"
    path = tmp_path / "old.sqlite"
    assert "3 imported" in imported(app, path, ACTIONS + same * 3)
    assert "0 imported, 3 known already" in imported(app, path, "")
    assert "1 imported, 3 known already" in imported(app, path, same)
    assert AnalyticsLogger(runtime.database).get_user_stats(7, days=0) == {"button_click": 4}


def test_what_went_on_since_the_first_import_is_brought_up_to_date(app: Flask, runtime: Runtime, journal: Path) -> None:
    imported(app, journal, "UPDATE ai_recommendations SET executed = 'false', result_pnl = NULL, result_r = NULL")
    before = PerformanceDashboard(runtime.database).get_recommendation_performance(days=0)
    assert (before["executed_count"], before["wins"]) == (0, 0)
    later = """
    UPDATE ai_recommendations SET executed = 1, result_pnl = 20, result_r = 2;
    UPDATE chatgpt_conversations SET message_count = 3, ended_at = 1769860900;
    INSERT INTO chatgpt_messages VALUES (5, 41, 'user', 'Thanks', 1769860810, NULL);
    """
    assert "0 imported, 1 known already (1 brought up to date)" in imported(app, journal, later)
    after = PerformanceDashboard(runtime.database).get_recommendation_performance(days=0)
    assert (after["executed_count"], after["wins"]) == (1, 1)
    [conversation] = ChatGPTLogger(runtime.database).get_user_conversations(7_000_000_000)
    assert (conversation["message_count"], conversation["ended_at"]) == (3, 1769860900.0)
    assert "brought up to date" not in imported(app, journal, "")


def test_odd_rows_and_odd_tables_come_along_as_far_as_they_can_be_meant(
    app: Flask, runtime: Runtime, tmp_path: Path
) -> None:
    script = """
    CREATE TABLE trade_events (id INTEGER PRIMARY KEY, event, ticket, symbol, price, notes, extra, timestamp)
        WITHOUT ROWID;
    INSERT INTO trade_events VALUES
        (1, X'6F636F', 1, 'XAUUSD', 'market', CAST(X'FF41' AS TEXT), '{broken', '1769860800'),
        (2, NULL, 2, NULL, 1, NULL, NULL, 1769860800),
        (3, 'x', 3, NULL, 1, NULL, NULL, 'yesterday'),
        (4, 'trade_exec', 4, '', 9e999, NULL, '[1]', 1769860800.25),
        (5, 'trade_exec', 5, 'BTC/USDT', 1, '', NULL, NULL);
    """
    report = imported(app, tmp_path / "odd.sqlite", script)
    assert "trade_events             2 imported, 0 known already, 3 refused" in report
    found = {event["ticket"]: event for event in JournalRepo(runtime.database).recent(10)}
    assert (found["1"]["event"], found["1"]["price"], found["1"]["notes"]) == ("oco", None, "\ufffdA")
    assert found["1"]["extra"] == {"text": "{broken", "price": "market"}
    assert found["4"]["extra"] == {"extra": [1], "price": "inf"}
    assert found["4"]["symbol"] is None


def test_a_damaged_journal_is_imported_as_far_as_it_can_be_read(app: Flask, runtime: Runtime, tmp_path: Path) -> None:
    path = tmp_path / "damaged.sqlite"
    rows = "".join(
        f"INSERT INTO user_actions (user_id, action_type, action_data, timestamp) VALUES (7, 'k', '{'x' * 500}', {n});"
        for n in range(1_769_860_800, 1_769_861_800)
    )
    connection = sqlite3.connect(path)
    connection.executescript("PRAGMA page_size = 4096;" + ACTIONS + "BEGIN;" + rows + "COMMIT;")
    connection.close()
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] + b"\xff" * 4096 + whole[len(whole) // 2 + 4096 :])
    done = app.test_cli_runner().invoke(args=["stateful", "import-journal", str(path)])
    assert done.exit_code == 1
    assert "cannot be read to its end" in done.output
    assert 100 < AnalyticsLogger(runtime.database).get_user_stats(7, days=0)["k"] < 1000


def test_a_journal_that_somebody_holds_is_told_apart_from_no_journal(
    app: Flask, journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder = sqlite3.connect(journal)
    holder.execute("PRAGMA locking_mode = EXCLUSIVE")
    holder.execute("BEGIN EXCLUSIVE")
    try:
        monkeypatch.setattr("stateful_engine.storage.foreign_journal.PATIENCE", 0.05)
        done = app.test_cli_runner().invoke(args=["stateful", "import-journal", str(journal)])
    finally:
        holder.close()
    assert done.exit_code == 1
    assert "cannot be read (database is locked)" in done.output
