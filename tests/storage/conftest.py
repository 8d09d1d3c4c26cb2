"""A database, and rows as the recorder hands them over."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from sqlalchemy import Connection, func, select

from stateful_engine.domain.clock import to_epoch_us
from stateful_engine.storage import bulk, tables
from stateful_engine.storage.database import Database
from tests.factories import MOMENT

START_US = to_epoch_us(MOMENT)

_numbers = count(1)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """Our tables in a database of this test's own; once SQLite, once PostgreSQL."""
    opened = Database(database_url)
    yield opened
    opened.dispose()


@pytest.fixture
def postgresql(postgresql_url: str) -> Iterator[Database]:
    """Our tables in a PostgreSQL database of this test's own."""
    opened = Database(postgresql_url)
    yield opened
    opened.dispose()


def signal_row(**changes: Any) -> dict[str, Any]:
    """One row of `signal_history`, a second younger than the one before."""
    number = next(_numbers)
    return {
        "signal_id": f"sig_{number:012x}_{START_US // 1_000_000}",
        "query_id": f"qry_{number:012x}_{START_US // 1_000_000}",
        "symbol": "BTCUSDT",
        "symbol_raw": "BTCUSDT",
        "timeframe": "1H",
        "action": "BUY",
        "confidence": 85.5,
        "entry_price": 45000.0,
        "take_profit": 46500.0,
        "stop_loss": 44200.0,
        "ai_reasoning": "Strong bullish momentum",
        "smc_analysis": {"order_blocks": ["45000-45200"], "choch": True},
        "technical_indicators": None,
        "source": "API",
        "source_engine": "sharp",
        "extra": {"take_profits": [46500.0, 47000.0]},
        "is_executed": False,
        "outcome": "PENDING",
        "created_at": START_US + number * 1_000_000,
    } | changes


def query_row(**changes: Any) -> dict[str, Any]:
    """One row of `gpt_query_log`."""
    number = next(_numbers)
    return {
        "query_id": f"qry_{number:012x}_{START_US // 1_000_000}",
        "endpoint": "/api/gpts/signal",
        "method": "GET",
        "request_params": {"symbol": "BTCUSDT"},
        "response_status": 200,
        "response_data": {"action": "BUY"},
        "processing_time_ms": 12.5,
        "is_successful": True,
        "created_at": START_US + number * 1_000_000,
    } | changes


def interaction_row(**changes: Any) -> dict[str, Any]:
    """One row of `user_interaction`."""
    number = next(_numbers)
    return {
        "interaction_id": f"int_{number:012x}_{START_US // 1_000_000}",
        "signal_id": None,
        "interaction_type": "CLICK",
        "interaction_source": "TELEGRAM",
        "interaction_data": {"button": "buy"},
        "user_id": "u1",
        "created_at": START_US + number * 1_000_000,
    } | changes


def store(database: Database, table: str, *rows: dict[str, Any]) -> list[bulk.Row]:
    """Insert `rows` in one transaction; those that were new."""
    with database.connection() as connection:
        return bulk.insert_new(connection, tables.table(table), rows)


def stored(database: Database, table: str) -> list[dict[str, Any]]:
    """All rows of a table, in the order in which they came."""
    columns = tables.table(table)
    with database.connection() as connection:
        return [dict(row) for row in connection.execute(select(columns).order_by(columns.c.id)).mappings()]


def number_of_rows(connection: Connection, table: str) -> int:
    return connection.scalar(select(func.count()).select_from(tables.table(table))) or 0
