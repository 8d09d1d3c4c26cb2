"""Whatever bots send and however they end: it is kept or refused with the remedy, and nothing stays locked."""

from __future__ import annotations

import os
import signal as signals_of_the_system
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from stateful_engine import (
    AnalyticsLogger,
    ChatGPTLogger,
    Experiments,
    JournalRepo,
    RecommendationLogger,
    ScannerLogger,
    StatefulEngineError,
)
from stateful_engine.storage.database import Database
from tests.factories import ROOT


def nested(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels):
        value = {"deeper": value}
    return value


ODD: list[Any] = [
    *(None, True, -1, 2**63, 10**400, 1.5, float("nan"), float("inf"), 1e308),
    *("", " ", "x" * 100_000, "nul\x00", "half \ud83d", "😀" * 600, "1e3", "1e999", "'; DROP TABLE user_actions;--"),
    *(
        b"bytes",
        [],
        [1],
        {},
        {"a": float("nan")},
        {1: 2},
        object(),
        Decimal("NaN"),
        datetime.max.replace(tzinfo=timezone.utc),
        {1},
    ),
    nested(3000),
]

Call = Callable[..., object]


def calls(database: Database) -> dict[str, tuple[Call, list[Any], list[str]]]:
    """Every call that records, with good arguments, and the keywords that are tried one by one."""
    chat, advice = ChatGPTLogger(database), RecommendationLogger(database)
    scanner, journal = ScannerLogger(database), JournalRepo(database)
    talk, rec = chat.start_conversation(1, 1), advice.log_recommendation(1, "XAUUSD", "BUY")
    idea = [1, "XAUUSD", "BUY", 1.0, 2.0, 3.0, "because", 50, "TREND"]
    looked = ["XAUUSD", "M15", "BUY", 50, 1.0, 1.0, 1.0, "TREND", "because"]
    fields = "ticket symbol side price sl old_sl pnl r_multiple distance_atr notes extra timestamp signal_id other"
    return {
        "start_conversation": (chat.start_conversation, [1, 1], ["model", "channel"]),
        "log_message": (chat.log_message, [talk, "user", "x", 1], ["model", "usage", "latency_ms", "cost_usd"]),
        "usage": (lambda count: chat.log_message(talk, "user", "x", usage={"total_tokens": count}), [1], []),
        "end_conversation": (chat.end_conversation, [talk], []),
        "close_stale": (chat.close_stale, [1e9], []),
        "log_recommendation": (advice.log_recommendation, idea, ["conversation_id", "generation_time", "timeframe"]),
        "mark_executed": (advice.mark_executed, [rec, "t"], []),
        "update_result": (advice.update_result, [rec, 1.0, 1.0], []),
        "log_result": (scanner.log_result, looked, ["bar_time", "signal_id"]),
        "scan": (lambda seen: scanner.scan(["XAUUSD"], lambda _: seen, lambda _: None), [{}], []),
        "log_action": (AnalyticsLogger(database).log_action, [1, 1, "click", {}], []),
        "log_event": (journal.log_event, ["trade_exec"], fields.split()),
        "log_oco_result": (lambda pair, filled: journal.log_oco_result(pair, filled=filled), [{}, "A"], []),
        "log_trailing_stop": (journal.log_trailing_stop, [{}, {}], []),
        "page": (chat.page, [10], ["cursor", "days", "user_id"]),
    }


NAMES = sorted(
    "start_conversation log_message usage end_conversation close_stale log_recommendation mark_executed update_result "
    "log_result scan log_action log_event log_oco_result log_trailing_stop page".split()
)


@pytest.mark.parametrize("name", NAMES)
def test_whatever_is_sent_is_kept_or_refused_with_the_remedy(database: Database, name: str) -> None:
    call, good, keywords = calls(database)[name]
    for odd in ODD:
        for place in range(len(good)):
            attempt(call, [*good[:place], odd, *good[place + 1 :]], {})
        for keyword in keywords:
            attempt(call, good, {keyword: odd})
    assert AnalyticsLogger(database).log_action(1, 1, "still here").startswith("act_")


