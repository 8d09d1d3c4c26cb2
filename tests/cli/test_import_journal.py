"""An existing journal comes along, once, whatever columns it has."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from flask import Flask

from stateful_engine import ChatGPTLogger, JournalRepo, PerformanceDashboard
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
