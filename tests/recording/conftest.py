"""The cast of the recording tests: a recorder on a database of its own, and records to give it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from stateful_engine.config import Settings
from stateful_engine.domain import clock, identifiers
from stateful_engine.guard import Guard
from stateful_engine.recording.recorder import Recorder
from stateful_engine.recording.records import Call, Rows
from stateful_engine.storage import tables
from stateful_engine.storage.database import Database


def signal(signal_id: str | None = None, **changes: Any) -> dict[str, Any]:
    """A row of `signal_history` as a door makes it."""
    row = {
        "signal_id": signal_id or identifiers.signal_id(),
        "symbol": "BTCUSDT",
        "symbol_raw": "BTCUSDT",
        "timeframe": "1H",
        "action": "BUY",
        "confidence": 85.5,
        "entry_price": 45000.0,
        "extra": {"flags": []},
        "source": "API",
    }
    return row | changes


def signals(*ids: str) -> Rows:
    """A record of signals with these ids."""
    return Rows({"signal_history": [signal(each) for each in ids]})


def call(signal_id: str | None = None) -> Call:
    """A tracked request that was answered with one signal."""
    row = signal(signal_id)
    return Call(
        created_us=clock.epoch_us(),
        query_id=identifiers.query_id(),
        query={"endpoint": "/signal", "method": "GET", "response_status": 200},
        body=b'{"signal": {"action": "BUY", "symbol": "BTCUSDT"}}',
        signals=[row],
        interactions=[
            {
                "interaction_id": identifiers.interaction_id(),
                "signal_id": row["signal_id"],
                "interaction_type": "SIGNAL_GENERATED",
                "interaction_source": "API",
            }
        ],
    )


def stored_ids(database: Database) -> list[str]:
    """The ids of all stored signals, in the order in which they were stored."""
    table = tables.table("signal_history")
    with database.reading() as session:
        return list(session.scalars(select(table.c.signal_id).order_by(table.c.id)))


def count(database: Database, table: str) -> int:
    """How many rows `table` has."""
    with database.reading() as session:
        return session.scalar(select(func.count()).select_from(tables.table(table))) or 0


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(spool_dir=tmp_path / "spool", flush_interval=0.02)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    made = Database(database_url)
    yield made
    made.dispose()


@pytest.fixture
def guard() -> Guard:
    return Guard()


MakeRecorder = Callable[..., Recorder]


@pytest.fixture
def make_recorder(database: Database, settings: Settings, guard: Guard) -> Iterator[MakeRecorder]:
    """Makes recorders on `database`; keywords change the settings or replace the database."""
    made: list[Recorder] = []

    def make(*, of: Database | None = None, on_commit: Any = None, **changes: Any) -> Recorder:
        recorder = Recorder(of or database, replace(settings, **changes), guard, on_commit=on_commit)
        made.append(recorder)
        return recorder

    yield make
    for recorder in made:
        recorder.close(2.0)


@pytest.fixture
def recorder(make_recorder: MakeRecorder) -> Recorder:
    return make_recorder()