def attempt(call: Call, arguments: list[Any], named: dict[str, Any]) -> None:
    try:
        call(*arguments, **named)
    except StatefulEngineError as error:
        assert error.status < 500
        assert error.message


@pytest.fixture
def database(database_url: str) -> Any:
    made = Database(database_url)
    yield made
    made.dispose()


def test_assign_answers_whatever_it_is_asked(database: Database) -> None:
    experiments = Experiments(database)
    for name, design in (("by-user", "user"), ("by-episode", "signal"), ("by-time", "switchback")):
        experiments.create(name, "a", "b", design=design, targeting={"country": {"in": ["ID"]}})
        experiments.start(name)
        for odd in ODD:
            for asked in (
                experiments.assign(odd, 1),
                experiments.assign(name, odd),
                experiments.assign(name, 1, attributes=odd),
                experiments.assign(name, 1, attributes={"country": odd}),
                experiments.assign(name, 1, episode=odd),
                experiments.assign(name, 1, at=odd),
            ):
                assert asked.variant in ("A", "B")
                with experiments.exposed(asked):
                    pass


# Many at once, and sudden ends


WRITER = """
import os, sys, threading
from stateful_engine import AnalyticsLogger, ChatGPTLogger, JournalRepo, RecommendationLogger

path, name, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
chat, advice, actions, journal = (
    kind(path) for kind in (ChatGPTLogger, RecommendationLogger, AnalyticsLogger, JournalRepo)
)

def work(thread):
    person = f"{name}-{thread}"
    talk = chat.start_conversation(person, 1)
    for number in range(rounds):
        chat.log_message(talk, "user", f"message {number}", tokens_used=1)
        advice.log_recommendation(person, "XAUUSD", "BUY", 1.0, 2.0, 3.0, conversation_id=talk)
        actions.log_action(person, 1, "click")
        journal.log_event("trade_exec", ticket=f"{person}-{number}")
        os.write(1, f"{person} {number}\\n".encode())

threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""
TABLES = ("chatgpt_messages", "ai_recommendations", "user_actions", "trade_events")


def writing(path: Path, name: str, rounds: int) -> subprocess.Popen[str]:
    """A process in which sixteen threads write."""
    command = [sys.executable, "-c", WRITER, str(path), name, str(rounds)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def counted(path: Path) -> dict[str, int]:
    """The rows of each table, as another connection sees them that waits for nobody."""
    with closing(sqlite3.connect(path, timeout=0)) as other:
        return {table: other.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in TABLES}


def test_two_processes_of_sixteen_threads_lose_nothing_on_one_file(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    processes = [writing(path, name, 5) for name in ("one", "two")]
    errors = [process.communicate(timeout=120)[1] for process in processes]
    assert errors == ["", ""]
    assert counted(path) == dict.fromkeys(TABLES, 2 * 16 * 5)
    [conversation] = ChatGPTLogger(path).get_user_conversations("one-3")
    assert (conversation["message_count"], conversation["total_tokens"]) == (5, 5)


def test_a_process_that_is_killed_loses_nothing_that_it_had_been_told_was_kept(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    process = writing(path, "killed", 10_000)
    assert process.stdout is not None
    done = [process.stdout.readline() for _ in range(150)]
    process.send_signal(signals_of_the_system.SIGKILL)
    done += process.communicate(timeout=30)[0].splitlines()
    with closing(sqlite3.connect(path, timeout=0)) as other:
        other.execute(
            "INSERT INTO user_actions (user_id, action_type, timestamp) VALUES ('1', 'at once', '2026-01-01')"
        )
        other.commit()
    kept = counted(path)
    assert min(kept.values()) >= len(done) >= 150
    assert JournalRepo(path).log_event("trade_exec", ticket="after") > 0
